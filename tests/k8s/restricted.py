# SPDX-License-Identifier: MIT
"""Pod Security "restricted" (kubernetes.io, "Pod Security Standards", as of Kubernetes 1.34).

One function for each control; those of "baseline" that a stricter one covers (capabilities, seccomp,
hostPath) are that one.
"""

from rules import Rules

RULES = Rules()


def contexts(pod):
    """Every security context of the pod, its own first."""
    yield "pod", pod.spec.get("securityContext", {})
    for container in pod.containers():
        yield container["name"], container.get("securityContext", {})


# --- baseline -----------------------------------------------------------------------------------


@RULES.add
def host_process(pod):
    for where, context in contexts(pod):
        if context.get("windowsOptions", {}).get("hostProcess"):
            yield where


@RULES.add
def host_namespaces(pod):
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(name):
            yield name


@RULES.add
def privileged(pod):
    for where, context in contexts(pod):
        if context.get("privileged"):
            yield where


@RULES.add
def host_ports(pod):
    for container in pod.containers():
        for port in container.get("ports", []):
            if port.get("hostPort"):
                yield f"{container['name']}: {port['hostPort']}"


@RULES.add
def probe_hosts(pod):
    for container in pod.containers():
        hooks = [
            container.get(kind) for kind in ("livenessProbe", "readinessProbe", "startupProbe")
        ]
        hooks += container.get("lifecycle", {}).values()
        for hook in filter(None, hooks):
            if any(hook.get(action, {}).get("host") for action in ("httpGet", "tcpSocket")):
                yield container["name"]


@RULES.add
def app_armor(pod):
    for where, context in contexts(pod):
        if context.get("appArmorProfile", {}).get("type") == "Unconfined":
            yield where
    for key, value in pod.metadata.get("annotations", {}).items():
        if key.startswith("container.apparmor.security.beta.kubernetes.io/"):
            if value != "runtime/default" and not value.startswith("localhost/"):
                yield f"{key}: {value}"


@RULES.add
def se_linux(pod):
    types = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
    for where, context in contexts(pod):
        options = context.get("seLinuxOptions", {})
        if options.get("type", "") not in types or options.get("user") or options.get("role"):
            yield where


@RULES.add
def proc_mount(pod):
    for where, context in contexts(pod):
        if context.get("procMount", "Default") != "Default":
            yield where


@RULES.add
def sysctls(pod):
    safe = {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
    for item in pod.spec.get("securityContext", {}).get("sysctls", []):
        if item["name"] not in safe:
            yield item["name"]


# --- restricted ---------------------------------------------------------------------------------


@RULES.add
def volume_types(pod):
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    for volume in pod.spec.get("volumes", []):
        if not allowed & volume.keys():
            yield volume["name"]


@RULES.add
def privilege_escalation(pod):
    for container in pod.containers():
        if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
            yield container["name"]


@RULES.add
def run_as_non_root(pod):
    for container in pod.containers():
        if pod.security(container).get("runAsNonRoot") is not True:
            yield container["name"]


@RULES.add
def run_as_user(pod):
    for where, context in contexts(pod):
        if context.get("runAsUser") == 0:
            yield where


@RULES.add
def seccomp(pod):
    allowed = ("RuntimeDefault", "Localhost")
    for container in pod.containers():
        if pod.security(container).get("seccompProfile", {}).get("type") not in allowed:
            yield container["name"]


@RULES.add
def capabilities(pod):
    for container in pod.containers():
        named = container.get("securityContext", {}).get("capabilities", {})
        if "ALL" not in named.get("drop", []) or set(named.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield container["name"]
