// SPDX-License-Identifier: MIT
/*
 * ChaCha20-Poly1305 for transport data: three quarters of what a packet costs, so there are several
 * engines, and the fastest one that this CPU runs is chosen at start.
 *
 *	avx512	 intel-ipsec-mb's AVX-512 code, with IFMA where the CPU has it
 *	avx2	 intel-ipsec-mb's AVX2 code
 *	libsodium  everywhere, and the reference for the others
 *
 * An engine is a row of the table below and takes a whole batch, so the call through its pointer is
 * made once per batch. Which engine runs is a fact of the process and not of a session: all give
 * the same bytes, and one is never changed under a session that is being used.
 *
 * Code that is chosen by CPU is code that the machines of its authors may never have run. Each
 * engine is therefore compared with libsodium at start (self_test.c), on lengths round all the
 * edges that block ciphers have, and one that differs is refused with a warning; the proxy then
 * runs slower and is right.
 */
#include "engine.h"

#include "base/log.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

/* The fastest first. */
static const struct aead_engine *const engines[] = {
#ifdef HAVE_IPSEC_MB
	&aead_engine_avx512,
	&aead_engine_avx2,
#endif
	&aead_engine_libsodium,
};

enum { ENGINES = sizeof(engines) / sizeof(engines[0]) };

static const struct aead_engine *in_use = &aead_engine_libsodium;

void aead_nonce(uint8_t nonce[static AEAD_NONCE_LEN], uint64_t counter)
{
	uint64_t little_endian = htole64(counter);

	memset(nonce, 0, 4);
	memcpy(nonce + 4, &little_endian, sizeof(little_endian));
}

static bool works(const struct aead_engine *engine)
{
	if (!engine->start())
		return false;
	if (aead_self_test(engine))
		return true;
	log_warn("AEAD engine %s fails its self-test on this CPU and is not used", engine->name);
	return false;
}

const char *aead_init(const char *prefer)
{
	bool any = !prefer || strcmp(prefer, "auto") == 0;

	if (sodium_init() < 0)
		return NULL;
	for (size_t i = 0; i < ENGINES; i++) {
		if ((any || strcmp(prefer, engines[i]->name) == 0) && works(engines[i])) {
			in_use = engines[i];
			return in_use->name;
		}
	}
	return NULL;
}

const char *aead_in_use(void)
{
	return in_use->name;
}

const char *aead_engine_name(size_t index)
{
	return index < ENGINES ? engines[index]->name : NULL;
}

void aead_seal(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	in_use->seal(key, jobs, count);
}

void aead_open(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	in_use->open(key, jobs, count);
}
