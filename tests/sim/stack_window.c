// SPDX-License-Identifier: MIT
/* How much a peer may send unasked: what its path needs, what memory allows, and never less again. */
#include "base/time.h"
#include "stack_peer.h"

#include <criterion/criterion.h>

enum {
	PORT = PEER_FIRST_PORT,
	SEGMENT = 16384,
	GRANULARITY = 1024, /* of what a scaled window can say */
	EASY = 1 << 20,
	UNSAID = 65536 + GRANULARITY, /* what need not be told at once */
};

static struct stack_peer peer;

static void start(size_t limit)
{
	peer_init(&peer, 0);
	peer.budget.limit = limit;
}

/* A handshake that takes a round trip. */
static void dial(uint16_t port, uint64_t rtt_ns)
{
	peer.conn[port] = (struct peer_conn){.seq = port};
	peer_send(&peer, port, PEER_SYN, 0);
	peer_turn(&peer, rtt_ns);
	peer_send(&peer, port, PEER_ACK, 0);
	peer_turn(&peer, 0);
}

/* Sends as much as the window has room for, up to `most`, and has it consumed; returns how much. */
static size_t fill(uint16_t port, size_t most)
{
	struct peer_conn *conn = &peer.conn[port];
	uint32_t right = conn->acked + conn->window;
	size_t sent = 0;

	while (sent < most && (int32_t)(right - conn->seq) > 0) {
		size_t len = right - conn->seq;

		len = len < SEGMENT ? len : SEGMENT;
		len = len < most - sent ? len : most - sent;
		peer_send(&peer, port, PEER_ACK, len);
		cr_assert_geq(conn->acked + conn->window + GRANULARITY, right, "it moved back");
		sent += len;
		stack_consumed(peer.end[port]->conn, len);
	}
	return sent;
}

static size_t window(uint16_t port)
{
	return peer.conn[port].acked + peer.conn[port].window - peer.conn[port].seq;
}

/* Slow start, from 10 segments on, until the path is full: the window is always ahead of it. */
static void fill_path(uint64_t rtt_ns, size_t bdp)
{
	size_t cwnd = 10 * PEER_MSS;

	start(256 << 20);
	dial(PORT, rtt_ns);
	for (int round = 0; round < 20; round++) {
		cr_assert_eq(fill(PORT, cwnd), cwnd, "round %d: a window of %zu", round, cwnd);
		peer_turn(&peer, rtt_ns);
		cwnd = 2 * cwnd < bdp ? 2 * cwnd : bdp;
	}
	peer_fini(&peer);
}

Test(stack_window, one_connection_fills_1_gbit_at_300_ms)
{
	fill_path(300 * NS_PER_MS, 37500000);
}

Test(stack_window, and_any_shorter_path)
{
	fill_path(100 * NS_PER_MS, 12500000);
	fill_path(20 * NS_PER_MS, 2500000);
}

/* What a path cannot have under way would only wait in queues, ours among them. */
Test(stack_window, a_local_path_keeps_a_small_one)
{
	start(256 << 20);
	dial(PORT, 100 * 1000);
	for (int i = 0; i < 10000; i++) {
		fill(PORT, 100000);
		peer_turn(&peer, 100 * 1000);
	}
	cr_assert_leq(window(PORT), EASY + GRANULARITY);
	cr_assert_geq(window(PORT), EASY / 2);
	peer_fini(&peer);
}

/* The second of two gets its share, the first goes back to its own. */
Test(stack_window, shares_are_fair_in_the_end)
{
	enum { LIMIT = 16 << 20, RTT_NS = 100 * 1000 * 1000 };

	start(LIMIT);
	dial(PORT, RTT_NS);
	for (int i = 0; i < 20; i++) {
		fill(PORT, SIZE_MAX / 2);
		peer_turn(&peer, RTT_NS);
	}
	cr_assert_geq(window(PORT), LIMIT / 2 - UNSAID, "%zu alone", window(PORT));
	dial(PORT + 1, RTT_NS);
	for (int i = 0; i < 30; i++) {
		fill(PORT, window(PORT));
		fill(PORT + 1, window(PORT + 1));
		peer_turn(&peer, RTT_NS);
	}
	cr_assert_geq(window(PORT + 1), LIMIT / 4 - UNSAID, "%zu", window(PORT + 1));
	cr_assert_leq(window(PORT) + window(PORT + 1), LIMIT / 2 + 2 * GRANULARITY);
	peer_fini(&peer);
}

