/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * ChaCha20-Poly1305 (RFC 8439) for transport data, in batches under one key, as WireGuard uses it:
 * no associated data, the nonce is four zero bytes and the little-endian counter. Engines differ in
 * speed only: all give the same bytes, which a self-test at start and differential tests hold them
 * to. The handshake's few seals and opens are crypto.h's.
 */
enum { AEAD_KEY_LEN = 32, AEAD_TAG_LEN = 16 };

struct aead_key {
	uint8_t bytes[AEAD_KEY_LEN];
};

struct aead_job {
	uint8_t *data;	  /* in place: seal writes len bytes and the tag behind them;
			     open expects len bytes of ciphertext and the tag behind them */
	size_t len;	  /* bytes of text, without the tag; 0..65535 */
	uint64_t counter; /* RFC 8439 nonce: four zero bytes, then this, little-endian */
	bool ok;	  /* open: the tag held. When false the data is garbage: never look at it */
};

/*
 * Chooses the engine: `prefer` by name, or for NULL and "auto" the fastest one that this CPU runs
 * and that passes its self-test. Returns the name of the engine in use, NULL when `prefer` names
 * none that works here (the engine in use then stays what it was). Call before any other
 * function.
 */
const char *aead_init(const char *prefer);

/* The name of the engine that runs. */
const char *aead_in_use(void);

/* The names that aead_init() accepts on this build, NULL at the end. */
const char *aead_engine_name(size_t index);

/* Borrows the jobs and their data until return. Jobs may not overlap. */
void aead_seal(const struct aead_key *key, struct aead_job *jobs, size_t count);
void aead_open(const struct aead_key *key, struct aead_job *jobs, size_t count);
