#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The program seen from its shell: words, exit statuses, mistakes, and that no key gets out.
set -u
cd "$(dirname "$0")/../.." || exit 1
program=${PROGRAM:-build/wg-tinyproxy}
dir=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill -KILL "$pid"; rm -rf "$dir"' EXIT

private=yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
private_hex=c809f3e5317e9575c9b5ed78b638b7ce530dabe85ddab614220241801ddf0669
public=xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
preshared=/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=
base=(WG_PRIVATE_KEY="$private" WG_PUBLIC_KEY="$public" WG_PRESHARED_KEY="$preshared" WG_ADDRESS=10.0.0.2
	WG_ALLOWED_IP=10.0.0.0/24 WG_ENDPOINT=127.0.0.1:9 LOCAL_PORT=8080 TARGET_HOST=127.0.0.1
	TARGET_PORT=9)
failed=0 status=0

report() { # NAME: passed when the last command was true
	if [[ $? -eq 0 ]]; then
		echo "PASS $1"
	else
		echo "FAIL $1"
		echo "	status $status"
		sed 's/^/	/' "$dir/out" "$dir/err"
		failed=1
	fi
}

# call [VARIABLE=VALUE...] PROGRAM [WORD]: with this environment and no other.
call() {
	env -i "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
}

# no_secret FILE...: neither key in any spelling.
no_secret() {
	! cat "$@" | tr '\0' '\n' | grep -qF -e "$private" -e "$preshared" -e "$private_hex"
}

# ---- words

