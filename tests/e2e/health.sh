#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The health port, from both ends of a pair: what it says, and what it bears.
# shellcheck disable=SC2154 # set by the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

# expect STATUS SIDE PATH [CURL-OPTION...]
expect() {
	local -n health_port=health_$2
	local status
	status=$(http here "$health_port" "${@:3}")
	[[ $status == "$1" ]] || die "$2 $3: $status, expected $1: $(head -c 200 "$CASE/body")"
	[[ $1 != 503 || -s $CASE/body ]] || die "$2 $3: 503 without a reason"
}

expect_both() { # STATUS PATH [CURL-OPTION...]
	local side
	for side in egress ingress; do expect "$1" "$side" "${@:2}"; done
}

page_up() { serve page webpage "${target[@]}" "the page"; }

# A handshake may still be under way: the first probe through the tunnel is repeated.
session_up() {
	wait_for 10 "a session" answers 200 here "$health_egress" /health?mode=tcp
	wait_for 10 "a session" answers 200 here "$health_ingress" /health?mode=tcp
}

case_ready() {
	pair_up
	expect_both 200 /health
	grep -qx OK "$CASE/body" || die "the body is not OK"
	expect_both 200 /livez
	expect_both 200 /health --head
	expect_both 200 /metrics
}

# Ready is who has had a handshake. Nobody waits for it here: probes alone must bring it about.
case_readyz_and_startupz() {
	pair_prepare
	start_egress WG_KEEPALIVE=0
	expect 503 egress /startupz
	expect 503 egress /readyz
	grep -q handshake "$CASE/body" || die "not why: $(<"$CASE/body")"
	expect 200 egress /livez
	start_ingress WG_KEEPALIVE=0
	wait_for 10 "egress to be ready" answers 200 here "$health_egress" /readyz
	wait_for 10 "ingress to be ready" answers 200 here "$health_ingress" /readyz
	expect_both 200 /startupz
	expect_both 200 /startupz --head
}

case_tcp_and_http() {
	pair_up
	page_up
	session_up
	expect_both 200 '/health?mode=http&path=/'
	expect_both 200 '/health?mode=http&path=/status/204'
	expect_both 200 '/health?mode=http&path=/status/302'
	expect_both 503 '/health?mode=http&path=/status/404'
	expect_both 503 '/health?mode=http&path=/status/500'
}

# Nothing listens at the egress's target, nor at the port that the ingress dials in the tunnel.
case_refused() {
	pair_prepare
	start_egress
	start_ingress TARGET_PORT=8001
	expect_both 503 '/health?mode=tcp&timeout=3s'
	expect_both 503 '/health?mode=http&path=/&timeout=3s'
	expect_both 200 /health
}

