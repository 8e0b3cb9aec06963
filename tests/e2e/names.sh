#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# DNS names for target and endpoint, with a real name server in the peer's namespace.
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/net.bash

mode=egress

# `ip netns exec` shows its namespace /etc/netns/NAME/resolv.conf as /etc/resolv.conf.
dns_up() {
	command -v dnsmasq >/dev/null || skip "needs dnsmasq"
	net_prepare
	mkdir -p "/etc/netns/$proxy_ns"
	echo "nameserver $OUTER" >"/etc/netns/$proxy_ns/resolv.conf"
	: >"$CASE/hosts"
	start dnsmasq "${at_peer[@]}" dnsmasq --no-daemon --conf-file=/dev/null --no-resolv \
		--no-hosts --addn-hosts="$CASE/hosts" --local=/test/ --local-ttl=1 --user=root \
		--pid-file= --log-queries --bind-interfaces --listen-address="$OUTER"
	wait_for 5 dnsmasq logged dnsmasq 'read .*hosts'
}

# The zone's only records from now on.
records() { # [ADDRESS NAME]...
	printf '%s %s\n' "$@" >"$CASE/hosts"
	kill -HUP "${pid_of[dnsmasq]}"
}

target_up() { serve target traffic serve "${target[@]}"; }

new_connection() {
	"${client[@]}" "$WORK/bin/traffic" ping "${dial[@]}" up=64 down=64 timeout_ms=1500
}

asked_for() { logged dnsmasq "query.* $1 "; }

target_by_name() { # ADDRESS
	dns_up
	records "$1" target.test
	start_proxy TARGET_HOST=target.test
	target_up
	wait_for 10 "a connection" new_connection
}

case_target_by_name_egress() { target_by_name 127.0.0.1; }

case_target_by_name_ingress() {
	mode=ingress
	target_by_name "$PEER"
}

case_target_by_name_ipv6() {
	dns_up
	records ::1 target.test
	target=(::1 7000)
	start_proxy TARGET_HOST=target.test
	target_up
	wait_for 10 "a connection" new_connection
}

case_endpoint_by_name() {
	dns_up
	records "$OUTER" vpn.test
	start_proxy WG_ENDPOINT=vpn.test:51820
	wait_for 10 "a session" has_session
}

case_target_appears_late() {
	dns_up
	start_proxy TARGET_HOST=target.test
	target_up
	wait_for 5 "a question" asked_for target.test
	! new_connection || die "connected without an address"
	records 127.0.0.1 target.test
	wait_for 20 "a connection" new_connection
}

case_endpoint_appears_late() {
	dns_up
	start_proxy WG_ENDPOINT=vpn.test:51820
	wait_for 5 "a question" asked_for vpn.test
	records "$OUTER" vpn.test
	wait_for 20 "a session" has_session
}

# Handshakes that nobody answers make it ask again.
case_endpoint_was_wrong() {
	dns_up
	records 192.0.2.99 vpn.test
	start_proxy WG_ENDPOINT=vpn.test:51820
	wait_for 5 "a question" asked_for vpn.test
	! within 2 has_session || die "a session with nobody"
	records "$OUTER" vpn.test
	wait_for 30 "a session" has_session
}

page_is() { # TEXT
	[[ $("${client[@]}" curl -s -m 2 "http://${dial[0]}:${dial[1]}/") == "$1" ]]
}

# A new deployment of the target under its old name is followed when the record's time is over.
case_target_moves() {
	dns_up
	records 127.0.0.1 target.test
	start_proxy TARGET_HOST=target.test
	serve old webpage 127.0.0.1 7000 "the old page"
	serve new webpage 127.0.0.2 7000 "the new page"
	wait_for 10 "the old page" page_is "the old page"
	records 127.0.0.2 target.test
	wait_for 20 "the new page" page_is "the new page"
}

need_namespaces
run_cases_together "$@"
