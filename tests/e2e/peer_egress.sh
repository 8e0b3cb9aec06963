#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Egress with a real peer: clients in the peer's namespace, targets beside us.
# shellcheck disable=SC2034 # used by peer.bash
mode=egress
ipv6_target=()

# What a TCP health check sees: exit status 0, or why there was no connection.
connects() { "${client[@]}" bash -c "exec 3<>/dev/tcp/${dial[0]}/${dial[1]}" 2>&1; }

is_refused() {
	local said
	said=$(connects) && die "connected"
	[[ $said == *"Connection refused"* ]] || die "not refused: $said"
}

# Peers learn what the target has said before they are connected, and not from a reset afterwards.
case_refused_is_refused() {
	net_up
	is_refused
	target_up
	connects
	stop target
	is_refused
}

case_unreachable_is_refused() {
	net_up TARGET_HOST=192.0.2.77 CONNECT_TIMEOUT=1s
	is_refused
}

case_connected_when_the_target_has_accepted() {
	local begun_us
	net_up CONNECT_TIMEOUT=2s
	serve target traffic silent "${target[@]}"
	begun_us=${EPOCHREALTIME//[.,]/}
	is_refused
	((${EPOCHREALTIME//[.,]/} - begun_us > 1500000)) || die "too early"
}

# The reset may overtake the news of the connection.
case_early_is_connected_at_once() {
	local said
	net_up EGRESS_ACCEPT=early
	said=$(connects) || [[ $said == *"reset by peer"* ]] || die "$said"
}

# Both ends hear of it, at about its time.
case_idle_timeout() {
	local begun_us took_ms
	net_up IDLE_TIMEOUT=1s
	target_up
	begun_us=${EPOCHREALTIME//[.,]/}
	"${client[@]}" bash -c "exec 3<>/dev/tcp/${dial[0]}/${dial[1]}; read -t 10 -u 3" 2>"$CASE/said" &&
		die "bytes from nowhere"
	took_ms=$(((${EPOCHREALTIME//[.,]/} - begun_us) / 1000))
	grep -q "reset by peer" "$CASE/said" || die "no reset after $took_ms ms: $(cat "$CASE/said")"
	((took_ms > 900 && took_ms < 5000)) || die "after $took_ms ms"
	grep -qx 'wg_tinyproxy_connections_timed_out_total{reason="idle"} 1' \
		<("${at_proxy[@]}" curl -s http://127.0.0.1:9000/metrics) || die "not counted"
}

source tests/e2e/peer.bash
