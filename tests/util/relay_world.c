// SPDX-License-Identifier: MIT
#include "relay_world.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <string.h>

struct world world;
uint64_t world_idle_timeout_ns, world_half_closed_timeout_ns;

void world_resolve(const struct addr *addrs, size_t count)
{
	target_set(&world.target[1], addrs, count);
}

void world_init(uint64_t seed, size_t budget)
{
	struct addr tunnel;
	void *ctx[2];

	memset(&world, 0, sizeof(world));
	world.seed = seed;
	fake_io_seed(seed);
	cr_assert_eq(io_init(&world.io, &io_backend_fake, 64), 0);
	cr_assert(addr_parse(&world.host_target, "192.0.2.7"));
	world.host_target.port = 8080;
	world_resolve(&world.host_target, 1);
	tunnel = pair_addr(1, seed % 2 ? ADDR_V4 : ADDR_V6, PORT);
	target_set(&world.target[0], &tunnel, 1);
	for (int i = 0; i < 2; i++) {
		struct relay_config config = {
			.io = &world.io,
			.budget = &world.pair.side[i].budget,
			.conns_max = 100,
			.train = 45,
			/* The client's side has a little more patience: the other one gives up. */
			.connect_timeout_ns = 5 * NS_PER_S + (i == 0 ? 300 * NS_PER_MS : 0),
			.idle_timeout_ns = i == 0 ? 0 : world_idle_timeout_ns,
			.half_closed_timeout_ns = i == 0 ? 0 : world_half_closed_timeout_ns,
			.target = &world.target[i],
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

uint64_t world_wake(uint64_t sleep_ns)
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
		stack_advance(world.pair.side[i].stack, world.pair.now_ns);
	return now;
}

void world_turn(uint64_t sleep_ns)
{
	uint64_t now = world_wake(sleep_ns);

	for (int i = 0; i < 2; i++)
		relay_turn(world.relay[i], now);
	pair_step(&world.pair);
}

void world_fini(void)
{
	for (int i = 0; i < 2000 && !(relay_idle(world.relay[0]) && relay_idle(world.relay[1]));
	     i++)
		world_turn(10 * NS_PER_MS);
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

void end_write(struct end *end)
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

void end_work(struct end *end, const struct end *peer)
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
	    (end->manner == WRITES_THEN_ENDS || (end->manner == ENDS_AFTER_PEER && end->saw_end))) {
		fake_io_shutdown(&world.io, end->fd);
		end->shut = true;
	}
	if (end->shut && end->saw_end) {
		end->over = true;
		fake_io_close(&world.io, end->fd);
	}
}

void call_begin(enum manner client, enum manner target, uint64_t bytes_max)
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

struct call *call_open(void)
{
	struct call *call = &world.call[world.calls];

	call_begin(STAYS_OPEN, STAYS_OPEN, 0);
	connect_call(call);
	cr_assert(call->connected);
	return call;
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

void calls_turn(void)
{
	for (size_t i = 0; i < world.calls; i++) {
		end_work(&world.call[i].client, &world.call[i].target);
		end_work(&world.call[i].target, &world.call[i].client);
	}
	world_turn(NS_PER_MS);
}

void calls_work_for(uint64_t ns)
{
	for (uint64_t end_ns = world.pair.now_ns + ns; world.pair.now_ns < end_ns;)
		calls_turn();
}

void calls_finish(void)
{
	for (int i = 0; i < 200000 && !all_over(); i++)
		calls_turn();
	cr_assert(all_over(), "seed %zu: a connection hangs", world.seed);
}

void check_whole(const struct call *call)
{
	cr_assert_not(call->client.was_reset || call->target.was_reset);
	cr_assert_eq(call->target.read, call->client.to_write);
	cr_assert_eq(call->client.read, call->target.to_write);
}

void connect_call(struct call *call)
{
	/* A client that has already reset may still get its target: wait for that a while. */
	for (int patience = 300; patience > 0 && !call->connected;) {
		call->target.fd = fake_io_accepted(&world.io, &world.host_target);
		call->connected = call->target.fd >= 0;
		end_work(&call->client, &call->target);
		world_turn(NS_PER_MS);
		if (call->client.over)
			patience--;
	}
}
