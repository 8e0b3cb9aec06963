// SPDX-License-Identifier: MIT
/* The stack against itself: two stacks, a seeded wire, virtual time. */
#include "stack_pair.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum { PORT = 80, ENDS_MAX = 64 };

/* One end of a connection: sends `to_send` bytes of a pattern, checks what comes. */
struct end {
	struct stack_conn *conn;
	uint64_t offered, acked, to_send, received;
	uint8_t pattern_in, pattern_out;
	bool connected, fin, ended, shut, refuse_data;
	bool shut_when_sent; /* FIN behind the last byte */
	enum stack_end how;
};

struct ends {
	struct end end[ENDS_MAX];
	size_t count;
	bool refuse;
};

static struct ends accepted_ends;
static uint8_t pattern[256 * 1024];

static uint8_t byte_at(uint64_t at, uint8_t key)
{
	return (uint8_t)((at * 31 + (at >> 8)) ^ key);
}

static void *on_accepted(void *ctx, struct stack_conn *conn, const struct addr *from)
{
	struct ends *ends = ctx;

	cr_assert_neq(from->port, 0);
	if (ends == NULL || ends->refuse || ends->count == ENDS_MAX)
		return NULL;
	ends->end[ends->count] = (struct end){.conn = conn, .connected = true, .pattern_out = 7};
	return &ends->end[ends->count++];
}

static void on_connected(void *user)
{
	((struct end *)user)->connected = true;
}

