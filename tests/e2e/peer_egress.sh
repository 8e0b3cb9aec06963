#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Egress with a real peer: clients in the peer's namespace, targets beside us.
# shellcheck disable=SC2034 # used by peer.bash
mode=egress
ipv6_target=()
source tests/e2e/peer.bash
