// SPDX-License-Identifier: MIT
/*
 * The relay in bad times, the whole way through (relay_world.h): memory that runs short at the
 * worst moment, peers that vanish or are slow, packets lost after long silence.
 *
 * What must hold: connections that are established live on, nothing is cut short and called whole,
 * and nobody waits for ever - neither a connection, nor the loop for something that it spins on.
 */
#include "relay_world.h"

#include "base/time.h"

#include <criterion/criterion.h>

enum { BUDGET = 64 << 20 };

/* --- the course of things ----------------------------------------------------------------------- */

static void begin(uint64_t seed, size_t budget)
{
	world_init(seed, budget);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
}

static bool wire_is_empty(void)
{
	return world.pair.side[0].queue_len == 0 && world.pair.side[1].queue_len == 0;
}

/* Nobody works: the loops sleep from deadline to deadline, as the proxy's does. */
static void sleep_for(uint64_t ns)
{
	uint64_t end_ns = world.pair.now_ns + ns;

	while (world.pair.now_ns < end_ns) {
		uint64_t next_ns = wire_is_empty() ? end_ns : 0;

		for (int i = 0; i < 2; i++) {
			uint64_t deadline_ns = stack_deadline(world.pair.side[i].stack);

			if (deadline_ns < next_ns)
				next_ns = deadline_ns;
		}
		if (next_ns < world.pair.now_ns + NS_PER_MS)
			next_ns = world.pair.now_ns + NS_PER_MS; /* a packet's way */
		world_turn(next_ns - world.pair.now_ns);
	}
}

/* The loops sleep with nothing to wake them: what comes next does. */
static void doze(uint64_t ns)
{
	for (int i = 0; i < 2; i++)
		cr_assert_gt(stack_deadline(world.pair.side[i].stack), world.pair.now_ns + ns);
	world.pair.now_ns += ns;
}

/* What does not end by itself is cut off; nothing may be left of it. */
static void cut_and_finish(void)
{
	for (int i = 0; i < 2; i++)
		relay_abort_all(world.relay[i]);
	world_fini();
}

/* --- dialling ---------------------------------------------------------------------------------- */

/* The drain's end cuts a connection that is being dialled; the far side's answer is on its way. */
Test(relay_faults, answer_to_a_dial_that_was_aborted)
{
	for (uint64_t seed = 1; seed <= 2; seed++) {
		begin(seed, BUDGET);
		call_begin(ENDS_AFTER_PEER, ENDS_AFTER_PEER, 0);
		relay_turn(world.relay[0], world_wake(0)); /* the SYN is out */
		relay_abort_all(world.relay[0]);
		pair_step(&world.pair); /* the SYN-ACK comes before the relay's next turn */
		calls_finish();
		cr_assert(world.call[0].client.was_reset);
		world_fini();
	}
}

/* --- memory ------------------------------------------------------------------------------------ */

/* What others hold of a side's budget. */
static size_t held[2];

/* Others take, or give back, so much that exactly `room` bytes are left. */
static void leave_room(int side, size_t room)
{
	struct budget *budget = &world.pair.side[side].budget;

	budget_give(budget, held[side]);
	held[side] = budget->limit - budget->used;
	held[side] -= held[side] < room ? held[side] : room;
	cr_assert(budget_take(budget, held[side]));
}

static void give_back(int side)
{
	budget_give(&world.pair.side[side].budget, held[side]);
	held[side] = 0;
}

/* A turn in which whatever is given back on this side is gone before anybody can have it. */
static void short_turn(int side, size_t room)
{
	uint64_t now = world_wake(NS_PER_MS);

	leave_room(side, room);
	for (int i = 0; i < 2; i++)
		relay_turn(world.relay[i], now);
	leave_room(side, room);
	pair_step(&world.pair);
}

static void work_short_for(uint64_t ns, size_t room)
{
	struct call *call = &world.call[0];

	for (uint64_t end_ns = world.pair.now_ns + ns; world.pair.now_ns < end_ns;) {
		end_work(&call->client, &call->target);
		end_work(&call->target, &call->client);
		short_turn(0, room);
	}
}

