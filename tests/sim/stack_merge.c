// SPDX-License-Identifier: MIT
/* Runs of segments that are merged before lwIP sees them: what is merged, and what must not be. */
#include "stack_pair.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/uio.h>

enum { PORT = 80, SEGMENT4 = 1368, SEGMENT6 = 1348, ENDS_MAX = 2 };

/* Offsets in an IPv4 packet without options that carries TCP with timestamps. */
enum { ACK_AT = 28, FLAGS_AT = 33, WINDOW_AT = 34, SENT_AT = 44, HEADERS_LEN = 52 };

struct end {
	struct stack_conn *conn;
	uint64_t received, acked;
	uint32_t data_events;
};

static struct end client[ENDS_MAX], server[ENDS_MAX];
static size_t accepted;
static uint8_t bytes[1 << 20];
static struct stack_pair pair;

static void *on_accepted(void *ctx, struct stack_conn *conn, const struct addr *from)
{
	(void)ctx;
	(void)from;
	cr_assert_lt(accepted, ENDS_MAX);
	server[accepted].conn = conn;
	return &server[accepted++];
}

static void on_connected(void *user)
{
	(void)user;
}

static bool on_data(void *user, const struct iovec *iov, int count)
{
	struct end *end = user;

	end->data_events++;
	for (int i = 0; i < count; i++) {
		cr_assert_arr_eq(iov[i].iov_base, bytes + end->received, iov[i].iov_len);
		end->received += iov[i].iov_len;
	}
	return true;
}

static void on_acked(void *user, size_t len)
{
	((struct end *)user)->acked += len;
}

static void on_fin(void *user)
{
	(void)user;
}

static void on_ended(void *user, enum stack_end how)
{
	(void)user;
	(void)how;
}

static const struct stack_events events = {
	.accepted = on_accepted,
	.connected = on_connected,
	.data = on_data,
	.acked = on_acked,
	.fin = on_fin,
	.ended = on_ended,
};

static void settle(void)
{
	while (pair_step(&pair))
		pair.now_ns += 100000;
}

static void start(size_t conns, uint8_t family)
{
	struct addr to = pair_addr(1, family, PORT);
	void *ctx[2] = {NULL, NULL};
	int error;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	pair_init(&pair, 1, &events, ctx);
	pair.whole = true;
	cr_assert_eq(stack_listen(pair.side[1].stack, PORT), 0);
	for (size_t i = 0; i < conns; i++) {
		client[i].conn = stack_connect(pair.side[0].stack, &to, &client[i], &error);
		cr_assert_not_null(client[i].conn);
		settle(); /* one after the other: server[i] is client[i]'s */
	}
	cr_assert_eq(accepted, conns);
}

static void finish(void)
{
	pair_fini(&pair);
	cr_assert_eq(pair.bufs_live, 0, "a receive buffer is still held");
}

/* Puts `len` bytes of the connection on the wire, as far as the windows allow. */
static void put_on_wire(struct end *end, size_t at, size_t len)
{
	while (len > 0) {
		size_t taken = stack_write(end->conn, bytes + at, len);

		cr_assert_gt(taken, 0);
		at += taken;
		len -= taken;
	}
	stack_turn(pair.side[0].stack);
}

static uint64_t merged(int side)
{
	return stack_stats(pair.side[side].stack)->rx_merged;
}

static void run_is_one_segment(uint8_t family, size_t segment)
{
	start(1, family);
	put_on_wire(&client[0], 0, 8 * segment);
	cr_assert_eq(pair.side[0].queue_len, 8);
	pair_carry(&pair, 0);
	cr_assert_eq(server[0].received, 8 * segment);
	cr_assert_eq(server[0].data_events, 1);
	cr_assert_eq(merged(1), 7);
	finish();
}

Test(stack_merge, a_run_is_one_segment)
{
	run_is_one_segment(ADDR_V4, SEGMENT4);
}

Test(stack_merge, a_run_is_one_segment_over_ipv6)
{
	run_is_one_segment(ADDR_V6, SEGMENT6);
}

