// SPDX-License-Identifier: MIT
#include "stack_pair.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

bool pair_accepts_early;

/* A receive buffer of its own for each packet, so that the sanitizers see every misuse. */
struct wire_buf {
	struct buf buf;
	struct stack_pair *pair;
	uint8_t *data;
};

uint64_t pair_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dULL;
}

struct addr pair_addr(int side, uint8_t family, uint16_t port)
{
	struct addr addr;

	CHECK(addr_parse(&addr, family == ADDR_V4 ? (side == 0 ? "10.0.0.1" : "10.0.0.2")
						  : (side == 0 ? "fd00::1" : "fd00::2")));
	addr.port = port;
	return addr;
}

static uint8_t *wire_room(void *ctx, size_t len)
{
	struct stack_side *side = ctx;

	if (side->no_room || side->queue_len == WIRE_MAX)
		return NULL;
	CHECK(side->room == NULL);
	side->room = malloc(len);
	return side->room;
}

static void wire_push(void *ctx, uint8_t *packet, size_t len)
{
	struct stack_side *side = ctx;

	CHECK(packet == side->room);
	side->room = NULL;
	side->queue[side->queue_len++] = (struct wire_packet){packet, len};
}

static void wire_random(void *ctx, void *out, size_t len)
{
	static uint64_t seed = 88172645463325252ULL;
	uint8_t *bytes = out;

	(void)ctx;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(pair_random(&seed) >> 32);
}

void pair_init(struct stack_pair *pair, uint64_t seed, const struct stack_events *events,
	       void *events_ctx[2])
{
	/* lwIP's clock outlives a pair: a second one in the same process goes on from the first. */
	static uint64_t start_ns = 1000000000;

	memset(pair, 0, sizeof(*pair));
	pair->seed = seed | 1;
	pair->now_ns = start_ns;
	start_ns += 1000000000000000;
	for (int i = 0; i < 2; i++) {
		struct stack_side *side = &pair->side[i];
		struct stack_config config = {
			.addrs = {pair_addr(i, ADDR_V4, 0), pair_addr(i, ADDR_V6, 0)},
			.addrs_count = 2,
			.mtu = 1420,
			.conns_max = 1000,
			.budget = &side->budget,
			.events = events,
			.events_ctx = events_ctx[i],
			.hold_syns = events->offered != NULL && !pair_accepts_early,
			.room = wire_room,
			.push = wire_push,
			.out_ctx = side,
			.random = wire_random,
		};

		side->budget.limit = 64 << 20;
		side->stack = stack_new(&config, pair->now_ns);
		CHECK(side->stack != NULL);
	}
}

void pair_fini(struct stack_pair *pair)
{
	for (int i = 0; i < 2; i++) {
		stack_free(pair->side[i].stack);
		for (size_t k = 0; k < pair->side[i].queue_len; k++)
			free(pair->side[i].queue[k].data);
		for (size_t k = pair->side[i].flights_first; k < pair->side[i].flights_end; k++)
			free(pair->side[i].flights[k].packet.data);
		free(pair->side[i].flights);
	}
}

static void wire_buf_release(struct buf *buf)
{
	struct wire_buf *wire = (struct wire_buf *)(void *)buf;

	wire->pair->bufs_live--;
	free(wire->data);
	free(wire);
}

static struct dgram arrive(struct stack_pair *pair, struct wire_packet packet)
{
	struct wire_buf *wire = malloc(sizeof(*wire));

	*wire = (struct wire_buf){{1, wire_buf_release}, pair, packet.data};
	pair->bufs_live++;
	return (struct dgram){.data = packet.data, .len = (uint32_t)packet.len, .home = &wire->buf};
}

/* Lent or copied. */
static void deliver(struct stack_pair *pair, int to, struct dgram *dgrams, size_t count)
{
	for (size_t done = 0, part; done < count; done += part) {
		part = pair->whole ? count : 1 + pair_random(&pair->seed) % (count - done);
		stack_input(pair->side[to].stack, dgrams + done, part,
			    pair_random(&pair->seed) % 2);
	}
	for (size_t i = 0; i < count; i++)
		buf_drop(dgrams[i].home);
}

static bool chance(struct stack_pair *pair, uint32_t permille)
{
	return pair_random(&pair->seed) % 1000 < permille;
}

void pair_set_path(struct stack_pair *pair, int from, const struct path_config *config)
{
	struct stack_side *side = &pair->side[from];

	path_init(&side->path, config, pair_random(&pair->seed));
	side->has_path = true;
}

