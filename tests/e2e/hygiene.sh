#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What a running instance shows of its keys, and what it costs when nothing happens.
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

[[ $(id -u) != 0 ]] || as_user "$UNPRIVILEGED"

pair_with_traffic() { # [VARIABLE=VALUE...]
	pair_up "$@"
	serve target traffic serve "${target[@]}"
	traffic bulk "${dial[@]}" conns=5 up=100000 down=100000
}

# Every spelling of every secret: base64, hex, and the raw bytes.
no_secret_in() { # FILE WHAT
	local name key
	for name in egress ingress psk; do
		key=${key_of[$name]}
		! grep -aqF -e "${key%=}" "$1" || die "$2 shows the $name key"
		! grep -aqiF -e "$(to_hex "$key")" "$1" || die "$2 shows the $name key in hex"
	done
}

case_keys_in_logs() {
	pair_with_traffic LOG_LEVEL=debug
	stop egress
	stop ingress
	[[ -s $CASE/egress.log && -s $CASE/ingress.log ]] || die "nothing was logged"
	no_secret_in "$CASE/egress.log" "the log"
	no_secret_in "$CASE/ingress.log" "the log"
}

# Root reads every process's environment; the program has overwritten its own.
case_keys_in_proc() {
	local side file
	[[ $(id -u) == 0 ]] || skip "only root can read another process's environment"
	pair_with_traffic
	for side in egress ingress; do
		for file in environ cmdline; do
			cat "/proc/${pid_of[$side]}/$file" >"$CASE/$file"
			no_secret_in "$CASE/$file" "/proc/PID/$file"
		done
	done
}

# The keys come from files: nothing of them is anywhere else.
case_keys_from_files() {
	local side file
	pair_prepare
	for side in egress ingress; do
		for file in "$side" psk; do chmod 0644 "$CASE/$file.key"; done
	done
	chmod 0755 "$CASE"
	start_egress WG_PRIVATE_KEY= WG_PRESHARED_KEY= WG_PRIVATE_KEY_FILE="$CASE/egress.key" \
		WG_PRESHARED_KEY_FILE="$CASE/psk.key"
	start_ingress WG_PRIVATE_KEY= WG_PRESHARED_KEY= WG_PRIVATE_KEY_FILE="$CASE/ingress.key" \
		WG_PRESHARED_KEY_FILE="$CASE/psk.key"
	serve target traffic serve "${target[@]}"
	traffic ping "${dial[@]}" up=64 down=64
}

# PR_SET_DUMPABLE 0: the files belong to root, so the same user can attach no debugger (proc(5)).
case_not_dumpable() {
	pair_up
	[[ $(id -u) == 0 ]] || {
		! head -c 1 "/proc/${pid_of[egress]}/environ" >/dev/null 2>&1 || die "dumpable"
		return
	}
	[[ $(stat -c %u "/proc/${pid_of[egress]}/mem") == 0 ]] || die "dumpable: its files are its user's"
}

switches() { # NAME: of all threads
	cat "/proc/${pid_of[$1]}"/task/*/status | awk '/ctxt_switches/ {sum += $2} END {print sum}'
}

cpu_ticks() { # NAME
	awk '{print $14 + $15}' "/proc/${pid_of[$1]}/stat"
}

# A session, a connection that was used, and nothing to do: it sleeps until its next deadline.
case_idle_sleeps() {
	local switches ticks
	pair_with_traffic
	sleep 3 # for the last acknowledgements and lingering ends of connections
	switches=$(switches egress) ticks=$(cpu_ticks egress)
	sleep 3
	switches=$(($(switches egress) - switches)) ticks=$(($(cpu_ticks egress) - ticks))
	echo "$switches context switches, $ticks clock ticks in 3 s"
	((switches <= 15)) || die "$switches context switches in 3 s"
	((ticks <= 1)) || die "$ticks clock ticks of CPU time in 3 s"
}

# io_uring's rings and locked keys are charged to RLIMIT_MEMLOCK, and that to the user, not to the
# process: each limit is tried as a user of its own. A small one may cost speed, nothing else.
case_memlock_limits() {
	local bytes user=$UNPRIVILEGED
	local -a limited
	[[ $(id -u) == 0 ]] || skip "needs root to run as several users"
	for bytes in 65536 262144 1048576 8388608; do
		limited=(prlimit --memlock="$bytes")
		pair_prepare
		start_ingress
		as_user $((++user))
		proxy egress limited "${egress_env[@]}"
		as_user "$UNPRIVILEGED"
		wait_for 10 "egress with $bytes" answers 200 here "$health_egress" /health
		serve target traffic serve "${target[@]}"
		traffic bulk "${dial[@]}" conns=20 up=1000000 down=1000000
		stop target
		stop egress
		stop ingress
	done
}

# Nothing is left for the second instance of a user; then it does without io_uring.
case_memlock_is_shared() {
	local -a limited=(prlimit --memlock=40960)
	pair_prepare
	proxy egress limited "${egress_env[@]}"
	wait_for 10 "egress" answers 200 here "$health_egress" /health
	proxy ingress limited "${ingress_env[@]}"
	wait_for 10 "ingress" answers 200 here "$health_ingress" /health
	serve target traffic serve "${target[@]}"
	traffic bulk "${dial[@]}" conns=20 up=1000000 down=1000000
	grep -h 'event loop' "$CASE/egress.log" "$CASE/ingress.log"
}

# One backend is asked for, and cannot be had: that is said, with what to do about it.
case_forced_backend() {
	local -a unlocked=(prlimit --memlock=0)
	[[ $(id -u) == 0 ]] || skip "needs root to run without the right to lock memory"
	as_user $((UNPRIVILEGED + 100))
	pair_prepare
	proxy egress unlocked "${egress_env[@]}" IO_BACKEND=uring
	reap egress 5
	! logged egress 'event loop: uring' || skip "this kernel charges no rings to RLIMIT_MEMLOCK"
	[[ $exit_status == 1 ]] || die "ended with $exit_status, expected 1"
	logged egress 'error .*io_uring.*RLIMIT_MEMLOCK' || die "not said why"
	proxy egress unlocked "${egress_env[@]}" IO_BACKEND=auto
	wait_for 10 "egress on epoll" answers 200 here "$health_egress" /health
	logged egress 'event loop: epoll' && logged egress 'info .*no io_uring.*RLIMIT_MEMLOCK' ||
		die "not said which, and why"
}

run_cases "$@"
