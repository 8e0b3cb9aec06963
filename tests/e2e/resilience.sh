#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What goes wrong around a tunnel in a year: keys run out, ends restart, addresses move, SIGTERM.
# Most of it is waiting, so cases run together, each with little traffic.
# shellcheck disable=SC2031,SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/net.bash

mode=egress
SLOW=500000 # bytes per second each way

target_up() { serve target traffic serve "${target[@]}"; }

tunnel_up() { # [VARIABLE=VALUE...]
	net_up "$@"
	target_up
}

# A transfer of so many seconds in the background, returned from when bytes flow.
start_transfer() { # SECONDS [NAME=NUMBER...]
	local bytes=$(($1 * SLOW)) before
	before=$(peer_received)
	start_traffic transfer bulk "${dial[@]}" up="$bytes" down="$bytes" rate="$SLOW" \
		timeout_ms=$((($1 + 100) * 1000)) "${@:2}"
	wait_for 10 "bytes to flow" flows_since "$before"
}

peer_received() { wg show "$wg" transfer | cut -f 2; }
flows_since() { (($(peer_received) > $1 + SLOW / 10)); }

new_connection() {
	"${client[@]}" "$WORK/bin/traffic" ping "${dial[@]}" up=64 down=64 timeout_ms=1500
}

# --- keys ---------------------------------------------------------------------------------------

# REKEY_AFTER_TIME is 120 s (WireGuard paper, section 6.1); all bytes arrive across it.
across_rekey() {
	local first
	[[ ${E2E_LONG:-1} == 1 ]] || skip "E2E_LONG=0"
	tunnel_up
	first=$(handshake_time)
	start_transfer 126
	finish_traffic transfer 200
	(($(handshake_time) >= first + 100)) || die "no new handshake in 126 s of traffic"
}

case_rekey_under_traffic_egress() { across_rekey; }

case_rekey_under_traffic_ingress() {
	mode=ingress
	across_rekey
}

# The peer's administrator takes us out and puts us back: its side of the session and our endpoint
# are gone. We notice 15 s after our first unanswered bytes (section 6.5 of the paper).
case_peer_forgets_session() {
	tunnel_up
	start_transfer 6
	wg set "$wg" peer "${public_of[us]}" remove
	peer_admits_us
	finish_traffic transfer 100
	wait_for 10 "a new connection" new_connection
}

# --- restarts -----------------------------------------------------------------------------------

# A peer that knows our endpoint calls us as soon as it has something to send.
case_peer_restarts_egress() {
	net_prepare endpoint "$OURS:51821"
	start_proxy WG_LISTEN_PORT=51821
	wait_for 10 "the first handshake" has_session
	target_up
	new_connection
	stop wireguard-go
	start_peer endpoint "$OURS:51821"
	wait_for 10 "a new connection" new_connection
}

# One that does not has to wait for us to notice: 15 s, as above.
case_peer_restarts_ingress() {
	mode=ingress
	tunnel_up
	new_connection
	stop wireguard-go
	stop target
	start_peer
	target_up
	wait_for 30 "a new connection" new_connection
}

# As a supervisor does, until it stays up: the kernel takes a killed process's io_uring, and with it
# the UDP port, apart a moment after the process is gone.
restarted() { # [VARIABLE=VALUE...]
	proxy proxy at_proxy "${env_of[@]}" "$@"
	within 2 answers 200 at_proxy 9000 /health && return
	reap proxy 0
	return 1
}

we_restart() {
	tunnel_up WG_LISTEN_PORT=51821
	new_connection
	kill -KILL "$(process_of proxy)"
	reap proxy 5
	wait_for 10 "a restart" restarted WG_LISTEN_PORT=51821
	wait_for 10 "a new connection" new_connection
}

case_we_restart_egress() { we_restart; }

case_we_restart_ingress() {
	mode=ingress
	we_restart
}

# --- roaming ------------------------------------------------------------------------------------

move_address() { # NAMESPACE FROM TO
	ip -n "$1" addr del "$2/24" dev veth0
	ip -n "$1" addr add "$3/24" dev veth0
}

