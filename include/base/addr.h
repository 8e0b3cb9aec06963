/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * IP addresses without the socket API, so that pure code can hold them. IPv4 lies in the first four
 * bytes of `ip`, the rest is zero; bytes are in network order, ports in host order. An IPv4-mapped
 * IPv6 address never gets in: addr_from_sockaddr() unmaps it.
 */
enum addr_family { ADDR_NONE = 0, ADDR_V4 = 4, ADDR_V6 = 6 };

struct addr {
	uint8_t ip[16];
	uint32_t scope; /* IPv6 zone of a link-local address, 0 otherwise */
	uint16_t port;
	uint8_t family; /* enum addr_family; ADDR_NONE: not known (yet) */
};

struct cidr {
	uint8_t ip[16]; /* host bits are zero */
	uint8_t family;
	uint8_t bits; /* 0..32 or 0..128 */
};

#define ADDR_TEXT_MAX 80 /* "[" IPv6 "%" zone "]:" port and the final NUL */

struct sockaddr;
struct sockaddr_storage;

/* Bytes of an address of this family: 4, 16, or 0 for ADDR_NONE. */
static inline size_t addr_ip_len(uint8_t family)
{
	return family == ADDR_V4 ? 4 : family == ADDR_V6 ? 16 : 0;
}

/* Same address, port and zone. */
static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->port == b->port && a->scope == b->scope &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* `ip` has addr_ip_len(family) bytes; a family that differs from the CIDR's is never inside. */
static inline bool cidr_contains(const struct cidr *cidr, uint8_t family, const uint8_t *ip)
{
	size_t whole = cidr->bits / 8;
	uint8_t rest = (uint8_t)(0xff00u >> (cidr->bits % 8));

	if (cidr->family != family || memcmp(cidr->ip, ip, whole) != 0)
		return false;
	return rest == 0 || ((cidr->ip[whole] ^ ip[whole]) & rest) == 0;
}

/* Text -> address; `text` is a bare IPv4 or IPv6 address. The port is set to 0. False: not one. */
bool addr_parse(struct addr *addr, const char *text);

/* "10.0.0.0/8", "fd00::/64"; a bare address is a /32 or /128. Host bits are cleared. */
bool cidr_parse(struct cidr *cidr, const char *text);

/* "1.2.3.4:5" or "[::1]:5"; without ":port" where the port is 0. Returns `text`. */
char *addr_format(const struct addr *addr, char text[static ADDR_TEXT_MAX]);

/*
 * Fills `sa` and returns its length. With `mapped`, IPv4 is written as ::ffff:a.b.c.d for an IPv6
 * socket that serves both families.
 */
unsigned addr_to_sockaddr(const struct addr *addr, bool mapped, struct sockaddr_storage *sa);

/* AF_INET and AF_INET6 only; anything else leaves ADDR_NONE and returns false. */
bool addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa);