/* The target's last bytes come in one segment with its FIN. */
static void answer_in_one_segment(size_t len, size_t room)
{
	struct call *call = &world.call[0];

	call->target.to_write = len;
	call->target.manner = WRITES_THEN_ENDS;
	world.pair.side[1].no_room = true;
	work_short_for(30 * NS_PER_MS, room);
	world.pair.side[1].no_room = false;
	work_short_for(200 * NS_PER_MS, room);
}

/*
 * The last bytes meet a client's side without memory for them, before or after the client has ended
 * its own direction. Memory comes back soon: they must arrive then, not be lost under a clean end.
 */
static void last_bytes_without_memory(bool client_ends_first)
{
	enum { ANSWER_LEN = 500, ROOM = 900 }; /* less than a chunk of the relay's takes */
	struct call *call;

	begin(2, BUDGET);
	call = call_open();
	calls_work_for(50 * NS_PER_MS);
	if (client_ends_first) {
		call->client.manner = WRITES_THEN_ENDS;
		calls_work_for(100 * NS_PER_MS);
	}
	answer_in_one_segment(ANSWER_LEN, ROOM);
	call->client.manner = WRITES_THEN_ENDS;
	work_short_for(200 * NS_PER_MS, ROOM);
	cr_assert_eq(call->client.read, 0, "memory was not short");
	give_back(0);
	calls_finish();
	check_whole(call);
	world_fini();
}

Test(relay_faults, last_bytes_without_memory_in_fin_wait_2)
{
	last_bytes_without_memory(true);
}

Test(relay_faults, last_bytes_without_memory_before_our_fin)
{
	last_bytes_without_memory(false);
}

static uint64_t to_tunnel(void)
{
	return relay_stats(world.relay[1])->tunnel_bytes;
}

/* The most turns in a row that moved nothing and still wanted the next one at once. */
static unsigned spins_while_short(size_t room, unsigned turns)
{
	unsigned spins = 0, most = 0;

	for (unsigned i = 0; i < turns; i++) {
		uint64_t moved = to_tunnel();

		for (size_t k = 0; k < world.calls; k++)
			end_work(&world.call[k].client, &world.call[k].target);
		short_turn(1, room);
		moved = to_tunnel() - moved;
		spins = relay_deadline(world.relay[1]) == 0 && moved == 0 ? spins + 1 : 0;
		most = spins > most ? spins : most;
	}
	return most;
}

/*
 * In the middle of transfers there is memory for a few segments at a time only, and what was being
 * received waits for the tunnel. It must go on in small steps; and where it cannot, the loop must not
 * ask again at once, for ever.
 */
Test(relay_faults, short_memory_neither_spins_nor_stops)
{
	enum { ROOM = 5000, CALLS = 40, LEN = 1 << 18, TURNS = 1000, SPINS_MAX = 50 };
	uint64_t before;

	begin(8, BUDGET);
	for (size_t i = 0; i < CALLS; i++)
		call_open()->target.to_write = LEN;
	fake_io_faults(&world.io)->chunk_max = 65536;
	while (to_tunnel() < CALLS * LEN / 4)
		calls_turn();
	before = to_tunnel();
	cr_assert_lt(spins_while_short(ROOM, TURNS), SPINS_MAX, "the loop spins");
	cr_assert_gt(to_tunnel(), before + (64 << 10), "nothing moves: %d",
		     (int)(to_tunnel() - before));
	give_back(1);
	for (size_t i = 0; i < CALLS; i++) {
		world.call[i].client.manner = ENDS_AFTER_PEER;
		world.call[i].target.manner = WRITES_THEN_ENDS;
	}
	calls_finish();
	for (size_t i = 0; i < CALLS; i++)
		check_whole(&world.call[i]);
	world_fini();
}

/* Forty targets that do not read, clients that never stop writing: all memory goes there. */
static void crowd_in(struct call *slow, size_t count)
{
	for (size_t i = 0; i < count; i++)
		slow[i].client.to_write = UINT64_MAX;
	for (int turn = 0; turn < 3000; turn++) {
		for (size_t i = 0; i < count; i++)
			end_write(&slow[i].client);
		world_turn(NS_PER_MS);
	}
}

