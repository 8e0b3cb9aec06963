/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/list.h"
#include "queue.h"
#include "relay.h"

enum { RECV_LIMIT_MIN = 4096 }; /* bytes: what an idle connection holds of the budget */

struct relay {
	struct relay_config config;
	struct stack *stack;
	struct relay_stats stats;
	uint64_t now_ns;      /* of this turn */
	struct io_pool pool;  /* what host sockets are received into, copied out of at once */
	struct list conns;    /* all of them */
	struct list dirty;    /* something was noted: conn_work() is due */
	struct list dialling; /* by deadline: they all got the same time */
	struct list starved;  /* want to receive or to write, but the budget had no room */
};

/* The way of one direction's life; each step once, in this order. */
enum half_state {
	HALF_OPEN,  /* its source may bring more */
	HALF_ENDED, /* its source is at its end; what is queued still has to go */
	HALF_DONE,  /* its end was passed on */
};

struct half {
	struct queue queue;
	enum half_state state;
};

enum relay_phase {
	RELAY_WAITING, /* for the target's address */
	RELAY_DIALLING,
	RELAY_OPEN,
	RELAY_BROKEN, /* reset on both sides, as soon as nothing is under way */
};

struct relay_conn {
	struct relay *relay;
	struct stack_conn *tunnel; /* NULL: over */
	int fd;			   /* -1: over */
	enum relay_phase phase;
	struct half to_host, to_tunnel;
	size_t to_credit;	 /* bytes that the host took: the tunnel's window can open */
	uint32_t recv_limit;	 /* bytes that the next receive asks for */
	uint32_t reserved;	 /* of the budget, for the receive under way */
	struct io_op recv, send; /* send is the connect before */
	union {
		struct iovec iov[IO_IOV_MAX];
		struct sockaddr_storage to;
	};
	uint64_t deadline_ns; /* of dialling */
	relay_dialled_fn *dialled;
	void *dialled_ctx;
	struct list all, dirty, wait; /* wait: on dialling or starved */
};

/*
 * What the budget has for bytes from hosts. A quarter is kept from them: what the tunnel brings must
 * find room, acknowledgements first, or nothing queued would ever leave.
 */
static inline size_t relay_host_room(const struct relay *relay)
{
	size_t room = budget_room(relay->config.budget);
	size_t kept = relay->config.budget->limit / 4;

	return room > kept ? room - kept : 0;
}

/* --- dial.c: from nothing to RELAY_OPEN ------------------------------------------------------- */

struct relay_conn *conn_new(struct relay *relay);
/* Frees a conn that has neither side left; from relay_turn() alone. */
void conn_free(struct relay_conn *conn);
/* Sets out for the target, or goes on waiting for its address. */
void conn_dial(struct relay_conn *conn);
/* The far side answered: 0, or a negative errno. */
void conn_dialled(struct relay_conn *conn, int error);

/* Tells who asked, if somebody did and was not told yet. */
void conn_tell_dialled(struct relay_conn *conn, int error);

/* --- half.c: RELAY_OPEN and after ------------------------------------------------------------- */

void conn_set_phase(struct relay_conn *conn, enum relay_phase phase);
void half_set_state(struct half *half, enum half_state state);
void conn_mark_dirty(struct relay_conn *conn);
/* RST for both sides. */
void conn_break(struct relay_conn *conn);
/* Moves what can be moved; may free `conn`. */
void conn_work(struct relay_conn *conn);
void conn_recv_done(struct io_op *op, int result);
void conn_send_done(struct io_op *op, int result);
