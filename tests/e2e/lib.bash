# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034 # the scripts use what seems unused
# What the end-to-end scripts share. A script defines functions case_NAME and ends with
#
#	run_cases "$@"			# or: run_cases_together "$@"
#
# which runs all of them, or those that are named. Each case runs under `set -e` in a subshell of its
# own, with its own folder $CASE, processes and network namespaces; all of these are gone when it
# ends, however it ends. It passes when it returns, fails with `die WHY` or any command's failure, and
# is left out with `skip WHY`. When it fails, the end of every process's log is shown.
#
# Nothing here sleeps for a fixed time in the hope that something is done by then: wait_for polls, and
# every wait has an end. Only processes that were started here are ended, by their id.

# E2E_BACKEND=uring or epoll: what our program's event loop is to be built on.
# E2E_IMAGE: the container image that it is to run from (tests/e2e/image.bash).
SUITE=$(basename "$0" .sh)${E2E_BACKEND:+-$E2E_BACKEND}${E2E_IMAGE:+-in-${E2E_IMAGE_SECCOMP:+admitting-}image}
BUILD=${E2E_BUILD:-build}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/wgtp-$SUITE.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
CASE=$WORK
PATIENCE=1  # by how much all waits are longer
AT_ONCE=100 # cases that run together
UNPRIVILEGED=65532 # a user that owns nothing: what "nonroot" container images run as

declare -A pid_of # name -> process
namespaces=()

# The programs are copied to where every user may run them, whoever may read the repository.
chmod 0755 "$WORK"
mkdir "$WORK/bin"
for file in "$BUILD/wg-tinyproxy" "$BUILD/e2e/traffic" "$BUILD/e2e/webpage"; do
	install -m 0755 "$file" "$WORK/bin/" || exit 1
done
PATH=$WORK/bin:$PATH:/usr/sbin:/sbin

# --- cases --------------------------------------------------------------------------------------

die() { # WHY
	echo "$*" >"$CASE/why"
	exit 1
}

skip() { # WHY
	echo "$*" >"$CASE/why"
	exit 77
}

# Everything that was started ends, whatever happened.
end_all() {
	local name
	trap - ERR
	set +e
	for name in "${!pid_of[@]}"; do kill "${pid_of[$name]}" 2>/dev/null; done
	for name in "${!pid_of[@]}"; do reap "$name" 3; done
	for name in "${namespaces[@]}"; do
		ip netns del "$name"
		rm -rf "/etc/netns/$name"
	done
}

