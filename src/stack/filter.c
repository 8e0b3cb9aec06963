// SPDX-License-Identifier: MIT
/*
 * What may reach lwIP. This end of a tunnel speaks TCP and ICMP echo, in whole packets without IP
 * options or extension headers; everything else stops here, before a parser sees it (lwIP's walk
 * over IPv6 extension headers reads beyond a packet's end).
 */
#include "inside.h"

#include "lwip/prot/ip.h"
#include "lwip/prot/ip6.h"
#include "lwip/prot/tcp.h"

/* RFC 791, 8200 and 9293: offsets and lengths in bytes. */
enum {
	IP4_LEN = 20,
	IP4_FRAGMENT_AT = 6,
	IP4_PROTOCOL_AT = 9,
	IP6_LEN = 40,
	IP6_NEXT_AT = 6,
	TCP_LEN = 20,
	TCP_OFFSET_AT = 12,
	TCP_FLAGS_AT = 13,
};

/* Without options: the first byte is version and header length. */
static bool is_ip4(const struct dgram *packet)
{
	return packet->len >= IP4_LEN && packet->data[0] == 0x45;
}

static bool is_ip6(const struct dgram *packet)
{
	return packet->len > IP6_LEN && packet->data[0] >> 4 == 6;
}

static bool is_fragment(const uint8_t *ip4)
{
	return (ip4[IP4_FRAGMENT_AT] & 0x3f) != 0 || ip4[IP4_FRAGMENT_AT + 1] != 0;
}

/* Of ICMPv6 not neighbour discovery and router messages (types 133 to 137, RFC 4861). */
static bool is_neighbour_talk(const uint8_t *icmp6)
{
	return icmp6[0] >= 133 && icmp6[0] <= 137;
}

static enum filter_kind kind_of(uint8_t protocol, uint8_t icmp)
{
	return protocol == IP_PROTO_TCP ? FILTER_TCP : protocol == icmp ? FILTER_ICMP : FILTER_OUT;
}

enum filter_kind filter(const struct dgram *packet)
{
	const uint8_t *ip = packet->data;

	if (is_ip4(packet))
		return is_fragment(ip) ? FILTER_OUT : kind_of(ip[IP4_PROTOCOL_AT], IP_PROTO_ICMP);
	if (!is_ip6(packet) ||
	    (ip[IP6_NEXT_AT] == IP6_NEXTH_ICMP6 && is_neighbour_talk(ip + IP6_LEN)))
		return FILTER_OUT;
	return kind_of(ip[IP6_NEXT_AT], IP6_NEXTH_ICMP6);
}

bool filter_wants_memory(const struct dgram *packet)
{
	bool v4 = is_ip4(packet);
	uint32_t ip_len = v4 ? IP4_LEN : IP6_LEN;
	const uint8_t *tcp = packet->data + ip_len;

	if (packet->data[v4 ? IP4_PROTOCOL_AT : IP6_NEXT_AT] != IP_PROTO_TCP ||
	    packet->len < ip_len + TCP_LEN)
		return false;
	return (tcp[TCP_FLAGS_AT] & TCP_SYN) != 0 ||
	       packet->len > ip_len + (uint32_t)(tcp[TCP_OFFSET_AT] >> 4) * 4;
}
