// SPDX-License-Identifier: MIT
#include "base/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static bool parse_zone(uint32_t *scope, const char *zone)
{
	char *end;
	unsigned long number = strtoul(zone, &end, 10);

	if (*zone >= '0' && *zone <= '9' && *end == '\0' && number <= UINT32_MAX)
		*scope = (uint32_t)number;
	else
		*scope = if_nametoindex(zone);
	return *scope != 0;
}

bool addr_parse(struct addr *addr, const char *text)
{
	char bare[INET6_ADDRSTRLEN];
	size_t bare_len = strcspn(text, "%");

	memset(addr, 0, sizeof(*addr));
	if (inet_pton(AF_INET, text, addr->ip) == 1) {
		addr->family = ADDR_V4;
		return true;
	}
	if (bare_len >= sizeof(bare))
		return false;
	memcpy(bare, text, bare_len);
	bare[bare_len] = '\0';
	if (inet_pton(AF_INET6, bare, addr->ip) != 1)
		return false;
	if (text[bare_len] == '%' && !parse_zone(&addr->scope, text + bare_len + 1))
		return false;
	addr->family = ADDR_V6;
	return true;
}

static void clear_host_bits(struct cidr *cidr)
{
	for (size_t i = 0; i < sizeof(cidr->ip); i++) {
		size_t first = i * 8;

		if (first >= cidr->bits)
			cidr->ip[i] = 0;
		else if (first + 8 > cidr->bits)
			cidr->ip[i] &= (uint8_t)(0xff00u >> (cidr->bits - first));
	}
}

bool cidr_parse(struct cidr *cidr, const char *text)
{
	char ip[INET6_ADDRSTRLEN];
	size_t ip_len = strcspn(text, "/");
	const char *bits = text + ip_len;
	struct addr addr;
	unsigned long max;

	if (ip_len >= sizeof(ip))
		return false;
	memcpy(ip, text, ip_len);
	ip[ip_len] = '\0';
	if (!addr_parse(&addr, ip) || addr.scope != 0)
		return false;
	max = addr_ip_len(addr.family) * 8;
	memcpy(cidr->ip, addr.ip, sizeof(cidr->ip));
	cidr->family = addr.family;
	cidr->bits = (uint8_t)max;
	if (*bits == '/') {
		char *end;
		unsigned long value = strtoul(bits + 1, &end, 10);

		if (bits[1] < '0' || bits[1] > '9' || *end != '\0' || value > max)
			return false;
		cidr->bits = (uint8_t)value;
	}
	clear_host_bits(cidr);
	return true;
}

char *addr_format(const struct addr *addr, char text[static ADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN] = "none";
	char zone[12] = "";
	bool v6 = addr->family == ADDR_V6;

	if (addr->family != ADDR_NONE)
		inet_ntop(v6 ? AF_INET6 : AF_INET, addr->ip, ip, sizeof(ip));
	if (addr->scope != 0)
		snprintf(zone, sizeof(zone), "%%%u", addr->scope);
	if (addr->port == 0)
		snprintf(text, ADDR_TEXT_MAX, "%s%s", ip, zone);
	else if (v6)
		snprintf(text, ADDR_TEXT_MAX, "[%s%s]:%u", ip, zone, addr->port);
	else
		snprintf(text, ADDR_TEXT_MAX, "%s:%u", ip, addr->port);
	return text;
}

unsigned addr_to_sockaddr(const struct addr *addr, bool mapped, struct sockaddr_storage *sa)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)sa;

	memset(sa, 0, sizeof(*sa));
	if (addr->family == ADDR_V4 && !mapped) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(addr->port);
		memcpy(&v4->sin_addr, addr->ip, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(addr->port);
	v6->sin6_scope_id = addr->scope;
	if (addr->family == ADDR_V6) {
		memcpy(&v6->sin6_addr, addr->ip, 16);
	} else {
		memset(v6->sin6_addr.s6_addr + 10, 0xff, 2);
		memcpy(v6->sin6_addr.s6_addr + 12, addr->ip, 4);
	}
	return sizeof(*v6);
}

bool addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;

	memset(addr, 0, sizeof(*addr));
	if (sa->sa_family == AF_INET) {
		addr->family = ADDR_V4;
		addr->port = ntohs(v4->sin_port);
		memcpy(addr->ip, &v4->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		addr->family = ADDR_V4;
		addr->port = ntohs(v6->sin6_port);
		memcpy(addr->ip, v6->sin6_addr.s6_addr + 12, 4);
	} else if (sa->sa_family == AF_INET6) {
		addr->family = ADDR_V6;
		addr->port = ntohs(v6->sin6_port);
		addr->scope = v6->sin6_scope_id;
		memcpy(addr->ip, &v6->sin6_addr, 16);
	}
	return addr->family != ADDR_NONE;
}
