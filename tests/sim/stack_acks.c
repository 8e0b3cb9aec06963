// SPDX-License-Identifier: MIT
/* When what arrives is acknowledged: nobody waits for it, and hardly a packet says nothing else. */
#include "base/time.h"
#include "stack_peer.h"

#include <criterion/criterion.h>

enum { PORT = PEER_FIRST_PORT, RTT_NS = 20 * 1000 * 1000, DELAY_MAX_NS = 40 * 1000 * 1000 };

static struct stack_peer peer;
static uint8_t rooms[64][2048];
static const uint8_t answer[100];

static void start(void)
{
	peer_init(&peer, 1);
	peer_turn(&peer, RTT_NS);
}

/* `count` full segments and a last one of `rest` bytes, if any, in one batch. */
static void put(size_t count, size_t rest)
{
	struct dgram run[64];
	size_t all = count + (rest > 0);

	for (size_t i = 0; i < all; i++)
		run[i] = peer_segment(&peer, PORT, PEER_ACK | (i + 1 == all ? PEER_PSH : 0),
				      i < count ? PEER_MSS : rest, rooms[i]);
	stack_input(peer.stack, run, all, false);
	stack_consumed(peer.end[PORT]->conn, count * PEER_MSS + rest);
}

static bool is_acked(void)
{
	return peer.conn[PORT].acked == peer.conn[PORT].seq;
}

/* The time until all that the peer has sent is acknowledged. */
static uint64_t wait_for_ack(void)
{
	uint64_t start_ns = peer.now_ns;

	while (!is_acked()) {
		uint64_t next_ns = stack_deadline(peer.stack);

		cr_assert_lt(next_ns, start_ns + NS_PER_S, "never");
		peer_turn(&peer, next_ns > peer.now_ns ? next_ns - peer.now_ns : 0);
	}
	return peer.now_ns - start_ns;
}

static void send_answer(void)
{
	cr_assert_eq(stack_write(peer.end[PORT]->conn, answer, sizeof(answer)), sizeof(answer));
	peer_turn(&peer, 0);
}

/* A request comes, and the answer `after_ns` later. */
static void exchange(size_t segments, size_t rest, uint64_t after_ns)
{
	put(segments, rest);
	peer_sleep(&peer, peer.now_ns + after_ns);
	send_answer();
	peer_sleep(&peer, peer.now_ns + RTT_NS);
}

/* A sender that waits for the ACK before it sends the rest, as Nagle's algorithm has it. */
Test(stack_acks, requests_of_any_number_of_segments_are_acknowledged_at_once)
{
	start();
	for (size_t round = 0; round < 40; round++) {
		put(round % 7, round % 3 == 0 ? 0 : 200);
		if (round % 7 > 0 || round % 3 > 0)
			cr_assert_eq(wait_for_ack(), 0, "round %zu", round);
		peer_sleep(&peer, peer.now_ns + RTT_NS);
	}
	peer_fini(&peer);
}

/* Head, ACK, body, answer: again and again, nobody waits. */
Test(stack_acks, a_head_and_its_body_wait_for_nothing)
{
	start();
	for (size_t round = 0; round < 40; round++) {
		put(0, 100);
		cr_assert_eq(wait_for_ack(), 0);
		peer_sleep(&peer, peer.now_ns + RTT_NS);
		exchange(0, 300, 0);
	}
	peer_fini(&peer);
}

/* One for one: the answer carries the acknowledgement. */
Test(stack_acks, a_ping_pong_takes_two_packets)
{
	uint64_t before;

	start();
	for (size_t round = 0; round < 10; round++)
		exchange(0, 100, 3 * NS_PER_MS);
	before = peer.packets;
	for (size_t round = 0; round < 100; round++)
		exchange(0, 100, 3 * NS_PER_MS);
	cr_assert_eq(peer.packets - before, 100, "%d packets", (int)(peer.packets - before));
	peer_fini(&peer);
}

