#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# DNS names for target and endpoint, with a real name server in the peer's namespace.
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/net.bash

mode=egress

# `ip netns exec` shows its namespace /etc/netns/NAME/resolv.conf as /etc/resolv.conf.
dns_up() { # [LINE-OF-RESOLV.CONF]...
	command -v dnsmasq >/dev/null || skip "needs dnsmasq"
	net_prepare
	mkdir -p "/etc/netns/$proxy_ns"
	printf '%s\n' "nameserver $OUTER" "$@" >"/etc/netns/$proxy_ns/resolv.conf"
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

fetch() { "${client[@]}" curl -s -m "${1:-2}" "http://${dial[0]}:${dial[1]}/"; } # [SECONDS]

page_is() { [[ $(fetch) == "$1" ]]; } # TEXT

# --- one address ----------------------------------------------------------------------------------

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

case_target_appears_late() {
	dns_up
	start_proxy TARGET_HOST=target.test
	target_up
	wait_for 5 "a question" asked_for target.test
	! new_connection || die "connected without an address"
	records 127.0.0.1 target.test
	wait_for 20 "a connection" new_connection
}

# --- as in a pod ----------------------------------------------------------------------------------

# The resolv.conf that Kubernetes writes.
pod_resolv_conf=("search here.svc.cluster.test svc.cluster.test cluster.test" "options ndots:5")

case_service_of_another_namespace() {
	dns_up "${pod_resolv_conf[@]}"
	records 127.0.0.1 web.there.svc.cluster.test
	start_proxy TARGET_HOST=web.there
	target_up
	wait_for 10 "a connection" new_connection
	asked_for web.there.here.svc.cluster.test || die "the search list was not followed"
}

case_whole_name_in_a_pod() {
	dns_up "${pod_resolv_conf[@]}"
	records "$OUTER" vpn.example.test 127.0.0.1 target.example.test
	start_proxy WG_ENDPOINT=vpn.example.test:51820 TARGET_HOST=target.example.test.
	target_up
	wait_for 10 "a connection" new_connection
	asked_for vpn.example.test.cluster.test || die "the search list was not followed"
	! asked_for target.example.test.cluster.test || die "searched for a name with a dot at its end"
}

# As in an image that holds nothing but the program: no shared library, no nsswitch.conf.
case_empty_root() {
	local root=$CASE/root
	! ldd "$WORK/bin/wg-tinyproxy" | grep -q '=>' || skip "needs a static program"
	dns_up
	records "$OUTER" vpn.test 127.0.0.1 target.test
	mkdir -p "$root/etc"
	cp "$WORK/bin/wg-tinyproxy" "$root/"
	cp "/etc/netns/$proxy_ns/resolv.conf" "$root/etc/"
	echo "127.0.0.1 localhost" >"$root/etc/hosts"
	start proxy "${at_proxy[@]}" env -i "${env_of[@]}" WG_ENDPOINT=vpn.test:51820 \
		TARGET_HOST=target.test "$(command -v chroot)" "$root" /wg-tinyproxy
	target_up
	wait_for 10 "a connection" new_connection
}

# systemd-resolved and others keep resolv.conf in /run: the sandbox has to let it be read there.
case_linked_resolv_conf() {
	local root=$CASE/root
	! ldd "$WORK/bin/wg-tinyproxy" | grep -q '=>' || skip "needs a static program"
	dns_up
	mkdir -p "$root/etc" "$root/run/resolve"
	cp "$WORK/bin/wg-tinyproxy" "$root/"
	cp "/etc/netns/$proxy_ns/resolv.conf" "$root/run/resolve/stub.conf"
	ln -s ../run/resolve/stub.conf "$root/etc/resolv.conf"
	start proxy "${at_proxy[@]}" env -i "${env_of[@]}" TARGET_HOST=target.test \
		"$(command -v chroot)" "$root" /wg-tinyproxy
	target_up
	wait_for 5 "a question" asked_for target.test
	# Replaced, as its keeper does it.
	cp "$root/run/resolve/stub.conf" "$root/run/resolve/new" && mv "$root/run/resolve/new" "$root/run/resolve/stub.conf"
	records 127.0.0.1 target.test
	wait_for 20 "a connection" new_connection
}

# More than fits into a datagram of 512 bytes is asked for again over TCP.
case_answer_over_tcp() {
	local number
	local -a many=()
	for number in {2..60}; do many+=("127.0.0.$number" target.test); done
	dns_up
	records "${many[@]}"
	target=(0.0.0.0 "${target[1]}")
	start_proxy TARGET_HOST=target.test
	target_up
	wait_for 10 "a connection" new_connection
	logged dnsmasq 'query.* target.test ' || die "nobody asked"
}

# --- several addresses ----------------------------------------------------------------------------

pages_come() { # COUNT SECONDS: so many in a row, each in time; what they say goes to $CASE/pages
	local i
	: >"$CASE/pages"
	for ((i = 0; i < $1; i++)); do
		fetch "$2" >>"$CASE/pages" || die "no page at attempt $((i + 1))"
	done
}

probe_succeeds() { [[ $(http at_proxy 9000 '/health?mode=http&path=/') == 200 ]]; }

# Nobody listens at the other two, whichever they are; neither clients nor probes notice.
one_of_three_listens() { # ADDRESS ADDRESS ADDRESS
	local address
	records "$1" target.test "$2" target.test "$3" target.test
	start_proxy TARGET_HOST=target.test
	for address in "$@"; do
		serve page webpage "$address" 7000 "the page"
		wait_for 10 "the page at $address" page_is "the page"
		pages_come 4 2
		probe_succeeds || die "a probe failed: $(cat "$CASE/body")"
		stop page
	done
}

case_one_of_three_listens_egress() {
	dns_up
	one_of_three_listens 127.0.0.1 127.0.0.2 127.0.0.3
}

case_one_of_three_listens_ingress() {
	mode=ingress
	dns_up
	add_address "$peer_ns" 10.77.0.9/24 "$wg"
	add_address "$peer_ns" 10.77.0.10/24 "$wg"
	one_of_three_listens "$PEER" 10.77.0.9 10.77.0.10
}

# It costs the first connection that meets it a share of CONNECT_TIMEOUT; then it is tried last.
case_one_of_two_is_silent() {
	dns_up
	records 127.0.0.1 target.test 127.0.0.2 target.test
	start_proxy TARGET_HOST=target.test CONNECT_TIMEOUT=4s
	serve silent traffic silent 127.0.0.1 7000
	serve page webpage 127.0.0.2 7000 "the page"
	wait_for 10 "a session" has_session
	wait_for 10 "an answer" logged dnsmasq "target.test is 127.0.0.2"
	pages_come 2 4
	# Its share is 2 s: none of these has tried it before the other one.
	pages_come 6 1.9
}

case_connections_are_spread() {
	dns_up
	records 127.0.0.1 target.test 127.0.0.2 target.test ::1 target.test
	start_proxy TARGET_HOST=target.test
	serve one webpage 127.0.0.1 7000 "page one"
	serve two webpage 127.0.0.2 7000 "page two"
	serve three webpage ::1 7000 "page three"
	wait_for 10 "a page" fetch
	pages_come 12 2
	[[ $(sort "$CASE/pages" | uniq -c | awk '{print $1}' | xargs) == "4 4 4" ]] ||
		die "not evenly: $(sort "$CASE/pages" | uniq -c)"
}

# What lies outside the tunnel is no address for it.
case_one_of_two_is_not_allowed() {
	mode=ingress
	dns_up
	records 192.0.2.55 target.test "$PEER" target.test
	start_proxy TARGET_HOST=target.test
	serve page webpage "$PEER" 7000 "the page"
	wait_for 10 "a session" has_session
	wait_for 10 "an answer" logged dnsmasq "target.test is $PEER"
	pages_come 4 1
}

# --- changes --------------------------------------------------------------------------------------

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
	pages_come 6 2
	! grep -q old "$CASE/pages" || die "the old page came back"
}