/* Half the least MEMORY_LIMIT: whoever has a reading target must get on, be others ever so slow. */
Test(relay_faults, slow_hosts_do_not_stop_the_others)
{
	enum { SLOW = 40, LEN = 100000 };
	struct call *call;

	begin(11, 4 << 20);
	for (size_t i = 0; i < SLOW; i++)
		call_open();
	call = call_open();
	crowd_in(world.call, SLOW);
	call->client.to_write = call->target.to_write = LEN;
	for (uint64_t end_ns = world.pair.now_ns + 60 * NS_PER_S; world.pair.now_ns < end_ns;) {
		end_work(&call->client, &call->target);
		end_work(&call->target, &call->client);
		world_turn(NS_PER_MS);
	}
	check_whole(call);
	cr_assert_eq(relay_stats(world.relay[1])->open, SLOW + 1, "established ones live on");
	cut_and_finish();
}

/* --- time -------------------------------------------------------------------------------------- */

/*
 * A client that has ended its direction long ago gets an answer that takes several round trips:
 * no time-out of closing connections may count while bytes are on their way.
 */
Test(relay_faults, late_answer_to_a_half_closed_client)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct call *call;

		begin(seed, BUDGET);
		call = call_open();
		call->client.manner = WRITES_THEN_ENDS;
		calls_work_for(100 * NS_PER_MS);
		sleep_for(40 * NS_PER_S);
		call->target.to_write = 60000; /* more than an initial window */
		call->target.manner = WRITES_THEN_ENDS;
		world.pair.side[0].no_room = true;
		calls_work_for(150 * NS_PER_MS); /* a round trip */
		world.pair.side[0].no_room = false;
		calls_finish();
		check_whole(call);
		world_fini();
	}
}

static void send_byte(struct call *call)
{
	call->client.to_write++;
}

/*
 * A lone segment is lost, nothing behind it tells: the retransmission time-out alone brings it, and
 * that comes of round trips (RFC 6298), not of the silence before.
 */
static void lose_a_lone_segment(uint64_t before_connect_ns, uint64_t before_first_byte_ns)
{
	struct call *call;
	uint64_t lost_ns;

	begin(4, BUDGET);
	calls_work_for(NS_PER_S);
	doze(before_connect_ns);
	call = call_open();
	calls_work_for(50 * NS_PER_MS);
	sleep_for(before_first_byte_ns);
	send_byte(call);
	calls_work_for(300 * NS_PER_MS);
	cr_assert_eq(call->target.read, 1);
	world.pair.loss_permille = 1000;
	lost_ns = world.pair.now_ns;
	send_byte(call);
	calls_work_for(20 * NS_PER_MS);
	world.pair.loss_permille = 0;
	while (call->target.read < 2 && world.pair.now_ns < lost_ns + 3 * NS_PER_S)
		calls_turn();
	cr_assert_eq(call->target.read, 2, "not sent again within 3 s");
	cut_and_finish();
}

Test(relay_faults, lost_segment_of_a_new_connection)
{
	lose_a_lone_segment(0, 0);
}

Test(relay_faults, lost_segment_after_a_silent_connection)
{
	lose_a_lone_segment(0, 30 * NS_PER_S);
}

Test(relay_faults, lost_segment_after_a_silent_stack)
{
	lose_a_lone_segment(600 * NS_PER_S, 0);
}

/* Half-closed connections need keep-alives, too: a minute of silence, four probes 15 s apart. */
Test(relay_faults, half_closed_peer_that_is_gone)
{
	struct call *call;

	begin(12, BUDGET);
	call = call_open();
	fake_io_shutdown(&world.io, call->target.fd);
	sleep_for(NS_PER_S);
	cr_assert_eq(relay_stats(world.relay[1])->open, 1);
	world.pair.loss_permille = 1000;
	sleep_for(180 * NS_PER_S);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(relay_stats(world.relay[i])->open, 0, "side %d waits for ever", i);
	cr_assert(fake_io_was_reset(&world.io, call->client.fd));
	cr_assert(fake_io_was_reset(&world.io, call->target.fd));
	world_fini();
}
