/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "base/budget.h"
#include "base/dgram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iovec;

/*
 * The TCP/IP stack inside the tunnel: lwIP behind a small door. One interface with our address of
 * each family, one listener, any number of connections, ICMP echo. lwIP's types, callback rules
 * and global state stop here.
 *
 * Events are called from stack_advance(), stack_input() and stack_turn() and only take note: an event handler must
 * not call into the stack (CHECKed). The work is done afterwards, in the owner's turn.
 */
enum {
	STACK_ADDRS_MAX = 2,
	STACK_WRITE_MAX = 65535, /* bytes that one stack_write() takes at most */
};

struct stack;
struct stack_conn;

/* Why a connection is gone. */
enum stack_end {
	STACK_END_CLOSED,  /* both directions ended in order */
	STACK_END_RESET,   /* the peer's RST, or ours */
	STACK_END_REFUSED, /* RST in answer to our SYN */
	STACK_END_TIMEOUT, /* retransmissions or keep-alives unanswered */
};

struct stack_events {
	/*
	 * A connection to the listener is established. Returns its owner's `user` pointer; NULL
	 * refuses it with RST, and no further event comes.
	 */
	void *(*accepted)(void *ctx, struct stack_conn *conn, const struct addr *from);
	/*
	 * With hold_syns: a SYN for the listener has come, and waits for stack_answer() or
	 * stack_abort(). Returns as accepted() does. connected() or ended() follows. A peer may
	 * still come by accepted(), so both are needed.
	 */
	void *(*offered)(void *ctx, struct stack_conn *conn, const struct addr *from);
	/* A stack_connect() or stack_answer() has succeeded. */
	void (*connected)(void *user);
	/*
	 * Bytes from the tunnel, borrowed until return. False: no room now; the same bytes come
	 * again with a later turn, and no others before them.
	 */
	bool (*data)(void *user, const struct iovec *iov, int count);
	/* So many of the oldest lent bytes are the owner's again. */
	void (*acked)(void *user, size_t len);
	/* What stack_await() asked for. */
	void (*drained)(void *user);
	/* The peer has ended its direction; all bytes before that were delivered. */
	void (*fin)(void *user);
	/* The last event: the connection is freed, all lent bytes are the owner's again. */
	void (*ended)(void *user, enum stack_end how);
};

/* How much may be under way: by what is lost (RFC 9438), or by what the path is measured to carry. */
enum stack_congestion { STACK_CUBIC, STACK_BBR };

struct stack_config {
	struct addr addrs[STACK_ADDRS_MAX]; /* ours; at most one of each family */
	size_t addrs_count;
	uint16_t mtu;			  /* inner */
	enum stack_congestion congestion; /* of the process: that of the stack made last */
	uint32_t conns_max;		  /* stack_connect() and the listener refuse beyond */
	struct budget *budget; /* borrowed for life: what the stack allocates for packets */
	const struct stack_events *events; /* borrowed for life */
	void *events_ctx;		   /* for accepted() and offered() */
	/* The listener's peers get no answer to their SYN before the owner says so. */
	bool hold_syns;
	/*
	 * A packet goes out: `room` gives `len` bytes to gather it into, or NULL when nothing can
	 * be sent now (the stack keeps the bytes and tries again in its next turn), `push` takes
	 * them back filled, before anything else is asked for.
	 */
	uint8_t *(*room)(void *ctx, size_t len);
	void (*push)(void *ctx, uint8_t *packet, size_t len);
	void *out_ctx;
	void (*random)(void *ctx, void *out, size_t len);
};

