# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # variables are shared with the script
# The cases that every kind of tunnel has to pass, whatever runs at its ends. A script that sources
# this defines
#
#	tunnel [VARIABLE=VALUE...]	a tunnel with IPv4 inside
#	tunnel6 [VARIABLE=VALUE...]	the same with IPv6 inside
#
# which set the arrays client, server (command prefixes), target and dial (host and port), and
# proxies (the names of our processes). Sizes: $BULK_BYTES each way for the long haul.

MIB=$((1024 * 1024))
MEMORY_LIMIT_MIB=64
PROGRAM_MIB=48 # what the program may take beside its buffers

target_up() { serve target traffic serve "${target[@]}"; }

case_bulk() {
	tunnel
	target_up
	traffic bulk "${dial[@]}" up="$BULK_BYTES" down="$BULK_BYTES" timeout_ms=200000
}

case_bulk_one_way_at_a_time() {
	tunnel
	target_up
	traffic bulk "${dial[@]}" up=$((BULK_BYTES / 8)) timeout_ms=100000
	traffic bulk "${dial[@]}" down=$((BULK_BYTES / 8)) timeout_ms=100000
}

case_200_connections() {
	tunnel
	target_up
	traffic bulk "${dial[@]}" conns=200 up=500000 down=500000 random=1
}

case_ping_pong() {
	tunnel
	target_up
	traffic ping "${dial[@]}" up=64000 down=64000
	traffic ping "${dial[@]}" conns=50 up=6400 down=6400
}

# A few bytes may be in the same segment as the FIN; megabytes are behind it for long.
case_half_close() {
	local shape bytes
	tunnel
	target_up
	for shape in client-fin-first server-fin-first; do
		for bytes in 10 $((8 * MIB)); do
			traffic "$shape" "${dial[@]}" conns=4 up="$bytes" down="$bytes"
		done
	done
}

# Nothing sent at all, in either or both directions, is a stream too.
case_empty_streams() {
	tunnel
	target_up
	traffic bulk "${dial[@]}" conns=10
	traffic client-fin-first "${dial[@]}" conns=10 down=100000
	traffic server-fin-first "${dial[@]}" conns=10 up=100000
}

case_reset() {
	local shape
	tunnel
	target_up
	for shape in client-reset server-reset; do
		traffic "$shape" "${dial[@]}" conns=10 up=100 down=100
		traffic "$shape" "${dial[@]}" up=$MIB down=$MIB
	done
}

case_refused_target() {
	tunnel
	traffic refused "${dial[@]}" conns=10 report=0 timeout_ms=5000
}

case_silent_target() {
	tunnel CONNECT_TIMEOUT=1s
	serve target traffic silent "${target[@]}"
	traffic refused "${dial[@]}" conns=3 report=0 at_least_ms=700 timeout_ms=5000
}

# What one end does not take, the other may not send: but for what the kernels and windows on the
# way hold, that is.
case_back_pressure() {
	tunnel
	target_up
	traffic bulk "${dial[@]}" up=$((128 * MIB)) server_pause_ms=2000 stalled_max=$((48 * MIB))
}

memory_is_bounded() {
	local name kib
	for name in "${proxies[@]}"; do
		kib=$(peak_kib "$name")
		echo "$name: $kib KiB at most"
		((kib < (MEMORY_LIMIT_MIB + PROGRAM_MIB) * 1024)) || die "$name took $kib KiB"
	done
}

# Many times the memory limit on its way to readers that sleep, then wake and want all of it.
case_slow_readers() {
	tunnel MEMORY_LIMIT=${MEMORY_LIMIT_MIB}M
	target_up
	traffic bulk "${dial[@]}" conns=32 up=$((8 * MIB)) server_pause_ms=2000
	traffic bulk "${dial[@]}" conns=32 down=$((8 * MIB)) pause_ms=2000
	memory_is_bounded
}

# Slow readers may not stop the quick ones.
case_slow_and_quick() {
	tunnel
	target_up
	start_traffic slow bulk "${dial[@]}" conns=16 up=$((4 * MIB)) down=$((4 * MIB)) \
		pause_ms=4000 server_pause_ms=4000
	traffic bulk "${dial[@]}" conns=4 up=$MIB down=$MIB timeout_ms=10000
	runs slow || die "the slow connections were over too early to prove anything"
	finish_traffic slow 60
}

case_ipv6_inside() {
	tunnel6
	target_up
	traffic bulk "${dial[@]}" up=$((BULK_BYTES / 16)) down=$((BULK_BYTES / 16))
	traffic bulk "${dial[@]}" conns=100 up=100000 down=100000 random=1
	traffic client-fin-first "${dial[@]}" up=$MIB down=$MIB
	traffic server-reset "${dial[@]}" up=100 down=$MIB
}
