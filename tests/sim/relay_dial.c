// SPDX-License-Identifier: MIT
/*
 * Targets with several addresses, the whole way through (relay_world.h). A connection goes from one
 * address to the next until one accepts; its client notices nothing but the time that this takes,
 * and is refused only when no address or no time is left.
 */
#include "relay_world.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { BUDGET = 64 << 20, TIMEOUT_MS = 5000 /* of both relays, about */ };

/* A call tries up to six addresses in their order when their number is added to a multiple of 60. */
static void try_in_order(struct target *target)
{
	target->turn = (uint32_t)(60 - target->count);
}

/* The target on the host has one address for each answer. */
static void begin(uint64_t seed, size_t count, const enum fake_answer *answers)
{
	struct addr addrs[TARGET_ADDRS_MAX];

	world_init(seed, BUDGET);
	for (size_t i = 0; i < count; i++) {
		addrs[i] = world.host_target;
		addrs[i].ip[3] = (uint8_t)(100 + i);
		if (answers[i] == FAKE_ACCEPTS)
			world.host_target = addrs[i];
		fake_io_answer(&world.io, &addrs[i], answers[i]);
	}
	world_resolve(addrs, count);
	try_in_order(&world.target[1]);
}

#define BEGIN(seed, ...)                                                                           \
	begin(seed, sizeof((enum fake_answer[]){__VA_ARGS__}) / sizeof(enum fake_answer),          \
	      (enum fake_answer[]){__VA_ARGS__})

static unsigned ms_since(uint64_t ns)
{
	return (unsigned)((world.pair.now_ns - ns) / NS_PER_MS);
}

/* A whole call; returns the milliseconds until the target had it. */
static unsigned call_ms(void)
{
	struct call *call = &world.call[world.calls];
	uint64_t begun_ns = world.pair.now_ns;
	unsigned took_ms;

	call_begin(WRITES_THEN_ENDS, ENDS_AFTER_PEER, 100000);
	connect_call(call);
	took_ms = ms_since(begun_ns);
	calls_finish();
	check_whole(call);
	return took_ms;
}

/* A call that comes to nothing; returns the milliseconds until its client knew. */
static unsigned refused_ms(void)
{
	struct call *call = &world.call[world.calls];
	uint64_t begun_ns = world.pair.now_ns;

	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	calls_finish();
	cr_assert(call->client.was_reset);
	return ms_since(begun_ns);
}

static uint64_t refused(int side)
{
	uint64_t sum = 0;

	for (int i = 0; i < RELAY_REFUSALS; i++)
		sum += relay_stats(world.relay[side])->refused[i];
	return sum;
}

/* --- on the host ------------------------------------------------------------------------------- */

Test(relay_dial, who_refuses_is_followed_by_the_next)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		BEGIN(seed, FAKE_REFUSES, FAKE_UNREACHABLE, FAKE_REFUSES, FAKE_ACCEPTS);
		fake_io_faults(&world.io)->chunk_max = 3000;
		for (int i = 0; i < 3; i++)
			cr_expect_lt(call_ms(), 1000);
		cr_expect_eq(refused(1), 0);
		world_fini();
	}
}

/* 2.5 s are its share. After that, the others know. */
Test(relay_dial, who_is_silent_gets_a_share_of_the_time)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		unsigned first_ms;

		BEGIN(seed, FAKE_SILENT, FAKE_ACCEPTS);
		first_ms = call_ms();
		cr_expect_geq(first_ms, TIMEOUT_MS / 2);
		cr_expect_leq(first_ms, TIMEOUT_MS / 2 + 500);
		for (int i = 0; i < 3; i++)
			cr_expect_lt(call_ms(), 500);
		cr_expect_eq(refused(1), 0);
		world_fini();
	}
}

/* A lost SYN must have its second chance: with too many for that, not all are tried. */
Test(relay_dial, a_share_is_not_too_small)
{
	unsigned took_ms;

	BEGIN(3, FAKE_SILENT, FAKE_SILENT, FAKE_ACCEPTS, FAKE_SILENT, FAKE_SILENT, FAKE_SILENT);
	took_ms = call_ms();
	cr_expect_geq(took_ms, 2 * 1500);
	cr_expect_leq(took_ms, 2 * 1500 + 500);
	world_fini();
}