static bool on_data(void *user, const struct iovec *iov, int count)
{
	struct end *end = user;

	if (end->refuse_data)
		return false;
	for (int i = 0; i < count; i++) {
		const uint8_t *bytes = iov[i].iov_base;

		for (size_t k = 0; k < iov[i].iov_len; k++)
			cr_assert_eq(bytes[k], byte_at(end->received + k, end->pattern_in));
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
	((struct end *)user)->fin = true;
}

static void on_ended(void *user, enum stack_end how)
{
	struct end *end = user;

	cr_assert_not(end->ended, "ended() twice");
	end->ended = true;
	end->conn = NULL;
	end->how = how;
}

static const struct stack_events events = {
	.accepted = on_accepted,
	.connected = on_connected,
	.data = on_data,
	.acked = on_acked,
	.fin = on_fin,
	.ended = on_ended,
};

/* Lends from a ring that repeats the pattern; bytes not acked are never overwritten. */
static void pump(struct end *end, uint64_t *consumed)
{
	if (end->conn == NULL || !end->connected)
		return;
	if (end->received > *consumed) {
		stack_consumed(end->conn, end->received - *consumed);
		*consumed = end->received;
	}
	while (!end->shut && end->offered < end->to_send) {
		size_t at = end->offered % sizeof(pattern);
		size_t room = sizeof(pattern) - (size_t)(end->offered - end->acked);
		size_t len = sizeof(pattern) - at;
		size_t taken;

		if (len > room)
			len = room;
		if (len > end->to_send - end->offered)
			len = (size_t)(end->to_send - end->offered);
		if (len == 0)
			return;
		for (size_t i = 0; i < len; i++)
			pattern[at + i] = byte_at(end->offered + i, end->pattern_out);
		taken = stack_write(end->conn, pattern + at, len);
		end->offered += taken;
		if (taken == 0)
			break;
	}
	if (end->offered == end->to_send && end->shut_when_sent && !end->shut) {
		end->shut = true;
		stack_shutdown(end->conn);
	}
}

static void start(struct stack_pair *pair, uint64_t seed)
{
	void *ctx[2] = {NULL, &accepted_ends};

	memset(&accepted_ends, 0, sizeof(accepted_ends));
	pair_init(pair, seed, &events, ctx);
	cr_assert_eq(stack_listen(pair->side[1].stack, PORT), 0);
}

static void finish(struct stack_pair *pair)
{
	pair_fini(pair);
	cr_assert_eq(pair->bufs_live, 0, "a receive buffer is still held");
	cr_assert_eq(pair->side[1].budget.used, 0, "memory not given back: %zu",
		     pair->side[1].budget.used);
}

static void dial(struct stack_pair *pair, struct end *end, uint8_t family)
{
	struct addr to = pair_addr(1, family, PORT);
	int error = 0;

	end->conn = stack_connect(pair->side[0].stack, &to, end, &error);
	cr_assert_not_null(end->conn, "%d", error);
}

/* Runs until `until` seconds of virtual time have passed or both ends are over. */
static void run(struct stack_pair *pair, struct end *client, uint64_t seconds)
{
	uint64_t stop = pair->now_ns + seconds * 1000000000;
	uint64_t consumed[2] = {0};

	while (pair->now_ns < stop && !(client->ended && accepted_ends.end[0].ended)) {
		pump(client, &consumed[0]);
		if (accepted_ends.count > 0)
			pump(&accepted_ends.end[0], &consumed[1]);
		if (!pair_step(pair))
			pair_sleep(pair, 1000000000);
		else
			pair->now_ns += 100000;
	}
}

static void transfer(uint64_t seed, uint8_t family, uint32_t loss, uint32_t swap)
{
	static struct stack_pair pair;
	struct end client = {.to_send = 3000000, .pattern_in = 7, .shut_when_sent = true};

	start(&pair, seed);
	pair.loss_permille = loss;
	pair.swap_permille = swap;
	dial(&pair, &client, family);
	for (int i = 0; i < 100 && !client.connected; i++) {
		if (!pair_step(&pair))
			pair_sleep(&pair, 1000000000);
	}
	run(&pair, &client, 600);
	cr_assert_eq(accepted_ends.end[0].received, client.to_send);
	cr_assert(accepted_ends.end[0].fin);
	cr_assert_not(client.ended, "the other direction is still open");
	accepted_ends.end[0].to_send = 12345;
	accepted_ends.end[0].shut_when_sent = true;
	run(&pair, &client, 600);
	cr_assert_eq(client.received, 12345);
	cr_assert(client.ended && accepted_ends.end[0].ended);
	cr_assert_eq(client.how, STACK_END_CLOSED);
	cr_assert_eq(accepted_ends.end[0].how, STACK_END_CLOSED);
	cr_assert_eq(stack_stats(pair.side[0].stack)->tx_retransmitted > 0, loss > 0);
	finish(&pair);
}

Test(stack, transfer_half_close_v4)
{
	transfer(1, ADDR_V4, 0, 0);
}

Test(stack, transfer_half_close_v6)
{
	transfer(2, ADDR_V6, 0, 0);
}

Test(stack, transfer_over_a_bad_wire)
{
	for (uint64_t seed = 3; seed < 7; seed++)
		transfer(seed, seed % 2 ? ADDR_V4 : ADDR_V6, 5, 20);
}

/* Three megabytes over a path of 100 Mbit/s; the time that it took. */
static uint64_t transfer_on_path(uint64_t seed, const struct path_config *path)
{
	static struct stack_pair pair;
	struct end client = {.to_send = 3000000, .pattern_in = 7, .shut_when_sent = true};
	uint64_t begin_ns, consumed[2] = {0};

	start(&pair, seed);
	pair_set_path(&pair, 0, path);
	pair_set_path(&pair, 1, path);
	dial(&pair, &client, ADDR_V4);
	begin_ns = pair.now_ns;
	while (!accepted_ends.end[0].fin && pair.now_ns < begin_ns + 60 * NS_PER_S) {
		pump(&client, &consumed[0]);
		pump(&accepted_ends.end[0], &consumed[1]);
		if (!pair_step(&pair))
			pair_sleep(&pair, NS_PER_S);
	}
	cr_assert_eq(accepted_ends.end[0].received, client.to_send);
	begin_ns = pair.now_ns - begin_ns;
	finish(&pair);
	return begin_ns;
}

/* The path's rate and delay are what it takes, and not much more: slow start costs a few RTTs. */
Test(stack, transfer_on_a_path)
{
	static const struct path_config path = {
		.rate_bps = 100 * 1000000, .queue_bytes = 250000, .delay_ns = 10 * NS_PER_MS};
	uint64_t took_ns = transfer_on_path(20, &path);

	cr_assert_geq(took_ns, 240 * NS_PER_MS + 2 * path.delay_ns);
	cr_assert_leq(took_ns, 600 * NS_PER_MS, "%lu us", took_ns / NS_PER_US);
}

Test(stack, transfer_on_a_bad_path)
{
	static const struct path_config path = {.rate_bps = 100 * 1000000,
						.queue_bytes = 100000,
						.loss_ppm = 10000,
						.burst_ppm = 1000,
						.burst_end_ppm = 200000,
						.duplicate_ppm = 10000,
						.reorder_ppm = 10000,
						.reorder_ns = 3 * NS_PER_MS,
						.delay_ns = 5 * NS_PER_MS,
						.jitter_ns = 2 * NS_PER_MS};

	for (uint64_t seed = 21; seed < 24; seed++)
		transfer_on_path(seed, &path);
}

static void settle(struct stack_pair *pair)
{
	for (int i = 0; i < 50; i++) {
		if (!pair_step(pair))
			pair_sleep(pair, 100000000);
	}
}

Test(stack, refused_without_listener)
{
	static struct stack_pair pair;
	struct end client = {0};

	start(&pair, 9);
	stack_unlisten(pair.side[1].stack);
	dial(&pair, &client, ADDR_V4);
	settle(&pair);
	cr_assert(client.ended);
	cr_assert_eq(client.how, STACK_END_REFUSED);
	finish(&pair);
}

Test(stack, refused_by_owner_is_a_reset)
{
	static struct stack_pair pair;
	struct end client = {0};

	start(&pair, 10);
	accepted_ends.refuse = true;
	dial(&pair, &client, ADDR_V6);
	settle(&pair);
	cr_assert(client.ended);
	cr_assert_eq(client.how, STACK_END_RESET);
	cr_assert_eq(stack_stats(pair.side[1].stack)->refused, 1);
	finish(&pair);
}

Test(stack, abort_reaches_the_peer_and_ends_later)
{
	static struct stack_pair pair;
	struct end client = {0};

	start(&pair, 11);
	dial(&pair, &client, ADDR_V4);
	settle(&pair);
	cr_assert(client.connected);
	stack_abort(client.conn);
	cr_assert_not(client.ended, "never from within a call");
	settle(&pair);
	cr_assert(client.ended);
	cr_assert_eq(accepted_ends.end[0].how, STACK_END_RESET);
	finish(&pair);
}

Test(stack, silent_peer_times_out)
{
	static struct stack_pair pair;
	struct end client = {0};

	start(&pair, 12);
	pair.loss_permille = 1000;
	dial(&pair, &client, ADDR_V4);
	for (int i = 0; i < 3000 && !client.ended; i++) {
		pair_step(&pair);
		pair_sleep(&pair, 1000000000);
	}
	cr_assert(client.ended);
	cr_assert_eq(client.how, STACK_END_TIMEOUT);
	finish(&pair);
}

Test(stack, refused_data_comes_again)
{
	static struct stack_pair pair;
	struct end client = {.to_send = 100000, .pattern_in = 7, .shut_when_sent = true};

	start(&pair, 13);
	dial(&pair, &client, ADDR_V4);
	settle(&pair);
	accepted_ends.end[0].refuse_data = true;
	run(&pair, &client, 2);
	cr_assert_eq(accepted_ends.end[0].received, 0);
	accepted_ends.end[0].refuse_data = false;
	run(&pair, &client, 20);
	cr_assert_eq(accepted_ends.end[0].received, 100000);
	cr_assert(accepted_ends.end[0].fin);
	finish(&pair);
}

Test(stack, no_room_loses_nothing)
{
	static struct stack_pair pair;
	struct end client = {.to_send = 500000, .pattern_in = 7, .shut_when_sent = true};
	uint64_t begin;

	start(&pair, 14);
	pair.side[0].no_room = true;
	dial(&pair, &client, ADDR_V4);
	settle(&pair);
	cr_assert_not(client.connected);
	pair.side[0].no_room = false;
	settle(&pair);
	cr_assert(client.connected);
	begin = pair.now_ns;
	run(&pair, &client, 30);
	cr_assert_eq(accepted_ends.end[0].received, 500000);
	cr_assert_lt(pair.now_ns - begin, 31ULL * 1000000000);
	finish(&pair);
}

/* The other end takes nothing of what comes, until its window is closed. */
static void write_to_nobody(struct stack_pair *pair, struct end *client, uint64_t seed)
{
	uint64_t consumed = 0;

	start(pair, seed);
	dial(pair, client, ADDR_V4);
	settle(pair);
	for (int i = 0; i < 2000; i++) {
		pump(client, &consumed);
		if (!pair_step(pair))
			pair_sleep(pair, 10000000);
	}
	cr_assert_leq(accepted_ends.end[0].received, 65535);
}

Test(stack, unread_bytes_close_the_window)
{
	static struct stack_pair pair;
	struct end client = {.to_send = 4000000, .pattern_in = 7};

	write_to_nobody(&pair, &client, 15);
	cr_assert_gt(accepted_ends.end[0].received, 60000);
	cr_assert_eq(stack_stats(pair.side[0].stack)->tx_retransmitted, 0, "probes do not count");
	finish(&pair);
}

/* The window opens again while nothing gets through: whoever waits for it asks (RFC 9293, 3.8.6.1). */
Test(stack, a_lost_window_update_is_asked_for)
{
	static struct stack_pair pair;
	struct end client = {.to_send = 400000, .pattern_in = 7};
	uint64_t consumed = 0;

	write_to_nobody(&pair, &client, 16);
	pair.loss_permille = 1000;
	pump(&accepted_ends.end[0], &consumed);
	for (int i = 0; i < 10; i++)
		pair_step(&pair);
	pair.loss_permille = 0;
	for (int i = 0; i < 2000; i++) {
		pump(&client, &(uint64_t){0});
		pump(&accepted_ends.end[0], &consumed);
		if (!pair_step(&pair))
			pair_sleep(&pair, 10000000);
	}
	cr_assert_eq(accepted_ends.end[0].received, client.to_send, "%d",
		     (int)accepted_ends.end[0].received);
	finish(&pair);
}

Test(stack, initial_window_is_ten_segments)
{
	static struct stack_pair pair;
	struct end client = {.to_send = 100000, .pattern_in = 7};
	uint64_t consumed = 0;

	start(&pair, 20);
	dial(&pair, &client, ADDR_V4);
	settle(&pair);
	pump(&client, &consumed);
	stack_turn(pair.side[0].stack);
	cr_assert_eq(pair.side[0].queue_len, 10, "%zu", pair.side[0].queue_len);
	finish(&pair);
}

/* The packet at `index` of those on their way from side 0 is lost. */
static void lose_packet(struct stack_pair *pair, size_t index)
{
	struct stack_side *side = &pair->side[0];

	cr_assert_lt(index, side->queue_len);
	free(side->queue[index].data);
	side->queue_len--;
	memmove(side->queue + index, side->queue + index + 1,
		(side->queue_len - index) * sizeof(side->queue[0]));
}

/*
 * A segment is lost, fast retransmission wants to send it and cannot, and the time-out comes: what
 * waits to be retransmitted must still be in order. lwIP alone puts the segment behind those that
 * follow it, which the window then never lets out: it never sends again.
 */
Test(stack, loss_and_no_room_until_time_out)
{
	static struct stack_pair pair;
	struct end client = {.to_send = 100000, .pattern_in = 7, .shut_when_sent = true};
	uint64_t consumed = 0;

	start(&pair, 19);
	dial(&pair, &client, ADDR_V4);
	settle(&pair);
	pump(&client, &consumed);
	stack_turn(pair.side[0].stack);
	lose_packet(&pair, 2);
	pair.side[0].no_room = true;
	run(&pair, &client, 5);
	pair.side[0].no_room = false;
	run(&pair, &client, 60);
	cr_assert_eq(accepted_ends.end[0].received, 100000, "%zu", accepted_ends.end[0].received);
	finish(&pair);
}

Test(stack, idle_connection_sleeps)
{
	static struct stack_pair pair;
	struct end client = {0};

	start(&pair, 16);
	dial(&pair, &client, ADDR_V4);
	settle(&pair);
	cr_assert(client.connected);
	cr_assert_gt(stack_deadline(pair.side[0].stack), pair.now_ns + 50ULL * 1000000000);
	finish(&pair);
}

Test(stack, keep_alives_are_no_retransmissions)
{
	static struct stack_pair pair;
	struct end client = {0};
	uint64_t sent;

	start(&pair, 16);
	dial(&pair, &client, ADDR_V4);
	settle(&pair);
	sent = stack_stats(pair.side[0].stack)->tx_packets;
	run(&pair, &client, 300);
	cr_assert_gt(stack_stats(pair.side[0].stack)->tx_packets, sent);
	cr_assert_eq(stack_stats(pair.side[0].stack)->tx_retransmitted, 0);
	finish(&pair);
}

Test(stack, ports_are_many_and_distinct)
{
	static struct stack_pair pair;
	static struct end client[600];
	struct addr to = pair_addr(1, ADDR_V4, PORT);
	int error;

	start(&pair, 17);
	for (size_t i = 0; i < 600; i++) {
		client[i].conn = stack_connect(pair.side[0].stack, &to, &client[i], &error);
		cr_assert_not_null(client[i].conn);
	}
	cr_assert_eq(stack_stats(pair.side[0].stack)->conns, 600);
	finish(&pair);
}

/* The peer may be in TIME_WAIT with a port that we are done with, and would not take its SYN. */
Test(stack, a_port_rests_before_it_comes_back)
{
	static struct stack_pair pair;
	static bool seen[65536];
	struct addr to = pair_addr(1, ADDR_V4, PORT);

	start(&pair, 21);
	for (int i = 0; i < 5000; i++) {
		struct end client = {0};
		const uint8_t *syn;
		uint16_t port;
		int error;

		client.conn = stack_connect(pair.side[0].stack, &to, &client, &error);
		cr_assert_eq(pair.side[0].queue_len, 1);
		syn = pair.side[0].queue[0].data;
		port = (uint16_t)(syn[20] << 8 | syn[21]);
		cr_assert_not(seen[port], "port %u comes back after %d", port, i);
		seen[port] = true;
		stack_abort(client.conn);
		stack_turn(pair.side[0].stack);
		while (pair.side[0].queue_len > 0)
			free(pair.side[0].queue[--pair.side[0].queue_len].data);
	}
	finish(&pair);
}

Test(stack, hostile_packets_are_dropped)
{
	static struct stack_pair pair;
	uint64_t seed = 4711;

	start(&pair, 18);
	for (int i = 0; i < 20000; i++) {
		size_t len = 20 + pair_random(&seed) % 100;
		uint8_t *data = malloc(len);
		bool v6 = len >= 40 && pair_random(&seed) % 2;

		for (size_t k = 0; k < len; k++)
			data[k] = (uint8_t)(pair_random(&seed) >> 24);
		data[0] = v6 ? 0x60 : (uint8_t)(0x45 + pair_random(&seed) % 3);
		if (v6)
			memcpy(data + 24, pair_addr(1, ADDR_V6, 0).ip, 16);
		else
			memcpy(data + 16, pair_addr(1, ADDR_V4, 0).ip, 4);
		data[v6 ? 6 : 9] = pair_random(&seed) % 3 ? (v6 ? 58 : 6)
							  : (uint8_t)pair_random(&seed);
		data[v6 ? 5 : 3] = (uint8_t)(v6 ? len - 40 : len);
		data[v6 ? 4 : 2] = 0;
		pair.side[0].queue[pair.side[0].queue_len++] = (struct wire_packet){data, len};
		pair_step(&pair);
	}
	finish(&pair);
}

/*
 * A retransmission that cannot leave is the last segment that waits, though not the last of the
 * stream: the FIN belongs behind those that are under way.
 */
Test(stack, end_behind_a_blocked_retransmission)
{
	static struct stack_pair pair;
	struct stack_side *side = &pair.side[0];
	struct end client = {.to_send = 10 * 1380, .pattern_in = 7};
	uint64_t consumed = 0;

	start(&pair, 91);
	pair.whole = true;
	dial(&pair, &client, ADDR_V4);
	for (int i = 0; i < 10; i++)
		pair_step(&pair);
	cr_assert(client.connected);
	pump(&client, &consumed);
	stack_turn(side->stack);
	cr_assert_eq(side->queue_len, 10);
	free(side->queue[0].data);
	memmove(side->queue, side->queue + 1, 9 * sizeof(side->queue[0]));
	side->queue_len = 9;
	side->no_room = true;
	pair_step(&pair); /* duplicate acknowledgements: fast retransmit, which is blocked */
	client.shut_when_sent = true;
	pump(&client, &consumed);
	side->no_room = false;
	run(&pair, &client, 60);
	cr_assert_eq(accepted_ends.end[0].received, client.to_send);
	cr_assert(accepted_ends.end[0].fin);
	finish(&pair);
}
