// SPDX-License-Identifier: MIT
/* Connections that wait for nothing but their peer or for time to pass, and what wakes them. */
#include "stack_peer.h"

#include <criterion/criterion.h>

enum { PORT = PEER_FIRST_PORT, MANY = 1000, TURNS_FEW = 5 };
#define S	 1000000000ULL
#define TICKS_NS (S / 10) /* until a fast and a slow tick have been */

static struct stack_peer peer;

static void finish(void)
{
	peer_fini(&peer);
	cr_assert_eq(peer.budget.used, 0, "memory not given back: %zu", peer.budget.used);
}

static size_t sleep_for(uint64_t ns)
{
	return peer_sleep(&peer, peer.now_ns + ns);
}

/* What the stack answers to a repeated FIN. */
static uint8_t answer_to_fin(uint16_t port)
{
	peer.conn[port].heard = 0;
	peer.conn[port].seq--;
	peer_send(&peer, port, PEER_ACK | PEER_FIN, 0);
	return peer.conn[port].heard;
}

/* RFC 9293, section 3.6.1: 2 MSL, here 30 s, which begin again with each FIN. */
Test(stack_sleep, time_wait_begins_again_with_a_fin_and_ends)
{
	enum { EARLY = PORT, LATE };

	peer_init(&peer, 2);
	peer_close_by_stack(&peer, EARLY);
	peer_close_by_stack(&peer, LATE);
	sleep_for(20 * S);
	cr_assert_eq(answer_to_fin(LATE), PEER_ACK);
	sleep_for(11 * S);
	cr_assert_eq(answer_to_fin(EARLY), PEER_RST | PEER_ACK);
	cr_assert_eq(answer_to_fin(LATE), PEER_ACK);
	cr_assert_leq(sleep_for(31 * S), TURNS_FEW, "it wakes for nothing");
	cr_assert_eq(answer_to_fin(LATE), PEER_RST | PEER_ACK);
	finish();
}

static size_t count_ended(enum stack_end how)
{
	size_t count = 0;

	for (size_t i = 0; i < MANY; i++)
		count += peer.end[PORT + i]->ended && peer.end[PORT + i]->how == how;
	return count;
}

/* Keep-alives after 60 s, and three more 15 s apart; half of the peers answer the first one. */
Test(stack_sleep, the_silent_are_asked_whether_they_live)
{
	peer_init(&peer, MANY);
	peer.packets = 0;
	cr_assert_leq(sleep_for(59 * S), TURNS_FEW, "it wakes for nothing");
	cr_assert_eq(peer.packets, 0);
	sleep_for(2 * S);
	cr_assert_eq(peer.packets, MANY);
	for (uint16_t i = 0; i < MANY; i += 2)
		peer_send(&peer, PORT + i, PEER_ACK, 0);
	sleep_for(58 * S);
	cr_assert_eq(stack_stats(peer.stack)->conns, MANY);
	cr_assert_eq(peer.packets, MANY + 3 * MANY / 2);
	sleep_for(2 * S);
	cr_assert_eq(count_ended(STACK_END_TIMEOUT), MANY / 2);
	finish();
}

/* Time in which the process was stopped is nobody's silence: they are asked, not given up. */
Test(stack_sleep, who_slept_through_it_is_not_given_up)
{
	peer_init(&peer, MANY);
	sleep_for(10 * S);
	peer.packets = 0;
	peer_turn(&peer, 3600 * S);
	sleep_for(S);
	cr_assert_eq(peer.packets, MANY);
	cr_assert_eq(stack_stats(peer.stack)->conns, MANY);
	finish();
}

Test(stack_sleep, what_is_heard_is_acknowledged)
{
	peer_init(&peer, 1);
	sleep_for(10 * S);
	peer.packets = 0;
	peer_send(&peer, PORT, PEER_ACK, 1);
	cr_assert_eq(peer.packets, 1);
	cr_assert_eq(peer.conn[PORT].acked, peer.conn[PORT].seq);
	finish();
}

/* From FIN_WAIT_2 to TIME_WAIT, which the timers must not take for an active connection. */
Test(stack_sleep, what_is_closed_by_the_peer_ends)
{
	peer_init(&peer, 1);
	stack_shutdown(peer.end[PORT]->conn);
	peer_send(&peer, PORT, PEER_ACK, 0);
	sleep_for(10 * S);
	peer_send(&peer, PORT, PEER_ACK | PEER_FIN, 0);
	cr_assert_eq(answer_to_fin(PORT), PEER_ACK);
	sleep_for(31 * S);
	cr_assert_eq(answer_to_fin(PORT), PEER_RST | PEER_ACK);
	finish();
}

/* A second connection uses up the memory for segments; later there is some again. */
Test(stack_sleep, a_fin_without_memory_is_sent_later)
{
	enum { OTHER = PORT + 1 };
	static const uint8_t apart[2000];
	size_t used;

	peer_init(&peer, 2);
	sleep_for(10 * S);
	used = peer.budget.used;
	peer.budget.used = peer.budget.limit;
	for (size_t i = 0; stack_write(peer.end[OTHER]->conn, apart + i, 1) > 0; i += 2)
		stack_turn(peer.stack);
	peer.conn[PORT].heard = 0;
	stack_shutdown(peer.end[PORT]->conn);
	stack_turn(peer.stack);
	cr_assert_eq(peer.conn[PORT].heard, 0);
	peer.budget.used = used;
	sleep_for(TICKS_NS);
	cr_assert_eq(peer.conn[PORT].heard, PEER_FIN | PEER_ACK);
	finish();
}
