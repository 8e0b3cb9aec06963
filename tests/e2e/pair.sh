#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Two of us and nobody else, over loopback, without any privilege: when root runs this, both work as
# a user that owns nothing and has no capability.
# shellcheck disable=SC2034,SC2120,SC2154 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash
source tests/e2e/shapes.bash

BULK_BYTES=${E2E_PAIR_BYTES:-$((256 * MIB))}
proxies=(egress ingress)
[[ $(id -u) != 0 ]] || as_user "$UNPRIVILEGED"

tunnel() { pair_up "$@"; }

tunnel6() {
	inner_egress=fd88::1 inner_ingress=fd88::2
	pair_up "$@"
}

case_as_whoever_runs_this() {
	as=()
	tunnel
	target_up
	traffic bulk "${dial[@]}" conns=10 up=$MIB down=$MIB random=1
}

case_target_over_ipv6() {
	pair_prepare
	target=(::1 "${target[1]}")
	start_egress TARGET_HOST=::1
	start_ingress
	target_up
	traffic bulk "${dial[@]}" conns=10 up=$MIB down=$MIB random=1
}

run_cases "$@"
