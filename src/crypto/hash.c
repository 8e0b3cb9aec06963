// SPDX-License-Identifier: MIT
/*
 * BLAKE2s and what the paper builds on it. MAC() is BLAKE2s with its own key parameter; HMAC() is
 * the classic construction (RFC 2104) around the unkeyed hash, because Noise asks for HKDF
 * (RFC 5869), which is defined over HMAC. The two must not be confused.
 *
 * Most of what goes through here is secret, and libb2 cleans up after itself only in part: its
 * one-shot function leaves its state on the stack, blake2s_final() the digest. So the state is
 * always ours, and finish() is the only end of it.
 */
#include "crypto.h"

#include "base/check.h"

#include <assert.h>
#include <blake2.h>
#include <sodium.h>
#include <string.h>

enum {
	HASH_BLOCK_LEN = BLAKE2S_BLOCKBYTES, /* what HMAC pads its key to */
	/* libb2 0.98 needs 140 bytes of stack with SSE, its plain version twice that. */
	HASH_STACK_LEN = 512,
};

static_assert(CRYPTO_HASH_LEN == (int)BLAKE2S_OUTBYTES, "BLAKE2s digest");

static void finish(blake2s_state *state, uint8_t *out, size_t out_len)
{
	CHECK(blake2s_final(state, out, out_len) == 0);
	crypto_wipe(state, sizeof(*state));
	sodium_stackzero(HASH_STACK_LEN);
}

void crypto_hash2(uint8_t out[static CRYPTO_HASH_LEN], const void *a, size_t a_len, const void *b,
		  size_t b_len)
{
	blake2s_state state;

	CHECK(blake2s_init(&state, CRYPTO_HASH_LEN) == 0);
	blake2s_update(&state, a, a_len);
	blake2s_update(&state, b, b_len);
	finish(&state, out, CRYPTO_HASH_LEN);
}

void crypto_mac(uint8_t out[static CRYPTO_MAC_LEN], const void *key, size_t key_len,
		const void *data, size_t len)
{
	blake2s_state state;

	CHECK(blake2s_init_key(&state, CRYPTO_MAC_LEN, key, key_len) == 0);
	blake2s_update(&state, data, len);
	finish(&state, out, CRYPTO_MAC_LEN);
}

void crypto_hmac(uint8_t out[static CRYPTO_HASH_LEN], const uint8_t key[static CRYPTO_HASH_LEN],
		 const void *data, size_t len)
{
	uint8_t inner_pad[HASH_BLOCK_LEN], outer_pad[HASH_BLOCK_LEN];
	uint8_t inner[CRYPTO_HASH_LEN];

	memset(inner_pad, 0x36, sizeof(inner_pad)); /* RFC 2104, section 2: ipad and opad */
	memset(outer_pad, 0x5c, sizeof(outer_pad));
	for (size_t i = 0; i < CRYPTO_HASH_LEN; i++) {
		inner_pad[i] ^= key[i];
		outer_pad[i] ^= key[i];
	}
	crypto_hash2(inner, inner_pad, sizeof(inner_pad), data, len);
	crypto_hash2(out, outer_pad, sizeof(outer_pad), inner, sizeof(inner));
	crypto_wipe(inner_pad, sizeof(inner_pad));
	crypto_wipe(outer_pad, sizeof(outer_pad));
	crypto_wipe(inner, sizeof(inner));
}

/* T(n) = HMAC(PRK, T(n - 1) || n), RFC 5869, section 2.3, with an empty info. */
static void expand(uint8_t out[static CRYPTO_HASH_LEN], const uint8_t prk[static CRYPTO_HASH_LEN],
		   const uint8_t *previous, uint8_t number)
{
	uint8_t input[CRYPTO_HASH_LEN + 1];
	size_t len = 0;

	if (previous) {
		memcpy(input, previous, CRYPTO_HASH_LEN);
		len = CRYPTO_HASH_LEN;
	}
	input[len] = number;
	crypto_hmac(out, prk, input, len + 1);
	crypto_wipe(input, sizeof(input));
}

void crypto_kdf(uint8_t t1[static CRYPTO_HASH_LEN], uint8_t *t2, uint8_t *t3,
		const uint8_t chaining_key[static CRYPTO_HASH_LEN], const void *input, size_t len)
{
	uint8_t prk[CRYPTO_HASH_LEN];

	CHECK(t2 || !t3);
	crypto_hmac(prk, chaining_key, input, len);
	expand(t1, prk, NULL, 1);
	if (t2)
		expand(t2, prk, t1, 2);
	if (t3)
		expand(t3, prk, t2, 3);
	crypto_wipe(prk, sizeof(prk));
}
