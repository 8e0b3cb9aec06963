// SPDX-License-Identifier: MIT
/* SYNs that are held until the owner answers: what a peer hears, and when (stack_peer.h). */
#include "stack_peer.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <string.h>

enum { PORT = 5000, CONNS_MAX = 100, HALF_OPEN_MAX = 75 /* three quarters */, ISN = 77 };

static struct stack_peer peer;

static void begin(void)
{
	peer_init_holding(&peer, CONNS_MAX);
}

/* Nothing of what was held is left when all has ended. */
static void finish(void)
{
	for (uint32_t i = 0; i < peer.ends_count; i++) {
		if (!peer.ends[i].ended)
			stack_abort(peer.ends[i].conn);
	}
	peer_turn(&peer, NS_PER_MS);
	cr_expect_eq(stack_stats(peer.stack)->conns, 0);
	peer_fini(&peer);
	cr_expect_eq(peer.budget.used, 0);
}

/* A SYN from `port`, with `len` bytes. */
static struct peer_conn *say_syn(uint16_t port, uint32_t isn, size_t len)
{
	peer.conn[port] = (struct peer_conn){.seq = isn};
	peer_send(&peer, port, PEER_SYN, len);
	return &peer.conn[port];
}

static void say_ack(uint16_t port)
{
	peer_send(&peer, port, PEER_ACK, 0);
}

Test(stack_hold, no_answer_before_the_owner_gives_one)
{
	struct peer_conn *conn;

	begin();
	conn = say_syn(PORT, ISN, 0);
	for (int i = 0; i < 20; i++)
		peer_turn(&peer, 500 * NS_PER_MS);
	cr_expect_eq(peer.packets, 0);
	cr_expect(stack_answer(peer.end[PORT]->conn));
	cr_expect_eq(conn->heard, PEER_SYN | PEER_ACK);
	cr_expect_eq(conn->acked, ISN + 1);
	cr_expect_not(peer.end[PORT]->connected);
	say_ack(PORT);
	cr_expect(peer.end[PORT]->connected);
	cr_expect_eq(stack_stats(peer.stack)->conns, 1);
	finish();
}

/* Bytes and the end come with the handshake's last packet. */
Test(stack_hold, the_first_bytes_are_the_connections)
{
	begin();
	say_syn(PORT, ISN, 0);
	stack_answer(peer.end[PORT]->conn);
	peer_send(&peer, PORT, PEER_ACK | PEER_FIN, 100);
	cr_expect(peer.end[PORT]->connected);
	cr_expect_eq(peer.end[PORT]->received, 100);
	cr_expect(peer.end[PORT]->fin);
	finish();
}

Test(stack_hold, who_is_refused_hears_a_reset)
{
	struct peer_conn *conn;

	begin();
	conn = say_syn(PORT, ISN, 0);
	stack_abort(peer.end[PORT]->conn);
	cr_expect_eq(conn->heard, PEER_RST | PEER_ACK);
	cr_expect_eq(conn->acked, ISN + 1);
	cr_expect_eq(conn->ack, 0, "its sequence number is 0");
	cr_expect_not(peer.end[PORT]->ended);
	peer_turn(&peer, NS_PER_MS);
	cr_expect(peer.end[PORT]->ended);
	finish();
}

Test(stack_hold, an_owner_without_room_refuses)
{
	begin();
	peer.refuses_offers = true;
	cr_expect_eq(say_syn(PORT, ISN, 0)->heard, PEER_RST | PEER_ACK);
	cr_expect_eq(stack_stats(peer.stack)->refused, 1);
	finish();
}

Test(stack_hold, a_syn_again_is_no_second_connection)
{
	begin();
	for (int i = 0; i < 5; i++)
		say_syn(PORT, ISN, 0);
	cr_expect_eq(peer.offered, 1);
	stack_answer(peer.end[PORT]->conn);
	/* On its way when the answer left: that is heard again, and nobody is asked. */
	say_syn(PORT, ISN, 0);
	say_ack(PORT);
	cr_expect(peer.end[PORT]->connected);
	cr_expect_eq(peer.offered, 1);
	finish();
}

