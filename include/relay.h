/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "base/budget.h"
#include "io.h"
#include "stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Joins connections in the tunnel with connections on the host: pairs of half-streams, each with a
 * queue of its own, a bound, and an end of its own.
 */
struct relay;

/* Where new connections go: asked for each one. ADDR_NONE: not known yet, wait. */
typedef struct addr relay_target_fn(void *ctx);

struct relay_config {
	struct io *io;
	struct budget *budget; /* borrowed for life */
	uint32_t conns_max;
	uint64_t connect_timeout_ns;
	relay_target_fn *target;
	void *target_ctx;
};

/* Why a connection was refused or broken, for the counters. */
enum relay_refusal {
	RELAY_REFUSED_LIMIT,   /* conns_max or memory */
	RELAY_REFUSED_TARGET,  /* the target refused, or is unreachable */
	RELAY_REFUSED_TIMEOUT, /* CONNECT_TIMEOUT */
	RELAY_REFUSED_ADDRESS, /* no address for the target's name in time */
	RELAY_REFUSALS,
};

struct relay_stats {
	uint32_t open; /* connections now */
	uint64_t total;
	uint64_t refused[RELAY_REFUSALS];
	uint64_t resets;
	uint64_t host_bytes, tunnel_bytes; /* delivered to the host; accepted by the tunnel */
};

struct relay *relay_new(const struct relay_config *config);

/* The stack whose connections are relayed; once, before anything else. The relay's events go into
 * the stack's configuration: */
void relay_set_stack(struct relay *relay, struct stack *stack);
extern const struct stack_events relay_stack_events; /* their ctx is the relay */

/*
 * A host connection (owned from now on, tuned already: io_tune()) that is to go through the tunnel.
 * `dialled`, if not NULL, is told once: 0, or the negative errno why not.
 */
typedef void relay_dialled_fn(void *ctx, int error);
void relay_adopt(struct relay *relay, int fd, relay_dialled_fn *dialled, void *ctx);

/* Once a turn: does the work that events and completions noted, frees what has ended. */
void relay_turn(struct relay *relay, uint64_t now_ns);
uint64_t relay_deadline(const struct relay *relay);

/* RST to everybody. */
void relay_abort_all(struct relay *relay);

/* No connection and no operation left: may be freed. */
bool relay_idle(const struct relay *relay);
void relay_free(struct relay *relay);

const struct relay_stats *relay_stats(const struct relay *relay);
