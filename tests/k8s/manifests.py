# SPDX-License-Identifier: MIT
"""Rendered manifests: their pods, and what a container of ours gets to see of its environment.

A pod is found wherever one is described: in the templates of StatefulSets and Deployments, and in an
EnvoyProxy, from which Envoy Gateway makes pods that hold Envoy's containers and those listed there.
"""

import re
from base64 import b64decode

import yaml

OURS = "wg-tinyproxy"
CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


def load(path):
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def named(documents, kind, name):
    return next((d for d in of_kind(documents, kind) if d["metadata"]["name"] == name), None)


def secret_entries(secrets, name):
    secret = named(secrets, "Secret", name) or {}
    encoded = secret.get("data", {}).items()
    return {**secret.get("stringData", {}), **{k: b64decode(v).decode() for k, v in encoded}}


class Pod:
    """A pod that `owner` makes, with all `documents` that it may refer to."""

    def __init__(self, documents, owner):
        self.documents = documents
        self.owner = owner
        self.kind = owner["kind"]
        self.name = owner["metadata"]["name"]
        if self.kind == "EnvoyProxy":
            self.workload = owner["spec"]["provider"]["kubernetes"]["envoyDeployment"]
            spec = {**self.workload["pod"], "initContainers": self.workload["initContainers"]}
            self.metadata = {"labels": spec.pop("labels", {})}
            self.spec = spec
        else:
            self.workload = owner["spec"]
            self.metadata = self.workload["template"]["metadata"]
            self.spec = self.workload["template"]["spec"]

    def containers(self):
        return [item for kind in CONTAINER_LISTS for item in self.spec.get(kind) or []]

    @property
    def ours(self):
        return next(item for item in self.containers() if item["name"] == OURS)

    def security(self, container):
        """What holds for `container`: its own settings before the pod's."""
        return {**self.spec.get("securityContext", {}), **container.get("securityContext", {})}

    def port(self, name):
        ports = self.ours.get("ports", [])
        return next((p["containerPort"] for p in ports if p.get("name") == name), None)

    def settings(self, fields=None, secrets=()):
        """The variables of our container; `fields`: what fieldRef finds, by its path."""
        found = {}
        for source in self.ours.get("envFrom", []):
            config = named(self.documents, "ConfigMap", source["configMapRef"]["name"])
            found.update(config["data"] if config else {})
        for item in self.ours.get("env", []):
            value = self._value(item, fields or {}, secrets, found)
            if value is not None:
                found[item["name"]] = value
        return found

    @staticmethod
    def _value(item, fields, secrets, found):
        source = item.get("valueFrom", {})
        if "fieldRef" in source:
            return fields.get(source["fieldRef"]["fieldPath"], "")
        if "secretKeyRef" in source:
            wanted = source["secretKeyRef"]
            return secret_entries(secrets, wanted["name"]).get(wanted["key"])
        return expand(item["value"], found)


def expand(text, variables):
    """$(NAME) as the kubelet replaces it: only names that are known by then."""
    return re.sub(r"\$\((\w+)\)", lambda m: variables.get(m[1], m[0]), text)


def pods(documents):
    kinds = ("StatefulSet", "Deployment", "EnvoyProxy")
    return [Pod(documents, document) for kind in kinds for document in of_kind(documents, kind)]
