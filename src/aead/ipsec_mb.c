// SPDX-License-Identifier: MIT
/*
 * intel-ipsec-mb's assembly, called below its job interface. That interface takes a manager, and
 * whatever makes a manager refers to every cipher of the library: 13 MB in a static binary. The
 * two functions used here do one packet each, are global in the library's archive but in none of
 * its headers, and bring 0.4 MB. Of the manager they read one bit of `features`: whether there is
 * IFMA.
 *
 * Because no header promises them (written against version 1.3), the build probes that they link,
 * and this file is empty where they do not; the self-test at start is for all that could be
 * different behind an unchanged name.
 */
#ifdef HAVE_IPSEC_MB

#include "engine.h"

#include "base/check.h"

#include <intel-ipsec-mb.h>
#include <sodium.h>
#include <string.h>

typedef IMB_JOB *packet_fn(IMB_MGR *manager, IMB_JOB *job);
packet_fn aead_chacha20_poly1305_avx512;
packet_fn aead_chacha20_poly1305_avx2;

static IMB_MGR manager;

static bool avx2_start(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

static bool avx512_start(void)
{
	if (__builtin_cpu_supports("avx512ifma"))
		manager.features = IMB_FEATURE_AVX512_IFMA;
	return avx2_start() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

static void fill(IMB_JOB *packet, const struct aead_job *job)
{
	packet->src = packet->dst = job->data;
	packet->msg_len_to_cipher_in_bytes = packet->msg_len_to_hash_in_bytes = job->len;
}

static inline void seal_batch(const struct aead_key *key, struct aead_job *jobs, size_t count,
			      packet_fn *run)
{
	uint8_t nonce[AEAD_NONCE_LEN];
	IMB_JOB packet = {.enc_keys = key->bytes, .iv = nonce};

	packet.cipher_direction = IMB_DIR_ENCRYPT;
	for (struct aead_job *job = jobs; job < jobs + count; job++) {
		aead_nonce(nonce, job->counter);
		fill(&packet, job);
		packet.auth_tag_output = job->data + job->len;
		CHECK(run(&manager, &packet)->status == IMB_STATUS_COMPLETED);
	}
}

/* The library decrypts whatever the tag says: text that did not verify is not left lying about. */
static inline void open_batch(const struct aead_key *key, struct aead_job *jobs, size_t count,
			      packet_fn *run)
{
	uint8_t nonce[AEAD_NONCE_LEN], tag[AEAD_TAG_LEN];
	IMB_JOB packet = {.enc_keys = key->bytes, .iv = nonce};

	packet.cipher_direction = IMB_DIR_DECRYPT;
	packet.auth_tag_output = tag;
	for (struct aead_job *job = jobs; job < jobs + count; job++) {
		aead_nonce(nonce, job->counter);
		fill(&packet, job);
		CHECK(run(&manager, &packet)->status == IMB_STATUS_COMPLETED);
		job->ok = crypto_verify_16(tag, job->data + job->len) == 0;
		if (!job->ok)
			memset(job->data, 0, job->len);
	}
}

static void avx512_seal(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	seal_batch(key, jobs, count, aead_chacha20_poly1305_avx512);
}

static void avx512_open(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	open_batch(key, jobs, count, aead_chacha20_poly1305_avx512);
}

static void avx2_seal(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	seal_batch(key, jobs, count, aead_chacha20_poly1305_avx2);
}

static void avx2_open(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	open_batch(key, jobs, count, aead_chacha20_poly1305_avx2);
}

const struct aead_engine aead_engine_avx512 = {
	.name = "avx512",
	.start = avx512_start,
	.seal = avx512_seal,
	.open = avx512_open,
};

const struct aead_engine aead_engine_avx2 = {
	.name = "avx2",
	.start = avx2_start,
	.seal = avx2_seal,
	.open = avx2_open,
};

#endif