Test(relay_dial, all_are_silent)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		unsigned took_ms;

		BEGIN(seed, FAKE_SILENT, FAKE_SILENT, FAKE_SILENT);
		took_ms = refused_ms();
		cr_expect_geq(took_ms, TIMEOUT_MS);
		cr_expect_leq(took_ms, TIMEOUT_MS + 500);
		cr_expect_eq(relay_stats(world.relay[1])->refused[RELAY_REFUSED_TIMEOUT], 1);
		cr_expect_eq(refused(1), 1);
		world_fini();
	}
}

Test(relay_dial, all_refuse)
{
	BEGIN(5, FAKE_REFUSES, FAKE_REFUSES, FAKE_UNREACHABLE);
	cr_expect_lt(refused_ms(), 500);
	cr_expect_eq(relay_stats(world.relay[1])->refused[RELAY_REFUSED_TARGET], 1);
	cr_expect_eq(refused(1), 1);
	world_fini();
}

/* One that has less time than those before it, whose target had this address alone. */
Test(relay_dial, shares_of_different_length)
{
	struct addr both[2];
	unsigned took_ms;

	BEGIN(6, FAKE_SILENT, FAKE_ACCEPTS);
	memcpy(both, world.target[1].addrs, sizeof(both));
	world_resolve(both, 1);
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	for (int i = 0; i < 100; i++)
		world_turn(NS_PER_MS);
	world_resolve(both, 2);
	try_in_order(&world.target[1]);
	took_ms = call_ms();
	cr_expect_geq(took_ms, TIMEOUT_MS / 2);
	cr_expect_leq(took_ms, TIMEOUT_MS / 2 + 500);
	cr_expect(world.call[0].client.was_reset);
	cr_expect_eq(refused(1), 1);
	world_fini();
}

/* Whoever sleeps until the relay's deadline is there in time. */
static void expect_deadline_in(uint64_t ms)
{
	uint64_t in_ns = relay_deadline(world.relay[1]) - fake_io_now(&world.io);

	cr_expect_leq(in_ns, ms * NS_PER_MS);
	cr_expect_geq(in_ns, (ms - 50) * NS_PER_MS);
}

Test(relay_dial, the_deadline_is_the_first_end)
{
	BEGIN(7, FAKE_SILENT, FAKE_SILENT);
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	for (int i = 0; i < 20; i++)
		world_turn(NS_PER_MS);
	expect_deadline_in(TIMEOUT_MS / 2);
	world_resolve(NULL, 0);
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	for (int i = 0; i < TIMEOUT_MS / 2; i++)
		world_turn(NS_PER_MS);
	expect_deadline_in(TIMEOUT_MS / 2);
	calls_finish();
	world_fini();
}

/* The drain ends while an attempt is being given up. */
Test(relay_dial, abort_amid_attempts)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		BEGIN(seed, FAKE_SILENT, FAKE_REFUSES, FAKE_ACCEPTS);
		call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
		for (uint64_t i = 0; i < TIMEOUT_MS / 3 + 20 + seed / 4; i++)
			world_turn(NS_PER_MS);
		relay_abort_all(world.relay[seed % 2]);
		calls_finish();
		world_fini();
	}
}

/* --- through the tunnel ------------------------------------------------------------------------ */

/* A port that nobody listens on, an address that nobody has, and the right one. */
Test(relay_dial, through_the_tunnel)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		uint8_t family = seed % 2 ? ADDR_V4 : ADDR_V6;
		struct addr addrs[3];
		unsigned took_ms;

		BEGIN(seed, FAKE_ACCEPTS);
		for (int i = 0; i < 3; i++)
			addrs[i] = pair_addr(1, family, PORT);
		addrs[0].port = PORT + 1;
		addrs[1].ip[addr_ip_len(family) - 1] ^= 0x40;
		target_set(&world.target[0], addrs, 3);
		try_in_order(&world.target[0]);
		took_ms = call_ms();
		cr_expect_geq(took_ms, TIMEOUT_MS / 2);
		cr_expect_leq(took_ms, TIMEOUT_MS / 2 + 500);
		cr_expect_lt(call_ms(), 500);
		cr_expect_eq(refused(0), 0);
		world_fini();
	}
}

