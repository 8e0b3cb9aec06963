// SPDX-License-Identifier: MIT
#include "../../src/wg/noise.h"

#include "vectors.h"
#include "wg_net.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define WALL (UINT64_C(1700000000) * NS_PER_S)

static uint64_t seed = 1;

static void fill_random(void *ctx, void *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)wg_net_random(ctx);
}

static const struct wg_env env = {.random = fill_random, .ctx = &seed};
static struct noise us, them;

static void init_one(struct noise *noise, uint8_t own, uint8_t other, uint8_t psk)
{
	struct wg_config config = {.private_key = {[9] = own}, .preshared_key = {psk}};
	uint8_t other_private[32] = {[9] = other};

	crypto_clamp(other_private);
	crypto_public_key(config.peer_public_key, other_private);
	memset(noise, 0, sizeof(*noise));
	cr_assert(noise_init(noise, &config));
}

static void start(void)
{
	cr_assert(crypto_init());
	init_one(&us, 1, 2, 0);
	init_one(&them, 2, 1, 0);
}

TestSuite(wg_noise, .init = start, .timeout = 60);

static bool answer(const struct message_initiation *initiation, uint64_t now_ns,
		   struct message_response *response, struct noise_keys *keys)
{
	struct noise_consumed consumed;

	keys->local_index = 0x22222222;
	return noise_consume_initiation(&them, initiation, now_ns, &consumed) &&
	       noise_create_response(&them, &consumed, response, keys, &env);
}

static bool keys_match(const struct noise_keys *a, const struct noise_keys *b)
{
	return memcmp(&a->send, &b->receive, sizeof(a->send)) == 0 &&
	       memcmp(&a->receive, &b->send, sizeof(a->send)) == 0 &&
	       a->local_index == b->peer_index && a->peer_index == b->local_index;
}

Test(wg_noise, both_ends_derive_the_same_keys)
{
	struct message_initiation initiation;
	struct message_response response;
	struct noise_keys ours, theirs;

	for (uint8_t psk = 0; psk < 3; psk++) {
		init_one(&us, 1, 2, psk);
		init_one(&them, 2, 1, psk);
		noise_create_initiation(&us, &initiation, 0x11111111, WALL, &env);
		cr_assert(answer(&initiation, 0, &response, &theirs));
		cr_assert(noise_consume_response(&us, &response, &ours));
		cr_assert(keys_match(&ours, &theirs));
		cr_assert(memcmp(&ours.send, &ours.receive, sizeof(ours.send)) != 0);
		cr_assert(crypto_is_zero(&us.initiation, sizeof(us.initiation)), "not wiped");
	}
}

Test(wg_noise, another_preshared_key_ends_nowhere)
{
	struct message_initiation initiation;
	struct message_response response;
	struct noise_keys keys;
	uint8_t right;

	init_one(&us, 1, 2, 7);
	noise_create_initiation(&us, &initiation, 1, WALL, &env);
	cr_assert(answer(&initiation, 0, &response, &keys));
	cr_expect_not(noise_consume_response(&us, &response, &keys));
	/* It is the key alone that is wrong. */
	right = us.preshared_key[0];
	us.preshared_key[0] = 0;
	cr_expect(right == 7 && noise_consume_response(&us, &response, &keys));
}

/* MACs aside, every bit of an initiation counts; and a false one leaves no trace. */
Test(wg_noise, a_changed_initiation_changes_nothing)
{
	struct message_initiation initiation;
	struct noise_consumed consumed;
	struct noise before;

	noise_create_initiation(&us, &initiation, 1, WALL, &env);
	before = them;
	for (size_t i = offsetof(struct message_initiation, ephemeral);
	     i < offsetof(struct message_initiation, macs); i++) {
		((uint8_t *)&initiation)[i] ^= 0x10;
		cr_assert_not(noise_consume_initiation(&them, &initiation, 0, &consumed), "%zu", i);
		cr_assert(memcmp(&before, &them, sizeof(them)) == 0, "state moved, byte %zu", i);
		cr_assert(crypto_is_zero(&consumed, sizeof(consumed)), "secrets left");
		((uint8_t *)&initiation)[i] ^= 0x10;
	}
	cr_assert(noise_consume_initiation(&them, &initiation, 0, &consumed));
}

