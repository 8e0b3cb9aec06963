# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the files beside it
# The loads of bench/run: each is a case (tests/e2e/lib.bash) that brings up its role, runs the
# generator and records figures. $role, $program, $load and $conns are set by bench/run.

UNIT=$((256 * 1024)) # bytes of one exchange of a bulk load
BODY=128	     # bytes of a small answer's body
LANES=8		     # connections that come and go at a time
OPENING=64	     # idle connections that are opened at a time

# Of at most 16 MiB under way in all, but 1 MiB on each connection.
bulk_depth() {
	local depth=$((64 / conns))
	echo $((depth > 16 ? 16 : depth < 4 ? 4 : depth))
}

bulk() { # up|down
	local bytes
	tunnel_up
	note_start
	generate conns="$conns" "$1=$UNIT" depth="$(bulk_depth)" ms="$load_ms" \
		exchanges=$((bulk_bytes / UNIT))
	bytes=${took[$1]}
	note gbit_per_s "$(quotient $((bytes * 8)) "${took[ns]}")"
	note_ends cpu_s_per_gb spent_per "$bytes"
	note cpu_s_per_gb_generator "$(spent_per generator "$bytes")"
	note_memory
	record
}

# Resident memory at its highest; and, after many connections where two of the same face each other,
# some seconds later.
note_memory() {
	[[ $program != limit ]] || return 0
	note_ends rss_peak_kib memory_kib VmHWM
	[[ $role == pair && $load$conns =~ 64$|^connect ]] || return 0
	settle
	note_ends rss_after_kib memory_kib VmRSS
}

case_bulk_up() { bulk up; }
case_bulk_down() { bulk down; }

# GET on connections that stay open, one request under way on each.
case_http() {
	tunnel_up
	generate conns="$conns" down="$BODY" ms="$load_ms" exchanges="$requests"
	note requests_per_s "$(quotient "${took[exchanges]}e9" "${took[ns]}")"
	note_latencies
	note_ends cpu_us_per_request spent_per "${took[exchanges]}e3"
	note cpu_us_per_request_generator "$(spent_per generator "${took[exchanges]}e3")"
	record
}

# A connection for each request. Ours have to carry all of them, however long that takes.
case_connect() {
	local limit=()
	is_ours || limit=(ms="$load_ms")
	tunnel_up
	note_start
	generate conns="$conns" per_conn=1 down="$BODY" exchanges="$connections" "${limit[@]}"
	note connections_per_s "$(quotient "${took[exchanges]}e9" "${took[ns]}")"
	note_latencies
	note_ends cpu_us_per_connection spent_per "${took[exchanges]}e3"
	note cpu_us_per_connection_generator "$(spent_per generator "${took[exchanges]}e3")"
	note_memory
	record
}

growth_per_conn() { # END
	quotient $((($(memory_kib "$1" VmRSS) - start_kib[$1]) * 1024)) "$conns"
}

# Every connection carries a request, waits while the others are opened, and carries another one.
case_idle() {
	local needed=$((conns + 100))
	(($(ulimit -n) >= needed)) || skip "ulimit -n is $(ulimit -n), $needed are needed"
	tunnel_up MAX_CONNECTIONS="$needed"
	note_start
	start clients "${client[@]}" "$WORK/bin/load" run "${dial[@]}" conns="$conns" hold=1 \
		per_conn=1 down="$BODY" together="$OPENING" timeout_ms="$(load_limit_ms)"
	within "$(($(load_limit_ms) / 1000 + 1))" stopped_or_idle
	runs clients || die "$(tail -n 1 "$CASE/clients.log")"
	note_ends rss_bytes_per_conn growth_per_conn
	kill -USR1 "${pid_of[clients]}"
	finish_traffic clients "$(($(load_limit_ms) / 1000 + 1))"
	record
}

stopped_or_idle() { has_ended clients || logged clients '^idle$'; }

# From the start of the ingress, while the far end runs, to the first byte of the first answer. The
# client is there before and tries again at once.
case_start() {
	local started_us
	tunnel_prepare
	start first "${client[@]}" "$WORK/bin/load" first "${dial[@]}" 10000
	started_us=${EPOCHREALTIME//[.,]/}
	tunnel_start
	finish_traffic first 11
	note first_byte_ms "$(quotient $(($(cat "$CASE/first.log") - started_us)) 1000)"
	note_ends rss_start_kib memory_kib VmRSS
	record
}
