// SPDX-License-Identifier: MIT
/* Connections that nobody uses, the whole way through (relay_world.h). */
#include "relay_world.h"

#include "base/time.h"

#include <criterion/criterion.h>

enum { IDLE_MS = 10000, GRAIN_MS = IDLE_MS / 16, SLACK_MS = 20, CONNS = 30 };

static void begin(uint64_t idle_ms, uint64_t half_closed_ms)
{
	world_idle_timeout_ns = idle_ms * NS_PER_MS;
	world_half_closed_timeout_ns = half_closed_ms * NS_PER_MS;
	world_init(21, 64 << 20);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
}

static uint64_t timed_out(enum relay_timeout kind)
{
	return relay_stats(world.relay[1])->timed_out[kind];
}

static bool is_over(const struct call *call)
{
	return call->client.was_reset && call->target.was_reset;
}

Test(relay_timeouts, an_idle_connection_is_ended)
{
	struct call *call;

	begin(IDLE_MS, 0);
	call = call_open();
	calls_work_for((IDLE_MS - SLACK_MS) * NS_PER_MS);
	cr_expect_not(call->client.was_reset || call->target.was_reset);
	calls_work_for((GRAIN_MS + 2 * SLACK_MS) * NS_PER_MS);
	cr_expect(is_over(call));
	cr_expect_eq(timed_out(RELAY_TIMEOUT_IDLE), 1);
	world_fini();
}

/* A byte now and then, whichever way it goes, and however often. */
static void keeps_it(bool from_client, uint64_t each_ms)
{
	struct call *call;
	struct end *end;

	begin(IDLE_MS, 0);
	call = call_open();
	end = from_client ? &call->client : &call->target;
	for (uint64_t ms = 0; ms < 5 * IDLE_MS; ms += each_ms) {
		end->to_write++;
		calls_work_for(each_ms * NS_PER_MS);
		cr_assert_not(call->client.was_reset || call->target.was_reset);
	}
	calls_work_for((IDLE_MS - each_ms - SLACK_MS) * NS_PER_MS);
	cr_expect_not(call->client.was_reset || call->target.was_reset);
	calls_work_for((each_ms + GRAIN_MS + 2 * SLACK_MS) * NS_PER_MS);
	cr_expect(is_over(call));
	world_fini();
}

Test(relay_timeouts, bytes_from_the_client_keep_it)
{
	keeps_it(true, IDLE_MS - 2 * SLACK_MS);
	keeps_it(true, GRAIN_MS / 2);
}

Test(relay_timeouts, bytes_from_the_target_keep_it)
{
	keeps_it(false, IDLE_MS - 2 * SLACK_MS);
	keeps_it(false, GRAIN_MS / 2);
}

Test(relay_timeouts, half_closed_has_its_own_limit)
{
	for (int side = 0; side < 2; side++) {
		struct call *call;
		struct end *writer;

		begin(100 * IDLE_MS, IDLE_MS);
		call = call_open();
		calls_work_for((2 * IDLE_MS) * NS_PER_MS);
		writer = side == 0 ? &call->target : &call->client;
		(side == 0 ? &call->client : &call->target)->manner = WRITES_THEN_ENDS;
		for (int i = 0; i < 5; i++) {
			calls_work_for((IDLE_MS - SLACK_MS) * NS_PER_MS);
			cr_assert_not(writer->was_reset);
			cr_assert(writer->saw_end);
			writer->to_write++;
		}
		calls_work_for((IDLE_MS + GRAIN_MS + SLACK_MS) * NS_PER_MS);
		cr_expect(is_over(call));
		cr_expect_eq(timed_out(RELAY_TIMEOUT_HALF_CLOSED), 1);
		cr_expect_eq(timed_out(RELAY_TIMEOUT_IDLE), 0);
		world_fini();
	}
}

/* Nobody may be half-closed for longer than open. */
Test(relay_timeouts, the_lesser_limit_counts)
{
	struct call *call;

	begin(IDLE_MS, 100 * IDLE_MS);
	call = call_open();
	call->client.manner = WRITES_THEN_ENDS;
	calls_work_for((IDLE_MS + GRAIN_MS + 2 * SLACK_MS) * NS_PER_MS);
	cr_expect(is_over(call));
	world_fini();
}

Test(relay_timeouts, without_limits_nothing_ends)
{
	struct call *open, *half;

	begin(0, 0);
	open = call_open();
	half = call_open();
	half->client.manner = WRITES_THEN_ENDS;
	calls_work_for(100 * NS_PER_MS);
	for (int s = 0; s < 30000; s++)
		world_turn(NS_PER_S);
	cr_expect_eq(relay_deadline(world.relay[1]), UINT64_MAX);
	open->client.to_write = half->target.to_write = 1000;
	open->client.manner = half->target.manner = WRITES_THEN_ENDS;
	open->target.manner = ENDS_AFTER_PEER;
	calls_finish();
	check_whole(open);
	check_whole(half);
	world_fini();
}

