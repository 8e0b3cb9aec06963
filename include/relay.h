/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/budget.h"
#include "base/metrics.h"
#include "base/target.h"
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

struct relay_config {
	struct io *io;
	struct budget *budget; /* borrowed for life */
	uint32_t conns_max;
	uint64_t connect_timeout_ns; /* for all attempts of a connection together */
	/* Open connections end after so long without bytes in either direction; 0: never. */
	uint64_t idle_timeout_ns;
	/* Those of which one direction has ended, unless the other limit is less; 0: as that. */
	uint64_t half_closed_timeout_ns;
	/* Packets of the tunnel's MTU that leave as one train. A receive from a host brings no more full
	 * segments than that, or 32 KiB. */
	uint32_t train;
	/* Lent for life: where connections go. While it is empty they wait for an address. */
	struct target *target;
};

/* Why a connection was refused or broken, for the counters. */
enum relay_refusal {
	RELAY_REFUSED_LIMIT,   /* conns_max or memory; at accepted() the stack counts it */
	RELAY_REFUSED_TARGET,  /* the target refused, or is unreachable, at all its addresses */
	RELAY_REFUSED_TIMEOUT, /* connect_timeout_ns, or the last address did not answer */
	RELAY_REFUSED_ADDRESS, /* no address for the target's name in time */
	RELAY_REFUSALS,
};

/* Why an open connection was ended by us. */
enum relay_timeout {
	RELAY_TIMEOUT_IDLE,	   /* idle_timeout_ns */
	RELAY_TIMEOUT_HALF_CLOSED, /* half_closed_timeout_ns */
	RELAY_TIMEOUT_TUNNEL,	   /* the peer in the tunnel was silent when it had to answer */
	RELAY_TIMEOUT_HOST,	   /* the peer on the host's side */
	RELAY_TIMEOUTS,
};

struct relay_stats {
	uint32_t open; /* connections now */
	uint64_t total;
	uint64_t refused[RELAY_REFUSALS];
	uint64_t resets; /* of open connections, timed out ones included */
	uint64_t timed_out[RELAY_TIMEOUTS];
	uint64_t host_bytes, tunnel_bytes; /* delivered to the host; accepted by the tunnel */
	struct histogram connect_time;	   /* from arrival to the target's acceptance */
};

struct relay *relay_new(const struct relay_config *config);

/* The stack whose connections are relayed; once, before anything else. The relay's events go into
 * the stack's configuration: */
void relay_set_stack(struct relay *relay, struct stack *stack);
extern const struct stack_events relay_stack_events; /* their ctx is the relay */

/* Told once how dialling ended: 0, or a negative errno. `fd` is for relay_dial() alone. */
typedef void relay_dialled_fn(void *ctx, int fd, int error);

/*
 * A host connection (owned from now on, tuned already: io_tune()) that is to go through the tunnel.
 * `dialled` may be NULL. Returns NULL when it was refused at once.
 */
struct relay_conn *relay_adopt(struct relay *relay, int fd, relay_dialled_fn *dialled, void *ctx);

/*
 * Dials the host as for a connection from the tunnel, with nobody at the other end: the socket is
 * dialled()'s, -1 on errors. Not limited by conns_max. NULL: no memory, and dialled() was told.
 */
struct relay_conn *relay_dial(struct relay *relay, relay_dialled_fn *dialled, void *ctx);

/* RST to whichever side there is, and dialled() is told. Not after it was told already. */
void relay_abort(struct relay_conn *conn);

/* Once a turn: does the work that events and completions noted, frees what has ended. */
void relay_turn(struct relay *relay, uint64_t now_ns);
uint64_t relay_deadline(const struct relay *relay);

/* RST to everybody. */
void relay_abort_all(struct relay *relay);

/* No connection and no operation left: may be freed. */
bool relay_idle(const struct relay *relay);
void relay_free(struct relay *relay);

const struct relay_stats *relay_stats(const struct relay *relay);
