/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/list.h"
#include "queue.h"
#include "relay.h"

enum {
	RECV_LIMIT_MAX = 65536,
	RECV_LIMIT_MIN = 4096,	/* bytes: what a busy connection gets when memory is short */
	CONN_MEMORY_MIN = 4096, /* bytes: more than an idle connection takes on both its sides */
	IDLE_LIMIT_MIN = 1024,	/* bytes: a request in one receive */
	IDLE_LIMIT_MAX = 4096,	/* bytes: a request with a small body */
};

/*
 * What host sockets are received into, copied out of at once. A receive that finds no buffer waits
 * until the turn after: asking again and again for what others have costs more than receiving.
 */
struct recv_pool {
	struct io_pool bufs;
	struct list waiting; /* in the order in which they are served */
};

enum { IDLE_LIMITS = RELAY_TIMEOUT_HALF_CLOSED + 1 };

/* Open connections that end when they have moved no bytes for so long. */
struct idle {
	struct list conns; /* by moved_ns */
	uint64_t limit_ns; /* 0: none */
};

struct relay {
	struct relay_config config;
	struct stack *stack;
	struct relay_stats stats;
	uint64_t now_ns;	/* of this turn */
	struct recv_pool small; /* many, for receives up to IDLE_LIMIT_MAX */
	struct recv_pool large; /* few: their size is the cache footprint of bulk */
	struct list conns;	/* all of them */
	struct list dirty;	/* something was noted: conn_work() is due */
	struct list waiting;	/* for an address of the target, by give_up_ns */
	struct list dialling;	/* an attempt is under way, by give_up_ns */
	/* Want to receive or to write, but the budget had no room: [1] those who have bytes queued. */
	struct list starved[2];
	struct list owing; /* were sent something to the host, by asked_ns */
	struct idle idle[IDLE_LIMITS];
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
	RELAY_WAITING,	 /* for an address of the target: the first, or the next one */
	RELAY_DIALLING,	 /* an address of it */
	RELAY_ANSWERING, /* it has accepted, and the tunnel's peer is being told */
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
	uint64_t dialled_ns; /* when dialling began; 0: how long it took is counted */
	uint64_t give_up_ns; /* the end of this attempt, or of waiting for an address */
	struct target_cursor cursor;
	int error;	   /* of the last attempt */
	bool moved;	   /* bytes, since conn_work() last ran */
	uint8_t idle_kind; /* enum relay_timeout: whose list `idle` is on */
	uint64_t moved_ns; /* not much before bytes last moved */
	struct list idle;
	bool sent;	   /* to the host, since the kernel was last asked about its peer */
	uint64_t asked_ns; /* when that was, or when something was sent after it */
	struct list owing;
	bool held; /* the tunnel's peer has had no answer to its SYN yet */
	relay_dialled_fn *dialled;
	void *dialled_ctx;
	struct list all, dirty, wait; /* wait: on waiting, dialling, starved or a pool's list */
};

/*
 * What the budget has for bytes from hosts. A quarter is kept from them: what the tunnel brings must
 * find room, acknowledgements first, or nothing queued would ever leave. Half of that is for those who
 * have nothing queued: what the tunnel has brought for hosts that do not read must not stop the others.
 */
static inline size_t relay_host_room(const struct relay *relay, bool has_queued)
{
	size_t room = budget_room(relay->config.budget);
	size_t kept = relay->config.budget->limit / (has_queued ? 4 : 8);

	return room > kept ? room - kept : 0;
}

/* Bytes of the budget that a receive may hold while its connection is idle: the more, the less. */
static inline uint32_t relay_idle_limit(const struct relay *relay)
{
	size_t share = relay->config.budget->limit / 16 / (relay->stats.open + 1);

	return share < IDLE_LIMIT_MIN	? IDLE_LIMIT_MIN
	       : share > IDLE_LIMIT_MAX ? IDLE_LIMIT_MAX
					: (uint32_t)share;
}

/* --- dial.c: from nothing to RELAY_OPEN ------------------------------------------------------- */

/* NULL: no memory. */
struct relay_conn *conn_new(struct relay *relay);
/* Frees a conn that has neither side left; from relay_turn() alone. */
void conn_free(struct relay_conn *conn);
/* Sets out for the target's next address, waits for the first, or gives up after the last. */
void conn_dial(struct relay_conn *conn);
/* The far side answered: 0, or a negative errno. */
void conn_dialled(struct relay_conn *conn, int error);
/* Works on a connection that is ANSWERING. */
void conn_answer(struct relay_conn *conn);
/* give_up_ns has come. */
void conn_give_up(struct relay_conn *conn);

/* Tells who asked, if somebody did and was not told yet. */
void conn_tell_dialled(struct relay_conn *conn, int fd, int error);

/* --- idle.c: open connections that nobody uses ------------------------------------------------ */

void idle_init(struct relay *relay);
/* Takes note of what has moved, or ended, since it was last called. */
void idle_note(struct relay_conn *conn);
void idle_turn(struct relay *relay);
uint64_t idle_deadline(const struct relay *relay);

/* --- owing.c: hosts that do not acknowledge --------------------------------------------------- */

/* Takes note of what has been sent. */
void owing_note(struct relay_conn *conn);
void owing_turn(struct relay *relay);
uint64_t owing_deadline(const struct relay *relay);

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
