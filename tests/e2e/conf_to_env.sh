#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tools/wg_conf_to_env.sh on the files that people really have, up to what wg-tinyproxy makes of it.
set -u
cd "$(dirname "$0")/../.." || exit 1
program=${PROGRAM:-build/wg-tinyproxy}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

private=yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
public=xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
preshared=/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=
failed=0

report() { # NAME: passed when the last command was true
	if [[ $? -eq 0 ]]; then
		echo "PASS $1"
	else
		echo "FAIL $1"
		sed 's/^/	/' "$dir/out" "$dir/err"
		failed=1
	fi
}

# convert [printf format]: a file of these bytes goes through the tool.
convert() {
	printf "$1" >"$dir/wg0.conf"
	tools/wg_conf_to_env.sh "$dir/wg0.conf" >"$dir/out" 2>"$dir/err"
}

# value NAME: what the output sets NAME to, in a shell of its own.
value() {
	env -i sh -c "eval \"\$(cat '$dir/out')\"; printf '%s' \"\${$1-(unset)}\""
}

refused() { # PATTERN: status 1, nothing to evaluate, and the reason
	[[ $status -eq 1 && ! -s $dir/out ]] && grep -q "$1" "$dir/err"
}

plain="[Interface]\nPrivateKey = $private\nAddress = 10.0.0.2/32\nMTU = 1380\nListenPort = 51821\n
[Peer]\nPublicKey = $public\nPresharedKey = $preshared\nEndpoint = vpn.example.com:51820
AllowedIPs = 10.0.0.0/24, 10.1.0.0/16\nPersistentKeepalive = 15\n"

convert "$plain"
report plain_file_converts
[[ $(value WG_PRIVATE_KEY) == "$private" && $(value WG_PUBLIC_KEY) == "$public" &&
	$(value WG_PRESHARED_KEY) == "$preshared" && $(value WG_ADDRESS) == 10.0.0.2/32 &&
	$(value WG_MTU) == 1380 && $(value WG_LISTEN_PORT) == 51821 &&
	$(value WG_ENDPOINT) == vpn.example.com:51820 && $(value WG_KEEPALIVE) == 15 &&
	$(value WG_ALLOWED_IP) == 10.0.0.0/24,10.1.0.0/16 ]]
report plain_file_gives_all_nine_variables
[[ ! -s $dir/err && $(grep -vc "^export WG_[A-Z_]*='[^']*'$" "$dir/out") == 0 ]]
report plain_file_gives_export_lines_alone

convert "\xef\xbb\xbf  [interface]\r\n\tPRIVATEKEY=$private   # mine\r\naddress\t=10.0.0.2\r\n;x = 1\r
# [Peer]\r\n[ PEER ]\r\npublickey  =$public\r\nEndPoint=[2001:db8::1]:51820#here\r\nallowedips =0.0.0.0/0\r\n"
[[ $(value WG_PRIVATE_KEY) == "$private" && $(value WG_ADDRESS) == 10.0.0.2 &&
	$(value WG_PUBLIC_KEY) == "$public" && $(value WG_ENDPOINT) == '[2001:db8::1]:51820' &&
	$(value WG_ALLOWED_IP) == 0.0.0.0/0 && $(value WG_MTU) == '(unset)' ]]
report bom_crlf_comments_cases_and_spacing

convert "[Interface]\nAddress = 10.0.0.2/24,\nAddress = fd00::2/64, 10.0.0.3/24, fd00::3/64
[Peer]\nAllowedIPs = 10.0.0.0/24\nAllowedIPs=,fd00::/64 ,\nAllowedIPs = 10.2.0.0/16"
[[ $(value WG_ALLOWED_IP) == 10.0.0.0/24,fd00::/64,10.2.0.0/16 ]]
report several_allowedips_lines_are_joined
[[ $(value WG_ADDRESS) == 10.0.0.2/24,fd00::2/64 ]] && grep -q 'left out: 10.0.0.3/24' "$dir/err" &&
	grep -q 'left out: fd00::3/64' "$dir/err"
report the_first_address_of_each_family_is_taken

convert "[Interface]\nDNS = 1.1.1.1\nPostUp = touch $dir/ran\nTable = off\n[Peer]\nPublicKey = $public\n"
report unknown_keys_do_not_end_it
[[ $(grep -c 'left out: \(DNS\|PostUp\|Table\)$' "$dir/err") == 3 && $(grep -c '^export' "$dir/out") == 2 ]]
report unknown_keys_are_noted_and_left_out

