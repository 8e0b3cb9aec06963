/* SPDX-License-Identifier: MIT */
#pragma once

#include "aead.h"

/*
 * One way to compute ChaCha20-Poly1305. seal() and open() keep the promises of aead_seal() and
 * aead_open(); a job that does not open has its data zeroed by every engine alike.
 */
struct aead_engine {
	const char *name;
	bool (*start)(void); /* false when this CPU lacks the instructions */
	void (*seal)(const struct aead_key *key, struct aead_job *jobs, size_t count);
	void (*open)(const struct aead_key *key, struct aead_job *jobs, size_t count);
};

extern const struct aead_engine aead_engine_libsodium; /* everywhere; the reference */
#ifdef HAVE_IPSEC_MB
extern const struct aead_engine aead_engine_avx512;
extern const struct aead_engine aead_engine_avx2;
#endif

enum { AEAD_NONCE_LEN = 12 };

/* Four zero bytes, then the counter: the paper, section 5.4.6. */
void aead_nonce(uint8_t nonce[static AEAD_NONCE_LEN], uint64_t counter);

/* True when `engine` gives the same bytes as the reference and refuses what is forged. */
bool aead_self_test(const struct aead_engine *engine);
