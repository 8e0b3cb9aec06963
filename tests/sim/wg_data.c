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
	wg_net_connect(net);
}

static void stop(void)
{
	wg_net_free(net);
}

TestSuite(wg_data, .init = start, .fini = stop, .timeout = 60);

/* Any bytes as an inner packet, under a's session and its next counter. */
static uint32_t seal_raw(uint8_t *message, const void *text, uint32_t len)
{
	struct session *session = a->wg->sessions.current;
	struct message_data *header = (void *)message;
	struct aead_job job = {
		.data = message + sizeof(*header),
		.len = len,
		.counter = session->send_counter++,
	};

	le32_put(header->type, MESSAGE_DATA);
	le32_put(header->receiver, session->peer_index);
	le64_put(header->counter, job.counter);
	memcpy(job.data, text, len);
	aead_seal(&session->send_key, &job, 1);
	return len + 32;
}

static enum wg_verdict give_raw(const void *text, uint32_t len)
{
	uint8_t message[WG_NET_PACKET_MAX];

	return wg_net_give(b, message, seal_raw(message, text, len), &a->addr);
}

Test(wg_data, every_length_arrives_padded_with_zeros)
{
	uint8_t message[WG_NET_PACKET_MAX];

	for (uint32_t len = 28; len <= 1420; len++) {
		uint32_t sealed = wg_net_seal(a, message, len, len);
		struct aead_job job = {.data = message + 16, .len = sealed - 32};
		uint8_t copy[WG_NET_PACKET_MAX];

		cr_assert_eq(sealed, wg_message_len(a->wg, len));
		cr_assert(sealed % 16 == 0 || len > 1408, "%u: %u", len, sealed);
		cr_assert(sealed - 32 >= len && sealed - 32 - len < 16 && sealed - 32 <= 1420);
		memcpy(copy, message, sealed);
		job.counter = le64_get(message + 8);
		job.data = copy + 16;
		aead_open(&b->wg->sessions.current->receive_key, &job, 1);
		cr_assert(job.ok && crypto_is_zero(job.data + len, job.len - len));
		cr_assert_eq(wg_net_give(b, message, sealed, &a->addr), WG_DATA);
		cr_assert_eq(b->data_len, len);
		cr_assert_eq(b->data_id, len);
	}
}

Test(wg_data, batches_of_any_size)
{
	for (size_t count = 1; count <= 200; count += 13) {
		static uint8_t messages[200][WG_NET_PACKET_MAX];
		struct wg_tx tx[200];
		struct dgram dgrams[200];

		for (size_t i = 0; i < count; i++) {
			uint32_t len = 28 + (uint32_t)(i * 37 % 1300);

			wg_net_packet(a, messages[i] + 16, len, (uint32_t)i);
			tx[i] = (struct wg_tx){.message = messages[i], .len = len};
		}
		cr_assert_eq(wg_seal(a->wg, tx, count, net->now_ns), count);
		for (size_t i = 0; i < count; i++)
			dgrams[i] = (struct dgram){
				.data = messages[i],
				.len = tx[i].len,
				.from = &a->addr,
			};
		dgrams[count / 2].data[40] ^= 1;
		cr_assert_eq(wg_open(b->wg, dgrams, count, net->now_ns), count - 1);
		for (size_t i = 0; i < count; i++) {
			uint8_t expected[WG_NET_PACKET_MAX];

			cr_assert_eq(dgrams[i].verdict, i == count / 2 ? WG_DROP_AUTH : WG_DATA);
			if (i == count / 2)
				continue;
			wg_net_packet(a, expected, 28 + (uint32_t)(i * 37 % 1300), (uint32_t)i);
			cr_assert_eq(dgrams[i].len, 28 + i * 37 % 1300);
			cr_assert_eq(dgrams[i].data, messages[i] + 16, "in place");
			cr_assert_arr_eq(dgrams[i].data, expected, dgrams[i].len);
		}
	}
}

