// SPDX-License-Identifier: MIT
/*
 * The whole way, simulated: a client on a fake host, an ingress relay, a stack, a seeded wire,
 * another stack, an egress relay, a target on a fake host.
 *
 * What must hold for every seed: what one end wrote is what the other end reads, in order and to
 * the last byte, or both ends see a reset; and when all is over nothing is left - no descriptor, no
 * operation, no byte of the budgets.
 */
#include "relay.h"
#include "fake_io.h"
#include "stack_pair.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 80, CALLS_MAX = 24 };

/* How an end of a connection behaves. */
enum manner { WRITES_THEN_ENDS, ENDS_AFTER_PEER, RESETS_HALFWAY };

struct end {
	int fd;
	uint64_t to_write, written, read;
	enum manner manner;
	uint8_t key;
	bool shut, over, was_reset, saw_end;
};

struct call {
	struct end client, target;
	bool connected;
};

struct world {
	struct stack_pair pair;
	struct io io;
	struct relay *relay[2]; /* 0 dials through the tunnel, 1 dials the host */
	struct addr host_target;
	bool target_known;
	struct call call[CALLS_MAX];
	size_t calls;
	uint64_t seed;
};

static struct world world;

static struct addr tunnel_target(void *ctx)
{
	(void)ctx;
	return pair_addr(1, world.seed % 2 ? ADDR_V4 : ADDR_V6, PORT);
}

static struct addr host_target(void *ctx)
{
	(void)ctx;
	return world.target_known ? world.host_target : (struct addr){.family = ADDR_NONE};
}

static void world_init(uint64_t seed, size_t budget)
{
	void *ctx[2];

	memset(&world, 0, sizeof(world));
	world.seed = seed;
	world.target_known = true;
	fake_io_seed(seed);
	cr_assert_eq(io_init(&world.io, &io_backend_fake, 64), 0);
	cr_assert(addr_parse(&world.host_target, "192.0.2.7"));
	world.host_target.port = 8080;
	for (int i = 0; i < 2; i++) {
		struct relay_config config = {
			.io = &world.io,
			.budget = &world.pair.side[i].budget,
			.conns_max = 100,
			.connect_timeout_ns = 5000000000,
			.target = i == 0 ? tunnel_target : host_target,
		};

		world.relay[i] = relay_new(&config);
		ctx[i] = world.relay[i];
	}
	pair_init(&world.pair, seed, &relay_stack_events, ctx);
	for (int i = 0; i < 2; i++) {
		world.pair.side[i].budget.limit = budget;
		relay_set_stack(world.relay[i], world.pair.side[i].stack);
	}
	cr_assert_eq(stack_listen(world.pair.side[1].stack, PORT), 0);
}

/* One turn of everything; virtual time is the fake loop's, on the pair's clock. */
static void world_turn(uint64_t sleep_ns)
{
	uint64_t before = fake_io_now(&world.io), now;
	uint64_t next = before + sleep_ns;

	for (int i = 0; i < 2; i++) {
		if (relay_deadline(world.relay[i]) == 0)
			next = before;
	}
	cr_assert_eq(io_turn(&world.io, next, &now), 0);
	world.pair.now_ns += now - before;
	for (int i = 0; i < 2; i++)
		relay_turn(world.relay[i], now);
	pair_step(&world.pair);
}

static void world_fini(void)
{
	for (int i = 0; i < 2000 && !(relay_idle(world.relay[0]) && relay_idle(world.relay[1]));
	     i++)
		world_turn(10000000);
	for (int i = 0; i < 2; i++) {
		cr_assert(relay_idle(world.relay[i]), "seed %zu: side %d keeps a connection",
			  world.seed, i);
		cr_assert_eq(relay_stats(world.relay[i])->open, 0);
	}
	cr_assert_eq(fake_io_fds(&world.io), 0);
	cr_assert_eq(fake_io_ops(&world.io), 0);
	pair_fini(&world.pair);
	for (int i = 0; i < 2; i++) {
		relay_free(world.relay[i]);
		cr_assert_eq(world.pair.side[i].budget.used, 0, "seed %zu: side %d leaks %zu",
			     world.seed, i, world.pair.side[i].budget.used);
	}
	cr_assert_eq(world.pair.bufs_live, 0);
	io_fini(&world.io);
}

static uint8_t byte_at(uint64_t at, uint8_t key)
{
	return (uint8_t)((at * 131 + (at >> 9)) ^ key);
}

