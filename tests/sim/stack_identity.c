// SPDX-License-Identifier: MIT
/* What a stranger has to guess to take part in a connection, and what he hears when he tries. */
#include "base/time.h"
#include "stack_peer.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

enum {
	PORT = PEER_FIRST_PORT,
	WINDOW = 65535,
	WINDOW_MAX = 65535 << 10, /* of ours */
	OFFERED = WINDOW << PEER_WINDOW_SCALE,
	TIME_WAIT_S = 30,
	CLOSERS = 30000,
	ORPHANS_MAX = 4096,
};

static struct stack_peer peer;

static struct peer_conn *conn(void)
{
	return &peer.conn[PORT];
}

/* A segment of the connection, with numbers so far off the right ones. */
static void say(uint8_t flags, uint32_t seq_off, uint32_t ack_off, uint16_t len)
{
	struct peer_packet segment = {
		.port = PORT,
		.flags = flags,
		.seq = conn()->seq + seq_off,
		.ack = conn()->ack + ack_off,
		.window = UINT16_MAX,
		.len = len,
	};

	peer_say(&peer, &segment);
}

static bool lives(void)
{
	return !peer.end[PORT]->ended;
}

static uint64_t packets_before;

static void begin(void)
{
	peer_init(&peer, 1);
	packets_before = peer.packets;
}

/* The stack says what it expects next, and nothing more, or nothing at all. */
static void expect_challenge(bool answered)
{
	const struct peer_packet *heard = peer_heard(&peer, 0);

	cr_assert(lives());
	if (answered) {
		cr_assert_eq(peer.packets, packets_before + 1, "%d",
			     (int)(peer.packets - packets_before));
		cr_assert_eq(heard->flags, PEER_ACK);
		cr_assert_eq(heard->seq, conn()->ack);
		cr_assert_eq(heard->ack, conn()->seq);
		cr_assert_eq(heard->len, 0);
	} else {
		cr_assert_eq(peer.packets, packets_before);
	}
	packets_before = peer.packets;
}

/* --- initial sequence numbers (RFC 6528) --------------------------------------------------------- */

static uint32_t isn_of(uint16_t port)
{
	peer_dial(&peer, port);
	return peer.conn[port].ack - 1;
}

Test(stack_identity, numbers_of_a_pair_rise_with_the_clock)
{
	uint32_t first, second;

	peer_init(&peer, 0);
	first = isn_of(PORT);
	peer_send(&peer, PORT, PEER_RST, 0);
	peer_turn(&peer, 400 * NS_PER_MS);
	second = isn_of(PORT);
	cr_assert_eq(second - first, 100000, "4 us each: %u", second - first);
	peer_fini(&peer);
}

/* At the same moment: what is known of one pair says nothing of another. */
Test(stack_identity, numbers_of_two_pairs_have_nothing_in_common)
{
	uint32_t before;
	size_t ones = 0;

	peer_init(&peer, 0);
	before = isn_of(PORT);
	for (uint16_t i = 1; i <= 1000; i++) {
		uint32_t isn = isn_of((uint16_t)(PORT + i));

		cr_assert_gt((isn - before) + 100000, 1000u);
		ones += (size_t)__builtin_popcount(isn ^ before);
		before = isn;
	}
	cr_assert(ones > 15700 && ones < 16300, "%zu bits of 32,000 differ", ones);
	peer_fini(&peer);
}

/* --- ports (RFC 6056) ----------------------------------------------------------------------------- */

/* Who has seen a whole cycle of them does not know the next one. */
Test(stack_identity, ports_come_in_another_order_each_time)
{
	static uint16_t first[65536];
	size_t count = 0, same = 0;

	peer_init(&peer, 0);
	for (int i = 0; i < 64512; i++) {
		cr_assert_eq(peer_connect(&peer, PEER_PORT), 0);
		first[count++] = peer.port;
		stack_abort(peer.end[peer.port]->conn);
		stack_turn(peer.stack);
	}
	for (size_t i = 0; i < count; i++) {
		cr_assert_eq(peer_connect(&peer, PEER_PORT), 0);
		same += peer.port == first[i];
		stack_abort(peer.end[peer.port]->conn);
		stack_turn(peer.stack);
	}
	cr_assert_lt(same, 20);
	peer_fini(&peer);
}

