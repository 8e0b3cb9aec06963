// SPDX-License-Identifier: MIT
/*
 * Many of everything - segments under way, connections, connections in TIME_WAIT - cost each no more
 * than few. What is compared is CPU time of this thread, the least of some rounds. The limit leaves
 * room for caches that others use, too; lwIP alone is beyond it by a factor of two and more.
 */
#include "stack_peer.h"

#include <criterion/criterion.h>
#include <time.h>

enum {
	COMING_PORT = 20000, /* from here on: connections that come and go */
	FEW = 10,
	MANY = 10000,
	STRIDE = 7919, /* a prime: no neighbours follow one another */
	BATCH = 50,
	ROUNDS = 20,
	TIMES_MAX = 12,
	TICK_NS = 50000000,
};

static struct stack_peer peer;
static size_t among;
static uint32_t cursor;

static void start(size_t conns)
{
	among = conns;
	cursor = 0;
	peer_init(&peer, conns);
	peer_turn(&peer, TICK_NS);
}

static void finish(void)
{
	peer_fini(&peer);
	cr_assert_eq(peer.budget.used, 0, "memory not given back: %zu", peer.budget.used);
}

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double least_cpu_ns(void (*work)(void))
{
	double least = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double spent = cpu_ns();

		work();
		spent = cpu_ns() - spent;
		least = spent < least ? spent : least;
	}
	return least;
}

static void compare(double few_ns, double many_ns)
{
	cr_assert_lt(many_ns, TIMES_MAX * few_ns, "%.0f ns, with many %.0f", few_ns, many_ns);
}

/* --- segments under way -------------------------------------------------------------------------- */

static const uint8_t bytes[100];

static void send_segment(void)
{
	struct peer_end *end = peer.end[PEER_FIRST_PORT];

	cr_assert_eq(stack_write(end->conn, bytes, sizeof(bytes)), sizeof(bytes));
	stack_turn(peer.stack);
}

static void send_some(void)
{
	for (int i = 0; i < 4; i++)
		send_segment();
}

/* Puts `count` segments on their way: acknowledges as many as it takes to open the window. */
static void fill_window(size_t count)
{
	struct peer_conn *conn = &peer.conn[PEER_FIRST_PORT];
	uint32_t una = conn->ack;

	for (size_t i = 0; i < count; i++)
		send_segment();
	while (conn->ack - una < count * sizeof(bytes)) {
		uint32_t heard = conn->ack;

		una = conn->ack = una + (uint32_t)sizeof(bytes);
		peer_send(&peer, PEER_FIRST_PORT, PEER_ACK, 0);
		conn->ack = heard;
		send_segment();
	}
}

static double segment_ns(size_t under_way)
{
	double ns;

	start(1);
	fill_window(under_way);
	ns = least_cpu_ns(send_some);
	finish();
	return ns;
}

/* lwIP alone walks both queues to their ends for each segment (patch 0006). */
Test(stack_many, a_segment_costs_the_same_behind_a_long_queue)
{
	compare(segment_ns(FEW), segment_ns(4000));
}

/* --- connections --------------------------------------------------------------------------------- */

static double among_ns(size_t conns, void (*work)(void))
{
	double ns;

	start(conns);
	ns = least_cpu_ns(work);
	finish();
	return ns;
}

static void hear_some(void)
{
	for (int i = 0; i < BATCH; i++) {
		uint32_t index = cursor++ * STRIDE % (uint32_t)among;

		peer_send(&peer, (uint16_t)(PEER_FIRST_PORT + index), PEER_ACK, 1);
	}
}

/* lwIP alone compares with one connection after the other (patch 0007). */
Test(stack_many, a_packet_costs_the_same_among_many)
{
	compare(among_ns(FEW, hear_some), among_ns(MANY, hear_some));
}