static void end_write(struct end *end)
{
	uint8_t bytes[8192];
	uint64_t left = end->to_write - end->written;
	size_t len = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);

	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at(end->written + i, end->key);
	end->written += fake_io_write(&world.io, end->fd, bytes, len);
}

static void end_read(struct end *end, uint8_t key)
{
	uint8_t bytes[8192];
	size_t len;

	while ((len = fake_io_read(&world.io, end->fd, bytes, sizeof(bytes))) > 0) {
		for (size_t i = 0; i < len; i++)
			cr_assert_eq(bytes[i], byte_at(end->read + i, key), "seed %zu: byte %zu",
				     world.seed, end->read + i);
		end->read += len;
	}
}

static void end_work(struct end *end, const struct end *peer)
{
	if (end->over || end->fd < 0)
		return;
	end_read(end, peer->key);
	if (fake_io_was_reset(&world.io, end->fd)) {
		end->was_reset = end->over = true;
		fake_io_close(&world.io, end->fd);
		return;
	}
	end->saw_end = fake_io_ended(&world.io, end->fd);
	end_write(end);
	if (end->manner == RESETS_HALFWAY && end->written >= end->to_write / 2) {
		end->was_reset = end->over = true;
		fake_io_reset(&world.io, end->fd);
		return;
	}
	if (end->written == end->to_write && !end->shut &&
	    (end->manner == WRITES_THEN_ENDS || end->saw_end)) {
		fake_io_shutdown(&world.io, end->fd);
		end->shut = true;
	}
	if (end->shut && end->saw_end) {
		end->over = true;
		fake_io_close(&world.io, end->fd);
	}
}

static void call_begin(enum manner client, enum manner target, uint64_t bytes_max)
{
	struct call *call = &world.call[world.calls++];
	uint64_t *seed = &world.pair.seed;
	int fd;

	*call = (struct call){
		.client = {.manner = client, .key = (uint8_t)world.calls, .fd = -1},
		.target = {.manner = target, .key = (uint8_t)(world.calls + 100), .fd = -1},
	};
	call->client.to_write = pair_random(seed) % (bytes_max + 1);
	call->target.to_write = pair_random(seed) % (bytes_max + 1);
	call->client.fd = fake_io_pair(&world.io, &fd);
	relay_adopt(world.relay[0], fd, NULL, NULL);
}

static bool all_over(void)
{
	for (size_t i = 0; i < world.calls; i++) {
		if (!world.call[i].client.over ||
		    (world.call[i].connected && !world.call[i].target.over))
			return false;
	}
	return true;
}

static void calls_finish(void)
{
	for (int i = 0; i < 200000 && !all_over(); i++) {
		for (size_t k = 0; k < world.calls; k++) {
			end_work(&world.call[k].client, &world.call[k].target);
			end_work(&world.call[k].target, &world.call[k].client);
		}
		world_turn(1000000);
	}
	cr_assert(all_over(), "seed %zu: a connection hangs", world.seed);
}

static void check_whole(const struct call *call)
{
	cr_assert_not(call->client.was_reset || call->target.was_reset);
	cr_assert_eq(call->target.read, call->client.to_write);
	cr_assert_eq(call->client.read, call->target.to_write);
}

/* Calls are begun one at a time, so that the next connection at the target is this one. */
static void connect_call(struct call *call)
{
	/* A client that has already reset may still get its target: wait for that a while. */
	for (int patience = 300; patience > 0 && !call->connected;) {
		call->target.fd = fake_io_accepted(&world.io, &world.host_target);
		call->connected = call->target.fd >= 0;
		end_work(&call->client, &call->target);
		world_turn(1000000);
		if (call->client.over)
			patience--;
	}
}

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

Test(relay, unresolved_target_is_waited_for)
{
	world_init(78, 64 << 20);
	world.target_known = false;
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	for (int i = 0; i < 300; i++)
		world_turn(10000000);
	world.target_known = true;
	connect_call(&world.call[0]);
	calls_finish();
	check_whole(&world.call[0]);
	world_fini();
}

Test(relay, unresolved_target_times_out)
{
	world_init(79, 64 << 20);
	world.target_known = false;
	call_begin(WRITES_THEN_ENDS, WRITES_THEN_ENDS, 1000);
	calls_finish();
	cr_assert(world.call[0].client.was_reset);
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
	world_init(81, 600000);
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
