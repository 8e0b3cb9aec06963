// SPDX-License-Identifier: MIT
/* A peer that holds the keys but keeps to no rule: what it can take from others has a bound. */
#include "base/time.h"
#include "stack_peer.h"

#include <criterion/criterion.h>

enum { PORT = PEER_FIRST_PORT, WINDOW = 65535, LATE_S = 110 };

static struct stack_peer peer;

/* `len` bytes from `at` behind the peer's place in the stream, in pieces that a packet can hold. */
static void put(uint32_t at, uint32_t len)
{
	uint32_t base = peer.conn[PORT].seq;

	while (len > 0) {
		uint32_t part = len < PEER_MSS ? len : PEER_MSS;

		peer.conn[PORT].seq = base + at;
		peer_send(&peer, PORT, PEER_ACK, part);
		at += part;
		len -= part;
	}
	peer.conn[PORT].seq = base;
}

/* Bytes beyond the window, first behind a gap and then for as long as they are acknowledged. */
Test(stack_hostile, the_window_holds)
{
	peer_init(&peer, 1);
	put(WINDOW - 100, PEER_MSS);
	put(0, WINDOW - 100);
	stack_consumed(peer.end[PORT]->conn, 1000);
	for (int i = 0; i < 100; i++) {
		peer.conn[PORT].seq = peer.conn[PORT].acked;
		put(0, 20000);
		peer_turn(&peer, 100 * NS_PER_MS);
	}
	cr_assert_leq(peer.end[PORT]->received, WINDOW + 1000, "%zu", peer.end[PORT]->received);
	peer_fini(&peer);
}

/* Not one for each of the tiny segments that a peer says it could have sent. */
Test(stack_hostile, duplicate_acknowledgements_are_one_for_one)
{
	enum { COUNT = 5 };
	static uint8_t room[COUNT][2048];
	struct dgram run[COUNT];
	uint64_t before;

	peer_init(&peer, 1);
	peer.conn[PORT].seq += 100; /* a gap */
	for (size_t i = 0; i < COUNT; i++)
		run[i] = peer_segment(&peer, PORT, PEER_ACK, PEER_MSS / 4, room[i]);
	before = peer.packets;
	stack_input(peer.stack, run, COUNT, false);
	stack_turn(peer.stack);
	cr_assert_eq(peer.packets - before, COUNT, "%d", (int)(peer.packets - before));
	peer_fini(&peer);
}

/* Who closes first keeps a connection in TIME_WAIT: thousands a second must not starve the others. */
Test(stack_hostile, time_wait_leaves_room_for_who_lives)
{
	size_t before;

	peer_init(&peer, 1);
	peer.budget.limit = 8 << 20;
	for (uint16_t port = 2000; port < 50000; port++) {
		peer_dial(&peer, port);
		cr_assert_not_null(peer.end[port], "port %u: no room", port);
		peer_close_by_stack(&peer, port);
		if (port % 20 == 0)
			peer_turn(&peer, 2 * NS_PER_MS);
	}
	before = peer.end[PORT]->received;
	peer_send(&peer, PORT, PEER_ACK, 1000);
	cr_assert_eq(peer.end[PORT]->received, before + 1000);
	peer_fini(&peer);
}

/* When the next keep-alive to `port` comes. */
static double seconds_until_heard(uint16_t port)
{
	uint64_t start_ns = peer.now_ns;

	peer.port = 0;
	while (peer.port != port && peer.now_ns < start_ns + 300 * NS_PER_S) {
		uint64_t next_ns = stack_deadline(peer.stack);

		peer_turn(&peer, next_ns > peer.now_ns ? next_ns - peer.now_ns : 0);
	}
	return (double)(peer.now_ns - start_ns) / 1e9;
}

/* The machine slept for longer than the timing wheel is round (102.4 s). */
Test(stack_hostile, a_long_sleep_puts_no_timer_off)
{
	peer_init(&peer, 1);
	peer_turn(&peer, 20 * NS_PER_S);
	peer_dial(&peer, 2000);
	peer_turn(&peer, 100 * NS_PER_MS);
	peer_turn(&peer, LATE_S * NS_PER_S);
	cr_assert_lt(seconds_until_heard(2000), 61);
	peer_fini(&peer);
}
