// SPDX-License-Identifier: MIT
/* An engine against the reference: some microseconds, once, before it touches anybody's bytes. */
#include "engine.h"

#include <string.h>

static const size_t lengths[] = {
	0,   1,	       /* next to nothing */
	15,  16,  17,  /* round a Poly1305 block */
	63,  64,  65,  /* round a ChaCha20 block */
	127, 128, 129, /* and round 2, 4, 8 and 16 of those side by side */
	255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 1420, 2048, /* full packets */
};

enum { CASES = sizeof(lengths) / sizeof(lengths[0]), ROOM = 2048 + AEAD_TAG_LEN };

struct text {
	uint8_t bytes[ROOM];
};

static void fill(struct text *text, size_t seed)
{
	for (size_t i = 0; i < ROOM; i++)
		text->bytes[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

static bool same(const struct text *a, const struct text *b)
{
	return memcmp(a->bytes, b->bytes, ROOM) == 0;
}

/* One length: sealed alike, opened again, and refused once a bit of the tag is flipped. */
static bool passes(const struct aead_engine *engine, const struct aead_key *key, size_t len)
{
	struct text plain, mine, reference;
	struct aead_job job = {.data = mine.bytes, .len = len, .counter = UINT64_MAX - len};
	struct aead_job expected = {.data = reference.bytes, .len = len, .counter = job.counter};

	fill(&plain, len);
	mine = reference = plain;
	engine->seal(key, &job, 1);
	aead_engine_libsodium.seal(key, &expected, 1);
	if (!same(&mine, &reference))
		return false;
	engine->open(key, &job, 1);
	if (!job.ok || memcmp(mine.bytes, plain.bytes, len) != 0)
		return false;
	mine = reference;
	mine.bytes[len + len % AEAD_TAG_LEN] ^= 0x80;
	engine->open(key, &job, 1);
	return !job.ok;
}

bool aead_self_test(const struct aead_engine *engine)
{
	struct aead_key key;

	for (size_t i = 0; i < AEAD_KEY_LEN; i++)
		key.bytes[i] = (uint8_t)(0x80 + 3 * i);
	for (size_t i = 0; i < CASES; i++) {
		if (!passes(engine, &key, lengths[i]))
			return false;
	}
	return true;
}
