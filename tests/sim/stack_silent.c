// SPDX-License-Identifier: MIT
/* Peers that say nothing more, and those that are only slow (stack_peer.h). */
#include "stack_peer.h"

#include "base/time.h"

#include <criterion/criterion.h>

enum { PORT = PEER_FIRST_PORT, SILENCE_S = 120, SLACK_S = 5 };

static struct stack_peer peer;
static const uint8_t bytes[100000];

static void finish(void)
{
	peer_fini(&peer);
	cr_expect_eq(peer.budget.used, 0);
}

static void sleep_s(uint64_t s)
{
	peer_sleep(&peer, peer.now_ns + s * NS_PER_S);
}

enum way { OPEN, WE_END = 1, PEER_HAS_ENDED = 2 };

/* Bytes that nobody acknowledges, in a connection that neither, one or both have ended. */
static void dies_with(unsigned way)
{
	struct stack_conn *conn;

	peer_init(&peer, 1);
	conn = peer.end[PORT]->conn;
	if ((way & PEER_HAS_ENDED) != 0)
		peer_send(&peer, PORT, PEER_ACK | PEER_FIN, 0);
	stack_write(conn, bytes, 1000);
	if ((way & WE_END) != 0)
		stack_shutdown(conn);
	sleep_s(SILENCE_S - SLACK_S);
	cr_expect_not(peer.end[PORT]->ended, "way %u", way);
	sleep_s(2 * SLACK_S);
	cr_expect(peer.end[PORT]->ended, "way %u", way);
	cr_expect_eq(peer.end[PORT]->how, STACK_END_TIMEOUT, "way %u", way);
	cr_expect(peer.conn[PORT].heard & PEER_RST, "way %u", way);
	finish();
}

Test(stack_silent, a_dead_peer_is_found_in_every_state)
{
	for (unsigned way = OPEN; way <= (WE_END | PEER_HAS_ENDED); way++)
		dies_with(way);
}

/* Both have ended, and our FIN is all that is left: it is nobody's by then, and goes as well. */
Test(stack_silent, a_last_fin_is_given_up)
{
	peer_init(&peer, 1);
	stack_shutdown(peer.end[PORT]->conn);
	/* At the same time: ours is not acknowledged. */
	peer_send(&peer, PORT, PEER_ACK | PEER_FIN, 0);
	peer_turn(&peer, NS_PER_MS);
	sleep_s(SILENCE_S + SLACK_S);
	cr_expect_eq(stack_deadline(peer.stack), UINT64_MAX);
	finish();
}

/* A peer that takes nothing for long and says so is alive, whether we have ended or not. */
static void lives_with(unsigned way)
{
	struct stack_conn *conn;
	uint64_t answered = 0;
	uint32_t took;

	peer_init(&peer, 1);
	conn = peer.end[PORT]->conn;
	peer_send(&peer, PORT, PEER_ACK, 1);
	peer.conn[PORT].is_full = true;
	peer_send(&peer, PORT, (way & PEER_HAS_ENDED) != 0 ? PEER_ACK | PEER_FIN : PEER_ACK, 1);
	took = peer.conn[PORT].ack;
	stack_write(conn, bytes, sizeof(bytes));
	if ((way & WE_END) != 0)
		stack_shutdown(conn);
	for (int s = 0; s < 10 * SILENCE_S; s++) {
		sleep_s(1);
		if (peer.packets > answered) {
			peer.conn[PORT].ack = took;
			peer_send(&peer, PORT, PEER_ACK, 0);
		}
		answered = peer.packets;
	}
	cr_expect_not(peer.end[PORT]->ended, "way %u", way);
	finish();
}

Test(stack_silent, a_full_peer_is_waited_for)
{
	for (unsigned way = OPEN; way <= (WE_END | PEER_HAS_ENDED); way++)
		lives_with(way);
}
