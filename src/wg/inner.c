// SPDX-License-Identifier: MIT
#include "inner.h"

#include "base/addr.h"

/* RFC 791, section 3.1, and RFC 8200, section 3. */
enum {
	IPV4_HEADER_LEN = 20,
	IPV4_TOTAL_LEN = 2,
	IPV4_SOURCE = 12,
	IPV4_DESTINATION = 16,
	IPV6_HEADER_LEN = 40,
	IPV6_PAYLOAD_LEN = 4,
	IPV6_SOURCE = 8,
	IPV6_DESTINATION = 24,
};

static uint32_t be16_get(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 8 | bytes[1];
}

bool inner_parse(struct inner *inner, const uint8_t *packet, size_t len)
{
	if (len >= IPV4_HEADER_LEN && packet[0] >> 4 == 4) {
		inner->family = ADDR_V4;
		inner->len = be16_get(packet + IPV4_TOTAL_LEN);
		inner->source = packet + IPV4_SOURCE;
		inner->destination = packet + IPV4_DESTINATION;
		return inner->len >= IPV4_HEADER_LEN && inner->len <= len;
	}
	if (len >= IPV6_HEADER_LEN && packet[0] >> 4 == 6) {
		inner->family = ADDR_V6;
		inner->len = IPV6_HEADER_LEN + be16_get(packet + IPV6_PAYLOAD_LEN);
		inner->source = packet + IPV6_SOURCE;
		inner->destination = packet + IPV6_DESTINATION;
		return inner->len <= len;
	}
	return false;
}