/* --- TIME_WAIT ------------------------------------------------------------------------------------ */

static void into_time_wait(void)
{
	peer_init(&peer, 0);
	peer_dial(&peer, PORT);
	peer_close_by_stack(&peer, PORT);
	cr_assert_eq(peer_heard(&peer, 0)->ack, conn()->seq);
	peer_turn(&peer, 0);
	cr_assert(peer.end[PORT]->ended);
}

Test(stack_identity, a_newer_syn_ends_time_wait)
{
	uint32_t used;

	into_time_wait();
	used = conn()->ack;
	conn()->seq += 1; /* above all that was used */
	peer_send(&peer, PORT, PEER_SYN, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_SYN | PEER_ACK);
	cr_assert_gt((int32_t)(peer_heard(&peer, 0)->seq - used), 0);
	peer_send(&peer, PORT, PEER_ACK, 0);
	cr_assert(lives());
	peer_send(&peer, PORT, PEER_ACK, 1000);
	cr_assert_eq(peer.end[PORT]->received, 1000);
	peer_fini(&peer);
	cr_assert_eq(peer.budget.used, 0);
}

/* What the old one sent outran the clock: 4 us for each of its bytes. */
Test(stack_identity, numbers_go_on_above_those_of_time_wait)
{
	static uint8_t bytes[65535];
	uint32_t used;

	peer_init(&peer, 0);
	peer_dial(&peer, PORT);
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(stack_write(peer.end[PORT]->conn, bytes, 10000), 10000);
		peer_turn(&peer, 1);
		peer_send(&peer, PORT, PEER_ACK, 0);
	}
	peer_close_by_stack(&peer, PORT);
	peer_turn(&peer, 0);
	used = conn()->ack;
	conn()->seq += 1;
	peer_send(&peer, PORT, PEER_SYN, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_SYN | PEER_ACK);
	cr_assert_gt((int32_t)(peer_heard(&peer, 0)->seq - used), 0);
	peer_fini(&peer);
}

Test(stack_identity, an_old_syn_does_not)
{
	into_time_wait();
	say(PEER_SYN, (uint32_t)-1000, 0, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_ACK);
	say(PEER_SYN, (uint32_t)-1, 0, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_ACK);
	say(PEER_RST, 0, 0, 0);
	say(PEER_ACK | PEER_FIN, (uint32_t)-1, 0, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_ACK, "it is still there");
	peer_fini(&peer);
}

Test(stack_identity, without_a_listener_time_wait_stays)
{
	into_time_wait();
	stack_unlisten(peer.stack);
	say(PEER_SYN, 1000, 0, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_ACK);
	peer_fini(&peer);
}

Test(stack_identity, time_wait_is_over_after_30_seconds)
{
	into_time_wait();
	peer_sleep(&peer, peer.now_ns + (TIME_WAIT_S + 1) * NS_PER_S);
	cr_assert_eq(stack_deadline(peer.stack), UINT64_MAX);
	say(PEER_ACK, 0, 0, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags & PEER_RST, PEER_RST);
	peer_fini(&peer);
}

/* --- challenge ACKs (RFC 5961) ------------------------------------------------------------------- */

Test(stack_identity, a_reset_counts_where_the_next_byte_belongs)
{
	begin();
	say(PEER_RST, 1, 0, 0);
	expect_challenge(true);
	say(PEER_RST, WINDOW - 1, 0, 0);
	expect_challenge(true);
	say(PEER_RST, WINDOW + 1, 0, 0);
	expect_challenge(false);
	say(PEER_RST, (uint32_t)-1, 0, 0);
	expect_challenge(false);
	say(PEER_RST, 0, 0, 0);
	peer_turn(&peer, 0);
	cr_assert(!lives());
	cr_assert_eq(peer.end[PORT]->how, STACK_END_RESET);
	peer_fini(&peer);
}

