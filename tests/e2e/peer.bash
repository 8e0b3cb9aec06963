# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2120,SC2154 # variables are shared with the files it sources
# wireguard-go is the peer: what has to work in both modes. $mode is set by the script.

source tests/e2e/lib.bash
source tests/e2e/net.bash
source tests/e2e/shapes.bash

BULK_BYTES=${E2E_BULK_BYTES:-$((1024 * MIB))}
proxies=(proxy)

tunnel() { net_up "$@"; }

tunnel6() {
	net_up "${ipv6_target[@]}" "$@"
	dial=("${dial6[@]}") target=("${target6[@]}")
}

pings() { "${at_peer[@]}" ping -q -n -c 3 -i 0.2 -W 2 "$1"; }

case_ping() {
	net_up
	pings "$US" || die "no answer on $US"
	pings "$US6" || die "no answer on $US6"
	"${at_peer[@]}" ping -q -n -c 2 -i 0.2 -W 2 -s 1300 "$US" || die "no answer to long ones"
}

# One round of everything for a tunnel that was set up in another way.
exchange() {
	target_up
	traffic bulk "${dial[@]}" conns=10 up=$MIB down=$MIB random=1
	pings "$US"
}

case_ipv6_outside() {
	net_up WG_ENDPOINT="[$OUTER6]:51820"
	exchange
	wg show "$wg" endpoints | grep -qF '[2001:db8::2]' || die "not over IPv6"
}

case_preshared_key() {
	make_psk
	net_up WG_PRESHARED_KEY="${key_of[psk]}"
	exchange
}

# A preshared key that is ignored is none.
case_wrong_preshared_key() {
	make_psk
	net_prepare
	start_proxy WG_PRESHARED_KEY="${key_of[us]}"
	! within 3 has_session || die "a session without the preshared key"
}

case_hex_keys() {
	make_psk
	make_key us
	make_key peer
	net_up WG_PRIVATE_KEY="$(to_hex "${key_of[us]}")" \
		WG_PUBLIC_KEY="$(to_hex "${public_of[peer]}")" \
		WG_PRESHARED_KEY="$(to_hex "${key_of[psk]}")"
	exchange
}

case_small_mtu() {
	net_up WG_MTU=1280
	exchange
}

need_namespaces
run_cases "$@"
