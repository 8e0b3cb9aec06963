// SPDX-License-Identifier: MIT
/* Local ports of the connections that the stack makes. */
#include "stack_peer.h"

#include <criterion/criterion.h>
#include <errno.h>

/* RFC 6056, section 3.2. */
enum { PORTS_BEGIN = 1024, PORTS_END = 65536 };

static struct stack_peer peer;

static void finish(void)
{
	peer_fini(&peer);
	cr_assert_eq(peer.budget.used, 0, "memory not given back: %zu", peer.budget.used);
}

/* All of them to one target, and again for another. */
Test(stack_ports, each_is_used_once_for_each_target)
{
	static bool used[PORTS_END];

	peer_init(&peer, 0);
	for (int i = PORTS_BEGIN; i < PORTS_END; i++) {
		cr_assert_eq(peer_connect(&peer, PEER_PORT), 0);
		cr_assert_geq(peer.port, PORTS_BEGIN);
		cr_assert_not(used[peer.port]);
		used[peer.port] = true;
	}
	cr_assert_eq(peer_connect(&peer, PEER_PORT), -EADDRNOTAVAIL);
	cr_assert_eq(peer_connect(&peer, PEER_PORT + 1), 0);
	finish();
}

static void take(int count, uint16_t but)
{
	for (int i = 0; i < count; i++) {
		cr_assert_eq(peer_connect(&peer, PEER_PORT), 0);
		cr_assert_neq(peer.port, but);
		stack_abort(peer.end[peer.port]->conn);
		stack_turn(peer.stack);
	}
}

/*
 * When nearly all others have had their turn, a long connection ends, and the peer has it in
 * TIME_WAIT: its port, which would be among the next ones, has to wait for another cycle.
 */
Test(stack_ports, one_rests_that_the_peer_has_in_time_wait)
{
	uint16_t port;

	peer_init(&peer, 0);
	cr_assert_eq(peer_connect(&peer, PEER_PORT), 0);
	port = peer.port;
	peer_answer(&peer, port);
	take(64000, port);
	peer_close(&peer, port);
	take(2000, port);
	finish();
}

/* The stack closes each of them, and has it in TIME_WAIT. */
Test(stack_ports, twelve_thousand_connections_to_one_target_in_a_row)
{
	peer_init(&peer, 0);
	for (int i = 0; i < 12000; i++) {
		cr_assert_eq(peer_connect(&peer, PEER_PORT), 0, "number %d", i);
		peer_answer(&peer, peer.port);
		peer_close_by_stack(&peer, peer.port);
		peer_turn(&peer, 1000000);
	}
	cr_assert_eq(stack_stats(peer.stack)->conns, 0);
	finish();
}
