// SPDX-License-Identifier: MIT
/* Every engine of this build against libsodium called directly, and against RFC 8439. */
#include "aead.h"

#include "../../src/aead/engine.h"
#include "vectors.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 70, TEXT_MAX = 65535, GUARD_LEN = 64, STRIDE = 2048 + 256 };

TestSuite(aead, .timeout = 120);

/* Runs `test` on each engine that works here; the others are skipped, and said so. */
static void on_every_engine(const char *test_name, void (*test)(const char *engine))
{
	const char *name;

	for (size_t i = 0; (name = aead_engine_name(i)) != NULL; i++) {
		if (aead_init(name))
			test(name);
		else
			fprintf(stderr, "SKIP aead/%s: no %s on this CPU\n", test_name, name);
	}
}

static void reference_seal(uint8_t *data, size_t len, uint64_t counter, const struct aead_key *key)
{
	uint8_t nonce[12] = {0};
	uint64_t little_endian = htole64(counter);

	memcpy(nonce + 4, &little_endian, 8);
	crypto_aead_chacha20poly1305_ietf_encrypt(data, NULL, data, len, NULL, 0, NULL, nonce,
						  key->bytes);
}

/* --- RFC 8439 -------------------------------------------------------------------------------- */

/* Appendix A.5; its nonce begins with four zero bytes, as WireGuard's do. */
static const char rfc_key[] = "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0";
static const char rfc_text[] =
	"496e7465726e65742d4472616674732061726520647261667420646f63756d656e74732076616c69642066"
	"6f722061206d6178696d756d206f6620736978206d6f6e74687320616e64206d617920626520757064617465"
	"642c207265706c616365642c206f72206f62736f6c65746564206279206f7468657220646f63756d656e7473"
	"20617420616e792074696d652e20497420697320696e617070726f70726961746520746f2075736520496e74"
	"65726e65742d447261667473206173207265666572656e6365206d6174657269616c206f7220746f20636974"
	"65207468656d206f74686572207468616e206173202fe2809c776f726b20696e2070726f67726573732e2fe2"
	"809d";
static const char rfc_sealed[] =
	"64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee9"
	"4e382d26b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33"
	"bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c"
	"767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc54"
	"6a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a672"
	"7627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02"
	"709b";
/* The RFC's tag, with its associated data, and OpenSSL's for the same text without. */
static const char rfc_tag[] = "eead9d67890cbb22392336fea1851f38";
static const char rfc_tag_without_ad[] = "6e3570b1acaaf1f24f2a644f01acd12b";
static const uint64_t rfc_counter = 0x0807060504030201;

static void seals_rfc8439(const char *engine)
{
	uint8_t data[512], want[512];
	struct aead_key key;
	struct aead_job job = {.data = data, .counter = rfc_counter};
	size_t sealed_len = hex_decode(want, sizeof(want), rfc_sealed);

	hex_decode(key.bytes, sizeof(key.bytes), rfc_key);
	hex_decode(want + sealed_len, 16, rfc_tag_without_ad);
	job.len = hex_decode(data, sizeof(data), rfc_text);
	cr_assert_eq(job.len, sealed_len);
	aead_seal(&key, &job, 1);
	cr_expect_arr_eq(data, want, sealed_len + 16, "%s", engine);
}

Test(aead, seal_rfc8439)
{
	on_every_engine("seal_rfc8439", seals_rfc8439);
}

/* The reference itself, tag and all. */
Test(aead, reference_rfc8439)
{
	uint8_t key[32], text[512], want[512], nonce[12] = {0}, ad[12], tag[16];
	size_t len = hex_decode(text, sizeof(text), rfc_text);

	hex_decode(key, sizeof(key), rfc_key);
	hex_decode(nonce + 4, 8, "0102030405060708");
	hex_decode(ad, sizeof(ad), "f33388860000000000004e91");
	hex_decode(want, sizeof(want), rfc_sealed);
	crypto_aead_chacha20poly1305_ietf_encrypt_detached(text, tag, NULL, text, len, ad, 12, NULL,
							   nonce, key);
	cr_expect_arr_eq(text, want, len);
	hex_decode(want, sizeof(want), rfc_tag);
	cr_expect_arr_eq(tag, want, 16);
}

/* --- engines against the reference ----------------------------------------------------------- */

