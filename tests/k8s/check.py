#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks rendered manifests of k8s/. Each fault is a line; the exit status is 1 when there is one.

check.py rules FILE...                Pod Security "restricted" and our own rules
check.py violations FOLDER FIXTURES   that each rule can fail: every fixture breaks just what it says
check.py schemas VERSION FILE...      the OpenAPI types of that Kubernetes (kubernetes-validate)
check.py custom SCHEMAS FILE...       the kinds that are not Kubernetes' own (jsonschema)
check.py alerts FILE [list]           prints the rules of a PrometheusRule as Prometheus reads them, or
                                      their names and expressions
check.py container FILE POD SECRETS ROOT
                                      what our container in that pod finds: its files under ROOT; prints
                                      its variables
"""

import copy
import os
import sys

import yaml

import manifests
import ours
import restricted

RULES = {**restricted.RULES, **ours.RULES}


# --- rules --------------------------------------------------------------------------------------


def broken(documents):
    """(rule, pod, what is wrong) of every fault."""
    for pod in manifests.pods(documents):
        for name, rule in RULES.items():
            for fault in rule(pod):
                yield name, pod.name, fault


def rules(*paths):
    for path in paths:
        documents = manifests.load(path)
        for fault in broken(documents):
            yield ": ".join((path, *fault))


def merge(target, change):
    """`change` into `target` in place: maps by key, null removes, everything else replaces."""
    for key, value in change.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


def damage(documents, fixture):
    """A copy of `documents` with the fixture's changes to the pod, to our container or to the rest."""
    documents = copy.deepcopy(documents)
    pod = manifests.pods(documents)[0]
    merge(pod.ours, fixture.get("container", {}))
    merge(pod.metadata, fixture.get("metadata", {}))
    merge(pod.workload, fixture.get("workload", {}))
    # A sidecar's pod is put together from two places; the changes go where the settings come from.
    merge(pod.workload["pod"] if pod.kind == "EnvoyProxy" else pod.spec, fixture.get("pod", {}))
    for kind, change in fixture.get("documents", {}).items():
        for document in manifests.of_kind(documents, kind):
            merge(document, change)
    return documents + fixture.get("more", [])


def violations(folder, fixtures):
    seen = set()
    with open(fixtures, encoding="utf-8") as file:
        cases = yaml.safe_load(file)
    for case in cases:
        documents = manifests.load(f"{folder}/{case.get('in', 'egress')}.yaml")
        names = {name for name, _, _ in broken(damage(documents, case))}
        seen |= names
        if names != {case["breaks"]}:
            yield f"{case}: breaks {sorted(names) or 'nothing'}"
    for name in RULES.keys() - seen:
        yield f"no fixture breaks {name}"


# --- schemas ------------------------------------------------------------------------------------


def is_core(document):
    group = document["apiVersion"].rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io") and group != "gateway.networking.k8s.io"


def as_core(documents):
    """The core's own documents; a pod of another's, as the PodTemplate that it will be."""
    yield from filter(is_core, documents)
    for pod in manifests.pods(documents):
        if not is_core(pod.owner):
            template = {
                "metadata": pod.metadata,
                "spec": {**pod.spec, "containers": [{"name": "envoy"}]},
            }
            yield {"apiVersion": "v1", "kind": "PodTemplate", "template": template}


def schemas(version, *paths):
    import kubernetes_validate

    for path in paths:
        for document in as_core(manifests.load(path)):
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(map(str, error.path))
                yield f"{path}: {document['kind']}: {where}: {error.message}"


def custom(schema_path, *paths):
    import jsonschema

    with open(schema_path, encoding="utf-8") as file:
        known = yaml.safe_load(file)
    for path in paths:
        for document in manifests.load(path):
            if is_core(document):
                continue
            schema = known.get(f"{document['apiVersion']}/{document['kind']}", False)
            for error in jsonschema.Draft7Validator(schema).iter_errors(document):
                where = ".".join(map(str, error.path))
                yield f"{path}: {document['kind']}: {where}: {error.message}"


# --- what others need of them -------------------------------------------------------------------


def alerts(path, how="yaml"):
    groups = manifests.of_kind(manifests.load(path), "PrometheusRule")[0]["spec"]["groups"]
    if how == "list":
        for rule in (rule for group in groups for rule in group["rules"]):
            print(rule["alert"], rule["expr"], sep="\t")
    else:
        print(yaml.safe_dump({"groups": groups}))
    return ()


def write(path, text, mode):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chown(path, 0, ours.UNPRIVILEGED)
    os.chmod(path, mode)


def mount_secrets(pod, variables, secrets, root):
    """Secret volumes as the kubelet mounts them: root's files, and fsGroup's."""
    volumes = {volume["name"]: volume["secret"] for volume in pod.spec["volumes"]}
    for mount in pod.ours["volumeMounts"]:
        volume = volumes[mount["name"]]
        entries = manifests.secret_entries(secrets, volume["secretName"])
        if "subPathExpr" in mount:
            key = manifests.expand(mount["subPathExpr"], variables)
            files = {mount["mountPath"]: entries[key]}
        else:
            files = {
                f"{mount['mountPath']}/{i['path']}": entries[i["key"]] for i in volume["items"]
            }
        for path, text in files.items():
            write(root + path, text, volume["defaultMode"])


def container(path, name, secrets_path, root):
    pod = manifests.pods(manifests.load(path))[0]
    secrets = manifests.load(secrets_path)
    fields = {
        "metadata.name": name,
        "metadata.labels['apps.kubernetes.io/pod-index']": name.rpartition("-")[2],
    }
    variables = pod.settings(fields, secrets)
    mount_secrets(pod, variables, secrets, root)
    for item in variables.items():
        print("=".join(item))
    return ()


COMMANDS = (rules, violations, schemas, custom, alerts, container)


def main():
    command = next((c for c in COMMANDS if c.__name__ == (sys.argv[1:] or [""])[0]), None)
    if command is None:
        sys.exit(__doc__)
    faults = list(command(*sys.argv[2:]))
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