Test(wg_data, counters_are_64_bits_on_the_wire)
{
	uint8_t message[WG_NET_PACKET_MAX];

	a->wg->sessions.current->send_counter = UINT64_C(0x0102030405060708);
	cr_assert(wg_net_seal(a, message, 100, 1));
	cr_expect_arr_eq(message + 8, ((uint8_t[]){8, 7, 6, 5, 4, 3, 2, 1}), 8);
	cr_expect_eq(wg_net_give(b, message, 144, &a->addr), WG_DATA);
	cr_expect_eq(wg_net_give(b, message, 144, &a->addr), WG_DROP_REPLAY);
	a->wg->sessions.current->send_counter = UINT64_C(0x0102030505060708);
	cr_assert(wg_net_seal(a, message, 100, 1), "the same low half");
	cr_expect_eq(wg_net_give(b, message, 144, &a->addr), WG_DATA);
}

/* A network that turns a whole window round; not one packet of it may get lost. */
Test(wg_data, reordering_over_the_whole_window)
{
	enum { COUNT = 8192, LEN = 80 };
	uint8_t *messages = malloc((COUNT + 1) * LEN);
	uint8_t message[WG_NET_PACKET_MAX];

	for (uint32_t i = 0; i <= COUNT; i++) {
		cr_assert_eq(wg_net_seal(a, message, 48, i), LEN);
		memcpy(messages + i * LEN, message, LEN);
	}
	for (uint32_t i = COUNT; i > 0; i--)
		cr_assert_eq(wg_net_give(b, messages + i * LEN, LEN, &a->addr), WG_DATA, "%u", i);
	cr_expect_eq(wg_net_give(b, messages, LEN, &a->addr), WG_DROP_REPLAY, "too old");
	for (uint32_t i = 1; i <= COUNT; i++)
		cr_assert_eq(wg_net_give(b, messages + i * LEN, LEN, &a->addr), WG_DROP_REPLAY);
	free(messages);
}

Test(wg_data, a_batch_is_taken_in_order)
{
	uint8_t messages[3][WG_NET_PACKET_MAX];
	struct dgram dgrams[3];

	cr_assert_eq(wg_net_seal(a, messages[0], 100, 1), 144);
	memcpy(messages[1], messages[0], 144);
	memcpy(messages[2], messages[0], 144);
	for (size_t i = 0; i < 3; i++)
		dgrams[i] = (struct dgram){.data = messages[i], .len = 144, .from = &a->addr};
	cr_expect_eq(wg_open(b->wg, dgrams, 3, net->now_ns), 1);
	cr_expect_eq(dgrams[0].verdict, WG_DATA);
	cr_expect_eq(dgrams[1].verdict, WG_DROP_REPLAY);
	cr_expect_eq(dgrams[2].verdict, WG_DROP_REPLAY);
}

/* The session changes within the batch; what was received under the old one is not forgotten. */
Test(wg_data, a_batch_across_a_rekey)
{
	uint8_t old[WG_NET_PACKET_MAX], again[WG_NET_PACKET_MAX];
	uint8_t late[WG_NET_PACKET_MAX], confirm[WG_NET_PACKET_MAX];
	uint8_t *const messages[] = {again, confirm, old, late};
	const enum wg_verdict verdicts[] = {WG_DROP_REPLAY, WG_DATA, WG_DROP_REPLAY, WG_DATA};
	struct dgram dgrams[4];
	struct wg_message out;

	cr_assert_eq(wg_net_seal(a, old, 100, 1), 144);
	memcpy(again, old, 144);
	cr_assert_eq(wg_net_seal(a, late, 100, 2), 144);
	cr_assert_eq(wg_net_give(b, old, 144, &a->addr), WG_DATA);
	wg_net_jump(net, 6 * NS_PER_S);
	timers_handshake_wanted(&a->wg->timers, net->now_ns);
	cr_assert(wg_net_step(a, &out));
	cr_assert_eq(wg_net_give(b, out.data, out.len, &a->addr), WG_CONTROL);
	cr_assert(wg_net_step(b, &out));
	cr_assert_eq(wg_net_give(a, out.data, out.len, &b->addr), WG_CONTROL);
	cr_assert(wg_net_step(a, &out));
	cr_assert_eq(wg_net_seal(a, confirm, 100, 3), 144);
	for (size_t i = 0; i < 4; i++)
		dgrams[i] = (struct dgram){.data = messages[i], .len = 144, .from = &a->addr};
	cr_expect_eq(wg_open(b->wg, dgrams, 4, net->now_ns), 2);
	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(dgrams[i].verdict, verdicts[i], "%zu", i);
	cr_expect_eq(wg_stats(b->wg)->handshakes_completed, 2);
}

