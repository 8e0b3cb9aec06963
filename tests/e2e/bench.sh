#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The benchmark's own parts: that its generator sees what goes wrong, that a run comes to its end with
# a table and plots, and what bench/compare calls a change.
# shellcheck disable=SC2154,SC2034 # set by, and for, the file that it sources
source tests/e2e/lib.bash

load=$BUILD/bench/load
at=(127.0.0.1)

server_up() {
	[[ -x $load ]] || skip "$load is not built"
	start server "$load" serve 127.0.0.1 0
	wait_for 5 "the server" logged server '^ready '
	at=(127.0.0.1 "$(sed -n 's/^ready //p' "$CASE/server.log")")
}

fails_with() { # TEXT NAME=NUMBER...
	! "$load" run "${at[@]}" "${@:2}" >"$CASE/said" || die "passed, but should have failed: $1"
	grep -qF -- "$1" "$CASE/said" || die "said: $(cat "$CASE/said")"
}

# --- the generator ------------------------------------------------------------------------------

case_generator() {
	server_up
	"$load" run "${at[@]}" conns=4 up=262144 depth=16 exchanges=64 | grep -q ' up=16777216 ' ||
		die "up"
	"$load" run "${at[@]}" conns=4 down=262144 depth=16 exchanges=64 |
		grep -q ' down=16777216 ' || die "down"
	"$load" run "${at[@]}" conns=8 per_conn=1 down=128 exchanges=500 |
		grep -q '^exchanges=500 ' || die "a connection each"
	"$load" run "${at[@]}" conns=3 down=128 ms=100 >"$CASE/said" || die "for 100 ms"
}

case_generator_holds() {
	server_up
	start clients "$load" run "${at[@]}" conns=100 together=8 hold=1 per_conn=1 down=128
	wait_for 5 "idle connections" logged clients '^idle$'
	kill -USR1 "${pid_of[clients]}"
	finish_traffic clients 5
	logged clients '^exchanges=200 ' || die "$(cat "$CASE/clients.log")"
}

# The server ends such a connection, and tells the next client of it.
case_wrong_body() {
	local line
	server_up
	exec 3<>"/dev/tcp/${at[0]}/${at[1]}"
	printf 'PUT /5 HTTP/1.1\r\nContent-Length: 4\r\n\r\nxxxx' >&3
	! read -r -t 5 line <&3 || die "answered: $line"
	exec 3>&-
	fails_with '1 ended badly' down=1 exchanges=1
}

case_cut_in_a_request() {
	server_up
	exec 3<>"/dev/tcp/${at[0]}/${at[1]}"
	printf 'GET /5/1' >&3
	exec 3>&-
	fails_with '1 ended badly' down=1 exchanges=1
}

case_wrong_answer() {
	[[ -x $load ]] || skip "$load is not built"
	start server webpage 127.0.0.1 0
	wait_for 5 "the server" logged server '^ready '
	at=(127.0.0.1 "$(sed -n 's/^ready //p' "$CASE/server.log")")
	fails_with 'a wrong byte' down=1 exchanges=1
}

# --- what is made of it -------------------------------------------------------------------------

# A result file with one figure in each of these rounds.
results() { # FILE FIGURE NUMBER...
	local number
	echo '{"date":"d","commit":"c","cpu":"p"}' >"$1"
	for number in "${@:3}"; do
		echo '{"round":1,"role":"pair","program":"this","load":"http","conns":1,"'"$2"'":'"$number}"
	done >>"$1"
}

expect_verdict() { # VERDICT FIGURE "NUMBER..." "NUMBER..."
	local a b
	read -ra a <<<"$3"
	read -ra b <<<"$4"
	results "$CASE/a.json" "$2" "${a[@]}"
	results "$CASE/b.json" "$2" "${b[@]}"
	bench/compare "$CASE/a.json" "$CASE/b.json" >"$CASE/said"
	grep -qE "^pair .* %  $1\$" "$CASE/said" || die "$3 -> $4: $(cat "$CASE/said")"
}

case_compare() {
	expect_verdict BETTER cpu_us "10 11 12" "7 8 9"
	expect_verdict WORSE requests_per_s "10 11 12" "7 8 9"
	expect_verdict BETTER requests_per_s "7 8 9" "10 11 12"
	expect_verdict '' cpu_us "10 11 12" "7 8 10"
	expect_verdict '' cpu_us "100 100.1" "101 101.1"
	expect_verdict 'one sample' cpu_us "10" "20"
	! bench/compare "$CASE/a.json" 2>/dev/null || die "one file is enough?"
}

case_run() {
	local name
	[[ -x $load ]] || skip "$load is not built"
	mkdir -p "$CASE/build/bench"
	for name in wg-tinyproxy e2e; do ln -s "$(realpath "$BUILD")/$name" "$CASE/build/"; done
	ln -s "$(realpath "$load")" "$CASE/build/bench/"
	E2E_BUILD=$CASE/build BENCH_PROGRAMS=this BENCH_ROLES=pair BENCH_ROUNDS=2 BENCH_LOAD_MS=200 \
		BENCH_ONLY="http start" bench/run >"$CASE/said" || die "failed: $(tail -n 3 "$CASE/said")"
	grep -qE '^http +64 +requests_per_s +[0-9]+ ' "$CASE/said" || die "$(cat "$CASE/said")"
	! grep '^LEFT OUT' "$CASE/said" || die "something was left out"
	for name in cpu requests latency memory; do
		grep -q '^</svg>' "$CASE"/build/bench/run-*-$name.svg || die "no plot $name"
	done
}

case_streams() {
	[[ -x $load ]] || skip "$load is not built"
	start server "$load" streams 127.0.0.1 0 reno
	wait_for 5 "the server" logged server '^ready '
	at=(127.0.0.1 "$(sed -n 's/^ready //p' "$CASE/server.log")" reno)
	for way in up down; do
		"$load" stream "${at[@]}" $way 1000000 5000 | grep -q '^bytes=1000000 .* whole=1$' ||
			die "$way"
		"$load" stream "${at[@]}" $way 1000000000000 50 | grep -q ' whole=0$' ||
			die "$way, limited in time"
	done
}

case_loss() {
	local name
	[[ $(id -u) == 0 && -x $BUILD/bench/impair ]] || skip "needs root, and $BUILD/bench/impair"
	mkdir -p "$CASE/build/bench"
	for name in wg-tinyproxy e2e bench/load bench/impair; do
		ln -s "$(realpath "$BUILD/$name")" "$CASE/build/$name"
	done
	E2E_BUILD=$CASE/build LOSS_PROGRAMS="this linux-cubic" RUNS=2 LOSS_MS=200 LOSS_CELLS="5:0.1" \
		bench/loss >"$CASE/said" || die "failed: $(tail -n 3 "$CASE/said")"
	[[ $(grep -cE '^ +5  0.1 +[0-9.]+ ' "$CASE/said") == 6 ]] || die "$(cat "$CASE/said")"
	! grep '^LEFT OUT' "$CASE/said" || die "something was left out"
	grep -q '^</svg>' "$CASE"/build/bench/loss-*.svg || die "no plot"
}

run_cases "$@"