Test(stack_acks, a_lone_segment_waits_no_longer_than_answers_take)
{
	start();
	for (size_t round = 0; round < 30; round++)
		exchange(0, 100, NS_PER_MS);
	put(0, 100);
	cr_assert_leq(wait_for_ack(), 5 * NS_PER_MS, "too long");
	put(0, 100); /* and in vain once only */
	cr_assert_eq(wait_for_ack(), 0);
	peer_fini(&peer);
}

Test(stack_acks, no_delay_is_longer_than_40_ms)
{
	start();
	for (size_t round = 0; round < 30; round++)
		exchange(0, 100, 39 * NS_PER_MS);
	put(0, 100);
	cr_assert_leq(wait_for_ack(), DELAY_MAX_NS);
	peer_fini(&peer);
}

Test(stack_acks, in_bulk_every_second_segment)
{
	uint64_t before;

	start();
	for (size_t i = 0; i < 20; i++)
		put(1, 0); /* the first are acknowledged one by one */
	before = peer.packets;
	for (size_t i = 0; i < 20; i++) {
		struct dgram dgram = peer_segment(&peer, PORT, PEER_ACK, PEER_MSS, rooms[0]);

		stack_input(peer.stack, &dgram, 1, false);
	}
	cr_assert_eq(peer.packets - before, 10, "%d", (int)(peer.packets - before));
	before = peer.packets;
	put(20, 0);
	cr_assert_leq(peer.packets - before, 2, "%d", (int)(peer.packets - before));
	peer_fini(&peer);
}

/* Who sends small segments without waiting for anything gets an acknowledgement for two. */
Test(stack_acks, small_ones_that_wait_for_nothing_are_acknowledged_by_two)
{
	uint64_t before;

	start();
	for (size_t round = 0; round < 20; round++) {
		before = peer.packets;
		for (size_t i = 0; i < 4; i++)
			peer_send(&peer, PORT, PEER_ACK | PEER_PSH, 64);
		peer_sleep(&peer, peer.now_ns + RTT_NS);
		cr_assert(is_acked());
		stack_consumed(peer.end[PORT]->conn, 4 * 64);
	}
	cr_assert_eq(peer.packets - before, 2, "%d", (int)(peer.packets - before));
	peer_fini(&peer);
}

/* After a pause a sender may begin with one segment, and wait for its acknowledgement. */
Test(stack_acks, the_first_segment_after_a_pause_is_acknowledged_at_once)
{
	start();
	for (size_t i = 0; i < 20; i++)
		put(1, 0);
	peer_sleep(&peer, peer.now_ns + NS_PER_S);
	for (size_t i = 0; i < 5; i++) {
		struct dgram dgram = peer_segment(&peer, PORT, PEER_ACK, PEER_MSS, rooms[0]);

		stack_input(peer.stack, &dgram, 1, false);
		cr_assert(is_acked());
	}
	peer_fini(&peer);
}

/* An idle connection that is done with its exchange wakes nobody again and again. */
Test(stack_acks, nothing_ticks_once_all_is_acknowledged)
{
	start();
	for (size_t round = 0; round < 10; round++)
		exchange(0, 100, NS_PER_MS);
	peer_send(&peer, PORT, PEER_ACK, 0);
	peer_sleep(&peer, peer.now_ns + NS_PER_S);
	cr_assert_lt(peer_sleep(&peer, peer.now_ns + 20 * NS_PER_S), 3);
	peer_fini(&peer);
}

/* It sleeps, as it waits for nothing but a time, and its owner gives it up. */
Test(stack_acks, aborted_asleep_with_a_delayed_ack)
{
	start();
	for (int i = 0; i < 10; i++)
		exchange(0, 100, 30 * NS_PER_MS);
	while (peer.now_ns / NS_PER_MS % 50 != 45)
		peer_turn(&peer, NS_PER_MS);
	put(0, 100);
	peer_turn(&peer, 0);
	peer_turn(&peer, 10 * NS_PER_MS);
	cr_assert_not(is_acked());
	stack_abort(peer.end[PORT]->conn);
	for (int i = 0; i < 4; i++)
		peer_turn(&peer, 50 * NS_PER_MS);
	peer_fini(&peer);
	cr_assert_eq(peer.budget.used, 0);
}