Test(wg_data, the_endpoint_follows_authentic_new_data_alone)
{
	uint8_t message[WG_NET_PACKET_MAX], forged[WG_NET_PACKET_MAX];

	cr_assert(wg_net_seal(a, message, 100, 1));
	memcpy(forged, message, 144);
	forged[143] ^= 1;
	cr_expect_eq(wg_net_give(b, forged, 144, &thief), WG_DROP_AUTH);
	cr_expect(addr_equal(&b->wg->endpoint, &a->addr));
	cr_expect_eq(wg_net_give(b, message, 144, &a->addr), WG_DATA);
	cr_expect_eq(wg_net_give(b, message, 144, &thief), WG_DROP_REPLAY);
	cr_expect(addr_equal(&b->wg->endpoint, &a->addr), "before the replay check");
	cr_expect_not(wg_events(b->wg) & WG_EVENT_ROAMED);
	cr_assert(wg_net_seal(a, message, 100, 1));
	cr_expect_eq(wg_net_give(b, message, 144, &thief), WG_DATA);
	cr_expect(addr_equal(&b->wg->endpoint, &thief), "that is roaming");
	cr_expect(wg_events(b->wg) & WG_EVENT_ROAMED);
}

/* Each message fails every check from its own row on; the first decides. */
Test(wg_data, order_of_checks)
{
	uint8_t message[WG_NET_PACKET_MAX] = {0};
	uint8_t copy[WG_NET_PACKET_MAX];
	uint8_t not_ip[32] = {0};
	uint8_t from_outside[32] = {0x45, 0, 0, 32, [12] = 10, 9, 9, 9};
	uint64_t received;

	net->check_data = false;
	cr_expect_eq(wg_net_give(b, message, 3, &thief), WG_DROP_LENGTH);
	cr_expect_eq(wg_net_give(b, message, 4, &thief), WG_DROP_TYPE);
	message[0] = MESSAGE_DATA;
	memset(message + 4, 0xff, 12);
	cr_expect_eq(wg_net_give(b, message, 31, &thief), WG_DROP_LENGTH);
	cr_expect_eq(wg_net_give(b, message, 64, &thief), WG_DROP_INDEX);
	le32_put(message + 4, b->wg->sessions.current->local_index);
	cr_expect_eq(wg_net_give(b, message, 64, &thief), WG_DROP_EXPIRED, "counter");
	memset(message + 8, 0, 8); /* a counter that was received already */
	cr_expect_eq(wg_net_give(b, message, 64, &thief), WG_DROP_AUTH);
	seal_raw(message, not_ip, sizeof(not_ip));
	memcpy(copy, message, 64);
	received = b->wg->stats.rx_bytes;
	cr_expect_eq(wg_net_give(b, message, 64, &a->addr), WG_DROP_INNER);
	cr_expect_eq(b->wg->stats.rx_bytes, received + 64, "the peer is heard, all the same");
	cr_expect_eq(wg_net_give(b, copy, 64, &thief), WG_DROP_REPLAY);
	from_outside[0] = 0x95;
	cr_expect_eq(give_raw(from_outside, 32), WG_DROP_INNER);
	from_outside[0] = 0x45;
	cr_expect_eq(give_raw(from_outside, 32), WG_DROP_SOURCE);
	memcpy(from_outside + 12, a->inner, 4);
	cr_expect_eq(give_raw(from_outside, 32), WG_DATA);
	cr_expect_eq(give_raw(from_outside, 0), WG_KEEPALIVE);
	cr_expect(addr_equal(&b->wg->endpoint, &a->addr));
	wg_net_jump(net, REJECT_AFTER_TIME);
	cr_expect_eq(wg_net_give(b, copy, 64, &thief), WG_DROP_EXPIRED, "age");
}

