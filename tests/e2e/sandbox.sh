#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The program's own sandbox, and the profile for containers that is made from the same list. That
# traffic of all shapes passes is shown by all other scripts: the sandbox is on in them.
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

status_of() { awk -v field="$2:" '$1 == field {print $2}' "/proc/${pid_of[$1]}/status"; } # NAME FIELD

expect_field() { # FIELD VALUE
	[[ $(status_of egress "$1") == "$2" ]] || die "$1 is $(status_of egress "$1"), expected $2"
}

case_on_by_default() {
	local backend
	for backend in uring epoll; do
		pair_prepare
		start_egress IO_BACKEND=$backend
		expect_field NoNewPrivs 1
		expect_field Seccomp 2
		[[ $(grep -c ' sandbox: seccomp on, Landlock ' "$CASE/egress.log") == 1 ]] ||
			die "not logged once"
		stop egress
	done
}

case_off() {
	pair_prepare
	start_egress SANDBOX=off
	expect_field Seccomp "$(awk '$1 == "Seccomp:" {print $2}' /proc/self/status)"
	logged egress 'warn .*SANDBOX is off' || die "not said"
}

# All that a quiet process does late: its first line of the log, a wait that goes on after SIGSTOP,
# metrics, and the end, by a signal, of connections that are open.
case_quiet_process() {
	local backend
	for backend in uring epoll; do
		pair_prepare
		start_egress IO_BACKEND=$backend LOG_LEVEL=error DRAIN_TIMEOUT=500ms
		start_ingress IO_BACKEND=$backend LOG_LEVEL=error
		serve target traffic serve "${target[@]}"
		traffic ping "${dial[@]}" up=64 down=64 timeout_ms=5000
		kill -STOP "${pid_of[egress]}"
		within 2 stopped egress || die "not stopped"
		kill -CONT "${pid_of[egress]}"
		answers 200 here "$health_egress" /metrics || die "no metrics on $backend"
		answers 200 here "$health_ingress" "/health?mode=tcp" || die "no probe on $backend"
		kill "${pid_of[egress]}"
		expect_status egress 10 0
		stop ingress
		stop target
	done
}

stopped() { [[ $(status_of "$1" State) == T ]]; }

# As a container runtime does it: the profile is there before the program.
case_profile_in_a_container() {
	local backend
	command -v runc >/dev/null || skip "no runc"
	[[ $(id -u) == 0 ]] || skip "needs root to make a container"
	! ldd "$WORK/bin/wg-tinyproxy" | grep -q '=>' || skip "needs a static program"
	mkdir -p "$CASE/box/rootfs"
	cp "$WORK/bin/wg-tinyproxy" "$CASE/box/rootfs/"
	for backend in uring epoll; do
		pair_prepare
		make_spec "${egress_env[@]}" IO_BACKEND=$backend
		start egress runc --root "$CASE/state" run --bundle "$CASE/box" "wgtp-$BASHPID"
		within 10 logged egress "event loop: $backend" || no_container
		logged egress 'sandbox: seccomp on' || die "no sandbox within the container"
		# The host's network namespace, so that the other end is next door.
		start_ingress
		serve target traffic serve "${target[@]}"
		traffic bulk "${dial[@]}" conns=5 up=100000 down=100000
		runc --root "$CASE/state" kill "wgtp-$BASHPID" TERM
		expect_status egress 10 0
		stop ingress
		stop target
	done
}

# Machines that cannot make a container with no profile either have nothing to say about ours.
no_container() {
	! runs egress || die "it does not start"
	! grep -qE 'cgroup|mount|namespace' "$CASE/egress.log" ||
		skip "runc: $(tail -n 1 "$CASE/egress.log")"
	die "$(tail -n 1 "$CASE/egress.log")"
}

make_spec() { # VARIABLE=VALUE...
	(cd "$CASE/box" && rm -f config.json && runc spec)
	python3 - "$CASE/box/config.json" k8s/seccomp/wg-tinyproxy.json "$@" <<-'END'
		import json, sys
		path, profile, *env = sys.argv[1:]
		spec = json.load(open(path))
		spec["process"].update(terminal=False, args=["/wg-tinyproxy"], env=env, capabilities={},
		                       noNewPrivileges=True, user={"uid": 65532, "gid": 65532})
		spec["root"]["readonly"] = True
		spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "network"]
		spec["linux"]["seccomp"] = json.load(open(profile))
		json.dump(spec, open(path, "w"))
	END
}

run_cases "$@"