/* Memory that others have taken is not promised on. */
Test(stack_window, what_is_more_than_a_share_is_given_back_in_a_crowd)
{
	enum { LIMIT = 16 << 20, RTT_NS = 100 * 1000 * 1000, CONNS = 8 };

	start(LIMIT);
	for (uint16_t i = 0; i < CONNS; i++)
		dial((uint16_t)(PORT + i), RTT_NS);
	for (int i = 0; i < 20; i++) {
		fill(PORT, window(PORT));
		peer_turn(&peer, RTT_NS);
	}
	cr_assert_geq(window(PORT), 4 * LIMIT / 2 / CONNS, "%zu", window(PORT));
	peer.budget.used += LIMIT / 2;
	for (int i = 0; i < 20; i++) {
		fill(PORT, window(PORT));
		peer_turn(&peer, RTT_NS);
	}
	cr_assert_leq(window(PORT), LIMIT / 2 / CONNS + GRANULARITY, "%zu", window(PORT));
	peer.budget.used -= LIMIT / 2;
	peer_fini(&peer);
}

/* With more connections than there is memory for: what the SYN has offered stays. */
Test(stack_window, the_first_window_is_kept)
{
	enum { CONNS = 100 };

	start(4 << 20);
	for (uint16_t i = 0; i < CONNS; i++) {
		uint16_t port = (uint16_t)(PORT + i);
		uint32_t right;

		dial(port, NS_PER_MS);
		right = peer.conn[port].acked + peer.conn[port].window;
		peer_send(&peer, port, PEER_ACK, 1);
		peer_turn(&peer, 100 * NS_PER_MS);
		cr_assert_geq(peer.conn[port].acked + peer.conn[port].window + GRANULARITY, right);
	}
	cr_assert_lt(window(PORT + CONNS - 1), window(PORT) / 2, "and is a smaller one");
	peer_fini(&peer);
}

/* A window of 8 KiB, too, is offered anew as soon as a peer may be waiting for it. */
Test(stack_window, the_smallest_one_opens_at_once)
{
	enum { CONNS = 100, LEAST = 8192 };
	uint16_t last = PORT + CONNS - 1;
	size_t room;

	start(4 << 20);
	for (uint16_t i = 0; i < CONNS; i++)
		dial((uint16_t)(PORT + i), NS_PER_MS);
	peer_send(&peer, last, PEER_ACK, 1);
	stack_consumed(peer.end[last]->conn, 1);
	peer_turn(&peer, 100 * NS_PER_MS);
	room = window(last);
	cr_assert(room <= LEAST && room > LEAST - 2 * GRANULARITY, "%zu", room);
	peer_send(&peer, last, PEER_ACK, room);
	peer_turn(&peer, 100 * NS_PER_MS);
	cr_assert_eq(window(last), 0);
	stack_consumed(peer.end[last]->conn, room);
	cr_assert_geq(window(last), room - GRANULARITY);
	peer_fini(&peer);
}

/* The other way: what is lent at once is as much, in segments and in bytes. */
Test(stack_window, a_sender_can_have_as_much_under_way)
{
	static const uint8_t bytes[STACK_WRITE_MAX];
	size_t lent = 0, taken;

	start(256 << 20);
	dial(PORT, NS_PER_MS);
	while (lent < 37500000 && (taken = stack_write(peer.end[PORT]->conn, bytes, sizeof(bytes))))
		lent += taken;
	cr_assert_geq(lent, 37500000, "%zu", lent);
	peer_fini(&peer);
}
