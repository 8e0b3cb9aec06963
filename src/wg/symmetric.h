/* SPDX-License-Identifier: MIT */
#pragma once

#include "crypto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The Noise framework's symmetric state (revision 34, section 5.2): the hash of all that was said
 * and the chaining key of all that was agreed on. Each message key is used once, with nonce 0.
 */
struct symmetric {
	uint8_t hash[CRYPTO_HASH_LEN];
	uint8_t chaining_key[CRYPTO_HASH_LEN];
};

/* Begins an IKpsk2 handshake with the owner of `responder_public`. */
void symmetric_init(struct symmetric *state, const void *prologue, size_t prologue_len,
		    const uint8_t responder_public[static CRYPTO_KEY_LEN]);

/* Token e: MixHash, then MixKey since a preshared key takes part (section 9.2). */
void symmetric_mix_ephemeral(struct symmetric *state,
			     const uint8_t ephemeral_public[static CRYPTO_KEY_LEN]);

/* MixKey. `key`, when not NULL, becomes the next message key. */
void symmetric_mix_key(struct symmetric *state, uint8_t *key,
		       const uint8_t shared[static CRYPTO_KEY_LEN]);

/* Tokens es, ee, se: MixKey of a Diffie-Hellman result. False, state useless: it is all zero. */
bool symmetric_mix_dh(struct symmetric *state, uint8_t *key,
		      const uint8_t private_key[static CRYPTO_KEY_LEN],
		      const uint8_t public_key[static CRYPTO_KEY_LEN]);

/* Token psk: MixKeyAndHash. */
void symmetric_mix_psk(struct symmetric *state, uint8_t key[static CRYPTO_KEY_LEN],
		       const uint8_t preshared_key[static CRYPTO_KEY_LEN]);

/* EncryptAndHash; `sealed` has len + CRYPTO_TAG_LEN bytes. */
void symmetric_seal(struct symmetric *state, const uint8_t key[static CRYPTO_KEY_LEN],
		    uint8_t *sealed, const void *text, size_t len);

/* DecryptAndHash; `len` counts the tag. False: forged. */
bool symmetric_open(struct symmetric *state, const uint8_t key[static CRYPTO_KEY_LEN], void *text,
		    const uint8_t *sealed, size_t len);

/* Split: the initiator's sending key and the responder's. */
void symmetric_split(const struct symmetric *state, uint8_t initiator[static CRYPTO_KEY_LEN],
		     uint8_t responder[static CRYPTO_KEY_LEN]);
