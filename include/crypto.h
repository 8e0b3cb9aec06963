/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The slow path's cryptography: what a handshake and a cookie need, under the names of the
 * WireGuard paper (section 5.4). libsodium and libb2 stay behind this door. Lengths are bytes.
 */
enum {
	CRYPTO_KEY_LEN = 32, /* X25519 keys, symmetric keys, BLAKE2s digests */
	CRYPTO_HASH_LEN = 32,
	CRYPTO_MAC_LEN = 16, /* keyed BLAKE2s, as mac1, mac2 and cookies */
	CRYPTO_TAG_LEN = 16,
	CRYPTO_XNONCE_LEN = 24,
};

/* Once, before anything else. False: the library cannot start (no entropy source). */
bool crypto_init(void);

void crypto_random(void *out, size_t len);
void crypto_wipe(void *secret, size_t len);

/* Constant time. */
bool crypto_equal(const void *a, const void *b, size_t len);
bool crypto_is_zero(const void *data, size_t len);

/* A private key is clamped in place (RFC 7748, section 5). */
void crypto_clamp(uint8_t private_key[static CRYPTO_KEY_LEN]);
void crypto_public_key(uint8_t public_key[static CRYPTO_KEY_LEN],
		       const uint8_t private_key[static CRYPTO_KEY_LEN]);

/* False, and nothing usable in `shared`, when the result is all zero (a low-order point). */
bool crypto_dh(uint8_t shared[static CRYPTO_KEY_LEN],
	       const uint8_t private_key[static CRYPTO_KEY_LEN],
	       const uint8_t public_key[static CRYPTO_KEY_LEN]);

/* HASH(a || b), BLAKE2s-256. Either part may be empty. `out` may be `a`. */
void crypto_hash2(uint8_t out[static CRYPTO_HASH_LEN], const void *a, size_t a_len, const void *b,
		  size_t b_len);

/* MAC(key, data): keyed BLAKE2s-128; key_len 1..32. */
void crypto_mac(uint8_t out[static CRYPTO_MAC_LEN], const void *key, size_t key_len,
		const void *data, size_t len);

/* HMAC-BLAKE2s-256. `key` is CRYPTO_HASH_LEN bytes. */
void crypto_hmac(uint8_t out[static CRYPTO_HASH_LEN], const uint8_t key[static CRYPTO_HASH_LEN],
		 const void *data, size_t len);

/*
 * KDF1..KDF3 of the paper (HKDF over HMAC-BLAKE2s): t2 and t3 may be NULL when not wanted; t3 needs
 * t2. `t1` may be `chaining_key`.
 */
void crypto_kdf(uint8_t t1[static CRYPTO_HASH_LEN], uint8_t *t2, uint8_t *t3,
		const uint8_t chaining_key[static CRYPTO_HASH_LEN], const void *input, size_t len);

/* AEAD(key, 0, text, ad) of the handshake; out has len + CRYPTO_TAG_LEN bytes. */
void crypto_seal(uint8_t *out, const uint8_t key[static CRYPTO_KEY_LEN], const void *text,
		 size_t len, const void *ad, size_t ad_len);
/* `len` counts the tag; out has len - CRYPTO_TAG_LEN bytes. False: forged, `out` is not written. */
bool crypto_open(uint8_t *out, const uint8_t key[static CRYPTO_KEY_LEN], const uint8_t *sealed,
		 size_t len, const void *ad, size_t ad_len);

/* XAEAD of the cookie reply, 24-byte nonce; lengths as above. */
void crypto_xseal(uint8_t *out, const uint8_t key[static CRYPTO_KEY_LEN],
		  const uint8_t nonce[static CRYPTO_XNONCE_LEN], const void *text, size_t len,
		  const void *ad, size_t ad_len);
bool crypto_xopen(uint8_t *out, const uint8_t key[static CRYPTO_KEY_LEN],
		  const uint8_t nonce[static CRYPTO_XNONCE_LEN], const uint8_t *sealed, size_t len,
		  const void *ad, size_t ad_len);

/*
 * Memory for secrets: whole pages, left out of core dumps, locked where RLIMIT_MEMLOCK allows
 * (never an error when not). Zeroed; NULL when there is none. crypto_secret_free() wipes first.
 */
void *crypto_secret_alloc(size_t len);
void crypto_secret_free(void *secret, size_t len);