/* Room for one more at the end: what has arrived at the front makes it, or a larger array. */
static void flights_reserve(struct stack_side *side)
{
	size_t count = side->flights_end - side->flights_first;

	if (side->flights_end < side->flights_room)
		return;
	if (count >= side->flights_room / 2) {
		side->flights_room = 2 * side->flights_room + 64;
		side->flights = realloc(side->flights,
					side->flights_room * sizeof(side->flights[0]));
		CHECK(side->flights != NULL);
	}
	memmove(side->flights, side->flights + side->flights_first,
		count * sizeof(side->flights[0]));
	side->flights_first = 0;
	side->flights_end = count;
}

/* By time, and in the order of sending where that is equal. */
static void fly(struct stack_side *side, struct wire_packet packet, uint64_t at_ns)
{
	size_t i;

	flights_reserve(side);
	for (i = side->flights_end++; i > side->flights_first; i--) {
		if (side->flights[i - 1].at_ns <= at_ns)
			break;
		side->flights[i] = side->flights[i - 1];
	}
	side->flights[i] = (struct wire_flight){packet, at_ns};
}

static struct wire_packet packet_copy(struct wire_packet packet)
{
	struct wire_packet copy = {malloc(packet.len), packet.len};

	memcpy(copy.data, packet.data, packet.len);
	return copy;
}

static void set_out(struct stack_pair *pair, struct stack_side *side)
{
	for (size_t i = 0; i < side->queue_len; i++) {
		struct wire_packet packet = side->queue[i];
		struct path_fate fate = path_send(&side->path, pair->now_ns, packet.len);

		if (fate.copies == 2)
			fly(side, packet_copy(packet), fate.at_ns);
		if (fate.copies == 0)
			free(packet.data);
		else
			fly(side, packet, fate.at_ns);
	}
	side->queue_len = 0;
}

static bool carry_on_path(struct stack_pair *pair, int from)
{
	struct stack_side *side = &pair->side[from];
	struct dgram dgrams[WIRE_MAX];
	bool moved = side->queue_len > 0;
	size_t arrived = 0;

	set_out(pair, side);
	while (side->flights_first < side->flights_end && arrived < WIRE_MAX &&
	       side->flights[side->flights_first].at_ns <= pair->now_ns)
		dgrams[arrived++] = arrive(pair, side->flights[side->flights_first++].packet);
	deliver(pair, 1 - from, dgrams, arrived);
	return moved || arrived > 0;
}

bool pair_carry(struct stack_pair *pair, int from)
{
	struct stack_side *side = &pair->side[from];
	struct wire_packet queue[WIRE_MAX];
	struct dgram dgrams[WIRE_MAX];
	size_t count = side->queue_len, arrived = 0;

	if (side->has_path)
		return carry_on_path(pair, from);
	memcpy(queue, side->queue, count * sizeof(queue[0]));
	side->queue_len = 0;
	for (size_t i = 0; i < count; i++) {
		if (i + 1 < count && chance(pair, pair->swap_permille)) {
			struct wire_packet swap = queue[i];

			queue[i] = queue[i + 1];
			queue[i + 1] = swap;
		}
		if (chance(pair, pair->loss_permille) ||
		    (pair->largest > 0 && queue[i].len > pair->largest))
			free(queue[i].data);
		else
			dgrams[arrived++] = arrive(pair, queue[i]);
	}
	deliver(pair, 1 - from, dgrams, arrived);
	return count > 0;
}

bool pair_step(struct stack_pair *pair)
{
	bool moved;

	for (int i = 0; i < 2; i++)
		stack_advance(pair->side[i].stack, pair->now_ns);
	moved = pair_carry(pair, 0);
	moved |= pair_carry(pair, 1);
	for (int i = 0; i < 2; i++)
		stack_turn(pair->side[i].stack);
	return moved || pair->side[0].queue_len > 0 || pair->side[1].queue_len > 0;
}

void pair_sleep(struct stack_pair *pair, uint64_t step_ns)
{
	uint64_t next = pair->now_ns + step_ns;

	for (int i = 0; i < 2; i++) {
		const struct stack_side *side = &pair->side[i];
		uint64_t deadline = stack_deadline(side->stack);

		if (deadline < next)
			next = deadline;
		if (side->flights_first == side->flights_end)
			continue;
		deadline = side->flights[side->flights_first].at_ns + pair->batch_ns;
		if (deadline < next)
			next = deadline;
	}
	if (next > pair->now_ns)
		pair->now_ns = next;
}
