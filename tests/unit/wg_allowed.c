// SPDX-License-Identifier: MIT
#include "../../src/wg/allowed.h"
#include "../../src/wg/inner.h"

#include "wg_net.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(wg_allowed, .timeout = 30);

static struct allowed make(const char *const *texts, size_t count)
{
	struct cidr list[WG_ALLOWED_MAX];
	struct allowed allowed;

	for (size_t i = 0; i < count; i++)
		cr_assert(cidr_parse(&list[i], texts[i]));
	allowed_init(&allowed, list, count);
	return allowed;
}

static bool contains(const struct allowed *allowed, const char *text)
{
	struct addr addr;

	cr_assert(addr_parse(&addr, text));
	return allowed_contains(allowed, addr.family, addr.ip);
}

Test(wg_allowed, prefixes_of_both_families)
{
	const char *const texts[] = {"10.1.2.0/23", "192.168.0.1", "10.1.2.128/25",  "fd00:1::/33",
				     "2001:db8::5", "0.0.0.0/32",  "255.255.255.255"};
	const char *const inside[] = {"10.1.2.0",	"10.1.2.200", "10.1.3.255",
				      "192.168.0.1",	"0.0.0.0",    "255.255.255.255",
				      "fd00:1:7fff::1", "fd00:1::",   "2001:db8::5"};
	const char *const outside[] = {
		"10.1.1.255",	   "10.1.4.0",	    "192.168.0.0",   "192.168.0.2", "0.0.0.1",
		"255.255.255.254", "fd00:1:8000::", "fd00:0:ffff::", "2001:db8::4", "::"};
	struct allowed allowed = make(texts, sizeof(texts) / sizeof(texts[0]));

	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		cr_expect(contains(&allowed, inside[i]), "%s", inside[i]);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		cr_expect_not(contains(&allowed, outside[i]), "%s", outside[i]);
}

Test(wg_allowed, none_and_all)
{
	const char *const all_v4[] = {"0.0.0.0/0", "10.0.0.0/8", "0.0.0.0/0"};
	struct allowed nothing = make(NULL, 0);
	struct allowed v4 = make(all_v4, 3);

	cr_expect_not(contains(&nothing, "10.0.0.1"));
	cr_expect(contains(&v4, "10.0.0.1"));
	cr_expect(contains(&v4, "255.0.0.1"));
	cr_expect_not(contains(&v4, "::1"));
}

/* Against the definition: any of the list contains it. */
Test(wg_allowed, random_lists_agree_with_a_walk)
{
	uint64_t random = 3;

	for (int round = 0; round < 300; round++) {
		size_t count = wg_net_random(&random) % (WG_ALLOWED_MAX + 1);
		struct cidr list[WG_ALLOWED_MAX] = {0};
		struct allowed allowed;

		for (size_t i = 0; i < count; i++) {
			uint64_t roll = wg_net_random(&random);
			struct addr addr = {.family = roll & 1 ? ADDR_V4 : ADDR_V6};
			char ip[ADDR_TEXT_MAX];
			char text[ADDR_TEXT_MAX + 4];

			addr.ip[0] = roll >> 8 & 3;
			addr.ip[1] = (uint8_t)(roll >> 16);
			snprintf(text, sizeof(text), "%s/%u", addr_format(&addr, ip),
				 (unsigned)(roll >> 32) % 25);
			cr_assert(cidr_parse(&list[i], text));
		}
		allowed_init(&allowed, list, count);
		for (int probe = 0; probe < 300; probe++) {
			uint64_t roll = wg_net_random(&random);
			uint8_t family = roll & 1 ? ADDR_V4 : ADDR_V6;
			uint8_t ip[16] = {roll >> 8 & 3, (uint8_t)(roll >> 16),
					  (uint8_t)(roll >> 40)};
			bool expected = false;

			for (size_t i = 0; i < count; i++)
				expected |= cidr_contains(&list[i], family, ip);
			cr_assert_eq(allowed_contains(&allowed, family, ip), expected);
		}
	}
}

/* The inner length is read through the packet's own version, and never believed beyond `len`. */
Test(wg_allowed, inner_headers_that_lie)
{
	uint8_t packet[100] = {0};
	struct inner inner;

	packet[0] = 0x45;
	for (uint32_t claim = 0; claim < 200; claim++) {
		packet[3] = (uint8_t)claim;
		for (size_t len = 0; len <= sizeof(packet); len++) {
			bool ok = inner_parse(&inner, packet, len);

			cr_assert_eq(ok, len >= 20 && claim >= 20 && claim <= len);
			cr_assert(!ok || (inner.len == claim && inner.family == ADDR_V4));
		}
	}
	packet[0] = 0x60;
	packet[3] = 40; /* an IPv4 total length here would be believed by the wrong code */
	for (uint32_t claim = 0; claim < 200; claim++) {
		packet[5] = (uint8_t)claim;
		for (size_t len = 0; len <= sizeof(packet); len++) {
			bool ok = inner_parse(&inner, packet, len);

			cr_assert_eq(ok, len >= 40 && 40 + claim <= len);
			cr_assert(!ok || (inner.len == 40 + claim && inner.family == ADDR_V6));
		}
	}
	for (unsigned version = 0; version < 16; version++) {
		packet[0] = (uint8_t)(version << 4 | 5);
		packet[5] = 0;
		cr_assert_eq(inner_parse(&inner, packet, 100), version == 4 || version == 6);
	}
}