Test(wg_noise, a_changed_response_leaves_the_initiation_waiting)
{
	struct message_initiation initiation;
	struct message_response response;
	struct noise_keys keys;
	struct noise before;

	noise_create_initiation(&us, &initiation, 1, WALL, &env);
	cr_assert(answer(&initiation, 0, &response, &keys));
	before = us;
	for (size_t i = offsetof(struct message_response, receiver);
	     i < offsetof(struct message_response, macs); i++) {
		((uint8_t *)&response)[i] ^= 0x10;
		cr_assert_not(noise_consume_response(&us, &response, &keys), "%zu", i);
		cr_assert(memcmp(&before, &us, sizeof(us)) == 0, "state moved, byte %zu", i);
		((uint8_t *)&response)[i] ^= 0x10;
	}
	cr_assert(noise_consume_response(&us, &response, &keys));
	cr_assert_not(noise_consume_response(&us, &response, &keys), "taken twice");
}

/* RFC 7748, section 6.1, and its list's other points of low order: DH with them is all zero. */
Test(wg_noise, low_order_points_are_refused)
{
	static const uint8_t points[][32] = {
		{0},
		{1},
		{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
		 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
		 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
		{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
		 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
		 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
	};
	struct message_initiation initiation;
	struct message_response response;
	struct noise_consumed consumed;
	struct noise_keys keys;

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		struct wg_config config = {.private_key = {[9] = 1}};
		struct noise noise;

		memcpy(config.peer_public_key, points[i], 32);
		cr_expect_not(noise_init(&noise, &config), "peer's static key %zu", i);
		noise_create_initiation(&us, &initiation, 1, WALL, &env);
		memcpy(initiation.ephemeral, points[i], 32);
		cr_expect_not(noise_consume_initiation(&them, &initiation, 0, &consumed));
		/* es is checked first; ee and se must hold alone, too. */
		consumed = (struct noise_consumed){.state = them.to_us};
		memcpy(consumed.peer_ephemeral, points[i], 32);
		cr_expect_not(noise_create_response(&them, &consumed, &response, &keys, &env));
		le32_put(response.receiver, 1);
		memcpy(response.ephemeral, points[i], 32);
		cr_expect_not(noise_consume_response(&us, &response, &keys));
	}
}

Test(wg_noise, timestamps_only_grow)
{
	struct message_initiation first, second;
	struct noise_consumed consumed;
	uint64_t now_ns = 0;

	noise_create_initiation(&us, &first, 1, WALL, &env);
	noise_create_initiation(&us, &second, 1, WALL, &env);
	cr_expect(noise_consume_initiation(&them, &second, now_ns, &consumed));
	now_ns += NS_PER_S;
	cr_expect_not(noise_consume_initiation(&them, &second, now_ns, &consumed), "replayed");
	cr_expect_not(noise_consume_initiation(&them, &first, now_ns, &consumed), "older");
}

Test(wg_noise, our_timestamps_survive_a_wall_clock_that_jumps)
{
	const int64_t offsets_s[] = {0, -1, -1000000, 3600, 3599, -1600000000, 3600, 3600};
	struct message_initiation initiation;
	struct noise_consumed consumed;
	uint64_t now_ns = 0;

	for (size_t i = 0; i < sizeof(offsets_s) / sizeof(offsets_s[0]); i++) {
		uint64_t wall_ns = WALL + (uint64_t)offsets_s[i] * NS_PER_S;

		noise_create_initiation(&us, &initiation, 1, wall_ns, &env);
		cr_expect(noise_consume_initiation(&them, &initiation, now_ns, &consumed), "%zu",
			  i);
		now_ns += NS_PER_S;
	}
}

/* TAI64N of 2023-11-14 22:13:20 UTC, rounded down: it tells nothing finer than 16 ms. */
Test(wg_noise, timestamp_on_the_wire)
{
	static const uint8_t expected[8] = {0x40, 0, 0, 0, 0x65, 0x53, 0xf1, 0x0a};
	struct message_initiation initiation;
	struct noise_consumed consumed;
	uint64_t nanoseconds = 0;

	noise_create_initiation(&us, &initiation, 1, WALL + 987654321, &env);
	cr_assert(noise_consume_initiation(&them, &initiation, 0, &consumed));
	cr_expect_arr_eq(them.peer_timestamp, expected, 8);
	for (size_t i = 8; i < TIMESTAMP_LEN; i++)
		nanoseconds = nanoseconds << 8 | them.peer_timestamp[i];
	cr_expect_leq(nanoseconds, 987654321);
	cr_expect_geq(nanoseconds, 987654321 - (1 << 24));
	cr_expect_eq((WALL + nanoseconds) % (1 << 24), 0);
}

Test(wg_noise, a_flood_of_true_initiations_is_limited)
{
	struct message_initiation initiation;
	struct noise_consumed consumed;
	uint64_t now_ns = 5 * NS_PER_S;

	noise_create_initiation(&us, &initiation, 1, WALL, &env);
	cr_expect(noise_consume_initiation(&them, &initiation, now_ns, &consumed));
	noise_create_initiation(&us, &initiation, 1, WALL, &env);
	now_ns += 20 * NS_PER_MS - 1;
	cr_expect_not(noise_consume_initiation(&them, &initiation, now_ns, &consumed));
	cr_expect(noise_consume_initiation(&them, &initiation, now_ns + 1, &consumed));
}

/* --- the Noise framework's own vector ---------------------------------------------------------- */

/* The n-th value of `key` in the JSON file, which has one a line. */
static size_t json_hex(const char *key, int n, uint8_t *out, size_t room)
{
	static struct vectors vectors;
	char quoted[64];
	size_t len = 0;

	snprintf(quoted, sizeof(quoted), "\"%s\": \"", key);
	cr_assert(vectors_open(&vectors, "noise_IKpsk2_25519_ChaChaPoly_BLAKE2s.json", key));
	while (vectors_next(&vectors)) {
		char *at = strstr(vectors.line, quoted);

		if (!at || n-- != 0)
			continue;
		at += strlen(quoted);
		at[strcspn(at, "\"")] = '\0';
		len = hex_decode(out, room, at);
	}
	return len;
}

static void expect_message(const uint8_t *message, size_t len, int n)
{
	uint8_t expected[256];

	cr_assert_eq(json_hex("ciphertext", n, expected, sizeof(expected)), len);
	cr_expect_arr_eq(message, expected, len, "message %d", n);
}

static void expect_transport(uint8_t keys[2][32])
{
	for (int n = 2; n < 6; n++) {
		uint8_t message[256];
		size_t len = json_hex("payload", n, message, sizeof(message));
		struct aead_job job = {.data = message, .len = len, .counter = (uint64_t)n / 2 - 1};
		struct aead_key key;

		memcpy(key.bytes, keys[n % 2], 32);
		aead_seal(&key, &job, 1);
		expect_message(message, len + 16, n);
	}
}

/* Its prologue and payloads are not WireGuard's, so it runs on the symmetric state itself. */
Test(wg_noise, vector_of_IKpsk2)
{
	uint8_t is[32], rs[32], ie[32], re[32], psk[32], prologue[64], payload[64], message[256];
	uint8_t is_public[32], rs_public[32], ie_public[32], re_public[32], key[32], keys[2][32];
	struct vectors probe;
	struct symmetric state;
	size_t len;

	if (!vectors_open(&probe, "noise_IKpsk2_25519_ChaChaPoly_BLAKE2s.json", "vector_of_IKpsk2"))
		return;
	fclose(probe.file);
	cr_assert(aead_init("libsodium"));
	json_hex("init_static", 0, is, 32);
	json_hex("resp_static", 0, rs, 32);
	json_hex("init_ephemeral", 0, ie, 32);
	json_hex("resp_ephemeral", 0, re, 32);
	crypto_public_key(is_public, is);
	crypto_public_key(rs_public, rs);
	crypto_public_key(ie_public, ie);
	crypto_public_key(re_public, re);
	/* The only element of an array; its line is the value alone. */
	memcpy(psk, "This is my Austrian perspective!", 32);
	len = json_hex("init_prologue", 0, prologue, sizeof(prologue));

	symmetric_init(&state, prologue, len, rs_public);
	memcpy(message, ie_public, 32);
	symmetric_mix_ephemeral(&state, ie_public);
	cr_assert(symmetric_mix_dh(&state, key, ie, rs_public));
	symmetric_seal(&state, key, message + 32, is_public, 32);
	cr_assert(symmetric_mix_dh(&state, key, is, rs_public));
	len = json_hex("payload", 0, payload, sizeof(payload));
	symmetric_seal(&state, key, message + 80, payload, len);
	expect_message(message, 80 + len + 16, 0);

	memcpy(message, re_public, 32);
	symmetric_mix_ephemeral(&state, re_public);
	cr_assert(symmetric_mix_dh(&state, NULL, re, ie_public));
	cr_assert(symmetric_mix_dh(&state, NULL, re, is_public));
	symmetric_mix_psk(&state, key, psk);
	len = json_hex("payload", 1, payload, sizeof(payload));
	symmetric_seal(&state, key, message + 32, payload, len);
	expect_message(message, 32 + len + 16, 1);

	json_hex("handshake_hash", 0, payload, sizeof(payload));
	cr_expect_arr_eq(state.hash, payload, 32, "handshake hash");
	symmetric_split(&state, keys[0], keys[1]);
	expect_transport(keys);
}