/* Those that are used among those that are not; whoever sleeps until the deadline is in time. */
Test(relay_timeouts, the_deadline_is_the_first_end)
{
	struct call *call[CONNS];

	begin(IDLE_MS, 0);
	for (int i = 0; i < CONNS; i++) {
		call[i] = call_open();
		calls_work_for((IDLE_MS / CONNS / 4) * NS_PER_MS);
	}
	for (int i = 0; i < CONNS; i += 2)
		call[i]->client.to_write++;
	calls_work_for((GRAIN_MS + SLACK_MS) * NS_PER_MS);
	for (int i = 0; i < CONNS; i += 2)
		call[i]->client.to_write++;
	calls_work_for(SLACK_MS * NS_PER_MS);
	for (uint64_t before = 0; before < CONNS / 2;) {
		uint64_t deadline_ns = relay_deadline(world.relay[1]);

		cr_assert_leq(deadline_ns, fake_io_now(&world.io) + IDLE_MS * NS_PER_MS);
		if (deadline_ns > fake_io_now(&world.io))
			world_turn(deadline_ns - fake_io_now(&world.io));
		else
			world_turn(0);
		before = timed_out(RELAY_TIMEOUT_IDLE);
	}
	calls_work_for(SLACK_MS * NS_PER_MS);
	for (int i = 0; i < CONNS; i++)
		cr_expect_eq(is_over(call[i]), i % 2 == 1);
	calls_work_for((IDLE_MS + GRAIN_MS) * NS_PER_MS);
	cr_expect_eq(timed_out(RELAY_TIMEOUT_IDLE), CONNS);
	world_fini();
}

/* --- dead hosts ---------------------------------------------------------------------------------- */

enum { SILENCE_S = 120 };

static void sleep_s(uint64_t s)
{
	for (uint64_t end_ns = world.pair.now_ns + s * NS_PER_S; world.pair.now_ns < end_ns;)
		world_turn(NS_PER_S);
}

Test(relay_timeouts, a_host_that_does_not_acknowledge)
{
	struct call *silent, *slow, *even;

	begin(0, 0);
	silent = call_open();
	slow = call_open();
	even = call_open();
	silent->client.to_write = slow->client.to_write = even->client.to_write = 1000;
	calls_work_for(100 * NS_PER_MS);
	fake_io_stand(&world.io, silent->target.fd, IO_PEER_SILENT);
	fake_io_stand(&world.io, slow->target.fd, IO_PEER_OWES);
	sleep_s(SILENCE_S - 2);
	calls_work_for(1 * NS_PER_MS);
	cr_expect_not(silent->target.was_reset);
	sleep_s(3);
	calls_work_for(20 * NS_PER_MS);
	cr_expect(is_over(silent));
	cr_expect_eq(timed_out(RELAY_TIMEOUT_HOST), 1);
	/* It is asked about again; who owed nothing is not. */
	fake_io_stand(&world.io, slow->target.fd, IO_PEER_SILENT);
	fake_io_stand(&world.io, even->target.fd, IO_PEER_SILENT);
	sleep_s(SILENCE_S + 1);
	calls_work_for(20 * NS_PER_MS);
	cr_expect(is_over(slow));
	sleep_s(2 * SILENCE_S);
	calls_work_for(20 * NS_PER_MS);
	cr_expect_not(even->target.was_reset);
	even->client.to_write++;
	calls_work_for(20 * NS_PER_MS);
	sleep_s(SILENCE_S + 1);
	calls_work_for(20 * NS_PER_MS);
	cr_expect(is_over(even));
	cr_expect_eq(timed_out(RELAY_TIMEOUT_HOST), 3);
	world_fini();
}

/* Bytes that go on and on do not put it off. */
Test(relay_timeouts, a_dead_host_that_is_sent_to)
{
	struct call *call;

	begin(0, 0);
	call = call_open();
	call->client.to_write = 1;
	calls_work_for(100 * NS_PER_MS);
	fake_io_stand(&world.io, call->target.fd, IO_PEER_SILENT);
	for (int i = 0; i < SILENCE_S + 1; i++) {
		call->client.to_write++;
		calls_turn();
		sleep_s(1);
	}
	calls_work_for(20 * NS_PER_MS);
	cr_expect(is_over(call));
	world_fini();
}
