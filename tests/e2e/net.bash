# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with lib.bash and the scripts
# A real WireGuard peer for the cases of a script that has sourced lib.bash: two network namespaces
# joined by a veth pair, wireguard-go in one, our program in the other.
#
#	namespace "proxy"                                   namespace "peer"
#	our program  192.0.2.2, 2001:db8::2 <-- veth --> 192.0.2.1, 2001:db8::1  wireguard-go
#	             10.77.0.2, fd77::2     <== tunnel ==> 10.77.0.1, fd77::1
#
# Ports are fixed, since both namespaces are new: 51820 for WireGuard (51821 for ours, where it is
# fixed), 7000 for targets, 8000 for LOCAL_PORT, 9000 for health.

OUTER=192.0.2.1 OUTER6=2001:db8::1 OURS=192.0.2.2 PEER=10.77.0.1 PEER6=fd77::1 US=10.77.0.2 US6=fd77::2
at_proxy=() at_peer=()

need_namespaces() {
	local name why=
	[[ $(id -u) == 0 ]] || why="needs root"
	[[ -n $why || -c /dev/net/tun ]] || why="needs /dev/net/tun"
	[[ -n $why ]] || ip netns add "wgtp-$$" 2>/dev/null || why="may not make network namespaces"
	[[ -z $why ]] && ip netns del "wgtp-$$" && return
	for name in $(all_cases); do echo "SKIP $SUITE.$name: $why"; done
	exit 0
}

# Settles the addresses: without duplicate address detection they can be used at once.
add_address() { # NAMESPACE ADDRESS DEVICE
	case $2 in
	*:*) ip -n "$1" addr add "$2" dev "$3" nodad ;;
	*) ip -n "$1" addr add "$2" dev "$3" ;;
	esac
}

namespace_pair() {
	local side
	proxy_ns=wgtp-$BASHPID-proxy peer_ns=wgtp-$BASHPID-peer
	at_proxy=(ip netns exec "$proxy_ns") at_peer=(ip netns exec "$peer_ns")
	for side in "$proxy_ns" "$peer_ns"; do
		ip netns add "$side"
		namespaces+=("$side")
		ip -n "$side" link set lo up
	done
	ip link add veth0 netns "$proxy_ns" type veth peer name veth0 netns "$peer_ns"
	for side in "$proxy_ns" "$peer_ns"; do ip -n "$side" link set veth0 up; done
	add_address "$proxy_ns" "$OURS/24" veth0
	add_address "$proxy_ns" 2001:db8::2/64 veth0
	add_address "$peer_ns" "$OUTER/24" veth0
	add_address "$peer_ns" "$OUTER6/64" veth0
}

# What wireguard-go is to know of us; without an endpoint it learns ours from the handshake.
peer_admits_us() { # [WG-PEER-SETTING...]
	local secret=()
	[[ ! -e $CASE/psk ]] || secret=(preshared-key "$CASE/psk")
	wg set "$wg" peer "${public_of[us]}" allowed-ips "$US/32,$US6/128" "${secret[@]}" "$@"
}

# wireguard-go's control socket takes calls. `wg` removes one that is there and does not do so yet.
listens_to_wg() { # INTERFACE COMMAND-PREFIX...
	"${@:2}" grep -q " 00010000 .*/wireguard/$1.sock$" /proc/net/unix # __SO_ACCEPTCON
}

# That socket lies in one folder for all namespaces, so the interface's name is unique.
start_peer() { # [WG-PEER-SETTING...]
	wg=wg$BASHPID
	start wireguard-go "${at_peer[@]}" env LOG_LEVEL=error wireguard-go -f "$wg"
	wait_for 5 "wireguard-go" listens_to_wg "$wg" "${at_peer[@]}"
	wg set "$wg" private-key "$CASE/peer.key" listen-port 51820
	peer_admits_us "$@"
	add_address "$peer_ns" "$PEER/24" "$wg"
	add_address "$peer_ns" "$PEER6/64" "$wg"
	ip -n "$peer_ns" link set "$wg" mtu 1420 up
}

# Seconds since 1970 of the last handshake that the peer knows of, 0 before the first.
handshake_time() { wg show "$wg" latest-handshakes | cut -f 2; }
has_session() { [[ $(handshake_time) != 0 ]]; }

# Variables that every mode has in common, with base64 keys and IPv4 outside.
common_env() {
	env_of=(WG_PRIVATE_KEY="${key_of[us]}" WG_PUBLIC_KEY="${public_of[peer]}"
		WG_ADDRESS="$US,$US6" WG_ALLOWED_IP="10.77.0.0/24,fd77::/64"
		WG_ENDPOINT="$OUTER:51820" LOCAL_PORT=8000 TARGET_PORT=7000 HEALTH_PORT=9000)
}

# From the tunnel to the host. $dial and $dial6 are where clients connect to.
egress_env() {
	common_env
	env_of+=(PROXY_MODE=egress TARGET_HOST=127.0.0.1)
	client=("${at_peer[@]}") server=("${at_proxy[@]}")
	dial=("$US" 8000) dial6=("$US6" 8000) target=(127.0.0.1 7000) target6=(127.0.0.1 7000)
}

# From the host to the tunnel.
ingress_env() {
	common_env
	env_of+=(PROXY_MODE=ingress TARGET_HOST="$PEER")
	client=("${at_proxy[@]}") server=("${at_peer[@]}")
	dial=(127.0.0.1 8000) dial6=(127.0.0.1 8000) target=("$PEER" 7000) target6=("$PEER6" 7000)
}

start_proxy() { # [VARIABLE=VALUE...]: later ones replace those of $env_of
	proxy proxy at_proxy "${env_of[@]}" "$@"
	wait_for 10 "the proxy to be ready" answers 200 at_proxy 9000 /health
}

# bench/impair between our program and the peer, from net_prepare on and before ours starts: ours
# calls it, so "up" is from us to the peer. It runs beside us.
start_impair() { # SETTING...
	[[ -x $BUILD/bench/impair ]] || skip "$BUILD/bench/impair is not built"
	start impair "${at_proxy[@]}" "$BUILD/bench/impair" "$OURS" 51900 "$OUTER" 51820 "$@"
	wait_for 5 "the relay" logged impair '^ready '
	env_of+=(WG_ENDPOINT="$OURS:51900")
}

# shellcheck disable=SC2120 # resilience.sh gives settings
# A case of $mode, egress or ingress, up to the start of our program.
net_prepare() { # [WG-PEER-SETTING...]
	make_key us
	make_key peer
	namespace_pair
	start_peer "$@"
	"${mode}_env"
}

# All of it but the target.
net_up() { # [VARIABLE=VALUE...]
	net_prepare
	start_proxy "$@"
	wait_for 10 "the first handshake" has_session
}

# For net_prepare and the peer; our side gets it as $WG_PRESHARED_KEY.
make_psk() {
	make_key psk
	mv "$CASE/psk.key" "$CASE/psk"
}
