#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Linux as the other end of a connection in the tunnel, with each of its TCP options on and off, in
# both modes and directions, over a good path and a bad one. Every byte is compared.
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/net.bash

KIB=1024
BAD_PATH=(delay=3ms jitter=1ms rate=200mbit queue=20ms loss=0.5% burst=0.02% burst_end=30% reorder=1%
	reorder_by=2ms duplicate=0.3%)

# Ours with a relay in between, where settings for one are given.
options_up() { # MODE [SETTING...]
	mode=$1
	net_prepare
	(($# == 1)) || start_impair "${@:2}"
	start_proxy
	wait_for 20 "the first handshake" has_session
	serve target traffic serve "${target[@]}"
}

peer_tcp() { # NAME=VALUE...: settings of its namespace, for new connections
	"${at_peer[@]}" sysctl -qw "${@/#/net.ipv4.tcp_}" || die "sysctl: $*"
}

# Both ends of the tunnel's connections open them: the peer in egress, ours in ingress.
transfers() { # BYTES
	traffic bulk "${dial[@]}" up="$1" timeout_ms=30000
	traffic bulk "${dial[@]}" down="$1" timeout_ms=30000
	traffic bulk "${dial[@]}" conns=4 up=$(($1 / 4)) down=$(($1 / 4)) random=1 timeout_ms=30000
	traffic ping "${dial[@]}" up=640 down=640
}

each_combination() { # BYTES
	local sack stamps scaling ecn now
	for sack in 1 0; do
		for stamps in 1 0; do
			for scaling in 1 0; do
				for ecn in 0 1; do
					now="sack=$sack timestamps=$stamps"
					now+=" window_scaling=$scaling ecn=$ecn"
					echo "--- $now"
					read -ra now <<<"$now"
					peer_tcp "${now[@]}"
					transfers "$1"
				done
			done
		done
	done
}

case_egress() {
	options_up egress
	each_combination $((4096 * KIB))
}

case_ingress() {
	options_up ingress
	each_combination $((4096 * KIB))
}

case_egress_on_a_bad_path() {
	options_up egress seed=3 "${BAD_PATH[@]}"
	each_combination $((400 * KIB))
}

case_ingress_on_a_bad_path() {
	options_up ingress seed=4 "${BAD_PATH[@]}"
	each_combination $((400 * KIB))
}

# Receivers that say less of what they have got or take little of it, senders that make less of it.
case_other_settings() {
	local setting
	options_up ingress seed=5 "${BAD_PATH[@]}"
	for setting in dsack=0 recovery=0 early_retrans=0 reordering=1 adv_win_scale=-2 \
		"rmem=4096 8192 16384" "wmem=4096 8192 16384" mtu_probing=2; do
		echo "--- $setting"
		peer_tcp "$setting"
		transfers $((200 * KIB))
	done
}

# --- else all of the above might have tested the same thing sixteen times ------------------------

window_scaling_is() { # on|off
	local scaled=off connection
	start_traffic probe bulk "${dial[@]}" up=1000 down=100000 rate=40000
	within 5 connected || die "no connection"
	! grep -q wscale <<<"$connection" || scaled=on
	stop probe
	within 5 not connected || die "the connection stays"
	[[ $scaled == "$1" ]] || die "window scaling is $scaled: $connection"
}

connected() {
	connection=$("${at_peer[@]}" ss -Htin "( sport = :7000 or dport = :8000 )" | grep bytes_received:)
}

not() { ! "$@"; }

# Of the peer's kernel: how often it has recovered from loss in that way.
recoveries() { # Sack|Reno
	"${at_peer[@]}" awk -v name="TCP$1Recovery" '$1 == "TcpExt:" {
		if (++lines == 1)
			split($0, names)
		else
			for (i in names) if (names[i] == name) print $i
	}' /proc/net/netstat
}

lose_some() {
	local direction=up
	[[ $mode == egress ]] || direction=down
	traffic bulk "${dial[@]}" "$direction=$((4096 * KIB))" timeout_ms=30000
}

options_are_negotiated() {
	local sack reno
	options_up "$1" seed=6 "${BAD_PATH[@]}"
	window_scaling_is on
	lose_some
	(($(recoveries Sack) > 0)) || die "no recovery by SACK"
	sack=$(recoveries Sack) reno=$(recoveries Reno)
	peer_tcp sack=0 window_scaling=0
	window_scaling_is off
	lose_some
	(($(recoveries Reno) > reno && $(recoveries Sack) == sack)) || die "SACK is not off"
}

case_egress_negotiates() { options_are_negotiated egress; }
case_ingress_negotiates() { options_are_negotiated ingress; }

need_namespaces
run_cases_together "$@"