/* The peer has started anew: its SYN is answered with what is expected, and its RST to that counts. */
Test(stack_identity, a_syn_in_a_connection_is_challenged)
{
	begin();
	say(PEER_SYN, 123456, 0, 0);
	expect_challenge(true);
	say(PEER_SYN, 0, 0, 0);
	expect_challenge(true);
	say(PEER_SYN | PEER_ACK, 0, 0, 0);
	expect_challenge(true);
	peer_fini(&peer);
}

Test(stack_identity, a_syn_while_the_first_is_answered_is_challenged)
{
	peer_init(&peer, 0);
	peer_send(&peer, PORT, PEER_SYN, 0);
	say(PEER_SYN, 123456, 0, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_ACK);
	cr_assert_eq(peer_heard(&peer, 0)->ack, conn()->seq);
	say(PEER_SYN, (uint32_t)-1, 0, 0);
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_SYN | PEER_ACK, "the same once more");
	peer_fini(&peer);
}

Test(stack_identity, a_reset_while_connecting_has_to_acknowledge)
{
	uint16_t port;

	peer_init(&peer, 0);
	cr_assert_eq(peer_connect(&peer, PEER_PORT), 0);
	port = peer.port;
	peer_say(&peer, &(struct peer_packet){
				.port = port, .flags = PEER_RST, .ack = peer.conn[port].ack});
	peer_say(&peer, &(struct peer_packet){.port = port,
					      .flags = PEER_RST | PEER_ACK,
					      .ack = peer.conn[port].ack + 1});
	cr_assert_not(peer.end[port]->ended);
	peer_say(&peer, &(struct peer_packet){.port = port,
					      .flags = PEER_RST | PEER_ACK,
					      .ack = peer.conn[port].ack});
	peer_turn(&peer, 0);
	cr_assert(peer.end[port]->ended);
	cr_assert_eq(peer.end[port]->how, STACK_END_REFUSED);
	peer_fini(&peer);
}

/* What lies further back than the window that the peer offers it cannot have got. */
Test(stack_identity, what_is_acknowledged_has_to_be_plausible)
{
	begin();
	say(PEER_ACK, 0, 1, 100); /* never sent */
	expect_challenge(true);
	say(PEER_ACK, 0, 0u - OFFERED - 1, 100); /* long ago */
	expect_challenge(true);
	say(PEER_ACK, 0, 0x80000000, 100);
	expect_challenge(true);
	say(PEER_PSH, 0, 0, 100); /* no ACK */
	expect_challenge(false);
	cr_assert_eq(peer.end[PORT]->received, 0);
	say(PEER_ACK, 0, 0u - OFFERED, 100);
	cr_assert_eq(peer.end[PORT]->received, 100);
	peer_fini(&peer);
}

/* Neither what it acknowledges nor its window counts. */
Test(stack_identity, far_from_the_window_nothing_counts)
{
	static uint8_t bytes[1000];

	peer_init(&peer, 1);
	cr_assert_eq(stack_write(peer.end[PORT]->conn, bytes, sizeof(bytes)), sizeof(bytes));
	peer_turn(&peer, 0);
	say(PEER_ACK, WINDOW + 1, 0, 0);
	say(PEER_ACK, 0u - WINDOW_MAX - 1, 0, 0);
	say(PEER_ACK, 0x80000000, 0, 0);
	cr_assert_eq(peer.end[PORT]->acked, 0);
	cr_assert_eq(stack_stats(peer.stack)->challenges, 3);
	say(PEER_ACK, WINDOW, 0, 0);
	cr_assert_eq(peer.end[PORT]->acked, sizeof(bytes));
	peer_fini(&peer);
}