/* The peer has given up and tries anew, from the same port. */
Test(stack_hold, the_latest_sequence_number_counts)
{
	struct peer_conn *conn;

	begin();
	say_syn(PORT, ISN, 0);
	say_syn(PORT, 5 * ISN, 0);
	conn = say_syn(PORT, 3 * ISN, 0);
	cr_expect_eq(peer.offered, 1);
	stack_answer(peer.end[PORT]->conn);
	cr_expect_eq(conn->acked, 3 * ISN + 1);
	say_ack(PORT);
	cr_expect(peer.end[PORT]->connected);
	finish();
}

/* They need not be taken: the peer sends them again. A reset acknowledges them. */
Test(stack_hold, a_syn_with_bytes)
{
	struct peer_conn *conn;

	begin();
	conn = say_syn(PORT, ISN, 1000);
	stack_answer(peer.end[PORT]->conn);
	cr_expect_eq(conn->acked, ISN + 1);
	conn->seq = ISN + 1;
	peer_send(&peer, PORT, PEER_ACK, 1000);
	cr_expect_eq(peer.end[PORT]->received, 1000);
	conn = say_syn(PORT + 1, ISN, 1000);
	stack_abort(peer.end[PORT + 1]->conn);
	cr_expect_eq(conn->acked, ISN + 1 + 1000);
	finish();
}

Test(stack_hold, the_peers_reset_ends_it)
{
	struct peer_conn *conn;

	begin();
	conn = say_syn(PORT, ISN, 0);
	conn->seq = ISN + 2;
	peer_send(&peer, PORT, PEER_RST, 0);
	conn->seq = ISN;
	peer_send(&peer, PORT, PEER_RST, 0);
	peer_turn(&peer, NS_PER_MS);
	cr_expect_not(peer.end[PORT]->ended, "a guess");
	conn->seq = ISN + 1;
	peer_send(&peer, PORT, PEER_RST, 0);
	/* The owner has not heard of it yet. */
	cr_expect(stack_answer(peer.end[PORT]->conn));
	peer_turn(&peer, NS_PER_MS);
	cr_expect(peer.end[PORT]->ended);
	cr_expect_eq(peer.end[PORT]->how, STACK_END_RESET);
	cr_expect_eq(peer.packets, 0);
	finish();
}

/* Nobody acknowledges the answer: it is repeated, and given up in the end. */
Test(stack_hold, an_answer_that_nobody_hears)
{
	begin();
	say_syn(PORT, ISN, 0);
	stack_answer(peer.end[PORT]->conn);
	peer_sleep(&peer, peer.now_ns + 30 * NS_PER_S);
	cr_expect(peer.end[PORT]->ended);
	cr_expect_eq(peer.end[PORT]->how, STACK_END_TIMEOUT);
	cr_expect_geq(peer.packets, 4);
	cr_expect_not(peer.end[PORT]->connected);
	finish();
}

/* However many there are: some room is left, the rest hears nothing, and who was first is served. */
Test(stack_hold, a_flood_is_bounded)
{
	begin();
	for (uint16_t i = 0; i < 1000; i++)
		say_syn(PORT + i, ISN, 0);
	cr_expect_eq(peer.offered, HALF_OPEN_MAX);
	cr_expect_eq(peer.packets, 0);
	cr_expect_eq(stack_stats(peer.stack)->rx_syns_dropped, 1000 - HALF_OPEN_MAX);
	cr_expect_leq(peer.budget.used, HALF_OPEN_MAX * 512);
	/* Answered is not yet open. */
	for (uint16_t i = 0; i < 10; i++)
		stack_answer(peer.end[PORT + i]->conn);
	say_syn(PORT + 2000, ISN, 0);
	cr_expect_eq(peer.offered, HALF_OPEN_MAX);
	for (uint16_t i = 0; i < 10; i++)
		say_ack(PORT + i);
	for (uint16_t i = 0; i < 10; i++)
		say_syn(PORT + 2000 + i, ISN, 0);
	cr_expect_eq(peer.offered, HALF_OPEN_MAX + 10);
	finish();
}

Test(stack_hold, at_the_limit_of_all_connections_there_is_a_reset)
{
	begin();
	for (uint16_t i = 0; i < CONNS_MAX; i++) {
		say_syn(PORT + i, ISN, 0);
		stack_answer(peer.end[PORT + i]->conn);
		say_ack(PORT + i);
	}
	cr_expect_eq(say_syn(PORT + CONNS_MAX, ISN, 0)->heard, PEER_RST | PEER_ACK);
	cr_expect_eq(stack_stats(peer.stack)->refused, 1);
	finish();
}