call "$program" --help
[[ $status -eq 0 && ! -s $dir/err && $(grep -c '\[\(required\|optional\|default .*\)\]$' "$dir/out") -ge 21 ]]
report help
grep -q '^  WG_MTU .*576 to 9000.*\[default 1420\]$' "$dir/out" && grep -q WG_PRIVATE_KEY_FILE "$dir/out"
report help_tells_values_and_defaults
call "$program" --version
[[ $status -eq 0 && $(<"$dir/out") =~ ^wg-tinyproxy\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
report version
call "${base[@]}" "$program" "$private"
[[ $status -eq 2 && ! -s $dir/out ]] && grep -q '^usage: ' "$dir/err" && no_secret "$dir/err"
report unknown_word_is_2_and_not_repeated
call "${base[@]}" "$program" --check --check
[[ $status -eq 2 ]] && grep -q '^usage: ' "$dir/err"
report two_words_are_2
"$program" --help >/dev/full 2>"$dir/err"
status=$?
[[ $status -eq 1 ]]
report output_that_cannot_be_written_is_1

# ---- configuration

call "$program"
[[ $status -eq 2 && ! -s $dir/out && $(wc -l <"$dir/err") -eq 8 && $(grep -c 'is not set; accepted: ' "$dir/err") -eq 8 ]]
report nothing_set_is_2_with_a_line_each
call "${base[@]}" WG_MTU=1 LOCAL_PORT=x PROXY_MODE=$'up\nerror forged' HEALTH_PORT=70000 "$program" --check
[[ $status -eq 2 && $(wc -l <"$dir/err") -eq 4 ]] && grep -q 'WG_MTU "1" .*accepted: 576 to 9000' "$dir/err"
report all_mistakes_in_one_run
grep -q 'PROXY_MODE "up?error forged"' "$dir/err"
report a_value_cannot_forge_a_line
call "${base[@]}" "$program" --check
[[ $status -eq 0 && $(wc -l <"$dir/out") -eq 1 && ! -s $dir/err ]] &&
	grep -qF "configuration is valid: egress, our public key is $(echo "$private" | wg pubkey)" "$dir/out"
report check_tells_mode_and_public_key
call "${base[@]}" WG_PRIVATE_KEY=$private_hex PROXY_MODE=ingress TARGET_HOST=name.example "$program" --check
[[ $status -eq 0 ]] && grep -qF "valid: ingress, our public key is $(echo "$private" | wg pubkey)" "$dir/out"
report check_with_a_hex_key_in_ingress
call "${base[@]}" WG_PUBLIC_KEY="$(echo "$private" | wg pubkey)" "$program" --check
[[ $status -eq 2 ]] && grep -q 'WG_PUBLIC_KEY is that of our own WG_PRIVATE_KEY' "$dir/err"
report our_own_public_key_is_a_mistake
zero=${private_hex//?/0}
for low_order in "$zero" "01${zero:2}" \
	e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800 \
	ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f; do
	call "${base[@]}" WG_PUBLIC_KEY=$low_order WG_MTU=1 "$program" --check
	[[ $status -eq 2 && $(wc -l <"$dir/err") -eq 2 ]] && grep -q '\(^\| \)WG_PUBLIC_KEY is .*; accepted: ' "$dir/err"
	report "low_order_public_key_${low_order:0:4}_is_a_mistake"
done
call "${base[@]}" WG_PUBLIC_KEY= "$program" --check
[[ $status -eq 2 && $(wc -l <"$dir/err") -eq 1 ]]
report missing_public_key_is_one_mistake
call "${base[@]}" AEAD_ENGINE=avx WG_MTU=1 "$program" --check
[[ $status -eq 2 && $(wc -l <"$dir/err") -eq 2 ]] && grep -q 'WG_MTU' "$dir/err" &&
	grep -q 'AEAD_ENGINE "avx" .*accepted.* auto, .*libsodium$' "$dir/err"
report unknown_aead_engine_is_a_mistake_with_the_others
call "${base[@]}" AEAD_ENGINE="${private_hex:0:32}" "$program" --check
[[ $status -eq 2 && $(wc -l <"$dir/err") -eq 1 ]]
report overlong_aead_engine_is_one_mistake
call "${base[@]}" AEAD_ENGINE=libsodium "$program" --check
report known_aead_engine_is_none

# ---- keys in files

printf '\n %s \r\n\n' "$private" >"$dir/key"
call "${base[@]}" WG_PRIVATE_KEY= WG_PRIVATE_KEY_FILE="$dir/key" "$program" --check
[[ $status -eq 0 ]] && grep -qF "$(echo "$private" | wg pubkey)" "$dir/out"
report key_file
call "${base[@]}" WG_PRIVATE_KEY_FILE="$dir/key" "$program" --check
[[ $status -eq 2 ]] && grep -q 'WG_PRIVATE_KEY and WG_PRIVATE_KEY_FILE are both set' "$dir/err"
report key_and_key_file_are_a_mistake
call "${base[@]}" WG_PRESHARED_KEY= WG_PRESHARED_KEY_FILE="$dir/none" "$program" --check
[[ $status -eq 2 ]] && grep -q 'WG_PRESHARED_KEY_FILE .*No such file' "$dir/err"
report missing_key_file_is_named
call "${base[@]}" WG_PRESHARED_KEY= WG_PRESHARED_KEY_FILE="$dir" "$program" --check
[[ $status -eq 2 ]] && grep -q 'WG_PRESHARED_KEY_FILE .*Is a directory' "$dir/err"
report folder_as_key_file_is_named
call "${base[@]}" WG_PRESHARED_KEY= WG_PRESHARED_KEY_FILE=/dev/zero "$program" --check
[[ $status -eq 2 ]] && grep -q 'WG_PRESHARED_KEY_FILE .*too large' "$dir/err"
report endless_key_file_is_named
printf '%s\n\0%s\n' "$private" "$private" >"$dir/nul"
call "${base[@]}" WG_PRIVATE_KEY= WG_PRIVATE_KEY_FILE="$dir/nul" "$program" --check
[[ $status -eq 2 ]] && grep -q 'WG_PRIVATE_KEY_FILE .*NUL byte' "$dir/err" && no_secret "$dir/err"
report key_file_with_a_nul_byte_is_named

# ---- genkey, pubkey

one=$("$program" genkey) && two=$("$program" genkey) && [[ ${#one} -eq 44 && $one != "$two" ]]
report genkey
echo "$one" | wg pubkey >"$dir/out" 2>"$dir/err" && [[ $(echo "$one" | "$program" pubkey) == "$(<"$dir/out")" ]]
report pubkey_agrees_with_wg
last=$(echo "$one" | base64 -d | od -An -tu1 -w1 -v | sed -n '1p;32p' | tr -d ' ' | paste -sd' ')
((${last% *} % 8 == 0 && ${last#* } >= 64 && ${last#* } < 128))
report genkey_is_clamped
[[ $(printf %s "$private" | "$program" pubkey) == $(printf '%s\r\n\n' "$private" | "$program" pubkey) ]]
report pubkey_tolerates_line_ends
for input in "" "$private x" "${private%=}" "x$private"; do
	printf %s "$input" | "$program" pubkey >"$dir/out" 2>"$dir/err"
	status=$?
	[[ $status -eq 1 && ! -s $dir/out ]] && no_secret "$dir/err"
	report "pubkey_refuses_${#input}_bytes_that_are_no_key"
done
"$program" pubkey <"$dir/nul" >"$dir/out" 2>"$dir/err"
status=$?
[[ $status -eq 1 && ! -s $dir/out ]]
report pubkey_refuses_a_nul_byte
"$program" genkey >/dev/full 2>"$dir/err"
status=$?
[[ $status -eq 1 ]]
report genkey_that_cannot_be_written_is_1
(umask 022 && "$program" genkey >"$dir/readable" 2>"$dir/err") && grep -q 'umask 077' "$dir/err" &&
	(umask 077 && "$program" genkey >"$dir/private" 2>"$dir/err") && [[ ! -s $dir/err ]]
report genkey_warns_when_others_may_read

# ---- secrets

all_wrong=(WG_PRIVATE_KEY="x$private" WG_PRESHARED_KEY="$preshared=" WG_PUBLIC_KEY="$private " TARGET_HOST="$private"
	WG_MTU="$private_hex" WG_ALLOWED_IP="$preshared" WG_ENDPOINT="$private" LOG_LEVEL="$preshared")
call "${base[@]}" "${all_wrong[@]}" "$program"
[[ $status -eq 2 && $(wc -l <"$dir/err") -eq 7 ]] && no_secret "$dir/out" "$dir/err"
report mistakes_repeat_no_secret
inside_text=(WG_ALLOWED_IP="10.0.0.0/8,$private/32" LOCAL_PORT="'$private'" TARGET_HOST="${private%=}" WG_MTU="$private_hex=")
call "${base[@]}" "${inside_text[@]}" "$program"
[[ $status -eq 2 && $(wc -l <"$dir/err") -eq 4 ]] && ! grep -qF -e "${private%=}" -e "$private_hex" "$dir/err"
report mistakes_repeat_no_secret_inside_other_text

# ---- the running program

# Not as root where that can be had: who may look into a process tells whether it is dumpable.
as=()
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
if [[ $(id -u) -eq 0 ]] && "${nobody[@]}" test -x "$program"; then as=("${nobody[@]}"); fi

# start VARIABLE=VALUE...: returns once the keys are gone from what /proc shows, or after 5 s.
start() {
	env -i "${base[@]}" "$@" "${as[@]}" "$program" &
	pid=$!
	for _ in {1..50}; do
		grep -qz '^DRAIN_TIMEOUT=' "/proc/$pid/environ" 2>/dev/null && no_secret "/proc/$pid/environ" && break
		sleep 0.1
	done
}

# Half a second: enough for the loop to run and the signals to be taken.
stop() {
	sleep 0.5
	kill -TERM "$pid"
	wait "$pid"
	status=$? pid=
}

# bind(2) says EINVAL of a link-local address without its zone: no status of configuration any more.
call "${base[@]}" PROXY_MODE=ingress TARGET_HOST=name.example LISTEN_ADDR=fe80::1 "$program"
[[ $status -eq 1 ]] && grep -qE 'cannot listen on LOCAL_PORT [0-9]+: ' "$dir/err"
report start_that_fails_is_1

start LOG_LEVEL=debug DRAIN_TIMEOUT=0 >"$dir/out" 2>"$dir/err"
kill -0 "$pid"
report program_runs
if [[ -r /proc/$pid/environ ]] && cat "/proc/$pid/environ" >"$dir/environ" 2>/dev/null; then
	grep -qz '^WG_PRIVATE_KEY=' "$dir/environ" && grep -qzx 'DRAIN_TIMEOUT=0' "$dir/environ" &&
		no_secret "$dir/environ" "/proc/$pid/cmdline"
	report running_program_shows_no_secret
else
	echo "SKIP running_program_shows_no_secret: /proc/$pid/environ is closed to us"
fi
if [[ $(id -u) -ne 0 || ${#as[@]} -gt 0 ]]; then
	[[ $(stat -c %u "/proc/$pid/environ") -eq 0 ]]
	report running_program_is_not_dumpable
else
	echo "SKIP running_program_is_not_dumpable: root sees no difference"
fi
grep -qE '^Max core file size +0 +0 ' "/proc/$pid/limits"
report running_program_dumps_no_core
((0x$(sed -n 's/^SigIgn:\t//p' "/proc/$pid/status") >> 12 & 1)) # SIGPIPE is 13
report running_program_ignores_sigpipe
stop
[[ $status -eq 0 ]]
report sigterm_ends_with_0
no_secret "$dir/out" "$dir/err"
report log_has_no_secret

start DRAIN_TIMEOUT=0 <&- >&- 2>&-
kill -0 "$pid"
report program_runs_with_standard_files_closed
if ls "/proc/$pid/fd" >"$dir/out" 2>"$dir/err"; then
	[[ $(readlink "/proc/$pid/fd/"{0,1,2} | sort -u) == /dev/null && -e /proc/$pid/fd/1 && -e /proc/$pid/fd/2 ]]
	report closed_standard_files_go_to_no_socket
else
	echo "SKIP closed_standard_files_go_to_no_socket: /proc/$pid/fd is closed to us"
fi
stop

exit $failed
