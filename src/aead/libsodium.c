// SPDX-License-Identifier: MIT
/* The engine that runs everywhere. */
#include "engine.h"

#include <sodium.h>

static bool start(void)
{
	return true;
}

static void seal_batch(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	uint8_t nonce[AEAD_NONCE_LEN];

	for (struct aead_job *job = jobs; job < jobs + count; job++) {
		aead_nonce(nonce, job->counter);
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(job->data, job->data + job->len,
								   NULL, job->data, job->len, NULL,
								   0, NULL, nonce, key->bytes);
	}
}

/* libsodium compares the tags in constant time and zeroes the output of a forged message. */
static void open_batch(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	uint8_t nonce[AEAD_NONCE_LEN];

	for (struct aead_job *job = jobs; job < jobs + count; job++) {
		aead_nonce(nonce, job->counter);
		job->ok = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
				  job->data, NULL, job->data, job->len, job->data + job->len, NULL,
				  0, nonce, key->bytes) == 0;
	}
}

const struct aead_engine aead_engine_libsodium = {
	.name = "libsodium",
	.start = start,
	.seal = seal_batch,
	.open = open_batch,
};