struct stack_stats {
	uint64_t rx_packets, tx_packets;
	uint64_t tx_retransmitted; /* of tx_packets: TCP segments that had left before */
	uint64_t rx_merged;	   /* packets that went on as part of another one */
	uint64_t rx_dropped;	   /* malformed, not for us, or of a kind that we do not speak */
	uint64_t rx_no_memory;
	uint64_t challenges;	     /* ACKs in answer to what may be a guess (RFC 5961) */
	uint64_t challenges_limited; /* more of them than a second allows: not sent */
	uint64_t pmtu_found;	     /* segments made smaller as larger ones vanished */
	uint64_t pmtu_told;	     /* ... as a router said so */
	uint64_t pmtu_false;	     /* a router was said to have said so */
	uint64_t rx_syns_dropped;    /* too many wait for an answer, or for what follows it */
	uint64_t refused;	     /* by the listener: at conns_max, by accepted() or offered() */
	uint32_t conns;		     /* now */
	uint16_t mtu;		     /* now: less than configured after larger packets vanished */
};

/* Several may exist; they share lwIP's global state and therefore one thread. NULL: no memory. */
struct stack *stack_new(const struct stack_config *config, uint64_t now_ns);

/* Drops all connections without a word to the peer, with ended(); call from no event. */
void stack_free(struct stack *stack);

/* Listens on `port` of all our addresses. 0 or a negative errno. Once per stack. */
int stack_listen(struct stack *stack, uint16_t port);

/* No new connections: their SYNs are answered with RST, those that are held, too. */
void stack_unlisten(struct stack *stack);

/*
 * Connects to `to`; connected() or ended() follows. NULL with `*error`: -EAFNOSUPPORT (we have no
 * address of this family), -EADDRNOTAVAIL (no port left for this target), -ENOBUFS (conns_max or
 * memory).
 */
struct stack_conn *stack_connect(struct stack *stack, const struct addr *to, void *user,
				 int *error);

/*
 * The SYN of an offered() connection goes on its way, as if it had come only now: connected() or
 * ended() follows. False: there is no memory to answer it; stack_abort() the connection.
 */
bool stack_answer(struct stack_conn *conn);

/* Once at the head of a turn, before any other call: what is done in the turn is done at `now_ns`.
 * Timers run here. */
void stack_advance(struct stack *stack, uint64_t now_ns);

/*
 * Takes a batch of inner packets that have been authenticated and whose IP headers have been checked
 * against their lengths. With `may_lend` a packet that must wait (out of order) keeps its buffer by
 * buf_hold(); otherwise it is copied. Headers are written to.
 */
void stack_input(struct stack *stack, const struct dgram *packets, size_t count, bool may_lend);

/* Output of all that is due or was written, and ended(). */
void stack_turn(struct stack *stack);

/* When stack_advance() or stack_turn() next has something to do; UINT64_MAX: only after new input. */
uint64_t stack_deadline(const struct stack *stack);

/*
 * Lends bytes for sending until acked(); returns how many were taken, fewer than `len` when the
 * send queue is full: offer the rest after acked().
 */
size_t stack_write(struct stack_conn *conn, const uint8_t *bytes, size_t len);

/* Bytes in a full segment; UINT16_MAX while the connection is not open. */
uint16_t stack_segment(const struct stack_conn *conn);

/* Written bytes that have not left yet, for want of window. */
size_t stack_unsent(const struct stack_conn *conn);

/*
 * drained() comes, once, when fewer than `below` bytes have not left yet: what leaves while others are
 * lost is acknowledged much later. Not if there are fewer now.
 */
void stack_await(struct stack_conn *conn, uint32_t below);

/*
 * Before a write: there was nothing to write until now. If the path could have carried more meanwhile,
 * what leaves next tells nothing of what it can.
 */
void stack_had_nothing(struct stack_conn *conn);

/* So many bytes given by data() have been passed on: opens the receive window. */
void stack_consumed(struct stack_conn *conn, size_t len);

/* Ends our direction: FIN behind all lent bytes. */
void stack_shutdown(struct stack_conn *conn);

/* RST, to a held SYN as well. ended() follows in the next stack_turn(), never from this call. */
void stack_abort(struct stack_conn *conn);

const struct stack_stats *stack_stats(const struct stack *stack);