Test(wg_data, padded_lengths_are_not_believed)
{
	uint8_t v4[80] = {0x45, 0, 0, 44, [12] = 10, 0, 0, 1};
	uint8_t v6[80] = {0x60, 0, 0, 60, 0, 5, [8] = 0xfd, 0x42};

	net->check_data = false;
	cr_expect_eq(give_raw(v4, 48), WG_DATA);
	cr_expect_eq(b->data_len, 44);
	cr_expect_eq(give_raw(v4, 43), WG_DROP_INNER);
	cr_expect_eq(give_raw(v6, 48), WG_DATA);
	cr_expect_eq(b->data_len, 45, "by the IPv6 field, not by where IPv4 has its own");
	cr_expect_eq(give_raw(v6, 44), WG_DROP_INNER);
	v6[9] = 0x43;
	cr_expect_eq(give_raw(v6, 48), WG_DROP_SOURCE);
	v4[15] = 2;
	cr_expect_eq(give_raw(v4, 48), WG_DROP_SOURCE);
}

static enum wg_tx_result try_sending(struct wg_side *side, const uint8_t *packet, uint32_t len)
{
	uint8_t message[WG_NET_PACKET_MAX];
	struct wg_tx tx = {.message = message, .len = len};

	memcpy(message + WG_HEADER_LEN, packet, len);
	wg_seal(side->wg, &tx, 1, net->now_ns);
	return tx.result;
}

Test(wg_data, destinations_outside_are_dropped_and_cause_nothing)
{
	uint8_t packet[64] = {0x45, 0, 0, 64, [12] = 10, 0, 0, 2, 10, 9, 9, 9};
	struct wg_message out;

	cr_expect_eq(try_sending(a, packet, 64), WG_TX_NOT_ALLOWED, "its source is allowed");
	memcpy(packet + 16, b->inner, 4);
	memcpy(packet + 12, (uint8_t[]){9, 9, 9, 9}, 4);
	cr_expect_eq(try_sending(a, packet, 64), WG_TX_SEALED, "the source is not asked for");
	packet[0] = 0;
	cr_expect_eq(try_sending(a, packet, 64), WG_TX_NOT_ALLOWED);
	cr_expect_eq(try_sending(a, packet, 0), WG_TX_NOT_ALLOWED);
	packet[0] = 0x60;
	memset(packet + 4, 0, 2);
	memcpy(packet + 24, (uint8_t[]){0xfd, 0x42}, 2);
	cr_expect_eq(try_sending(a, packet, 64), WG_TX_SEALED);
	packet[24] = 0xfe;
	cr_expect_eq(try_sending(a, packet, 64), WG_TX_NOT_ALLOWED);
	cr_expect_eq(wg_stats(a->wg)->tx_not_allowed, 4);
	wg_net_sleep(net, 1000 * NS_PER_S);
	cr_expect_eq(try_sending(a, packet, 64), WG_TX_NOT_ALLOWED);
	cr_expect_not(wg_net_step(a, &out), "no handshake for it");
}

Test(wg_data, both_sides_count_alike)
{
	for (uint32_t i = 0; i < 100; i++) {
		wg_net_send(i % 3 ? a : b, 28 + i * 10, i);
		wg_net_sleep(net, NS_PER_S);
	}
	wg_net_sleep(net, 60 * NS_PER_S);
	cr_expect_eq(wg_stats(a->wg)->tx_bytes, a->sent_bytes);
	cr_expect_eq(wg_stats(b->wg)->tx_bytes, b->sent_bytes);
	cr_expect_eq(wg_stats(a->wg)->tx_bytes, wg_stats(b->wg)->rx_bytes);
	cr_expect_eq(wg_stats(b->wg)->tx_bytes, wg_stats(a->wg)->rx_bytes);
	cr_expect_eq(wg_stats(a->wg)->tx_packets, wg_stats(b->wg)->rx_packets);
	cr_expect_eq(wg_stats(b->wg)->rx_packets, 66);
	cr_expect_eq(wg_stats(b->wg)->verdicts[WG_DATA], 66);
}

Test(wg_data, every_verdict_has_a_name)
{
	for (unsigned i = 0; i < WG_VERDICTS; i++) {
		for (unsigned k = 0; k < i; k++)
			cr_expect_str_neq(wg_verdict_name(i), wg_verdict_name(k));
	}
}
