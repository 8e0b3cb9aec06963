/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The four messages as they lie on the wire (paper, section 5.4). Integers are little-endian byte
 * arrays, so that any buffer at any alignment can be looked at through these types. The type field
 * takes in the three reserved zero bytes behind it.
 */
enum message_type {
	MESSAGE_INITIATION = 1,
	MESSAGE_RESPONSE = 2,
	MESSAGE_COOKIE_REPLY = 3,
	MESSAGE_DATA = 4,
};

enum { TIMESTAMP_LEN = 12, MESSAGE_TAG_LEN = 16 };

/* The end of both handshake messages. */
struct message_macs {
	uint8_t mac1[16];
	uint8_t mac2[16];
};

struct message_initiation {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t ephemeral[32];
	uint8_t sealed_static[32 + MESSAGE_TAG_LEN];
	uint8_t sealed_timestamp[TIMESTAMP_LEN + MESSAGE_TAG_LEN];
	struct message_macs macs;
};

struct message_response {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t receiver[4];
	uint8_t ephemeral[32];
	uint8_t sealed_nothing[MESSAGE_TAG_LEN];
	struct message_macs macs;
};

struct message_cookie_reply {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t nonce[24];
	uint8_t sealed_cookie[16 + MESSAGE_TAG_LEN];
};

/* Before the sealed inner packet. */
struct message_data {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t counter[8];
};

_Static_assert(sizeof(struct message_initiation) == 148, "paper, section 5.4.2");
_Static_assert(sizeof(struct message_response) == 92, "paper, section 5.4.3");
_Static_assert(sizeof(struct message_cookie_reply) == 64, "paper, section 5.4.7");
_Static_assert(sizeof(struct message_data) == 16, "paper, section 5.4.6");
_Static_assert(offsetof(struct message_initiation, sealed_static) == 40, "paper, section 5.4.2");
_Static_assert(offsetof(struct message_initiation, sealed_timestamp) == 88, "paper, section 5.4.2");
_Static_assert(offsetof(struct message_initiation, macs) == 116, "paper, section 5.4.2");
_Static_assert(offsetof(struct message_response, ephemeral) == 12, "paper, section 5.4.3");
_Static_assert(offsetof(struct message_response, macs) == 60, "paper, section 5.4.3");
_Static_assert(offsetof(struct message_cookie_reply, sealed_cookie) == 32, "paper, section 5.4.7");
_Static_assert(offsetof(struct message_data, counter) == 8, "paper, section 5.4.6");

static inline uint32_t le32_get(const uint8_t bytes[static 4])
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static inline void le32_put(uint8_t bytes[static 4], uint32_t value)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t le64_get(const uint8_t bytes[static 8])
{
	return (uint64_t)le32_get(bytes + 4) << 32 | le32_get(bytes);
}

static inline void le64_put(uint8_t bytes[static 8], uint64_t value)
{
	le32_put(bytes, (uint32_t)value);
	le32_put(bytes + 4, (uint32_t)(value >> 32));
}