case_name_that_vanishes() {
	dns_up
	records 127.0.0.1 target.test
	start_proxy TARGET_HOST=target.test
	serve page webpage 127.0.0.1 7000 "the page"
	wait_for 10 "the page" page_is "the page"
	records 127.0.0.1 other.test
	wait_for 20 "a failure" logged proxy "target.test does not resolve.*last addresses stay"
	pages_come 3 2
	records 127.0.0.1 target.test
	wait_for 40 "its return" logged proxy "target.test resolves again"
	[[ $(grep -c "does not resolve" "$CASE/proxy.log") == 1 ]] || die "said more than once"
}

# --- the endpoint ---------------------------------------------------------------------------------

endpoint_by_name() { # ADDRESS
	dns_up
	records "$1" vpn.test
	start_proxy WG_ENDPOINT=vpn.test:51820
	wait_for 10 "a session" has_session
}

case_endpoint_by_name() { endpoint_by_name "$OUTER"; }

case_endpoint_by_name_ipv6() { endpoint_by_name "$OUTER6"; }

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

# 2001:db8::3, nobody's, is nearest to our own address (RFC 6724, rule 9) and so the first; after it
# comes IPv4, before the other IPv6 address, which would do as well.
case_endpoint_alternates_families() {
	dns_up
	records 2001:db8::3 vpn.test "$OUTER6" vpn.test "$OUTER" vpn.test
	start_proxy WG_ENDPOINT=vpn.test:51820
	wait_for 30 "a session" has_session
	logged proxy "no answer to our handshake from \[2001:db8::3\]" || die "not the nearest first"
	wait_for 5 "a session by IPv4" logged proxy "handshake completed with $OUTER:"
}

need_namespaces
run_cases_together "$@"