run_case() { # NAME
	local started_us=${EPOCHREALTIME//[.,]/}
	mkdir "$WORK/$1"
	(
		set -Eeu -o pipefail
		CASE=$WORK/$1
		trap end_all EXIT
		trap 'exit 130' INT TERM
		trap '[[ -e $CASE/why ]] || echo "line $LINENO: $BASH_COMMAND" >"$CASE/why"' ERR
		"case_$1"
	) >"$WORK/$1/out" 2>&1
	echo $? >"$WORK/$1/status"
	echo $(((${EPOCHREALTIME//[.,]/} - started_us) / 1000)) >"$WORK/$1/took"
}

show_logs() { # FOLDER
	local log
	for log in "$1"/out "$1"/*.log; do
		[[ -s $log ]] || continue
		echo "    | --- $(basename "$log" .log)"
		# Without wireguard-go's advice in a box.
		grep -av '^[┌│└]' "$log" | tail -n 25 | cut -c1-300 | sed 's/^/    | /'
	done
}

judge_case() { # NAME
	local folder=$WORK/$1 why status
	status=$(cat "$folder/status" 2>/dev/null || echo none)
	why=$(cat "$folder/why" 2>/dev/null || echo "exit status $status")
	case $status in
	0) echo "PASS $SUITE.$1 ($(cat "$folder/took") ms)" ;;
	77) echo "SKIP $SUITE.$1: $why" ;;
	*)
		echo "FAIL $SUITE.$1: $why"
		show_logs "$folder"
		;;
	esac
}

all_cases() { compgen -A function case_ | sed 's/^case_//'; }

run_cases() { # [NAME...]
	local name cases=("$@")
	[[ $# -gt 0 ]] || mapfile -t cases < <(all_cases)
	for name in "${cases[@]}"; do
		run_case "$name"
		judge_case "$name"
	done
}

# For cases that mostly wait: $AT_ONCE of them at a time. The results come in order.
run_cases_together() { # [NAME...]
	local name running=0 cases=("$@")
	[[ $# -gt 0 ]] || mapfile -t cases < <(all_cases)
	for name in "${cases[@]}"; do
		((running < AT_ONCE)) || { wait -n; ((running--)); }
		run_case "$name" &
		((++running))
	done
	wait
	for name in "${cases[@]}"; do judge_case "$name"; done
}

# --- waiting ------------------------------------------------------------------------------------

# True as soon as the command succeeds; false after so many seconds, times $PATIENCE.
within() { # SECONDS COMMAND...
	local end_us=$((${EPOCHREALTIME//[.,]/} + $1 * PATIENCE * 1000000))
	shift
	until "$@"; do
		((${EPOCHREALTIME//[.,]/} < end_us)) || return 1
		sleep 0.05
	done
}

wait_for() { # SECONDS WHAT COMMAND...
	local seconds=$1 what=$2
	shift 2
	within "$seconds" "$@" || die "waited $((seconds * PATIENCE)) s for $what"
}

# --- processes ----------------------------------------------------------------------------------

# In the background, its output in $CASE/NAME.log. A program, not a function: the process id is to be
# the program's own, and a function of the program's name would call itself for ever.
start() { # NAME COMMAND...
	local name=$1
	shift
	[[ $(type -t "$1") == file ]] || die "start: $1 is no program"
	"$@" >"$CASE/$name.log" 2>&1 </dev/null &
	pid_of[$name]=$!
}

# The program itself, where what was started only looks after it.
process_of() { echo "${pid_of[$1]}"; } # NAME

runs() { kill -0 "${pid_of[$1]}" 2>/dev/null; }
has_ended() { ! runs "$1"; }
logged() { grep -saqE -- "$2" "$CASE/$1.log"; } # NAME PATTERN

# Waits for its end; $exit_status is how it ended, "killed" when it took longer.
reap() { # NAME SECONDS
	local pid=${pid_of[$1]} killed=
	within "$2" has_ended "$1" || { kill -KILL "$(process_of "$1")" && killed=yes; }
	exit_status=0
	wait "$pid" 2>/dev/null || exit_status=$?
	[[ -z $killed ]] || exit_status=killed
	unset "pid_of[$1]"
}

stop() { # NAME
	kill "${pid_of[$1]}"
	reap "$1" 5
}

expect_status() { # NAME SECONDS STATUS
	reap "$1" "$2"
	[[ $exit_status == "$3" ]] || die "$1 ended with $exit_status, expected $3"
}

# --- traffic ------------------------------------------------------------------------------------

# Prefixes of the commands that are run where clients are, and where targets are.
client=()
server=()

traffic() { # SHAPE HOST PORT [NAME=NUMBER...]
	local line
	line=$("${client[@]}" "$WORK/bin/traffic" "$@" 2>&1) || die "$line"
	echo "$line"
}

# One of our test programs that serves something.
serve() { # NAME PROGRAM ARGUMENT...
	start "$1" "${server[@]}" "$WORK/bin/$2" "${@:3}"
	wait_for 5 "$1 to listen" logged "$1" '^ready '
}

# Traffic in the background, under a name to ask for its result.
start_traffic() { # NAME SHAPE HOST PORT [NAME=NUMBER...]
	start "$1" "${client[@]}" "$WORK/bin/traffic" "${@:2}"
}

finish_traffic() { # NAME SECONDS
	reap "$1" "$2"
	[[ $exit_status == 0 ]] || die "$1: $exit_status: $(tail -n 1 "$CASE/$1.log")"
}

# --- our program --------------------------------------------------------------------------------

# A key pair as files and variables: key_of[NAME], public_of[NAME].
declare -A key_of public_of
make_key() { # NAME
	[[ ! -v key_of[$1] ]] || return 0
	key_of[$1]=$(wg-tinyproxy genkey)
	public_of[$1]=$(wg-tinyproxy pubkey <<<"${key_of[$1]}")
	(umask 077 && echo "${key_of[$1]}" >"$CASE/$1.key")
}

to_hex() { base64 -d <<<"$1" | od -An -vtx1 | tr -d ' \n'; }

# A port that nobody uses, below those that the kernel gives to clients.
free_port() {
	local candidate
	for _ in {1..100}; do
		candidate=$((10000 + RANDOM % 20000))
		ss -Htuan | grep -qE "[]:.0-9*]:$candidate " || { echo "$candidate" && return; }
	done
	die "no free port"
}

# Starts our program with exactly these variables. $as: a prefix that changes the user.
as=()
proxy() { # NAME PREFIX-ARRAY VARIABLE=VALUE...
	local -n where=$2
	start "$1" "${where[@]}" "${as[@]}" env -i LOG_LEVEL="${E2E_LOG_LEVEL:-info}" \
		IO_BACKEND="${E2E_BACKEND-}" "${@:3}" "$WORK/bin/wg-tinyproxy"
}

as_user() { # UID: without groups and capabilities, and without a way to get any
	as=(setpriv --reuid "$1" --regid "$1" --clear-groups
		--bounding-set=-all --inh-caps=-all --no-new-privs)
}

# The answer's status, 000 without one; the body goes to $CASE/body.
http() { # PREFIX-ARRAY PORT PATH [CURL-OPTION...]
	local -n where=$1
	"${where[@]}" curl -s -m 70 -o "$CASE/body" -w '%{http_code}' "${@:4}" \
		"http://127.0.0.1:$2$3" || true
}

answers() { # STATUS PREFIX-ARRAY PORT PATH
	[[ $(http "${@:2}") == "$1" ]]
}

# Peak of resident memory, in KiB.
peak_kib() { # NAME
	awk '/^VmHWM:/ {print $2}' "/proc/$(process_of "$1")/status"
}

# shellcheck source=/dev/null
[[ -z ${E2E_IMAGE-} ]] || source tests/e2e/image.bash