case_our_address_changes() {
	tunnel_up
	start_transfer 6
	move_address "$proxy_ns" "$OURS" 192.0.2.12
	finish_traffic transfer 60
	wg show "$wg" endpoints | grep -qF 192.0.2.12 || die "the peer does not see our new address"
}

# We follow it: WG_ENDPOINT says where it once was.
case_peer_address_changes() {
	tunnel_up
	start_transfer 6
	move_address "$peer_ns" "$OUTER" 192.0.2.11
	finish_traffic transfer 60
	new_connection
}

# --- the path -----------------------------------------------------------------------------------

# A link that cannot carry what WG_MTU promises, and tells nobody. Trains are cut before they get there,
# so that each packet is judged for itself.
path_carries() { # BYTES
	ip -n "$proxy_ns" link set veth0 gso_max_segs 1
	"${at_peer[@]}" iptables -A INPUT -p udp -m length --length "$(($1 + 1)):65535" -j DROP ||
		skip "no iptables here"
}

path_mtu() {
	[[ $(http at_proxy 9000 /metrics) == 200 ]] &&
		awk '$1 == "wg_tinyproxy_path_mtu_bytes" {print $2}' "$CASE/body"
}

# 1420 bytes are 1480 outside.
narrow_path() { # EXPECTED-MTU BYTES-OUTSIDE
	net_up
	target_up
	path_carries "$2"
	[[ $(path_mtu) == 1420 ]] || die "an MTU of $(path_mtu) at the start"
	traffic bulk "${dial[@]}" down=$((4 * 1024 * 1024)) timeout_ms=20000
	[[ $(path_mtu) == "$1" ]] || die "an MTU of $(path_mtu) after a path of $2"
	logged proxy "bytes are lost on the way, those of $1 arrive: WG_MTU is too large" ||
		die "the log says nothing"
	traffic bulk "${dial[@]}" conns=10 down=100000 timeout_ms=1000
}

case_mtu_too_large_egress() { narrow_path 1280 1400; }

case_mtu_far_too_large_egress() { narrow_path 1024 1200; }

case_mtu_too_large_ingress() {
	mode=ingress
	net_up
	target_up
	path_carries 1400
	traffic bulk "${dial[@]}" up=$((4 * 1024 * 1024)) timeout_ms=20000
	[[ $(path_mtu) == 1280 ]] || die "an MTU of $(path_mtu)"
}

# --- the end ------------------------------------------------------------------------------------

drain() {
	kill "${pid_of[proxy]}"
	wait_for 3 "the drain to begin" answers 503 at_proxy 9000 /health
}

case_sigterm_egress() {
	tunnel_up DRAIN_TIMEOUT=20s
	start_transfer 4 conns=5 report=0
	drain
	traffic refused "${dial[@]}" report=0 timeout_ms=3000
	runs transfer || die "the transfer ended too early to prove anything"
	finish_traffic transfer 20
	expect_status proxy 5 0
}

case_sigterm_ingress() {
	mode=ingress
	tunnel_up DRAIN_TIMEOUT=15s
	start_transfer 4 conns=5 report=0
	drain
	traffic ping "${dial[@]}" up=64 down=64
	runs transfer || die "the transfer ended too early to prove anything"
	finish_traffic transfer 15
	expect_status proxy 17 0
}

case_sigterm_idle() {
	tunnel_up
	kill "${pid_of[proxy]}"
	expect_status proxy 5 0
}

# At once, but in order: death by a signal would not wipe the keys.
case_second_sigterm() {
	tunnel_up
	start_transfer 20 report=0 expect_reset=1
	drain
	kill "${pid_of[proxy]}"
	reap proxy 5
	[[ $exit_status != killed ]] || die "still there after the second signal"
	((exit_status < 128)) || die "ended with $exit_status"
}

# The drain lasts until it has been seen, on a busy machine, too.
stragglers() {
	tunnel_up DRAIN_TIMEOUT=4s
	start_transfer 30 report=0 expect_reset=1
	drain
	finish_traffic transfer 10
	expect_status proxy 5 0
}

case_stragglers_egress() { stragglers; }

case_stragglers_ingress() {
	mode=ingress
	stragglers
}

need_namespaces
run_cases_together "$@"
