// SPDX-License-Identifier: MIT
/* What arrives ahead of others, twice, in pieces, in any order: bytes, acknowledgements, memory. */
#include "base/time.h"
#include "stack_peer.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

enum { PORT = PEER_FIRST_PORT, WINDOW = 65535, STREAM_LEN = 400000, TIMES_MAX = 12 };

static struct stack_peer peer;
static uint8_t stream[STREAM_LEN];
static uint8_t room[65536], rooms[8][8192];
static uint32_t first_seq; /* of the stream */

static void start(bool sack)
{
	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i * 7 + i / 251 + i / 65521);
	memset(&peer, 0, sizeof(peer));
	peer_init(&peer, 0);
	peer.sack = sack;
	peer_dial(&peer, PORT);
	peer.end[PORT]->expect = stream;
	first_seq = peer.conn[PORT].seq;
}

static void finish(void)
{
	cr_assert(!peer.end[PORT]->wrong, "other bytes than were sent");
	peer_fini(&peer);
	cr_assert_eq(peer.budget.used, 0, "memory not given back: %zu", peer.budget.used);
}

/* A segment of the stream. */
static struct dgram segment(size_t at, size_t len, uint8_t flags, uint8_t *bytes)
{
	struct dgram dgram;

	peer.conn[PORT].seq = first_seq + (uint32_t)at;
	dgram = peer_segment(&peer, PORT, PEER_ACK | flags, len, bytes);
	memcpy(dgram.data + dgram.len - len, stream + at, len);
	return dgram;
}

static void put(size_t at, size_t len)
{
	struct dgram dgram = segment(at, len, 0, room);

	stack_input(peer.stack, &dgram, 1, false);
}

static void put_fin(size_t at, size_t len)
{
	struct dgram dgram = segment(at, len, PEER_FIN, room);

	stack_input(peer.stack, &dgram, 1, false);
}

static size_t acked(void)
{
	return peer.conn[PORT].acked - first_seq;
}

static size_t received(void)
{
	return peer.end[PORT]->received;
}

/* The blocks of the last ACK are these pairs of edges. */
#define assert_sacks(...)                                                                          \
	do {                                                                                       \
		const uint32_t edges[] = {__VA_ARGS__};                                            \
		const struct peer_conn *conn = &peer.conn[PORT];                                   \
                                                                                                   \
		cr_assert_eq(conn->sacks_count, sizeof(edges) / 8, "%zu blocks",                   \
			     conn->sacks_count);                                                   \
		for (size_t i = 0; i < conn->sacks_count; i++) {                                   \
			cr_assert_eq(conn->sacks[i].left - first_seq, edges[2 * i]);               \
			cr_assert_eq(conn->sacks[i].right - first_seq, edges[2 * i + 1]);          \
		}                                                                                  \
	} while (0)

/* --- bytes ---------------------------------------------------------------------------------------- */

static uint32_t random_below(uint32_t bound)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 33) % bound);
}

/* Around what is due next: sizes and overlaps of any kind, some as runs that are merged. */
static void put_any(size_t end, bool with_fin)
{
	struct dgram run[8];
	size_t count = 1 + random_below(8), at = acked() + random_below(60000);

	at -= random_below(2) ? random_below(3000) : 0;
	at = at > acked() + WINDOW ? 0 : at; /* below the stream's begin */
	for (size_t i = 0; i < count; i++) {
		size_t len = 1 + random_below(random_below(3) == 0 ? 8000 : 50);

		if (at >= end)
			at = end - 1;
		if (len > end - at)
			len = end - at;
		run[i] = segment(at, len, with_fin && at + len == end ? PEER_FIN : 0, rooms[i]);
		at += random_below(8) == 0 ? random_below(2000) : len;
	}
	stack_input(peer.stack, run, count, false);
}

static void assert_sacks_are_true(const uint8_t *sent)
{
	const struct peer_conn *conn = &peer.conn[PORT];

	for (size_t i = 0; i < conn->sacks_count; i++) {
		size_t left = conn->sacks[i].left - first_seq,
		       right = conn->sacks[i].right - first_seq;

		cr_assert(left < right && right <= STREAM_LEN, "%zu..%zu", left, right);
		for (size_t at = left; at < right && sent != NULL; at++)
			cr_assert(sent[at]);
	}
}

Test(stack_receive, any_order_and_overlap_gives_the_stream)
{
	for (int round = 0; round < 20; round++) {
		start(round % 2 == 0);
		for (int i = 0; i < 20000 && !peer.end[PORT]->fin; i++) {
			size_t before = received();

			put_any(STREAM_LEN, true);
			if (random_below(20) == 0 && acked() < STREAM_LEN)
				put(acked(), 1 + random_below(1000) % (STREAM_LEN - acked()));
			assert_sacks_are_true(NULL);
			stack_consumed(peer.end[PORT]->conn, received() - before);
			peer_turn(&peer, NS_PER_MS);
		}
		cr_assert_eq(received(), STREAM_LEN);
		cr_assert(peer.end[PORT]->fin);
		finish();
	}
}

Test(stack_receive, an_end_that_comes_first_waits_for_the_rest)
{
	start(true);
	put_fin(2000, 500);
	put(1000, 1000);
	cr_assert_not(peer.end[PORT]->fin);
	cr_assert_eq(received(), 0);
	put(0, 1000);
	cr_assert(peer.end[PORT]->fin);
	cr_assert_eq(received(), 2500);
	cr_assert_eq(acked(), 2501);
	finish();
}