Test(stack_many, each_packet_finds_its_connection)
{
	start(MANY);
	for (uint16_t i = 0; i < MANY; i++)
		peer_send(&peer, PEER_FIRST_PORT + i, PEER_ACK, 1 + i % 1000);
	for (uint16_t i = 0; i < MANY; i++)
		cr_assert_eq(peer.end[PEER_FIRST_PORT + i]->received, 1 + i % 1000);
	finish();
}

static uint16_t come(void)
{
	uint16_t port = (uint16_t)(COMING_PORT + cursor++);

	peer_dial(&peer, port);
	cr_assert_not_null(peer.end[port]);
	return port;
}

/* The oldest of them goes: lwIP puts new ones at the head of its list. */
static void come_and_go(void)
{
	for (int i = 0; i < BATCH; i++) {
		size_t oldest = cursor;

		come();
		peer_close(&peer, (uint16_t)(oldest < among ? PEER_FIRST_PORT + oldest
							    : COMING_PORT + oldest - among));
	}
	stack_turn(peer.stack);
	cr_assert_eq(stack_stats(peer.stack)->conns, among);
}

/* lwIP alone looks for each in its list to take it off (patch 0008). */
Test(stack_many, a_connection_costs_the_same_among_many)
{
	compare(among_ns(FEW, come_and_go), among_ns(MANY, come_and_go));
}

static void come_and_wait(void)
{
	for (int i = 0; i < BATCH; i++)
		peer_close_by_stack(&peer, come());
	stack_turn(peer.stack);
	cr_assert_eq(stack_stats(peer.stack)->conns, 0);
}

static double after_waiting_ns(size_t count)
{
	double ns;

	start(0);
	while (cursor < count)
		peer_close_by_stack(&peer, come());
	peer_turn(&peer, TICK_NS);
	ns = least_cpu_ns(come_and_wait);
	finish();
	return ns;
}

/* So it does among those in TIME_WAIT (patch 0007). */
Test(stack_many, a_connection_costs_the_same_after_many_in_time_wait)
{
	compare(after_waiting_ns(FEW), after_waiting_ns(MANY));
}

/* Bytes beyond a gap are kept for a while: somebody has something to time. */
static void tick(void)
{
	peer.conn[PEER_FIRST_PORT].seq++;
	peer_send(&peer, PEER_FIRST_PORT, PEER_ACK, 1);
	peer.conn[PEER_FIRST_PORT].seq -= 2;
	for (int i = 0; i < 8; i++)
		peer_turn(&peer, TICK_NS);
}

/* lwIP alone walks all connections twenty times a second (patch 0009). */
Test(stack_many, a_tick_costs_the_same_among_many_idle)
{
	compare(among_ns(FEW, tick), among_ns(MANY, tick));
}

/* More at once than lwIP's own backlog holds: none has to come again. */
Test(stack_many, a_burst_of_syns_is_answered)
{
	enum { BURST = 3000 };

	start(0);
	for (uint16_t port = PEER_FIRST_PORT; port < PEER_FIRST_PORT + BURST; port++)
		peer_send(&peer, port, PEER_SYN, 0);
	for (uint16_t port = PEER_FIRST_PORT; port < PEER_FIRST_PORT + BURST; port++)
		cr_assert_eq(peer.conn[port].heard & (PEER_SYN | PEER_ACK), PEER_SYN | PEER_ACK,
			     "port %u", port);
	finish();
}

Test(stack_many, memory_goes_back_when_they_are_gone)
{
	size_t used;

	start(0);
	used = peer.budget.used;
	for (uint16_t i = 0; i < MANY; i++)
		peer_dial(&peer, PEER_FIRST_PORT + i);
	cr_assert_gt(peer.budget.used, used + MANY * 400);
	for (uint16_t i = 0; i < MANY; i++)
		peer_send(&peer, PEER_FIRST_PORT + i, PEER_RST, 0);
	peer_sleep(&peer, peer.now_ns + 1000000000);
	cr_assert_leq(peer.budget.used, used + 65536);
	finish();
}