/* It is not for the address to pay when we have no memory for another connection. */
Test(relay_dial, short_of_memory)
{
	struct budget *budget = &world.pair.side[0].budget;
	struct addr addrs[2];
	size_t held;

	BEGIN(8, FAKE_ACCEPTS);
	addrs[0] = addrs[1] = pair_addr(1, ADDR_V6, PORT);
	addrs[0].port = PORT + 1;
	target_set(&world.target[0], addrs, 2);
	/* Enough for the relay, which keeps a quarter free, and not for the stack. */
	budget->limit = 256 << 10;
	held = budget_room(budget) - (80 << 10);
	cr_assert(budget_take(budget, held));
	refused_ms();
	cr_expect_eq(relay_stats(world.relay[0])->refused[RELAY_REFUSED_LIMIT], 1);
	cr_expect_eq(refused(0), 1);
	for (int i = 0; i < 2; i++)
		cr_expect_eq(world.target[0].rests_until_ns[i], 0);
	budget_give(budget, held);
	call_ms();
	world_fini();
}

/* --- for a probe ------------------------------------------------------------------------------- */

static struct {
	unsigned calls;
	int fd, error;
} told;

static void dialled(void *ctx, int fd, int error)
{
	(void)ctx;
	told.calls++;
	told.fd = fd;
	told.error = error;
}

static void turn_until_told(void)
{
	for (int i = 0; i < 20000 && told.calls == 0; i++)
		world_turn(NS_PER_MS);
	cr_assert_eq(told.calls, 1);
}

Test(relay_dial, a_probe_gets_the_socket)
{
	int end;

	BEGIN(9, FAKE_REFUSES, FAKE_SILENT, FAKE_ACCEPTS);
	cr_assert_not_null(relay_dial(world.relay[1], dialled, NULL));
	turn_until_told();
	cr_expect_eq(told.error, 0);
	cr_assert_geq(told.fd, 0);
	world_turn(NS_PER_MS);
	cr_expect(relay_idle(world.relay[1]));
	end = fake_io_accepted(&world.io, &world.host_target);
	cr_expect_eq(fake_io_write(&world.io, end, "x", 1), 1);
	io_close(&world.io, told.fd);
	fake_io_close(&world.io, end);
	world_fini();
	cr_expect_eq(told.calls, 1);
}

Test(relay_dial, a_probe_is_told_why_not)
{
	BEGIN(10, FAKE_UNREACHABLE, FAKE_REFUSES);
	relay_dial(world.relay[1], dialled, NULL);
	turn_until_told();
	cr_expect_eq(told.fd, -1);
	cr_expect_eq(told.error, -ECONNREFUSED);
	world_fini();
}

Test(relay_dial, a_probe_without_an_address)
{
	BEGIN(11, FAKE_ACCEPTS);
	world_resolve(NULL, 0);
	relay_dial(world.relay[1], dialled, NULL);
	turn_until_told();
	cr_expect_eq(told.fd, -1);
	cr_expect_eq(relay_stats(world.relay[1])->refused[RELAY_REFUSED_ADDRESS], 1);
	world_fini();
}

/* At once, by whom it is given up; what is under way is the relay's own business. */
Test(relay_dial, a_probe_is_given_up)
{
	struct relay_conn *conn;

	BEGIN(12, FAKE_SILENT);
	conn = relay_dial(world.relay[1], dialled, NULL);
	for (int i = 0; i < 10; i++)
		world_turn(NS_PER_MS);
	cr_expect_eq(told.calls, 0);
	relay_abort(conn);
	cr_expect_eq(told.calls, 1);
	cr_expect_eq(told.fd, -1);
	world_fini();
	cr_expect_eq(told.calls, 1);
}