Test(stack_receive, an_end_without_bytes_waits_too)
{
	start(true);
	put_fin(1000, 0);
	cr_assert_not(peer.end[PORT]->fin);
	put(0, 1000);
	cr_assert(peer.end[PORT]->fin);
	cr_assert_eq(acked(), 1001);
	finish();
}

/* --- blocks ---------------------------------------------------------------------------------------- */

/* RFC 2018, section 4: first what came last, then what was first before. */
Test(stack_receive, blocks_tell_the_newest_first)
{
	start(true);
	for (uint32_t at = 1000; at <= 6000; at += 1000)
		put(at, 100);
	assert_sacks(6000, 6100, 5000, 5100, 4000, 4100, 3000, 3100);
	put(1100, 100); /* a run that was not told of any more grows */
	assert_sacks(1000, 1200, 6000, 6100, 5000, 5100, 4000, 4100);
	put(5100, 900); /* two become one */
	assert_sacks(5000, 6100, 1000, 1200, 4000, 4100, 3000, 3100);
	put(1150, 2900); /* over several */
	assert_sacks(1150, 1200, 1000, 4100, 5000, 6100);
	put(0, 1000);
	assert_sacks(5000, 6100);
	put(4100, 900);
	cr_assert_eq(peer.conn[PORT].sacks_count, 0);
	cr_assert_eq(received(), 6100);
	finish();
}

/* RFC 2883, section 4: the first block, once; behind it the one that it lies in. */
Test(stack_receive, what_arrives_twice_is_told_once)
{
	start(true);
	put(0, 1000);
	put(0, 1000);
	assert_sacks(0, 1000);
	put(2000, 1000);
	assert_sacks(2000, 3000);
	put(4000, 500);
	put(2100, 200);
	assert_sacks(2100, 2300, 2000, 3000, 4000, 4500);
	put(2900, 300);
	assert_sacks(2900, 3000, 2000, 3200, 4000, 4500);
	put(500, 1000);
	assert_sacks(500, 1000, 2000, 3200, 4000, 4500);
	cr_assert_eq(acked(), 1500);
	put(1500, 1000);
	assert_sacks(2000, 2500, 4000, 4500);
	cr_assert_eq(acked(), 3200);
	finish();
}

Test(stack_receive, no_blocks_for_who_has_not_asked)
{
	start(false);
	put(1000, 1000);
	put(1000, 1000);
	cr_assert_eq(peer.conn[PORT].sacks_count, 0);
	put(0, 1000);
	cr_assert_eq(received(), 2000);
	finish();
}

/* --- for how long ----------------------------------------------------------------------------------- */

/* What was SACKed is not sent again before a timeout: to drop it costs one. */
Test(stack_receive, what_is_held_stays)
{
	start(true);
	put(1000, 20000);
	peer_sleep(&peer, peer.now_ns + 20 * NS_PER_S);
	put(0, 1000);
	cr_assert_eq(received(), 21000);
	finish();
}

Test(stack_receive, what_is_held_makes_room_when_memory_is_short)
{
	size_t before;

	start(true);
	before = peer.budget.used;
	put(1000, 60000);
	cr_assert_gt(peer.budget.used, before + 60000);
	peer.budget.limit = peer.budget.used + 2000;
	peer_turn(&peer, 100 * NS_PER_MS);
	cr_assert_lt(peer.budget.used, before + 8192);
	peer.budget.limit = 64 << 20;
	put(0, 1000);
	cr_assert_eq(received(), 1000);
	finish();
}

/* --- at what cost ------------------------------------------------------------------------------------ */

static size_t order_ascending(size_t i, size_t count)
{
	(void)count;
	return i;
}

static size_t order_descending(size_t i, size_t count)
{
	return count - 1 - i;
}

static size_t order_jumping(size_t i, size_t count)
{
	return i * 7919 % count; /* a prime */
}

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* CPU time for each of `count` segments of a byte, with a gap of a byte before each. */
static double cost_of_holes(size_t count, size_t (*order)(size_t i, size_t count))
{
	double least = 1e18;

	for (int round = 0; round < 5; round++) {
		double spent;
		size_t before;

		start(true);
		before = peer.budget.used;
		spent = cpu_ns();
		for (size_t i = 0; i < count; i++)
			put(1 + 2 * order(i, count), 1);
		spent = (cpu_ns() - spent) / (double)count;
		least = spent < least ? spent : least;
		cr_assert_leq(peer.budget.used, before + 4 * WINDOW, "%zu bytes",
			      peer.budget.used - before);
		finish();
	}
	return least;
}

static void compare_holes(size_t (*order)(size_t i, size_t count))
{
	double few = cost_of_holes(16, order), many = cost_of_holes(WINDOW / 2, order);

	cr_assert_lt(many, TIMES_MAX * few, "%.0f ns each, of many %.0f", few, many);
}

Test(stack_receive, many_holes_cost_each_what_few_do)
{
	compare_holes(order_ascending);
	compare_holes(order_descending);
	compare_holes(order_jumping);
}

/* Each segment of a batch repeats all those before. */
Test(stack_receive, overlap_takes_no_memory)
{
	size_t before;

	start(true);
	before = peer.budget.used;
	for (size_t i = 0; i < 3000; i++)
		put(1000 + i % 7, 30000 - 2 * i % 5000);
	for (size_t i = 0; i < 30000; i += 10)
		put(1000 + i, 30000);
	cr_assert_leq(peer.budget.used, before + 4 * WINDOW, "%zu", peer.budget.used - before);
	put(0, 1000);
	cr_assert_eq(acked(), received());
	finish();
}