/* A peer whose ACKs were lost sends all again: each is answered, whatever the limit of challenges. */
Test(stack_identity, what_comes_again_is_no_guess)
{
	enum { AGAIN = 3000, BYTES = 10 * 65000 };

	peer_init(&peer, 1);
	for (int i = 0; i < 10; i++) {
		peer_send(&peer, PORT, PEER_ACK, 65000);
		stack_consumed(peer.end[PORT]->conn, 65000);
		peer_turn(&peer, NS_PER_MS);
	}
	cr_assert_eq(peer.end[PORT]->received, BYTES);
	packets_before = peer.packets;
	for (int i = 0; i < AGAIN; i++)
		say(PEER_ACK, 0u - BYTES, 0, 100);
	cr_assert_eq(peer.packets - packets_before, AGAIN);
	cr_assert_eq(stack_stats(peer.stack)->challenges, 0);
	peer_fini(&peer);
}

static uint64_t challenges_in_a_second(void)
{
	uint64_t before = peer.packets;

	peer_turn(&peer, NS_PER_S);
	for (int i = 0; i < 5000; i++)
		say(PEER_RST, 100, 0, 0);
	return peer.packets - before;
}

Test(stack_identity, challenges_are_limited_and_nobody_knows_how)
{
	const struct stack_stats *stats;
	uint64_t count, least = UINT64_MAX, most = 0, sum = 0;

	peer_init(&peer, 1);
	stats = stack_stats(peer.stack);
	for (int i = 0; i < 20; i++) {
		count = challenges_in_a_second();
		cr_assert(count >= 500 && count < 1500, "%d", (int)count);
		least = count < least ? count : least;
		most = count > most ? count : most;
		sum += count;
	}
	cr_assert_gt(most - least, 300);
	cr_assert_eq(stats->challenges, sum);
	cr_assert_eq(stats->challenges_limited, 20 * 5000 - sum);
	peer_fini(&peer);
}

/* --- connections that never end -------------------------------------------------------------------- */

/* Connections whose last ACK the peer owes: at most so many, and not for long. */
Test(stack_identity, who_owes_the_last_ack_is_not_waited_for)
{
	size_t before;

	peer_init(&peer, 0);
	before = peer.budget.used;
	for (uint16_t i = 0; i < CLOSERS; i++) {
		uint16_t port = (uint16_t)(PORT + i);

		peer_dial(&peer, port);
		peer_send(&peer, port, PEER_ACK | PEER_FIN, 0);
		stack_shutdown(peer.end[port]->conn);
		if (i % 100 == 0)
			peer_turn(&peer, 50 * NS_PER_MS);
	}
	peer_turn(&peer, 50 * NS_PER_MS);
	cr_assert_lt(peer.budget.used - before, (size_t)ORPHANS_MAX * 2048, "%zu bytes",
		     peer.budget.used - before);
	cr_assert_eq(peer.conn[PORT].heard & PEER_RST, PEER_RST, "the oldest went first");
	cr_assert_eq(peer.conn[PORT + CLOSERS - 1].heard & PEER_RST, 0);
	peer_sleep(&peer, peer.now_ns + (TIME_WAIT_S + 2) * NS_PER_S);
	cr_assert_eq(stack_deadline(peer.stack), UINT64_MAX, "nothing is left");
	peer_fini(&peer);
}

/* Both have closed, and the peer never acknowledges our FIN (CLOSING). */
Test(stack_identity, closing_ends)
{
	peer_init(&peer, 1);
	stack_shutdown(peer.end[PORT]->conn);
	say(PEER_ACK | PEER_FIN, 0, (uint32_t)-1, 0);
	peer_sleep(&peer, peer.now_ns + (TIME_WAIT_S + 2) * NS_PER_S);
	cr_assert(!lives());
	cr_assert_eq(stack_deadline(peer.stack), UINT64_MAX);
	peer_fini(&peer);
}