# Values that would be a command if the quoting were wrong.
hostile="a'b\"c\$(touch $dir/ran)\`touch $dir/ran\`;touch $dir/ran\\\\\\\\"
convert "[Peer]\nEndpoint = $hostile\nPublicKey = '; touch $dir/ran; '\n"
[[ $(value WG_ENDPOINT) == "a'b\"c\$(touch $dir/ran)\`touch $dir/ran\`;touch $dir/ran\\\\" &&
	$(value WG_PUBLIC_KEY) == "'; touch $dir/ran; '" && ! -e $dir/ran ]]
report quotes_survive_eval_and_run_nothing

status=0
convert "${plain}[Peer]\nPublicKey = $public\n" || status=$?
refused 'second \[Peer\]'
report two_peers_are_refused

status=0
convert "[Interface]\nPrivateKey = $private\n" || status=$?
refused 'without a \[Peer\]'
report no_peer_is_refused

status=0
convert "[Peer]\nPublicKey $private\n" || status=$?
refused 'line 2' && ! grep -q "$private" "$dir/err"
report a_line_that_is_nothing_is_refused_and_not_repeated

# A key without "+" and "/" looks like a name, and as one with a value when its line was wrapped.
lonely=cGhpc2lzbm90YWtleWJ1dGxvb2tzbGlrZW9uZTEyMzQ=
status=0
convert "[Interface]\nPrivateKey =\n$lonely\n[Peer]\nPublicKey = $public\n" || status=$?
refused 'line 3' && ! grep -q "${lonely%=}" "$dir/err"
report a_key_on_a_line_of_its_own_is_refused_and_not_repeated

convert "[$private]\n[Peer]\nPublicKey = $public\n[$lonely]\nPublicKey = x\n"
[[ $(grep -c 'section' "$dir/err") == 2 && $(value WG_PUBLIC_KEY) == "$public" ]] &&
	! grep -q -e "$private" -e "$lonely" "$dir/err"
report unknown_sections_are_noted_and_not_repeated

convert "[Interface]\nAddress = 10.0.0.2, $private\nAddress = $(printf %064d 1)\n[Peer]\n"
[[ $(grep -c 'a second address of its family is left out$' "$dir/err") == 2 ]]
report a_key_as_an_address_is_not_repeated

# What an earlier file has left in the environment.
stale=(WG_PRESHARED_KEY=stale WG_LISTEN_PORT=1 WG_MTU=1 WG_KEEPALIVE=1)
convert "[Interface]\nPrivateKey = $private\nMTU =\n[Peer]\nPublicKey = $public\n"
left=$(env -i "${stale[@]}" sh -c 'eval "$(cat "$1")"; env' sh "$dir/out" | grep '^WG_' | sort | paste -sd' ')
[[ $left == "WG_KEEPALIVE=off WG_PRIVATE_KEY=$private WG_PUBLIC_KEY=$public" ]]
report optional_values_that_the_file_lacks_do_not_stay

printf '[Interface]\n' >"$dir/bad.conf"
! sh -c 'vars=$(tools/wg_conf_to_env.sh "$1") && eval "$vars" && echo went on' sh "$dir/bad.conf" \
	>"$dir/out" 2>"$dir/err" && [[ ! -s $dir/out ]]
report the_documented_call_stops_after_a_mistake

status=0
tools/wg_conf_to_env.sh "$dir/missing.conf" >"$dir/out" 2>"$dir/err" || status=$?
refused 'missing.conf'
report missing_file_is_refused

status=0
tools/wg_conf_to_env.sh "$dir" >"$dir/out" 2>"$dir/err" || status=$?
refused 'cannot read'
report folder_is_refused

status=0
tools/wg_conf_to_env.sh >"$dir/out" 2>"$dir/err" || status=$?
[[ $status -eq 2 ]] && grep -q usage "$dir/err"
report usage

printf "$plain" >"$dir/a=b.conf"
tools/wg_conf_to_env.sh "$dir/a=b.conf" >"$dir/out" 2>"$dir/err" && grep -q WG_PRIVATE_KEY "$dir/out"
report file_name_with_an_equals_sign

convert "$plain"
env -i sh -c 'vars=$(tools/wg_conf_to_env.sh "$1") && eval "$vars" || exit
	export LOCAL_PORT=8080 TARGET_HOST=localhost TARGET_PORT=80; "$2" --check' \
	sh "$dir/wg0.conf" "$program" >"$dir/out" 2>"$dir/err"
report wg_tinyproxy_accepts_the_result
grep -q "$(echo "$private" | "$program" pubkey)" "$dir/out"
report the_key_arrives

exit $failed