Test(stack_merge, a_merged_segment_is_acknowledged_at_once)
{
	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, 5 * SEGMENT4);
	pair_carry(&pair, 0);
	cr_assert_eq(pair.side[1].queue_len, 1, "%zu acknowledgements", pair.side[1].queue_len);
	pair_carry(&pair, 1);
	cr_assert_eq(client[0].acked, 5 * SEGMENT4);
	finish();
}

/* What is on the wire arrives, is consumed, and its acknowledgement comes back. */
static void round_trip(void)
{
	uint64_t before = server[0].received;

	pair_carry(&pair, 0);
	stack_consumed(server[0].conn, server[0].received - before);
	pair_carry(&pair, 1);
	stack_turn(pair.side[0].stack);
}

Test(stack_merge, the_window_doubles_each_round_trip_however_few_the_acks)
{
	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, sizeof(bytes) / 2);
	for (size_t window = 10; window <= 40; window *= 2) {
		cr_assert_geq(pair.side[0].queue_len, window, "%zu", pair.side[0].queue_len);
		round_trip();
	}
	finish();
}

Test(stack_merge, two_flows_in_turn_stay_two)
{
	struct stack_side *side = &pair.side[0];

	start(2, ADDR_V4);
	for (size_t i = 0; i < 4; i++) {
		put_on_wire(&client[i % 2], i / 2 * SEGMENT4, SEGMENT4);
		cr_assert_eq(side->queue_len, i + 1);
	}
	pair_carry(&pair, 0);
	cr_assert_eq(merged(1), 0);
	cr_assert_eq(server[0].received, 2 * SEGMENT4);
	cr_assert_eq(server[1].received, 2 * SEGMENT4);
	finish();
}

Test(stack_merge, a_gap_is_not_bridged)
{
	struct stack_side *side = &pair.side[0];

	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, 4 * SEGMENT4);
	free(side->queue[1].data);
	memmove(side->queue + 1, side->queue + 2, 2 * sizeof(side->queue[0]));
	side->queue_len = 3;
	pair_carry(&pair, 0);
	cr_assert_eq(server[0].received, SEGMENT4);
	cr_assert_eq(merged(1), 1, "the two behind the gap are one run");
	settle();
	for (int i = 0; i < 100 && server[0].received < 4 * SEGMENT4; i++) {
		pair_sleep(&pair, 1000000000);
		settle();
	}
	cr_assert_eq(server[0].received, 4 * SEGMENT4, "sent again after the timeout");
	finish();
}

/* Three duplicates are due, however the segments behind the gap were merged. */
Test(stack_merge, a_gap_is_repaired_without_a_timeout)
{
	struct stack_side *side = &pair.side[0];

	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, 10 * SEGMENT4);
	free(side->queue[0].data);
	memmove(side->queue, side->queue + 1, 9 * sizeof(side->queue[0]));
	side->queue_len = 9;
	pair_carry(&pair, 0);
	cr_assert_eq(merged(1), 8);
	cr_assert_eq(pair.side[1].queue_len, 9);
	settle();
	cr_assert_eq(server[0].received, 10 * SEGMENT4);
	finish();
}

/* The newest acknowledgement of a run counts, and its window. */
Test(stack_merge, a_run_carries_the_newest_acknowledgement)
{
	struct stack_side *side = &pair.side[0];
	uint32_t ack;
	uint16_t window;

	start(1, ADDR_V4);
	cr_assert_eq(stack_write(server[0].conn, bytes, 100), 100);
	put_on_wire(&client[0], 0, 2 * SEGMENT4);
	memcpy(&ack, side->queue[1].data + ACK_AT, sizeof(ack));
	ack = htonl(ntohl(ack) + 100);
	memcpy(side->queue[1].data + ACK_AT, &ack, sizeof(ack));
	memcpy(&window, side->queue[1].data + WINDOW_AT, sizeof(window));
	stack_turn(pair.side[1].stack); /* what is acknowledged must have been sent */
	pair_carry(&pair, 0);
	cr_assert_eq(merged(1), 1);
	cr_assert_eq(server[0].acked, 100);
	finish();
}

