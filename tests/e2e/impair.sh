#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Two of our instances with bench/impair between them: that the relay does what it is told, and that
# every byte arrives whatever it does. The path's arithmetic has unit tests (tests/unit/path.c).
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

MIB=$((1024 * 1024))

# The ingress is the client: it dials. Only it needs to know an endpoint.
impaired_pair() { # SETTING...
	local port
	[[ -x $BUILD/bench/impair ]] || skip "$BUILD/bench/impair is not built"
	pair_prepare
	start impair "$BUILD/bench/impair" 127.0.0.1 0 127.0.0.1 "$udp_egress" "$@"
	wait_for 5 "the relay" logged impair '^ready '
	port=$(sed -n 's/^ready //p' "$CASE/impair.log")
	start_egress WG_ENDPOINT=127.0.0.1:9 # nobody: it learns the way by which it is called
	start_ingress WG_ENDPOINT="127.0.0.1:$port"
	serve target traffic serve "${target[@]}"
}

# What it counted, packets for the most part, each way.
declare -A up down
end_impair() {
	local -n counts=up
	local word
	kill "${pid_of[impair]}"
	expect_status impair 5 0
	said=$(tail -n 1 "$CASE/impair.log")
	for word in $(tr '{},' '   ' <<<"$said"); do
		case $word in
		'"down":') local -n counts=down ;;
		*:) ;;
		*) counts[$(cut -d '"' -f 2 <<<"$word")]=${word#*:} ;;
		esac
	done
}

expect_none() { # COUNT...
	local name
	for name in "$@"; do
		[[ ${up[$name]}${down[$name]} == 00 ]] || die "$name: $said"
	done
}

expect_some() { # COUNT...
	local name
	for name in "$@"; do
		[[ ${up[$name]} != 0 && ${down[$name]} != 0 ]] || die "no $name: $said"
	done
}

# Trains stay trains: a system call and a message for many packets.
case_plain() {
	impaired_pair
	traffic bulk "${dial[@]}" up=$((64 * MIB)) down=$((64 * MIB))
	end_impair
	expect_none too_long queue_full lost burst_lost duplicated reordered no_room unsent
	((up[sent] == up[entered])) || die "entered, but not sent: $said"
	((up[sends] * 8 < up[sent])) || die "$said"
}

# A thousand times there and back, 64 bytes at a time.
case_delay() {
	impaired_pair delay=1ms
	traffic ping "${dial[@]}" up=32000 down=32000 at_least_ms=1000 timeout_ms=5000
}

# 4 MiB at 40 Mbit/s; a megabyte is on its way before the first drop.
case_rate() {
	impaired_pair rate=40mbit queue=50ms
	traffic client-fin-first "${dial[@]}" up=$((4 * MIB)) down=1 at_least_ms=800 timeout_ms=8000
	end_impair
	((up[queue_full] > 0)) || die "the queue was never full: $said"
	((up[queued_us_max] > 30000 && up[queued_us_max] <= 50000)) || die "$said"
}

case_bad_path() {
	impaired_pair delay=2ms jitter=1ms rate=200mbit queue=10ms loss=0.5% burst=0.05% \
		burst_end=25% reorder=1% reorder_by=1ms duplicate=0.5% seed=2
	traffic bulk "${dial[@]}" up=$((8 * MIB)) down=$((8 * MIB)) timeout_ms=60000
	traffic bulk "${dial[@]}" conns=50 up=100000 down=100000 random=1 timeout_ms=60000
	end_impair
	expect_some lost burst_lost reordered duplicated
	expect_none no_room unsent too_long
}

# Only one way is cut: 1300 bytes of payload are longer than what passes, acknowledgements are not.
case_mtu_of_one_way() {
	impaired_pair down.mtu=1300
	traffic bulk "${dial[@]}" up=$MIB
	! "$WORK/bin/traffic" bulk "${dial[@]}" down=$MIB timeout_ms=1500 || die "longer packets passed"
	end_impair
	((up[too_long] == 0 && down[too_long] > 0)) || die "$said"
}

case_settings() {
	local word
	[[ -x $BUILD/bench/impair ]] || skip "$BUILD/bench/impair is not built"
	"$BUILD/bench/impair" --help | grep -q '^  reorder_by ' || die "no help"
	for word in loss=1 loss=101% loss=-1% delay=5 delay=ms rate=5 colour=red up.seed=5 queue=5ms loss; do
		! timeout 2 "$BUILD/bench/impair" 127.0.0.1 0 127.0.0.1 9 "$word" 2>/dev/null ||
			die "$word is taken"
	done
}

run_cases_together "$@"