/* One message of each length, at an address that differs in alignment; nothing written behind. */
static void every_length(const char *engine)
{
	static uint8_t plain[STRIDE], data[STRIDE], want[STRIDE];
	struct aead_key key;

	randombytes_buf(&key, sizeof(key));
	randombytes_buf(plain, sizeof(plain));
	for (size_t len = 0; len <= 2048; len++) {
		size_t at = len % 17;
		struct aead_job job = {.data = data + at, .len = len};

		randombytes_buf(&job.counter, sizeof(job.counter));
		memcpy(data, plain, sizeof(data));
		memcpy(want, plain, sizeof(want));
		reference_seal(want + at, len, job.counter, &key);
		aead_seal(&key, &job, 1);
		cr_assert_arr_eq(data, want, sizeof(data), "%s seals %zu", engine, len);
		aead_open(&key, &job, 1);
		cr_assert(job.ok, "%s opens %zu", engine, len);
		memcpy(want + at, plain + at, len);
		cr_assert_arr_eq(data, want, sizeof(data), "%s opens %zu", engine, len);
	}
}

Test(aead, every_length)
{
	on_every_engine("every_length", every_length);
}

static void longest(const char *engine)
{
	uint8_t *data = calloc(3, TEXT_MAX + AEAD_TAG_LEN);
	uint8_t *want = data + TEXT_MAX + AEAD_TAG_LEN;
	uint8_t *plain = want + TEXT_MAX + AEAD_TAG_LEN;
	struct aead_key key = {{1}};
	struct aead_job job = {.data = data, .len = TEXT_MAX, .counter = 1};

	randombytes_buf(plain, TEXT_MAX);
	memcpy(data, plain, TEXT_MAX);
	memcpy(want, plain, TEXT_MAX);
	reference_seal(want, TEXT_MAX, 1, &key);
	aead_seal(&key, &job, 1);
	cr_expect(memcmp(data, want, TEXT_MAX + AEAD_TAG_LEN) == 0, "%s", engine);
	aead_open(&key, &job, 1);
	cr_expect(job.ok && memcmp(data, plain, TEXT_MAX) == 0, "%s", engine);
	free(data);
}

Test(aead, longest)
{
	on_every_engine("longest", longest);
}

/* The counter is 64 bits wide: a nonce made from fewer would repeat. */
static void wide_counters(const char *engine)
{
	static const uint64_t counters[] = {
		0,	   1, UINT32_MAX, 1ull << 32, 1ull << 60, UINT64_MAX - 8193, UINT64_MAX - 1,
		UINT64_MAX};
	struct aead_key key = {{7}};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint8_t data[48] = {0}, want[48] = {0};
		struct aead_job job = {.data = data, .len = 32, .counter = counters[i]};

		reference_seal(want, 32, counters[i], &key);
		aead_seal(&key, &job, 1);
		cr_expect_arr_eq(data, want, 48, "%s, counter %zu", engine, i);
	}
}

Test(aead, wide_counters)
{
	on_every_engine("wide_counters", wide_counters);
}

/* --- batches --------------------------------------------------------------------------------- */

struct batch {
	struct aead_key key;
	struct aead_job jobs[BATCH_MAX];
	uint8_t plain[BATCH_MAX][STRIDE], data[BATCH_MAX][STRIDE], want[BATCH_MAX][STRIDE];
};

/* Texts of mixed lengths, sealed by the reference in `want`, plain in `data`. */
static struct batch *batch_new(size_t count)
{
	struct batch *batch = malloc(sizeof(*batch));

	cr_assert(batch);
	randombytes_buf(&batch->key, sizeof(batch->key));
	randombytes_buf(batch->plain, sizeof(batch->plain[0]) * count);
	memcpy(batch->data, batch->plain, sizeof(batch->data[0]) * count);
	memcpy(batch->want, batch->plain, sizeof(batch->want[0]) * count);
	for (size_t i = 0; i < count; i++) {
		struct aead_job *job = &batch->jobs[i];

		job->data = batch->data[i];
		job->len = randombytes_uniform(2048);
		job->counter = 1000 + i;
		reference_seal(batch->want[i], job->len, job->counter, &batch->key);
	}
	return batch;
}

static void every_batch(const char *engine)
{
	for (size_t count = 0; count <= BATCH_MAX; count++) {
		struct batch *batch = batch_new(count);

		aead_seal(&batch->key, batch->jobs, count);
		cr_assert(memcmp(batch->data, batch->want, sizeof(batch->data[0]) * count) == 0,
			  "%s seals %zu", engine, count);
		aead_open(&batch->key, batch->jobs, count);
		for (size_t i = 0; i < count; i++) {
			cr_assert(batch->jobs[i].ok, "%s opens %zu of %zu", engine, i, count);
			cr_assert_arr_eq(batch->data[i], batch->plain[i], batch->jobs[i].len);
		}
		free(batch);
	}
}

