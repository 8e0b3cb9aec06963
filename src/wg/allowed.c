// SPDX-License-Identifier: MIT
#include "allowed.h"

static bool cidr_within(const struct cidr *inner, const struct cidr *outer)
{
	return outer->bits <= inner->bits && cidr_contains(outer, inner->family, inner->ip);
}

/* Another one covers list[at]; of equal ones the first stays. */
static bool is_nested(const struct cidr *list, size_t count, size_t at)
{
	for (size_t i = 0; i < count; i++) {
		if (i == at || !cidr_within(&list[at], &list[i]))
			continue;
		if (list[i].bits < list[at].bits || i < at)
			return true;
	}
	return false;
}

static void insert(struct allowed_family *family, const struct cidr *cidr)
{
	size_t at = family->count++;

	for (; at > 0 && memcmp(family->list[at - 1].ip, cidr->ip, sizeof(cidr->ip)) > 0; at--)
		family->list[at] = family->list[at - 1];
	family->list[at] = *cidr;
}

void allowed_init(struct allowed *allowed, const struct cidr *list, size_t count)
{
	allowed->v4.count = 0;
	allowed->v6.count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!is_nested(list, count, i))
			insert(list[i].family == ADDR_V4 ? &allowed->v4 : &allowed->v6, &list[i]);
	}
}

bool allowed_contains(const struct allowed *allowed, uint8_t family, const uint8_t *ip)
{
	const struct allowed_family *of = family == ADDR_V4 ? &allowed->v4 : &allowed->v6;
	size_t ip_len = addr_ip_len(family);
	size_t low = 0;
	size_t high = of->count;

	/* The prefixes are disjoint: only the last that begins at or below `ip` can hold it. */
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (memcmp(of->list[middle].ip, ip, ip_len) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && cidr_contains(&of->list[low - 1], family, ip);
}
