# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with lib.bash and the scripts
# Two instances of our program that face each other over loopback, for a script that has sourced
# lib.bash. Needs no privilege.
#
#	client -> 127.0.0.1:$dial  ingress  == tunnel over loopback UDP ==  egress -> 127.0.0.1:$target
#
# $egress_env and $ingress_env may be added to between pair_prepare and start_egress, start_ingress.

here=() # no prefix: the namespace that the script runs in
inner_egress=10.88.0.1 inner_ingress=10.88.0.2

pair_prepare() {
	local udp_ingress name # $udp_egress is for scripts that put something in between
	for name in egress ingress psk; do make_key "$name"; done
	udp_egress=$(free_port) udp_ingress=$(free_port)
	dial=(127.0.0.1 "$(free_port)") target=(127.0.0.1 "$(free_port)")
	health_egress=$(free_port) health_ingress=$(free_port)
	egress_env=(PROXY_MODE=egress WG_PRIVATE_KEY="${key_of[egress]}"
		WG_PUBLIC_KEY="${public_of[ingress]}" WG_PRESHARED_KEY="${key_of[psk]}"
		WG_ADDRESS="$inner_egress" WG_ALLOWED_IP="$inner_ingress"
		WG_LISTEN_PORT="$udp_egress" WG_ENDPOINT="127.0.0.1:$udp_ingress"
		LOCAL_PORT=8000 TARGET_HOST="${target[0]}" TARGET_PORT="${target[1]}"
		HEALTH_PORT="$health_egress")
	ingress_env=(PROXY_MODE=ingress WG_PRIVATE_KEY="${key_of[ingress]}"
		WG_PUBLIC_KEY="${public_of[egress]}" WG_PRESHARED_KEY="${key_of[psk]}"
		WG_ADDRESS="$inner_ingress" WG_ALLOWED_IP="$inner_egress"
		WG_LISTEN_PORT="$udp_ingress" WG_ENDPOINT="127.0.0.1:$udp_egress"
		LISTEN_ADDR=127.0.0.1 LOCAL_PORT="${dial[1]}"
		TARGET_HOST="$inner_egress" TARGET_PORT=8000 HEALTH_PORT="$health_ingress")
}

start_egress() { # [VARIABLE=VALUE...]
	proxy egress here "${egress_env[@]}" "$@"
	wait_for 10 "egress to be ready" answers 200 here "$health_egress" /health
}

start_ingress() { # [VARIABLE=VALUE...]
	proxy ingress here "${ingress_env[@]}" "$@"
	wait_for 10 "ingress to be ready" answers 200 here "$health_ingress" /health
}

pair_up() { # [VARIABLE=VALUE...]: for both
	pair_prepare
	start_egress "$@"
	start_ingress "$@"
}
