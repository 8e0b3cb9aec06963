// SPDX-License-Identifier: MIT
/*
 * What a handshake and a cookie need, under the names of the WireGuard paper (section 5.4), so that
 * the core reads like the paper and no library shows through.
 *
 *	DH(), DH-Generate()	X25519 (RFC 7748)		libsodium
 *	AEAD()			ChaCha20-Poly1305 (RFC 8439)	libsodium
 *	XAEAD()			XChaCha20-Poly1305		libsodium
 *	HASH(), MAC(), KDF()	BLAKE2s (RFC 7693)		libb2, see hash.c
 *
 * Nothing here is fast, and nothing needs to be: a handshake is a few messages every two minutes.
 * The packets in between go through the aead module.
 *
 * Two promises that callers build on:
 *
 * - An output is written when the function succeeds and only then, or it is wiped. The core can
 *   therefore open a cookie straight into the place where it will live. libsodium clears the output
 *   of a forged message, which would let a stranger erase what was there; so a message is verified
 *   before it is opened. Computing the tag of some fifty bytes twice costs nothing that matters.
 *
 * - A Diffie-Hellman result of zero is a failure. Points of low order give it for every private
 *   key, so whoever sends one would share a secret with us that depends on nothing of ours.
 *
 * The nonce of AEAD() is always zero: the handshake's symmetric state makes a new key for each
 * message, so no pair of key and nonce comes twice.
 */
#include "crypto.h"

#include "base/check.h"

#include <assert.h>
#include <sodium.h>

static_assert(CRYPTO_KEY_LEN == crypto_scalarmult_BYTES, "X25519");
static_assert(CRYPTO_KEY_LEN == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "AEAD key");
static_assert(CRYPTO_TAG_LEN == crypto_aead_chacha20poly1305_ietf_ABYTES, "AEAD tag");
static_assert(CRYPTO_XNONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "XAEAD nonce");

static const uint8_t zero_nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

bool crypto_init(void)
{
	return sodium_init() >= 0;
}

void crypto_random(void *out, size_t len)
{
	randombytes_buf(out, len);
}

void crypto_wipe(void *secret, size_t len)
{
	sodium_memzero(secret, len);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

bool crypto_is_zero(const void *data, size_t len)
{
	return sodium_is_zero(data, len) == 1;
}

void crypto_clamp(uint8_t private_key[static CRYPTO_KEY_LEN])
{
	private_key[0] &= 248;
	private_key[31] = (uint8_t)((private_key[31] & 127) | 64);
}

void crypto_public_key(uint8_t public_key[static CRYPTO_KEY_LEN],
		       const uint8_t private_key[static CRYPTO_KEY_LEN])
{
	CHECK(crypto_scalarmult_base(public_key, private_key) == 0);
}

bool crypto_dh(uint8_t shared[static CRYPTO_KEY_LEN],
	       const uint8_t private_key[static CRYPTO_KEY_LEN],
	       const uint8_t public_key[static CRYPTO_KEY_LEN])
{
	bool usable = crypto_scalarmult(shared, private_key, public_key) == 0 &&
		      !crypto_is_zero(shared, CRYPTO_KEY_LEN);

	if (!usable)
		crypto_wipe(shared, CRYPTO_KEY_LEN);
	return usable;
}

void crypto_seal(uint8_t *out, const uint8_t key[static CRYPTO_KEY_LEN], const void *text,
		 size_t len, const void *ad, size_t ad_len)
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, text, len, ad, ad_len, NULL,
						  zero_nonce, key);
}

/* A NULL output makes libsodium verify and write nothing. */
bool crypto_open(uint8_t *out, const uint8_t key[static CRYPTO_KEY_LEN], const uint8_t *sealed,
		 size_t len, const void *ad, size_t ad_len)
{
	if (crypto_aead_chacha20poly1305_ietf_decrypt(NULL, NULL, NULL, sealed, len, ad, ad_len,
						      zero_nonce, key) != 0)
		return false;
	return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len, ad, ad_len,
							 zero_nonce, key) == 0;
}

void crypto_xseal(uint8_t *out, const uint8_t key[static CRYPTO_KEY_LEN],
		  const uint8_t nonce[static CRYPTO_XNONCE_LEN], const void *text, size_t len,
		  const void *ad, size_t ad_len)
{
	crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, text, len, ad, ad_len, NULL, nonce,
						   key);
}

bool crypto_xopen(uint8_t *out, const uint8_t key[static CRYPTO_KEY_LEN],
		  const uint8_t nonce[static CRYPTO_XNONCE_LEN], const uint8_t *sealed, size_t len,
		  const void *ad, size_t ad_len)
{
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(NULL, NULL, NULL, sealed, len, ad, ad_len,
						       nonce, key) != 0)
		return false;
	return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len, ad, ad_len,
							  nonce, key) == 0;
}