/* lwIP would make room by killing somebody else. */
Test(stack_hold, no_memory_to_answer)
{
	size_t rest;

	begin();
	say_syn(PORT, ISN, 0);
	rest = peer.budget.limit - peer.budget.used - 4096;
	cr_assert(budget_take(&peer.budget, rest));
	cr_expect_not(stack_answer(peer.end[PORT]->conn));
	stack_abort(peer.end[PORT]->conn);
	cr_expect_eq(peer.conn[PORT].heard, PEER_RST | PEER_ACK);
	/* And one that comes now is dropped. */
	say_syn(PORT + 1, ISN, 0);
	cr_expect_eq(peer.offered, 1);
	budget_give(&peer.budget, rest);
	finish();
}

Test(stack_hold, who_stops_listening_refuses_those_who_wait)
{
	begin();
	for (uint16_t i = 0; i < 50; i++)
		say_syn(PORT + i, ISN, 0);
	stack_answer(peer.end[PORT]->conn);
	stack_unlisten(peer.stack);
	peer_turn(&peer, NS_PER_MS);
	for (uint16_t i = 1; i < 50; i++) {
		cr_expect_eq(peer.conn[PORT + i].heard, PEER_RST | PEER_ACK);
		cr_expect(peer.end[PORT + i]->ended);
	}
	cr_expect_not(peer.end[PORT]->ended);
	say_ack(PORT);
	cr_expect(peer.conn[PORT].heard & PEER_RST);
	cr_expect(peer.end[PORT]->ended);
	finish();
}

/* What belongs to an open connection, or to a port where nobody listens, is lwIP's. */
Test(stack_hold, other_syns_are_lwips)
{
	struct dgram dgram;
	uint8_t room[100];

	begin();
	say_syn(PORT, ISN, 0);
	stack_answer(peer.end[PORT]->conn);
	say_ack(PORT);
	say_syn(PORT, 9 * ISN, 0);
	cr_expect_eq(peer.offered, 1);
	cr_expect_not(peer.end[PORT]->ended);
	dgram = peer_segment(&peer, PORT + 1, PEER_SYN, 0, room);
	room[23] = 81; /* another port of ours */
	stack_input(peer.stack, &dgram, 1, false);
	cr_expect_eq(peer.offered, 1);
	cr_expect_eq(stack_stats(peer.stack)->conns, 1);
	finish();
}

/* Cut anywhere, or with any flags: counted or answered, never read beyond. */
Test(stack_hold, malformed_syns)
{
	uint64_t seed = 1;

	begin();
	for (int i = 0; i < 20000; i++) {
		uint16_t port = (uint16_t)(PORT + i % 50);
		uint8_t room[200], *exact;
		struct dgram dgram = peer_segment(&peer, port, PEER_SYN, (size_t)i % 90, room);

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		room[32] = (uint8_t)(seed >> 40); /* header length */
		room[33] = (uint8_t)(seed >> 48); /* flags */
		if ((seed >> 33) % 4 == 0)
			dgram.len = (uint32_t)(20 + (seed >> 35) % (dgram.len - 19));
		room[2] = 0;
		room[3] = (uint8_t)dgram.len;
		exact = malloc(dgram.len);
		memcpy(exact, room, dgram.len);
		dgram.data = exact;
		stack_input(peer.stack, &dgram, 1, false);
		free(exact);
		if (i % 100 == 0)
			peer_turn(&peer, NS_PER_MS);
		for (int k = 0; k < 50; k++) {
			struct peer_end *end = peer.end[PORT + k];

			if (end != NULL && !end->ended && (seed >> 20) % 64 == 0)
				stack_abort(end->conn);
		}
	}
	cr_expect_gt(peer.offered, 10);
	finish();
}

/* RFC 9293, section 3.10.7.4: the pair of ports rests, and the peer has a new use for it. */
Test(stack_hold, a_newer_syn_ends_time_wait)
{
	begin();
	say_syn(PORT, ISN, 0);
	stack_answer(peer.end[PORT]->conn);
	say_ack(PORT);
	peer_close_by_stack(&peer, PORT);
	peer_turn(&peer, NS_PER_MS);
	cr_assert(peer.end[PORT]->ended);
	say_syn(PORT, ISN + 100000, 0);
	cr_assert_eq(peer.offered, 2);
	cr_expect(stack_answer(peer.end[PORT]->conn));
	say_ack(PORT);
	cr_expect(peer.end[PORT]->connected);
	finish();
}
