#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Where the host withholds something: fewer open files than connections, none for a while, a port that
# is not free yet.
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

target_up() { serve target traffic serve "${target[@]}"; }

open_at_ingress() { # COUNT
	http here "$health_ingress" /metrics >/dev/null
	grep -qx "wg_tinyproxy_connections_open $1" "$CASE/body"
}

# So few connections are taken that descriptors are left for who asks whether we are well. Without
# them a liveness probe would fail, and its orchestrator would end the connections that there are.
few_files() { # BACKEND
	local -a limited=(prlimit --nofile=200:200)
	pair_prepare
	start_egress
	proxy ingress limited "${ingress_env[@]}" IO_BACKEND="$1"
	wait_for 10 "ingress" answers 200 here "$health_ingress" /livez
	logged ingress 'warn .*200 open files MAX_CONNECTIONS is 100 ' || die "nothing said of the limit"
	target_up
	start_traffic held bulk "${dial[@]}" conns=100 up=1500000 down=1500000 rate=500000 report=0 timeout_ms=30000
	wait_for 5 "100 connections" open_at_ingress 100
	traffic refused "${dial[@]}" conns=100 report=0 timeout_ms=5000
	expect 200 /livez
	grep -qx 'wg_tinyproxy_connections_limit 100' <(curl -s "http://127.0.0.1:$health_ingress/metrics") ||
		die "the metrics have another limit"
	finish_traffic held 30
}

expect() { # STATUS PATH
	answers "$1" here "$health_ingress" "$2" || die "$2: not $1"
}

case_few_open_files_uring() { few_files uring; }
case_few_open_files_epoll() { few_files epoll; }

descriptors() { find "/proc/$(process_of ingress)/fd" -mindepth 1 | wc -l; }

# Then some come back, one by one: what can be accepted is, and the log says it once. On io_uring the
# limit is that of the moment when accepting began: nobody else can lower it.
case_files_run_out() {
	local pid
	[[ $(id -u) == 0 ]] || skip "needs root to change another process's limits"
	pair_prepare
	start_egress
	start_ingress IO_BACKEND=epoll
	target_up
	traffic ping "${dial[@]}" up=64 down=64
	pid=$(process_of ingress)
	wait_for 5 "the connection's end" open_at_ingress 0
	prlimit --pid "$pid" --nofile=$(($(descriptors) + 2)):16384
	for _ in {1..5}; do traffic ping "${dial[@]}" conns=6 up=64 down=64 timeout_ms=20000; done
	prlimit --pid "$pid" --nofile=16384:16384
	traffic ping "${dial[@]}" conns=50 up=64 down=64
	[[ $(grep -c 'accepting connections failed' "$CASE/ingress.log") == 1 ]] ||
		die "not said once: $(grep -c 'accepting connections failed' "$CASE/ingress.log") times"
}

# Holds a UDP port until it is ended.
hold_port='import socket, sys, time
held = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
held.bind(("::", int(sys.argv[1])))
print("ready", flush=True)
time.sleep(60)'

awaits_sigterm() { # NAME: SIGTERM is blocked
	local blocked
	blocked=$(awk '/^SigBlk:/ {print $2}' "/proc/$(process_of "$1")/status")
	((0x$blocked >> 14 & 1))
}

# To the first process of a container such a signal would be lost altogether (signal(7)), and its
# orchestrator would wait until it may kill it.
case_sigterm_during_the_start() {
	local udp
	pair_prepare
	udp=$(free_port)
	start holder python3 -c "$hold_port" "$udp"
	wait_for 5 "the port to be taken" logged holder ready
	proxy egress here "${egress_env[@]}" WG_LISTEN_PORT="$udp"
	wait_for 2 "signals to be waited for" awaits_sigterm egress
	kill "${pid_of[egress]}"
	stop holder
	expect_status egress 5 0
	logged egress 'draining 0 connections' || die "it did not drain"
}

run_cases "$@"
