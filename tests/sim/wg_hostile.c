// SPDX-License-Identifier: MIT
#include "wg_net.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct wg_net *net;
static struct wg_side *a, *b;
static const struct addr thief = {.family = ADDR_V4, .ip = {198, 51, 100, 9}, .port = 9};

static void start(void)
{
	net = wg_net_new(NULL);
	a = &net->a;
	b = &net->b;
}

static void stop(void)
{
	wg_net_free(net);
}

TestSuite(wg_hostile, .init = start, .fini = stop, .timeout = 120);

/* Everything but the counters of verdicts. */
static void expect_unmoved(const struct wg *before)
{
	struct wg now = *b->wg;

	now.stats = before->stats;
	cr_expect(memcmp(&now, before, sizeof(now)) == 0, "hostile bytes have moved something");
	cr_expect_eq(b->wg->stats.rx_bytes, before->stats.rx_bytes);
}

static enum wg_verdict expected_verdict(uint8_t type, size_t len)
{
	if (len < 4)
		return WG_DROP_LENGTH;
	switch (type) {
	case MESSAGE_INITIATION:
		return len == 148 ? WG_DROP_MAC : WG_DROP_LENGTH;
	case MESSAGE_RESPONSE:
		return len == 92 ? WG_DROP_MAC : WG_DROP_LENGTH;
	case MESSAGE_COOKIE_REPLY:
		return len == 64 ? WG_DROP_HANDSHAKE : WG_DROP_LENGTH;
	case MESSAGE_DATA:
		return len < 32 ? WG_DROP_LENGTH : WG_DROP_INDEX;
	}
	return WG_DROP_TYPE;
}

static void every_length_and_type(void)
{
	uint8_t bytes[2000];
	struct wg before = *b->wg;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)wg_net_random(&net->random);
	for (unsigned type = 0; type < 256; type++) {
		for (size_t len = 0; len <= sizeof(bytes); len++) {
			le32_put(bytes, type);
			cr_assert_eq(wg_net_give(b, bytes, len, &thief),
				     expected_verdict((uint8_t)type, len), "%u %zu", type, len);
		}
	}
	expect_unmoved(&before);
}

Test(wg_hostile, every_length_and_type_without_a_session)
{
	every_length_and_type();
}

Test(wg_hostile, every_length_and_type_with_a_session)
{
	wg_net_connect(net);
	every_length_and_type();
	cr_expect(wg_net_works(a));
}

Test(wg_hostile, reserved_bytes_are_zero)
{
	uint8_t message[WG_NET_PACKET_MAX];

	wg_net_connect(net);
	cr_assert_eq(wg_net_seal(a, message, 100, 1), 144);
	for (size_t i = 1; i < 4; i++) {
		message[i] = 1;
		cr_expect_eq(wg_net_give(b, message, 144, &a->addr), WG_DROP_TYPE);
		message[i] = 0;
	}
	cr_expect_eq(wg_net_give(b, message, 144, &a->addr), WG_DATA);
}

/* A true message cut short, or with something behind it, at every length; and the largest. */
Test(wg_hostile, truncated_and_overlong_data)
{
	uint8_t *message = calloc(1, 70000);
	struct wg before;

	wg_net_connect(net);
	cr_assert_eq(wg_net_seal(a, message, 1400, 1), wg_message_len(a->wg, 1400));
	before = *b->wg;
	for (size_t len = 0; len < 1400; len++)
		cr_assert_eq(wg_net_give(b, message, len, &thief),
			     len < 32 ? WG_DROP_LENGTH : WG_DROP_AUTH);
	for (size_t len = 1441; len < 70000; len += 97)
		cr_assert_eq(wg_net_give(b, message, len, &thief),
			     len > 65535 ? WG_DROP_LENGTH : WG_DROP_AUTH);
	expect_unmoved(&before);
	cr_expect_eq(wg_net_give(b, message, 1440, &a->addr), WG_DATA);
	free(message);
}

Test(wg_hostile, every_bit_of_a_data_message_counts)
{
	uint8_t message[WG_NET_PACKET_MAX];
	struct wg before;

	wg_net_connect(net);
	cr_assert_eq(wg_net_seal(a, message, 60, 1), 96);
	before = *b->wg;
	for (size_t bit = 0; bit < 96 * 8; bit++) {
		enum wg_verdict verdict;

		message[bit / 8] ^= (uint8_t)(1 << bit % 8);
		verdict = wg_net_give(b, message, 96, &thief);
		cr_assert(verdict > WG_CONTROL, "bit %zu", bit);
		message[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	expect_unmoved(&before);
	cr_expect_eq(wg_net_give(b, message, 96, &a->addr), WG_DATA);
}

/* A true inner packet with any header: never more than came, never read beyond (ASan). */
Test(wg_hostile, inner_packets_of_a_hostile_peer)
{
	struct cidr all[2] = {{.family = ADDR_V4}, {.family = ADDR_V6}};

	wg_net_connect(net);
	net->check_data = false;
	allowed_init(&b->wg->allowed, all, 2);
	for (int i = 0; i < 60000; i++) {
		struct session *session = a->wg->sessions.current;
		uint8_t message[256];
		struct aead_job job = {
			.data = message + 16,
			.len = wg_net_random(&net->random) % 128,
			.counter = session->send_counter++,
		};
		uint64_t before = b->data_count;

		le32_put(message, MESSAGE_DATA);
		le32_put(message + 4, session->peer_index);
		le64_put(message + 8, job.counter);
		for (size_t k = 0; k < job.len; k++)
			job.data[k] = (uint8_t)wg_net_random(&net->random);
		if (i % 4 != 0) {
			job.data[0] = i % 4 == 1 ? 0x45 : 0x60;
			job.data[2] = job.data[4] = 0;
		}
		aead_seal(&session->send_key, &job, 1);
		wg_net_give(b, message, job.len + 32, &a->addr);
		if (b->data_count > before)
			cr_assert(b->data_len <= job.len && b->data_len >= 20);
	}
	cr_expect_gt(b->data_count, 3000);
	cr_expect_gt(wg_stats(b->wg)->verdicts[WG_DROP_INNER], 10000);
}

/* Noise between true messages, in batches with both. */
Test(wg_hostile, a_batch_of_anything)
{
	static uint8_t room[100][WG_NET_PACKET_MAX];

	wg_net_connect(net);
	net->check_data = false;
	for (int round = 0; round < 300; round++) {
		size_t count = 1 + wg_net_random(&net->random) % 100;
		struct dgram dgrams[100];
		size_t expected = 0;

		for (size_t i = 0; i < count; i++) {
			uint64_t roll = wg_net_random(&net->random);
			uint32_t len = 28 + (uint32_t)(roll % 1200);

			dgrams[i] = (struct dgram){.data = room[i], .len = len, .from = &a->addr};
			if (roll >> 62 != 0) {
				dgrams[i].len = wg_net_seal(a, room[i], len, (uint32_t)i);
				expected++;
				continue;
			}
			for (uint32_t k = 0; k < len; k++)
				room[i][k] = (uint8_t)wg_net_random(&net->random);
			le32_put(room[i], roll >> 40 & 7);
			if (roll >> 50 & 1)
				le32_put(room[i] + 4, b->wg->sessions.current->local_index);
		}
		cr_assert_eq(wg_open(b->wg, dgrams, count, net->now_ns), expected);
	}
}
