// SPDX-License-Identifier: MIT
#include "symmetric.h"

static void mix_hash(struct symmetric *state, const void *data, size_t len)
{
	crypto_hash2(state->hash, state->hash, sizeof(state->hash), data, len);
}

void symmetric_init(struct symmetric *state, const void *prologue, size_t prologue_len,
		    const uint8_t responder_public[static CRYPTO_KEY_LEN])
{
	static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

	crypto_hash2(state->chaining_key, construction, sizeof(construction) - 1, NULL, 0);
	crypto_hash2(state->hash, state->chaining_key, CRYPTO_HASH_LEN, prologue, prologue_len);
	mix_hash(state, responder_public, CRYPTO_KEY_LEN);
}

void symmetric_mix_ephemeral(struct symmetric *state,
			     const uint8_t ephemeral_public[static CRYPTO_KEY_LEN])
{
	mix_hash(state, ephemeral_public, CRYPTO_KEY_LEN);
	symmetric_mix_key(state, NULL, ephemeral_public);
}

void symmetric_mix_key(struct symmetric *state, uint8_t *key,
		       const uint8_t shared[static CRYPTO_KEY_LEN])
{
	crypto_kdf(state->chaining_key, key, NULL, state->chaining_key, shared, CRYPTO_KEY_LEN);
}

bool symmetric_mix_dh(struct symmetric *state, uint8_t *key,
		      const uint8_t private_key[static CRYPTO_KEY_LEN],
		      const uint8_t public_key[static CRYPTO_KEY_LEN])
{
	uint8_t shared[CRYPTO_KEY_LEN];
	bool usable = crypto_dh(shared, private_key, public_key);

	if (usable)
		symmetric_mix_key(state, key, shared);
	crypto_wipe(shared, sizeof(shared));
	return usable;
}

void symmetric_mix_psk(struct symmetric *state, uint8_t key[static CRYPTO_KEY_LEN],
		       const uint8_t preshared_key[static CRYPTO_KEY_LEN])
{
	uint8_t to_hash[CRYPTO_HASH_LEN];

	crypto_kdf(state->chaining_key, to_hash, key, state->chaining_key, preshared_key,
		   CRYPTO_KEY_LEN);
	mix_hash(state, to_hash, sizeof(to_hash));
	crypto_wipe(to_hash, sizeof(to_hash));
}

void symmetric_seal(struct symmetric *state, const uint8_t key[static CRYPTO_KEY_LEN],
		    uint8_t *sealed, const void *text, size_t len)
{
	crypto_seal(sealed, key, text, len, state->hash, sizeof(state->hash));
	mix_hash(state, sealed, len + CRYPTO_TAG_LEN);
}

bool symmetric_open(struct symmetric *state, const uint8_t key[static CRYPTO_KEY_LEN], void *text,
		    const uint8_t *sealed, size_t len)
{
	if (!crypto_open(text, key, sealed, len, state->hash, sizeof(state->hash)))
		return false;
	mix_hash(state, sealed, len);
	return true;
}

void symmetric_split(const struct symmetric *state, uint8_t initiator[static CRYPTO_KEY_LEN],
		     uint8_t responder[static CRYPTO_KEY_LEN])
{
	crypto_kdf(initiator, responder, NULL, state->chaining_key, NULL, 0);
}
