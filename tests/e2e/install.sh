#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What a package gets: the files, the man page, the unit, and what the program tells a service
# manager.
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

unit='wg-tinyproxy@.service'

# Installed is what was built. The make that may run this test has options of its own.
staged() { # TARGET
	env -u MAKEFLAGS -u MAKELEVEL make -s -o "$BUILD/wg-tinyproxy" \
		B="$BUILD" DESTDIR="$CASE/staged root" PREFIX=/usr "$1"
}

files() { (cd "$CASE/staged root" && find . -type f -printf '%m %p\n' | sort); }

case_install() {
	staged install
	diff - <(files) <<-END || die "other files or modes than these"
		644 ./usr/lib/systemd/system/$unit
		644 ./usr/share/man/man8/wg-tinyproxy.8
		755 ./usr/bin/wg-tinyproxy
		755 ./usr/bin/wg_conf_to_env.sh
	END
	[[ $("$CASE/staged root/usr/bin/wg-tinyproxy" --version) == "$(wg-tinyproxy --version)" ]]
	grep -qx ExecStart=/usr/bin/wg-tinyproxy "$CASE/staged root/usr/lib/systemd/system/$unit"
	staged uninstall
	[[ -z $(files) ]] || die "left behind: $(files)"
}

# --- man page -----------------------------------------------------------------------------------

case_man_page_is_clean() {
	command -v mandoc >/dev/null || skip "no mandoc"
	command -v groff >/dev/null || skip "no groff"
	# Which other pages are installed here is no matter of ours.
	mandoc -Tlint -Wstyle dist/wg-tinyproxy.8 | grep -v 'referenced manual not found' \
		>"$CASE/lint" || true
	groff -ww -mdoc -Tutf8 -z dist/wg-tinyproxy.8 >>"$CASE/lint" 2>&1
	[[ ! -s $CASE/lint ]] || die "$(cat "$CASE/lint")"
}

case_man_page_has_every_variable() {
	wg-tinyproxy --help | grep -oE '^  [A-Z_]+' | tr -d ' ' | sort >"$CASE/known"
	sed -n 's/^\.It Ev //p' dist/wg-tinyproxy.8 | grep -v '^NOTIFY_SOCKET$' | sort >"$CASE/told"
	diff "$CASE/known" "$CASE/told" || die "< --help alone, > the man page alone"
}

# --- unit ---------------------------------------------------------------------------------------

# The unit as installed, with a program that is there.
make_unit() {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	sed "s|@bindir@|$WORK/bin|" "dist/$unit.in" >"$CASE/$unit"
}

case_unit_is_valid() {
	make_unit
	systemd-analyze verify --man=no "$CASE/$unit" >"$CASE/said" 2>&1 || die "$(cat "$CASE/said")"
	[[ ! -s $CASE/said ]] || die "$(cat "$CASE/said")"
}

# The threshold is in tenths: 15 is an exposure of 1.5.
case_unit_is_hardened() {
	make_unit
	systemd-analyze security --offline=true --no-pager --threshold=15 "$CASE/$unit" \
		>"$CASE/said" || die "$(tail -n 1 "$CASE/said")"
	tail -n 1 "$CASE/said"
}

# The members of sets of system calls, sets in sets included.
members() { # SET...
	local set item
	for set in "$@"; do
		systemd-analyze syscall-filter --no-pager "$set" 2>/dev/null | sed 1d |
			grep -oE '^ +[@a-z_][-a-z0-9_]*' | while read -r item; do
			if [[ $item == @* ]]; then members "$item"; else echo "$item"; fi
		done
	done
}

# SystemCallFilter= as systemd reads it: the first line allows, "~" takes away, the next adds again.
allowed_calls() {
	local filter
	mapfile -t filter < <(sed -n 's/^SystemCallFilter=//p' "$CASE/$unit")
	[[ ${#filter[@]} == 3 && ${filter[1]} == "~"* ]] || die "not the three lines of filter"
	# shellcheck disable=SC2086 # words
	{
		comm -23 <(members ${filter[0]} | sort -u) <(members ${filter[1]#\~} | sort -u)
		printf '%s\n' ${filter[2]}
	} | sort -u
}

case_unit_allows_the_system_calls() {
	local backend name
	command -v strace >/dev/null || skip "no strace"
	make_unit
	allowed_calls >"$CASE/allowed"
	for backend in uring epoll; do
		pair_prepare
		# The program is the child of this script, not of strace.
		here=(strace -D -f -q -o "$CASE/calls.$backend")
		start_egress IO_BACKEND=$backend
		here=()
		start_ingress
		serve target traffic serve "${target[@]}"
		traffic bulk "${dial[@]}" conns=5 up=100000 down=100000
		for name in egress ingress target; do stop "$name"; done
		wait_for 5 "strace to finish" grep -q 'exited with' "$CASE/calls.$backend"
		sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' "$CASE/calls.$backend" | sort -u >"$CASE/called"
		comm -23 "$CASE/called" "$CASE/allowed" >"$CASE/refused"
		[[ ! -s $CASE/refused ]] || die "$backend: the unit refuses $(paste -sd' ' "$CASE/refused")"
	done
}

# --- service manager ----------------------------------------------------------------------------

# Prints every datagram that comes, its lines joined by "|".
listen='import socket, sys
name = sys.argv[1]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind("\0" + name[1:] if name[0] == "@" else name)
print("ready", flush=True)
while True:
    print(manager.recv(4096).decode().replace("\n", "|"), flush=True)'

start_manager() { # NAME-OF-SOCKET
	start manager python3 -c "$listen" "$1"
	wait_for 5 "the manager" logged manager '^ready$'
}

told() { wait_for "${2:-10}" "the manager to be told $1" logged manager "$1"; } # PATTERN [SECONDS]

case_notify() {
	start_manager "$CASE/notify"
	pair_prepare
	start_egress NOTIFY_SOCKET="$CASE/notify" DRAIN_TIMEOUT=3s
	told '^READY=1\|STATUS=waiting for a handshake with 127\.0\.0\.1:[0-9]+$'
	told '^STATUS=no answer from 127\.0\.0\.1:[0-9]+$'
	start_ingress
	told '^STATUS=tunnel up, server at 127\.0\.0\.1:[0-9]+$'
	kill "${pid_of[egress]}"
	# DRAIN_TIMEOUT, a second for each of two steps, two to spare.
	told '^STOPPING=1\|EXTEND_TIMEOUT_USEC=7000000\|STATUS=draining 0 connections$'
	expect_status egress 5 0
	[[ $(grep -c READY=1 "$CASE/manager.log") == 1 ]] || die "READY=1 more than once"
}

case_notify_abstract_name() {
	start_manager "@wgtp-$BASHPID"
	pair_prepare
	start_egress NOTIFY_SOCKET="@wgtp-$BASHPID"
	told '^READY=1'
}

# Not ready: nothing may be said of a start that fails.
case_notify_failed_start() {
	start_manager "$CASE/notify"
	pair_prepare
	start_egress
	proxy second here "${egress_env[@]}" NOTIFY_SOCKET="$CASE/notify"
	expect_status second 10 1
	! logged manager READY || die "READY=1 of a start that failed"
}

# Manager or not: the tunnel is what counts.
case_notify_without_a_manager() {
	local name
	for name in "$CASE/nobody" relative "/$(printf '%0200d' 0)"; do
		pair_prepare
		start_egress NOTIFY_SOCKET="$name"
		logged egress 'NOTIFY_SOCKET .* told nothing' || die "no word about $name"
		stop egress
	done
}

run_cases "$@"
