// SPDX-License-Identifier: MIT
/* The wide checksum against RFC 1071's definition, byte pair by byte pair. */
#include "arch/cc.h"
#include "stack_pair.h"

#include <criterion/criterion.h>

static uint16_t by_definition(const uint8_t *bytes, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2) {
		uint16_t pair = 0;

		memcpy(&pair, bytes + i, len - i < 2 ? 1 : 2);
		sum += pair;
		sum = (sum & UINT16_MAX) + (sum >> 16);
	}
	return (uint16_t)sum;
}

Test(chksum, every_length_and_alignment)
{
	uint8_t bytes[2048 + 8];
	uint64_t seed = 99;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(pair_random(&seed) >> 40);
	for (size_t len = 0; len <= 2048; len++) {
		const uint8_t *start = bytes + len % 8;

		cr_assert_eq(stack_port_chksum(start, (int)len), by_definition(start, len), "%zu",
			     len);
	}
}

/* RFC 1071, section 3: the words 0001 f203 f4f5 f6f7 sum up to ddf2. */
Test(chksum, rfc1071_example)
{
	static const uint8_t words[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	uint16_t sum = stack_port_chksum(words, sizeof(words));

	cr_assert_arr_eq(((uint8_t[]){(uint8_t)sum, (uint8_t)(sum >> 8)}),
			 ((uint8_t[]){0xdd, 0xf2}), 2);
}

Test(chksum, carries_all_the_way)
{
	uint8_t bytes[65535];

	memset(bytes, 0xff, sizeof(bytes));
	cr_assert_eq(stack_port_chksum(bytes, sizeof(bytes)), by_definition(bytes, sizeof(bytes)));
}
