# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the files beside it
# Where the program under test stands. Each role is brought up in two steps, so that the second one
# can be timed:
#
#	pair	  client -> ingress == loopback UDP ==> egress -> server	no privilege
#	egress	  client -> wireguard-go == veth ==> program -> server	two namespaces
#	ingress	  client -> program == veth ==> wireguard-go -> server	two namespaces
#
# The client of "egress" and the server of "ingress" are in the namespace of wireguard-go, the peer:
# their TCP is the kernel's.

# WG_ALLOWED_IP is one prefix with a length: that is what all programs understand.
pair_before() { # [VARIABLE=VALUE...]: for both
	pair_prepare
	client=() server=()
	ends=(ingress egress)
	egress_env+=(WG_ALLOWED_IP="$inner_ingress/32")
	ingress_env+=(WG_ALLOWED_IP="$inner_egress/32")
	launch egress here "${egress_env[@]}" "$@"
	wait_for 5 "the egress" has_udp_port egress "${egress_env[@]}"
	ingress_env+=(WG_ENDPOINT="127.0.0.1:$(udp_port egress "${egress_env[@]}")" "$@")
}

pair_now() { launch ingress here "${ingress_env[@]}"; }

beside_peer_before() { # [VARIABLE=VALUE...]
	mode=$role
	net_prepare
	members[peer]=wireguard-go
	ends=("$role" peer)
	env_of+=(WG_ADDRESS="$US" WG_ALLOWED_IP="${PEER%.*}.0/24" "$@")
}

beside_peer_now() { launch "$role" at_proxy "${env_of[@]}"; }

# All but the program whose start is timed; $dial is where it will be.
tunnel_prepare() { # [VARIABLE=VALUE...]
	case $role in
	pair) pair_before "$@" ;;
	*) beside_peer_before "$@" ;;
	esac
	serve server load serve "${target[@]}"
}

tunnel_start() {
	case $role in
	pair) pair_now ;;
	*) beside_peer_now ;;
	esac
}

# Returns when the first byte has come back: no load pays for the handshake.
tunnel_up() { # [VARIABLE=VALUE...]
	tunnel_prepare "$@"
	tunnel_start
	"${client[@]}" "$WORK/bin/load" first "${dial[@]}" 10000
}
