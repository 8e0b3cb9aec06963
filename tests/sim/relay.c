// SPDX-License-Identifier: MIT
/*
 * The relay, the whole way through (relay_world.h).
 *
 * What must hold for every seed: what one end wrote is what the other end reads, in order and to
 * the last byte, or both ends see a reset; and when all is over nothing is left - no descriptor, no
 * operation, no byte of the budgets.
 */
#include "relay_world.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <inttypes.h>

Test(relay, half_close_in_every_order)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		world_init(seed, 64 << 20);
		fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
		for (int i = 0; i < 4; i++) {
			call_begin(i % 2 ? WRITES_THEN_ENDS : ENDS_AFTER_PEER,
				   i % 2 ? ENDS_AFTER_PEER : WRITES_THEN_ENDS, 300000);
			connect_call(&world.call[world.calls - 1]);
		}
		calls_finish();
		for (size_t i = 0; i < world.calls; i++)
			check_whole(&world.call[i]);
		world_fini();
	}
}

Test(relay, partial_transfers_and_a_bad_wire)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		world_init(seed, 64 << 20);
		fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
		fake_io_faults(&world.io)->chunk_max = 1 + (uint32_t)(seed * 997 % 5000);
		fake_io_faults(&world.io)->enobufs_permille = 20;
		fake_io_faults(&world.io)->short_permille = 50;
		world.pair.loss_permille = 3;
		world.pair.swap_permille = 10;
		for (int i = 0; i < 6; i++) {
			call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 200000);
			connect_call(&world.call[world.calls - 1]);
		}
		calls_finish();
		for (size_t i = 0; i < world.calls; i++)
			check_whole(&world.call[i]);
		world_fini();
	}
}

Test(relay, resets_and_breaks_reach_the_other_end)
{
	for (uint64_t seed = 1; seed <= 12; seed++) {
		world_init(seed, 64 << 20);
		fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
		fake_io_faults(&world.io)->chunk_max = 3000;
		if (seed % 3 == 0)
			fake_io_faults(&world.io)->break_permille = 5;
		for (int i = 0; i < 6; i++) {
			call_begin(i % 3 == 0 ? RESETS_HALFWAY : WRITES_THEN_ENDS,
				   i % 3 == 1 ? RESETS_HALFWAY : WRITES_THEN_ENDS, 100000);
			connect_call(&world.call[world.calls - 1]);
		}
		calls_finish();
		for (size_t i = 0; i < world.calls; i++) {
			const struct call *call = &world.call[i];

			cr_assert_leq(call->target.read, call->client.written);
			cr_assert_leq(call->client.read, call->target.written);
			if (!call->client.was_reset && !call->target.was_reset && call->connected)
				check_whole(call);
			if (call->connected && seed % 3 != 0 && i % 3 != 2)
				cr_assert(call->client.was_reset && call->target.was_reset);
		}
		world_fini();
	}
}

static void refused_by(enum fake_answer answer, enum relay_refusal refusal)
{
	world_init(77, 64 << 20);
	fake_io_answer(&world.io, &world.host_target, answer);
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	calls_finish();
	cr_assert(world.call[0].client.was_reset);
	cr_assert_eq(relay_stats(world.relay[1])->refused[refusal], 1);
	world_fini();
}

Test(relay, refused_target_is_a_reset)
{
	refused_by(FAKE_REFUSES, RELAY_REFUSED_TARGET);
}

Test(relay, unreachable_target_is_a_reset)
{
	refused_by(FAKE_UNREACHABLE, RELAY_REFUSED_TARGET);
}

Test(relay, silent_target_times_out)
{
	refused_by(FAKE_SILENT, RELAY_REFUSED_TIMEOUT);
}

/* One connection took so long, waiting for the target's address included. */
static void expect_connect_time(int side, uint64_t min_ns, uint64_t max_ns)
{
	const struct histogram *took = &relay_stats(world.relay[side])->connect_time;
	uint64_t count = 0;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		count += took->counts[i];
	cr_expect_eq(count, 1);
	cr_expect_geq(took->sum_ns, min_ns, "%" PRIu64, took->sum_ns);
	cr_expect_leq(took->sum_ns, max_ns, "%" PRIu64, took->sum_ns);
}

Test(relay, unresolved_target_is_waited_for)
{
	world_init(78, 64 << 20);
	world_resolve(NULL, 0);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	for (int i = 0; i < 300; i++)
		world_turn(10000000);
	world_resolve(&world.host_target, 1);
	connect_call(&world.call[0]);
	calls_finish();
	check_whole(&world.call[0]);
	expect_connect_time(1, 2900 * NS_PER_MS, 3500 * NS_PER_MS);
	world_fini();
}

Test(relay, unresolved_target_times_out)
{
	world_init(79, 64 << 20);
	world_resolve(NULL, 0);
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	calls_finish();
	cr_assert(world.call[0].client.was_reset);
	cr_assert_eq(relay_stats(world.relay[1])->connect_time.sum_ns, 0);
	cr_assert_eq(relay_stats(world.relay[1])->refused[RELAY_REFUSED_ADDRESS], 1);
	world_fini();
}

/* A target that does not read: the client is stopped by windows and queues, not by memory. */
Test(relay, back_pressure_end_to_end)
{
	struct call *call = &world.call[0];

	world_init(80, 64 << 20);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 0);
	call->client.to_write = 64 << 20;
	connect_call(call);
	for (int i = 0; i < 3000; i++) {
		end_write(&call->client);
		world_turn(1000000);
	}
	cr_assert_lt(call->client.written, 4 << 20);
	cr_assert_lt(world.pair.side[0].budget.high, 4 << 20);
	cr_assert_lt(world.pair.side[1].budget.high, 4 << 20);
	calls_finish();
	check_whole(call);
	world_fini();
}

/* So little memory that everybody has to wait: slow, but whole, and never over the limit. */
Test(relay, tiny_budget_still_moves)
{
	for (uint64_t seed = 1; seed <= 15; seed++) {
		world_init(seed, 600000);
		fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
		for (int i = 0; i < 10; i++) {
			call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 200000);
			connect_call(&world.call[world.calls - 1]);
		}
		calls_finish();
		for (size_t i = 0; i < world.calls; i++)
			check_whole(&world.call[i]);
		for (int i = 0; i < 2; i++)
			cr_assert_leq(world.pair.side[i].budget.high, 600000);
		world_fini();
	}
}

Test(relay, limit_refuses_and_keeps_the_others)
{
	uint64_t refused = 0;

	world_init(82, 64 << 20);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	for (int i = 0; i < 101; i++) {
		int fd;
		int end = fake_io_pair(&world.io, &fd);

		relay_adopt(world.relay[0], fd, NULL, NULL);
		if (fake_io_was_reset(&world.io, end))
			refused++;
	}
	cr_assert_eq(relay_stats(world.relay[0])->refused[RELAY_REFUSED_LIMIT], 1);
	cr_assert_eq(refused, 1);
	relay_abort_all(world.relay[0]);
	world_fini();
}

Test(relay, abort_all_leaves_nothing)
{
	world_init(83, 64 << 20);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	for (int i = 0; i < 5; i++) {
		call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 5 << 20);
		connect_call(&world.call[world.calls - 1]);
	}
	for (int i = 0; i < 50; i++)
		world_turn(1000000);
	relay_abort_all(world.relay[1]);
	calls_finish();
	world_fini();
}