# The target answers, the tunnel does not: not healthy, said within the timeout.
case_no_session() {
	local side started_ms took_ms
	for side in egress ingress; do
		pair_prepare
		page_up
		"start_$side"
		started_ms=$((${EPOCHREALTIME//[.,]/} / 1000))
		expect 503 "$side" '/health?mode=tcp&timeout=700ms'
		took_ms=$((${EPOCHREALTIME//[.,]/} / 1000 - started_ms))
		((took_ms < 3000)) || die "$side took $took_ms ms"
		expect 200 "$side" /health
		expect 200 "$side" /livez
		stop "$side"
		stop page
	done
}

# A target that accepts and says nothing is connected, but answers no GET.
case_timeout() {
	pair_up
	serve target traffic serve "${target[@]}"
	session_up
	expect_both 503 '/health?mode=http&path=/&timeout=500ms'
}

case_bad_requests() {
	local query
	pair_up
	for query in mode=bogus mode= timeout=abc timeout=61s timeout=-1s 'mode=http&path=nope' \
		'mode=tcp&timeout=1h'; do
		expect_both 400 "/health?$query"
		[[ -s $CASE/body ]] || die "400 to $query does not say what is accepted"
	done
	expect_both 404 /nope
	expect_both 404 /healthy
	expect_both 405 /health --data x
	expect_both 405 /health --request DELETE
}

# Each gets a 4xx or is shut out; the responder lives on.
case_hostile_requests() {
	local status big
	pair_up
	big=$(head -c 6000 /dev/zero | tr '\0' a)
	for status in "$(http here "$health_egress" "/$big")" \
		"$(http here "$health_egress" /health -H "X-Big: $big")"; do
		[[ $status == 4?? || $status == 000 ]] || die "$status to a request over 4 KiB"
	done
	head -c 3000 /dev/urandom >"$CASE/garbage"
	timeout 8 bash -c "exec 3<>/dev/tcp/127.0.0.1/$health_egress; cat '$CASE/garbage' >&3
		printf '\r\n\r\n' >&3; head -c 12 <&3" >"$CASE/garbage.answer" || true
	! [[ -s $CASE/garbage.answer ]] || grep -aq ' 4..' "$CASE/garbage.answer" ||
		die "garbage was answered"
	expect_both 200 /health
}

# --- attacks: tests/e2e/attack.c has their shapes -------------------------------------------------

descriptors() { find "/proc/$(process_of egress)/fd" -type l | wc -l; }
attack_is_forgotten() { (($(descriptors) <= descriptors_before)); }
probe_gets_in() { [[ $(http here "$health_egress" /livez -m 1) == 200 ]]; }

# The attackers have all of the health port. The proxy loses nothing by it: its traffic goes on, memory
# and descriptors are bounded, probes find a place, and in the end all is as before.
attacked_by() { # SHAPE...
	local kib before_kib shape
	pair_up
	serve target traffic serve "${target[@]}"
	session_up
	traffic ping "${dial[@]}" up=640 down=640
	descriptors_before=$(descriptors)
	before_kib=$(peak_kib egress)
	for shape in "$@"; do
		start "$shape" "$BUILD/e2e/attack" "$shape" 127.0.0.1 "$health_egress" 3
	done
	for shape in "$@"; do wait_for 10 "the attack" logged "$shape" '^ready'; done
	start_traffic ping ping "${dial[@]}" conns=4 up=64000 down=64000 timeout_ms=10000
	# A place may be lost in the crowd; a second probe is what every orchestrator allows for.
	for _ in {1..5}; do within 2 probe_gets_in || die "no probe gets in"; done
	(($(descriptors) <= descriptors_before + 64)) || die "$(descriptors) descriptors are open"
	finish_traffic ping 15
	for shape in "$@"; do
		expect_status "$shape" 15 0
		tail -n 1 "$CASE/$shape.log"
	done
	kib=$(($(peak_kib egress) - before_kib))
	((kib < 4096)) || die "the attack took $kib KiB"
	wait_for 10 "the attack to be forgotten" attack_is_forgotten
	expect_both 200 /readyz
}

case_attack_by_a_thousand() { attacked_by crowd; }
case_attack_by_slow_clients() { attacked_by slowloris; }
case_attack_by_deaf_clients() { attacked_by deaf; }
case_attack_by_wild_clients() { attacked_by pipelining half-closed long-line rubbish; }

case_draining() {
	local side
	pair_up DRAIN_TIMEOUT=20s
	serve target traffic serve "${target[@]}"
	start_traffic in-flight bulk "${dial[@]}" up=2000000 down=2000000 rate=500000 report=0
	session_up
	for side in ingress egress; do
		kill "${pid_of[$side]}"
		local -n health_port=health_$side
		wait_for 3 "$side to drain" answers 503 here "$health_port" /health
		expect 503 "$side" /health
		expect 503 "$side" /readyz
		expect 200 "$side" /startupz
		expect 200 "$side" /livez
	done
	finish_traffic in-flight 15
	expect_status ingress 25 0
	expect_status egress 25 0
}

run_cases "$@"
