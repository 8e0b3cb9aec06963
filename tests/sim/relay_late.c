// SPDX-License-Identifier: MIT
/*
 * Egress that answers in the tunnel only when the target has (relay_world.h). The client's side is a
 * relay, too: what it counts is what any client would have seen - connected, or refused.
 */
#include "relay_world.h"

#include "base/time.h"

#include <criterion/criterion.h>

enum { BUDGET = 64 << 20, TIMEOUT_MS = 5000, SEEDS = 8 };

static void begin(uint64_t seed, enum fake_answer answer)
{
	world_init(seed, BUDGET);
	fake_io_answer(&world.io, &world.host_target, answer);
}

static void turns(int ms)
{
	for (int i = 0; i < ms; i++)
		world_turn(NS_PER_MS);
}

static uint64_t refused(int side, enum relay_refusal why)
{
	return relay_stats(world.relay[side])->refused[why];
}

/* Connections whose SYN was answered with SYN-ACK. */
static uint64_t client_connected(void)
{
	const struct histogram *took = &relay_stats(world.relay[0])->connect_time;
	uint64_t count = 0;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		count += took->counts[i];
	return count;
}

/* The client is told in the handshake, not after it. */
static void expect_refused_in_handshake(void)
{
	cr_expect_eq(client_connected(), 0);
	cr_expect_eq(relay_stats(world.relay[0])->resets, 0);
	cr_expect_eq(refused(0, RELAY_REFUSED_TARGET), 1);
	cr_expect_eq(stack_stats(world.pair.side[1].stack)->conns, 0);
}

static void call(uint64_t bytes_max)
{
	call_begin(WRITES_THEN_ENDS, ENDS_AFTER_PEER, bytes_max);
}

Test(relay_late, refused_is_refused)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		begin(seed, seed % 3 ? FAKE_REFUSES : FAKE_UNREACHABLE);
		call(1000);
		turns(20);
		expect_refused_in_handshake();
		cr_expect_eq(refused(1, RELAY_REFUSED_TARGET), 1);
		calls_finish();
		world_fini();
	}
}

Test(relay_late, early_is_a_reset_of_an_open_connection)
{
	pair_accepts_early = true;
	begin(1, FAKE_REFUSES);
	call(1000);
	turns(20);
	cr_expect_eq(client_connected(), 1);
	cr_expect_eq(relay_stats(world.relay[0])->resets, 1);
	calls_finish();
	world_fini();
}

/* Without an address nobody has accepted yet; the SYNs that come meanwhile are one connection. */
Test(relay_late, connected_when_the_target_has_accepted)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		begin(seed, FAKE_ACCEPTS);
		world_resolve(NULL, 0);
		call(100000);
		turns(4000);
		cr_expect_eq(client_connected(), 0);
		world_resolve(&world.host_target, 1);
		turns(20);
		cr_expect_eq(client_connected(), 1);
		connect_call(&world.call[0]);
		calls_finish();
		check_whole(&world.call[0]);
		cr_expect_eq(relay_stats(world.relay[1])->total, 1);
		cr_expect_lt(fake_io_accepted(&world.io, &world.host_target), 0);
		world_fini();
	}
}

Test(relay_late, the_next_address_is_tried_before_the_answer)
{
	struct addr both[2];

	begin(4, FAKE_ACCEPTS);
	both[0] = both[1] = world.host_target;
	both[0].ip[3]++;
	world_resolve(both, 2);
	world.target[1].turn = 58; /* the first of them is tried first */
	call(100000);
	connect_call(&world.call[0]);
	calls_finish();
	check_whole(&world.call[0]);
	cr_expect_eq(client_connected(), 1);
	world_fini();
}

Test(relay_late, a_silent_target_is_given_up)
{
	begin(5, FAKE_SILENT);
	call(1000);
	turns(TIMEOUT_MS - 100);
	cr_expect_eq(refused(0, RELAY_REFUSED_TARGET), 0);
	cr_expect_eq(stack_stats(world.pair.side[1].stack)->conns, 1);
	turns(200);
	expect_refused_in_handshake();
	cr_expect_eq(refused(1, RELAY_REFUSED_TIMEOUT), 1);
	calls_finish();
	world_fini();
}

/* Nobody is dialled for whom nobody waits. */
Test(relay_late, the_clients_reset_ends_the_dialling)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		begin(seed, FAKE_SILENT);
		if (seed % 4 == 0)
			world_resolve(NULL, 0);
		call(1000);
		turns(100);
		cr_assert_not(relay_idle(world.relay[1]));
		relay_abort_all(world.relay[0]);
		turns(100);
		cr_expect(relay_idle(world.relay[1]));
		cr_expect_eq(refused(1, RELAY_REFUSED_TIMEOUT), 0);
		calls_finish();
		world_fini();
	}
}

/* The target has accepted when the client vanishes: it must not be kept. */
Test(relay_late, a_client_that_vanishes_in_the_handshake)
{
	int target;

	begin(6, FAKE_ACCEPTS);
	world_resolve(NULL, 0);
	call(1000);
	turns(100);
	world_resolve(&world.host_target, 1);
	world.pair.loss_permille = 1000;
	turns(10000);
	target = fake_io_accepted(&world.io, &world.host_target);
	cr_assert_geq(target, 0);
	cr_expect_not(fake_io_was_reset(&world.io, target));
	turns(15000);
	cr_expect(fake_io_was_reset(&world.io, target));
	cr_expect(relay_idle(world.relay[1]));
	calls_finish();
	world_fini();
}

Test(relay_late, draining_refuses_who_waits)
{
	begin(7, FAKE_SILENT);
	call(1000);
	turns(100);
	stack_unlisten(world.pair.side[1].stack);
	turns(10);
	expect_refused_in_handshake();
	cr_expect(relay_idle(world.relay[1]));
	calls_finish();
	world_fini();
}

/* The target has accepted, and there is no memory for the connection in the tunnel. */
Test(relay_late, no_memory_to_answer)
{
	struct budget *budget = &world.pair.side[1].budget;
	size_t rest;

	begin(8, FAKE_ACCEPTS);
	world_resolve(NULL, 0);
	call(1000);
	turns(100);
	rest = budget_room(budget) - (64 << 10);
	cr_assert(budget_take(budget, rest));
	world_resolve(&world.host_target, 1);
	turns(20);
	expect_refused_in_handshake();
	cr_expect_eq(refused(1, RELAY_REFUSED_LIMIT), 1);
	budget_give(budget, rest);
	calls_finish();
	world_fini();
}

Test(relay_late, over_a_bad_wire)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		begin(seed, FAKE_ACCEPTS);
		world.pair.loss_permille = 100;
		world.pair.swap_permille = 100;
		for (int i = 0; i < 6; i++) {
			call(20000);
			connect_call(&world.call[i]);
		}
		calls_finish();
		for (int i = 0; i < 6; i++) {
			if (world.call[i].connected && !world.call[i].client.was_reset)
				check_whole(&world.call[i]);
		}
		world_fini();
	}
}