Test(aead, every_batch)
{
	on_every_engine("every_batch", every_batch);
}

/* Every third message is forged, in its tag or in its text: the others do not notice. */
static void forged_in_between(const char *engine)
{
	static const uint8_t zero[STRIDE];
	struct batch *batch = batch_new(BATCH_MAX);

	aead_seal(&batch->key, batch->jobs, BATCH_MAX);
	for (size_t i = 0; i < BATCH_MAX; i += 3) {
		size_t room = batch->jobs[i].len + AEAD_TAG_LEN;
		size_t at = i % 2 ? randombytes_uniform((uint32_t)room) : room - 1;

		batch->data[i][at] ^= (uint8_t)(1 << i % 8);
	}
	aead_open(&batch->key, batch->jobs, BATCH_MAX);
	for (size_t i = 0; i < BATCH_MAX; i++) {
		const uint8_t *text = i % 3 == 0 ? zero : batch->plain[i];

		cr_expect_eq(batch->jobs[i].ok, i % 3 != 0, "%s, message %zu", engine, i);
		cr_expect_arr_eq(batch->data[i], text, batch->jobs[i].len, "%s, message %zu",
				 engine, i);
	}
	free(batch);
}

Test(aead, forged_in_between)
{
	on_every_engine("forged_in_between", forged_in_between);
}

/* Each bit of the tag counts, and so does the counter. */
static void every_tag_bit(const char *engine)
{
	struct aead_key key = {{3}};
	uint8_t sealed[36] = {0}, data[36];
	struct aead_job job = {.data = sealed, .len = 20, .counter = 5};

	aead_seal(&key, &job, 1);
	job.data = data;
	for (size_t bit = 0; bit <= AEAD_TAG_LEN * 8; bit++) {
		memcpy(data, sealed, sizeof(data));
		if (bit < AEAD_TAG_LEN * 8)
			data[20 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		job.ok = true;
		job.counter = bit < AEAD_TAG_LEN * 8 ? 5 : 6;
		aead_open(&key, &job, 1);
		cr_expect_not(job.ok, "%s, bit %zu", engine, bit);
	}
}

Test(aead, every_tag_bit)
{
	on_every_engine("every_tag_bit", every_tag_bit);
}

/* --- the choice ------------------------------------------------------------------------------ */

Test(aead, init_takes_the_fastest_and_knows_names)
{
	const char *first = aead_init(NULL);

	cr_assert(first);
	cr_expect_str_eq(aead_init("auto"), first);
	cr_expect_str_eq(aead_init("libsodium"), "libsodium");
	cr_expect_null(aead_init("rot13"));
	cr_expect_str_eq(aead_in_use(), "libsodium");
	cr_expect_null(aead_engine_name(1000));
#ifdef HAVE_IPSEC_MB
	bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
	bool avx512 = avx2 && __builtin_cpu_supports("avx512dq") &&
		      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");

	cr_expect_str_eq(first, avx512 ? "avx512" : avx2 ? "avx2" : "libsodium");
	cr_expect_eq(aead_init("avx2") != NULL, avx2);
	cr_expect_eq(aead_init("avx512") != NULL, avx512);
#else
	fprintf(stderr, "SKIP aead/ipsec_mb: built without intel-ipsec-mb\n");
#endif
}

/* Engines with one fault each; all else is the reference's. */
static void seal_badly(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	aead_engine_libsodium.seal(key, jobs, count);
	if (jobs->len >= 1024)
		jobs->data[1023] ^= 1;
}

static void seal_beyond(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	aead_engine_libsodium.seal(key, jobs, count);
	if (jobs->len == 0)
		jobs->data[AEAD_TAG_LEN] ^= 1;
}

static void open_anything(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	aead_engine_libsodium.open(key, jobs, count);
	jobs->ok = true;
}

static void open_nothing(const struct aead_key *key, struct aead_job *jobs, size_t count)
{
	aead_engine_libsodium.open(key, jobs, count);
	jobs->ok = false;
}

Test(aead, self_test_refuses_a_broken_engine)
{
	struct aead_engine engine = aead_engine_libsodium;

	cr_assert(aead_self_test(&engine));
	engine.seal = seal_badly;
	cr_expect_not(aead_self_test(&engine));
	engine.seal = seal_beyond;
	cr_expect_not(aead_self_test(&engine));
	engine = aead_engine_libsodium;
	engine.open = open_anything;
	cr_expect_not(aead_self_test(&engine));
	engine.open = open_nothing;
	cr_expect_not(aead_self_test(&engine));
}
