/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "wg.h"

/*
 * The allowed IPs, for the inner sources that we accept and the destinations that we send to. There
 * is one peer, so the longest prefix decides nothing that a shorter one round it would not: nested
 * prefixes are left out, and what remains is disjoint, sorted, and searched by halving.
 */
struct allowed_family {
	struct cidr list[WG_ALLOWED_MAX]; /* by address */
	size_t count;
};

struct allowed {
	struct allowed_family v4, v6;
};

/* `count` at most WG_ALLOWED_MAX. */
void allowed_init(struct allowed *allowed, const struct cidr *list, size_t count);

/* `ip` has addr_ip_len(family) bytes. */
bool allowed_contains(const struct allowed *allowed, uint8_t family, const uint8_t *ip);
