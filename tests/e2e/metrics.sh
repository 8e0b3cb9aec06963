#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# /metrics: that its counts are those of what has happened, and that Prometheus' own linter takes it.
# shellcheck disable=SC2154 # set by the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

scrape() { # SIDE: into $CASE/body
	local -n health_port=health_$1
	[[ $(http here "$health_port" /metrics) == 200 ]] || die "$1 has no metrics"
}

# The value of a sample as it is written; empty without one.
metric() { # SIDE SAMPLE
	scrape "$1"
	awk -v sample="$2" '$1 == sample {print $2}' "$CASE/body"
}

expect_metric() { # SIDE SAMPLE VALUE
	local value
	value=$(metric "$1" "$2")
	[[ $value == "$3" ]] || die "$1 $2: \"$value\", expected \"$3\""
}

at_least() { # SIDE SAMPLE VALUE
	local value
	value=$(metric "$1" "$2")
	awk "BEGIN {exit !(0$value >= $3)}" || die "$1 $2: \"$value\", expected $3 or more"
}

session_up() {
	wait_for 10 "a session" answers 200 here "$health_egress" /readyz
	wait_for 10 "a session" answers 200 here "$health_ingress" /readyz
}

# wireguard_* samples of a side have the same labels.
peer_sample() { # SIDE NAME
	scrape "$1"
	awk -v name="$2" 'index($1, name "{") == 1 {print $1}' "$CASE/body"
}

no_connections() {
	[[ $(metric egress wg_tinyproxy_connections_open) == 0 ]] &&
		[[ $(metric ingress wg_tinyproxy_connections_open) == 0 ]]
}

two_are_open() { [[ $(metric ingress wg_tinyproxy_connections_open) == 2 ]]; }

drops_are() { # NUMBER
	[[ $(metric egress 'wg_tinyproxy_packets_dropped_total{layer="wireguard",reason="type"}') == "$1" ]]
}

unanswered() { [[ $(metric egress 'wg_tinyproxy_handshakes_total{result="unanswered"}') == [1-9]* ]]; }

case_promtool_lints() {
	local side
	command -v promtool >/dev/null || skip "no promtool (Debian package prometheus)"
	pair_up
	serve target traffic serve "${target[@]}"
	traffic ping "${dial[@]}" conns=3 up=6400 down=6400
	for side in egress ingress; do
		scrape "$side"
		promtool check metrics <"$CASE/body" >"$CASE/promtool.log" 2>&1 ||
			die "$side: $(head -n 3 "$CASE/promtool.log")"
		[[ ! -s $CASE/promtool.log ]] || die "$side: $(head -n 3 "$CASE/promtool.log")"
	done
}

case_labels_of_the_peer() {
	local labels
	pair_up
	labels="interface=\"wg-tinyproxy\",public_key=\"${public_of[ingress]}\",allowed_ips=\"$inner_ingress/32\""
	session_up
	at_least egress "wireguard_sent_bytes_total{$labels}" 100
	at_least egress "wireguard_received_bytes_total{$labels}" 100
	at_least egress "wireguard_latest_handshake_seconds{$labels}" "$((EPOCHSECONDS - 60))"
}

case_build_info() {
	local asked runs version
	version=$(wg-tinyproxy --version)
	pair_prepare
	for asked in epoll auto; do
		start_egress IO_BACKEND="$asked" AEAD_ENGINE=libsodium
		wait_for 5 "the log" grep -q 'event loop: ' "$CASE/egress.log" # of a container's, later
		runs=$(sed -n 's/.*event loop: //p' "$CASE/egress.log")
		[[ $asked == auto || $runs == "$asked" ]] || die "asked for $asked, runs on $runs"
		expect_metric egress "wg_tinyproxy_build_info{version=\"${version#* }\",mode=\"egress\",io_backend=\"$runs\",aead_engine=\"libsodium\"}" 1
		stop egress
	done
}

# Every byte and every connection, on both sides, and the WireGuard bytes that carried them.
case_traffic_is_counted() {
	local bytes=300000 side
	pair_up
	serve target traffic serve "${target[@]}"
	traffic bulk "${dial[@]}" conns=3 up=$bytes down=$bytes report=0
	for side in egress ingress; do
		expect_metric "$side" wg_tinyproxy_connections_total 3
		expect_metric "$side" wg_tinyproxy_connect_seconds_count 3
		expect_metric "$side" 'wg_tinyproxy_connect_seconds_bucket{le="10"}' 3
		at_least "$side" 'wg_tinyproxy_bytes_total{direction="to_host"}' $((3 * bytes))
		at_least "$side" 'wg_tinyproxy_bytes_total{direction="to_tunnel"}' $((3 * bytes))
		at_least "$side" "$(peer_sample "$side" wireguard_sent_bytes_total)" $((3 * bytes))
		at_least "$side" 'wg_tinyproxy_handshakes_total{result="completed"}' 1
		at_least "$side" wg_tinyproxy_loop_turn_seconds_count 10
		at_least "$side" wg_tinyproxy_buffer_memory_high_water_bytes 10000
		expect_metric "$side" wg_tinyproxy_ready 1
		expect_metric "$side" wg_tinyproxy_session 1
	done
	wait_for 5 "the connections to end" no_connections
}

case_refusals_are_counted() {
	pair_prepare
	start_egress
	start_ingress MAX_CONNECTIONS=2
	session_up
	traffic refused "${dial[@]}" conns=1 report=0 timeout_ms=5000
	expect_metric egress 'wg_tinyproxy_connections_refused_total{reason="target"}' 1
	serve target traffic serve "${target[@]}"
	start_traffic held bulk "${dial[@]}" conns=2 up=2000000 down=2000000 rate=500000 report=0
	wait_for 5 "two connections" two_are_open
	traffic refused "${dial[@]}" conns=3 report=0 timeout_ms=5000
	expect_metric ingress 'wg_tinyproxy_connections_refused_total{reason="limit"}' 3
	expect_metric ingress wg_tinyproxy_connections_limit 2
	finish_traffic held 20
}

# A stranger's datagrams, and a server that is not there.
case_trouble_is_counted() {
	local udp
	pair_prepare
	udp=$(free_port)
	start_egress WG_LISTEN_PORT="$udp"
	for _ in {1..5}; do printf 'rubbish' >"/dev/udp/127.0.0.1/$udp"; done
	wait_for 5 "five drops" drops_are 5
	expect_metric egress wg_tinyproxy_ready 0
	expect_metric egress wg_tinyproxy_session 0
	wait_for 10 "an unanswered handshake" unanswered
	expect_metric egress "$(peer_sample egress wireguard_latest_handshake_seconds)" 0
}

run_cases "$@"
