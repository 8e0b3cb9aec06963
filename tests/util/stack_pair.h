/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/budget.h"
#include "path.h"
#include "stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Two stacks that face each other through memory, on virtual time: what one sends the other gets a
 * step later, less what the seeded wire loses or swaps. Addresses are 10.0.0.1 and fd00::1 for side
 * 0, .2 and ::2 for side 1.
 *
 * With pair_set_path() a side's packets take a path (path.h) instead: they arrive when their time
 * has come, and pair_sleep() goes on to that time, too:
 *
 *	pair_set_path(&pair, 0, &(struct path_config){.rate_bps = 100000000,
 *		.queue_bytes = 250000, .delay_ns = 10 * NS_PER_MS, .loss_ppm = 1000});
 *	pair_set_path(&pair, 1, &(struct path_config){.delay_ns = 10 * NS_PER_MS});
 *	while (!done)
 *		if (!pair_step(&pair))
 *			pair_sleep(&pair, NS_PER_S);
 */
enum { WIRE_MAX = 4096 };

struct wire_packet {
	uint8_t *data;
	size_t len;
};

struct wire_flight {
	struct wire_packet packet;
	uint64_t at_ns; /* when it arrives */
};

struct stack_side {
	struct stack *stack;
	struct budget budget;
	struct wire_packet queue[WIRE_MAX]; /* on their way to the other side */
	size_t queue_len;
	uint8_t *room; /* the packet being gathered */
	bool no_room;  /* room() says NULL */
	bool has_path;
	struct path path;
	struct wire_flight *flights; /* by time, in [flights_first, flights_end) */
	size_t flights_first, flights_end, flights_room;
};

struct stack_pair {
	struct stack_side side[2];
	uint64_t now_ns;
	uint64_t seed;
	uint32_t loss_permille;
	uint32_t swap_permille;
	uint64_t batch_ns; /* packets on a path may be late by so much, to arrive together */
	size_t largest;	   /* packets that are longer vanish; 0: none does */
	bool whole; /* what is on the wire arrives as one batch, not as several of any size */
	uint32_t bufs_live; /* receive buffers that a stack still holds */
};

uint64_t pair_random(uint64_t *seed); /* xorshift64*: the seed is never 0 */

struct addr pair_addr(int side, uint8_t family, uint16_t port);

/* Stacks hold SYNs whenever their events have offered(), unless this is set before pair_init(). */
extern bool pair_accepts_early;

/* `events_ctx[i]` goes to side i's accepted() and offered(). */
void pair_init(struct stack_pair *pair, uint64_t seed, const struct stack_events *events,
	       void *events_ctx[2]);
void pair_fini(struct stack_pair *pair);

/* What side `from` sends takes this path from now on. Those under way keep their times. */
void pair_set_path(struct stack_pair *pair, int from, const struct path_config *config);

/* Lets the packets of side `from` arrive, or set out on its path; false: there are none. */
bool pair_carry(struct stack_pair *pair, int from);

/* Lets both sides' packets arrive, runs both turns; false: nothing moved. */
bool pair_step(struct stack_pair *pair);

/* Goes on to the next deadline of either side, at most `step_ns` ahead. */
void pair_sleep(struct stack_pair *pair, uint64_t step_ns);
