#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Ingress with a real peer: clients beside us, targets in the peer's namespace.
# shellcheck disable=SC2034 # used by peer.bash
mode=ingress
ipv6_target=(TARGET_HOST=fd77::1)
source tests/e2e/peer.bash
