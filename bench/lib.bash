# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the files beside it
# What the loads of bench/run share: what is written down, CPU time and memory of the ends.
#
# $ends names what is measured in a role, for example "ingress egress". An end is one process of
# that name, or those in members[END].

TICK_S=0.05
SETTLE_S=3

ends=()
declare -A members

# --- what is written down -----------------------------------------------------------------------

# Writes the figures as a line of JSON, which bench/samples.awk reads.
record() {
	local pair line
	printf -v line '{"round":%d,"role":"%s","program":"%s","load":"%s","conns":%d' \
		"$round" "$role" "$program" "$load" "$conns"
	for pair in "${figures[@]}"; do line+=",\"${pair%%=*}\":${pair#*=}"; done
	echo "$line}" >>"$RESULTS"
}

quotient() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f", a / (b > 0 ? b : 1) }'; }

# figures: what the load has found so far, NAME=NUMBER in the order in which it is to be shown.
figures=()
note() { figures+=("$1=$2"); } # NAME NUMBER

note_ends() { # NAME FUNCTION [ARGUMENT...]: of each end, what FUNCTION END ARGUMENT... prints
	local end value
	for end in "${ends[@]}"; do
		value=$("$2" "$end" "${@:3}")
		note "$1_$end" "$value"
	done
}

# --- processes ----------------------------------------------------------------------------------

pids_of_end() { # END
	local name
	for name in ${members[$1]:-$1}; do echo "${pid_of[$name]}"; done
}

# Nanoseconds of user and system time, of all its threads.
cpu_ns() { # END
	local pids
	mapfile -t pids < <(pids_of_end "$1")
	"$WORK/bin/load" cpu "${pids[@]}" | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# The sum over the end's processes.
memory_kib() { # END VmRSS|VmHWM
	local pid
	for pid in $(pids_of_end "$1"); do grep "^$2:" "/proc/$pid/status"; done |
		awk '{ sum += $2 } END { print sum + 0 }'
}

within_start() { # FACTOR: is every end's memory within so much of what it was at first?
	local end
	for end in "${ends[@]}"; do
		(($(memory_kib "$end" VmRSS) <= start_kib[$end] * $1)) || return 1
	done
}

# Resident memory some seconds after a load, or as soon as it is what it was before.
declare -A start_kib
settle() {
	local end_us=$((${EPOCHREALTIME//[.,]/} + SETTLE_S * 1000000))
	until within_start 1 || ((${EPOCHREALTIME//[.,]/} >= end_us)); do sleep "$TICK_S"; done
}

note_start() {
	local end
	for end in "${ends[@]}"; do start_kib[$end]=$(memory_kib "$end" VmRSS); done
}

# --- one load -----------------------------------------------------------------------------------

# Runs the generator. Sets took[] to what it said (names as in bench/load/client.c), and spent_ns[]
# by end, with "generator" for both of its processes. The time that counts is the client's, from its
# first connection to its last answer; CPU time goes on until the server has seen the end of every
# connection.
declare -A took spent_ns
generate() { # NAME=NUMBER...
	local end word line
	for end in "${ends[@]}" server; do spent_ns[$end]=$(cpu_ns "$end"); done
	line=$("${client[@]}" "$WORK/bin/load" run "${dial[@]}" timeout_ms="$(load_limit_ms)" "$@") ||
		die "${line:-the generator ended with $?}"
	for end in "${ends[@]}" server; do spent_ns[$end]=$(($(cpu_ns "$end") - spent_ns[$end])); done
	for word in $line; do took[${word%%=*}]=${word#*=}; done
	spent_ns[generator]=$((spent_ns[server] + took[cpu_ns]))
}

spent_per() { # END DIVISOR: nanoseconds / divisor
	quotient "${spent_ns[$1]}" "$2"
}

note_latencies() {
	local name
	for name in p50 p99 p999; do
		note "latency_us_$name" "$(quotient "${took[${name}_ns]}" 1000)"
	done
}
