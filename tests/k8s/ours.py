# SPDX-License-Identifier: MIT
"""What we ask of our manifests beyond Pod Security: that the program's promises hold in the pod.

What Envoy Gateway decides about its pods is not asked of an EnvoyProxy.
"""

import re

import manifests
from rules import Rules

RULES = Rules()
MIB = 1 << 20

UNPRIVILEGED = 65532  # the user of the image
PROGRAM_MIB = 48  # beside MEMORY_LIMIT: tests/e2e/shapes.bash holds the program to that
PARTING_S = 2  # from the end of DRAIN_TIMEOUT to the exit: two steps of PROXY_FAREWELL_MS
LIVE, READY, STARTED = "/livez", "/readyz", "/startupz"


def size(text):
    """Bytes of a Kubernetes quantity (Mi) or of a size of ours (M, which is 1024 squared, too)."""
    number, unit = re.fullmatch(r"(\d+)([KMG])i?", text).groups()
    return int(number) << {"K": 10, "M": 20, "G": 30}[unit]


def seconds(text):
    return sum(
        int(n) * {"h": 3600, "m": 60, "s": 1}[u] for n, u in re.findall(r"(\d+)([hms])", text)
    )


def is_our_own(pod):
    return pod.kind != "EnvoyProxy"


# --- what the pod may do ------------------------------------------------------------------------


@RULES.add
def numeric_user(pod):
    context = pod.security(pod.ours)
    for field in ("runAsUser", "runAsGroup"):
        if context.get(field) != UNPRIVILEGED:
            yield f"{field}: {context.get(field)}"


@RULES.add
def read_only_root(pod):
    if not pod.security(pod.ours).get("readOnlyRootFilesystem"):
        yield "the root file system can be written to"


@RULES.add
def no_account_token(pod):
    if is_our_own(pod) and pod.spec.get("automountServiceAccountToken") is not False:
        yield "a token of the service account is mounted"


@RULES.add
def no_service_links(pod):
    if is_our_own(pod) and pod.spec.get("enableServiceLinks") is not False:
        yield "Services of the namespace can set variables"


@RULES.add
def image_is_pinned(pod):
    tag = pod.ours["image"].rpartition(":")[2]
    if "/" in tag or tag in ("latest", pod.ours["image"]):
        yield pod.ours["image"]


# --- what it gets -------------------------------------------------------------------------------


@RULES.add
def resources(pod):
    asked, limits = (pod.ours.get("resources", {}).get(k, {}) for k in ("requests", "limits"))
    needed = size(pod.settings()["MEMORY_LIMIT"]) + PROGRAM_MIB * MIB
    if not {"cpu", "memory"} <= asked.keys():
        yield "requests lack cpu or memory"
    if size(limits.get("memory", "0M")) < needed:
        yield f"limits.memory is less than MEMORY_LIMIT and {PROGRAM_MIB} MiB"


@RULES.add
def grace_period(pod):
    drain_s = seconds(pod.settings()["DRAIN_TIMEOUT"])
    if is_our_own(pod) and pod.spec.get("terminationGracePeriodSeconds", 30) <= drain_s + PARTING_S:
        yield "killed before DRAIN_TIMEOUT is over"


@RULES.add
def private_key(pod):
    """It comes from a file, the file from a Secret; readable for the group that we run as."""
    settings, mounts = pod.settings(), pod.ours.get("volumeMounts", [])
    path = settings.get("WG_PRIVATE_KEY_FILE", "")
    mount = next((m for m in mounts if path.startswith(m["mountPath"])), {})
    volume = next((v for v in pod.spec.get("volumes", []) if v["name"] == mount.get("name")), {})
    if "WG_PRIVATE_KEY" in settings:
        yield "a key among the settings"
    if "secret" not in volume:
        yield "WG_PRIVATE_KEY_FILE lies in no Secret"
    elif volume["secret"].get("defaultMode", 0o644) & 0o007:
        yield "every user may read the key"
    if pod.spec.get("securityContext", {}).get("fsGroup") != UNPRIVILEGED:
        yield "our user cannot read the key: fsGroup"


@RULES.add
def one_key_one_pod(pod):
    if pod.kind == "StatefulSet":
        if not all("$(POD_NAME)" in m.get("subPathExpr", "") for m in pod.ours["volumeMounts"]):
            yield "replicas share a key"
    elif pod.workload.get("strategy", {}).get("type") != "Recreate":
        yield "an update runs two pods with one key"
    elif pod.workload.get("replicas") != 1:
        yield "replicas share a key"


@RULES.add
def no_secrets(pod):
    """A real one does not belong here, a placeholder would replace a real one when applied."""
    for document in manifests.of_kind(pod.documents, "Secret"):
        yield document["metadata"]["name"]


# --- how it is seen from outside ----------------------------------------------------------------


@RULES.add
def native_sidecar(pod):
    inits = [item for item in pod.spec.get("initContainers", []) if item["name"] == manifests.OURS]
    if any(item.get("restartPolicy") != "Always" for item in inits):
        yield "an init container that does not end"


@RULES.add
def probes(pod):
    for kind, paths in (
        ("startupProbe", (STARTED, LIVE)),
        ("livenessProbe", (LIVE,)),
        ("readinessProbe", (READY, LIVE)),
    ):
        get = pod.ours.get(kind, {}).get("httpGet", {})
        if get.get("path") not in paths or get.get("port") != "wg-health":
            yield f"{kind}: {get}"


@RULES.add
def ports(pod):
    settings = pod.settings()
    if str(pod.port("wg-health")) != settings.get("HEALTH_PORT"):
        yield "wg-health is not HEALTH_PORT"
    if settings["PROXY_MODE"] == "ingress" and str(pod.port("proxy")) != settings["LOCAL_PORT"]:
        yield "proxy is not LOCAL_PORT"


@RULES.add
def selectors(pod):
    """Everything that means this pod by its labels does find it."""
    labels = pod.metadata.get("labels", {})
    wanted = {"pod's own": {"wg-tinyproxy": labels.get("wg-tinyproxy", "(none)")}}
    if is_our_own(pod):
        wanted[pod.name] = pod.workload["selector"]["matchLabels"]
        for spread in pod.spec.get("topologySpreadConstraints", []):
            wanted["topology spread"] = spread["labelSelector"]["matchLabels"]
        for service in manifests.of_kind(pod.documents, "Service"):
            wanted["Service"] = service["spec"]["selector"]
        for budget in manifests.of_kind(pod.documents, "PodDisruptionBudget"):
            wanted["PodDisruptionBudget"] = budget["spec"]["selector"]["matchLabels"]
    for who, pairs in wanted.items():
        if not pairs.items() <= labels.items():
            yield f"{who}: {pairs}"


@RULES.add
def service_ports(pod):
    for service in manifests.of_kind(pod.documents, "Service"):
        for port in service["spec"]["ports"]:
            if pod.port(port["targetPort"]) is None:
                yield f"{service['metadata']['name']}: no port {port['targetPort']}"