static struct wire_packet copy_of(const struct wire_packet *packet)
{
	struct wire_packet copy = {malloc(packet->len), packet->len};

	memcpy(copy.data, packet->data, packet->len);
	return copy;
}

/* `count` acknowledgements of the client's bytes, each `step` further than the one before. */
static void put_acks_on_wire(size_t count, uint32_t step)
{
	struct stack_side *side = &pair.side[1];
	uint32_t ack;

	cr_assert_eq(side->queue_len, 1);
	cr_assert_eq(side->queue[0].len, HEADERS_LEN);
	for (size_t i = 1; i < count; i++)
		side->queue[i] = copy_of(&side->queue[0]);
	side->queue_len = count;
	for (size_t i = 0; i < count; i++) {
		memcpy(&ack, side->queue[i].data + ACK_AT, sizeof(ack));
		ack = htonl(ntohl(ack) - (uint32_t)(count - 1 - i) * step);
		memcpy(side->queue[i].data + ACK_AT, &ack, sizeof(ack));
	}
}

Test(stack_merge, of_acknowledgements_that_move_on_the_last_is_kept)
{
	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, 8 * SEGMENT4);
	pair_carry(&pair, 0);
	put_acks_on_wire(4, 2 * SEGMENT4);
	pair_carry(&pair, 1);
	cr_assert_eq(merged(0), 3);
	cr_assert_eq(client[0].acked, 8 * SEGMENT4);
	finish();
}

/* Three duplicates stand for a lost segment (RFC 5681, section 3.2): each must be seen. */
Test(stack_merge, duplicate_acknowledgements_all_pass)
{
	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, 8 * SEGMENT4);
	pair_carry(&pair, 0);
	put_acks_on_wire(5, 0);
	pair_carry(&pair, 1);
	cr_assert_eq(merged(0), 0);
	finish();
}

/* A segment with a flag of its own, here URG, ends the run. */
Test(stack_merge, a_flag_ends_the_run)
{
	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, 3 * SEGMENT4);
	pair.side[0].queue[1].data[FLAGS_AT] |= 0x20;
	pair_carry(&pair, 0);
	cr_assert_eq(merged(1), 0);
	cr_assert_eq(server[0].received, 3 * SEGMENT4);
	finish();
}

/* Each is judged by its own age: this one is not taken, those before it and behind it are. */
Test(stack_merge, segments_of_different_times_are_not_merged)
{
	struct wire_packet *queue = pair.side[0].queue;
	uint32_t sent;

	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, 4 * SEGMENT4);
	for (size_t i = 0; i < 4; i++) {
		memcpy(&sent, queue[i].data + SENT_AT, sizeof(sent));
		sent = htonl(ntohl(sent) - (i == 2 ? 2000 : 0));
		memcpy(queue[i].data + SENT_AT, &sent, sizeof(sent));
	}
	pair_carry(&pair, 0);
	cr_assert_eq(merged(1), 1);
	cr_assert_eq(server[0].received, 2 * SEGMENT4);
	finish();
}

/* The longest run is as long as an IP packet can be: 65,535 bytes. */
Test(stack_merge, a_run_ends_where_an_ip_packet_does)
{
	size_t longest = (UINT16_MAX - HEADERS_LEN) / SEGMENT4; /* segments */
	uint64_t expected;

	start(1, ADDR_V4);
	put_on_wire(&client[0], 0, sizeof(bytes) / 2);
	for (int i = 0; i < 10 && pair.side[0].queue_len <= longest; i++)
		round_trip();
	cr_assert_gt(pair.side[0].queue_len, longest);
	expected = server[0].received + pair.side[0].queue_len * SEGMENT4;
	server[0].data_events = 0;
	pair_carry(&pair, 0);
	cr_assert_eq(server[0].data_events, 2);
	cr_assert_eq(server[0].received, expected);
	finish();
}
