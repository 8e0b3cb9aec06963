/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/list.h"
#include "stack.h"

#include "lwip/netif.h"
#include "lwip/tcp.h"

/* A TCP segment as far as merging looks at it. */
struct segment {
	uint8_t *packet;
	uint32_t seq, ack;
	uint32_t sent;	     /* its timestamp, if it has one (RFC 7323) */
	uint16_t header_len; /* IP and TCP: the same of all without, and of all with a timestamp */
	uint16_t bytes;	     /* behind the headers */
};

/* The segment that waits for its successors, as a chain: headers and bytes, bytes, bytes... */
struct merge {
	struct pbuf *head, *tail; /* NULL: none waits */
	struct segment segment;	  /* all of it */
};

/* SYNs that wait for stack_answer(). */
enum { HOLD_CHAINS = 1024 };

struct hold {
	struct held *chains[HOLD_CHAINS];
	uint32_t half_open; /* connections HELD or ANSWERED */
};

struct stack {
	struct stack_config config;
	struct stack_stats stats;
	struct netif netif;
	struct tcp_pcb *listeners[STACK_ADDRS_MAX];
	struct merge merge; /* empty between two calls of stack_input() */
	struct hold hold;
	struct list conns;     /* all of them */
	struct list dirty;     /* written to since the last turn: tcp_output() is due */
	struct list ending;    /* over; ended() is due in the next turn */
	size_t promised;       /* bytes: the windows of all connections */
	uint64_t mtu_raise_ns; /* when stats.mtu is config.mtu again, if it is less */
	uint32_t mtu_lowered;  /* so often */
	bool blocked;	       /* room() said NULL: what lwIP kept must be tried again */
	bool in_event;	       /* an event handler runs: no call may come in */
};

enum stack_conn_state {
	STACK_CONN_OPENING,  /* our SYN is out */
	STACK_CONN_HELD,     /* the peer's SYN waits for stack_answer() */
	STACK_CONN_ANSWERED, /* our SYN-ACK is out */
	STACK_CONN_OPEN,
	STACK_CONN_ENDING, /* detached from its pcb, waits for ended() */
};

struct stack_conn {
	struct stack *stack;
	struct tcp_pcb *pcb; /* NULL while held, and once detached */
	struct held *held;   /* the peer's SYN; NULL once answered */
	void *user;
	struct list all;
	struct list work;  /* on dirty or ending */
	uint32_t lent;	   /* bytes that acked() has not given back */
	uint32_t window;   /* bytes that the peer may have under way, or its owner not consumed */
	uint32_t credited; /* bytes consumed since the window last doubled */
	uint64_t round_ns; /* when this round trip began */
	uint32_t round_bytes; /* consumed in it */
	uint32_t brought;     /* in the one before */
	uint32_t taken_ahead; /* bytes of the chain that lwIP will offer again */
	uint8_t state;	      /* enum stack_conn_state */
	uint8_t how;	      /* enum stack_end, while ENDING */
	bool fin_seen;
	bool shut; /* our FIN is queued */
};

/* Bytes of the budget that are left for what must not fail: what lwIP has acknowledged. */
enum { STACK_ROOM_MIN = 96 * 1024 };

static inline bool has_room(const struct stack *stack)
{
	return budget_room(stack->config.budget) >= STACK_ROOM_MIN;
}

/* Whose connection it is. */
struct stack *stack_of(const struct tcp_pcb *pcb);

/* --- filter.c -------------------------------------------------------------------------------- */

enum filter_kind { FILTER_OUT, FILTER_TCP, FILTER_ICMP };
/* Not out: this end speaks it, and it is well-formed as far as its IP header goes. */
enum filter_kind filter(const struct dgram *packet);
/*
 * Of one that was let in: bytes that lwIP acknowledges must find room in their owner's queue, a
 * refilled gap all at once; a SYN wants a connection. Dropped while memory is short, TCP mends it.
 */
bool filter_wants_memory(const struct dgram *packet);

/* --- merge.c: many segments into one -------------------------------------------------------- */

/* Of two packets with a TCP header: the same addresses and ports. */
bool merge_same_flow(const uint8_t *a, const uint8_t *b);
/* Takes a packet that the filter has let in; owned. lwIP gets it now or with its successors. */
void merge_input(struct stack *stack, struct pbuf *pbuf);
/* lwIP gets what is held: at the end of each batch. */
void merge_flush(struct stack *stack);

/* --- clock.c: lwIP's ticks, shared by all stacks --------------------------------------------- */

/* Brings lwIP's clock up to `now_ns` and runs the timers that are due. */
void clock_advance(uint64_t now_ns);
/* As clock_advance() was told last. */
uint64_t clock_now_ns(void);
extern uint32_t clock_now_us; /* the same, modulo 2^32 */
/* lwIP was given something to do: it wants its next tick soon. */
void clock_touch(void);
/* When the timers next have something to do; UINT64_MAX: nothing waits for time. */
uint64_t clock_deadline(void);

/* --- demux.c --------------------------------------------------------------------------------- */

/* As lwIP has them. */
struct flow {
	ip_addr_t local, remote;
	uint16_t local_port, remote_port;
};
/* Of a TCP packet to us; of one of ours, `local` and `remote` change places. */
void demux_flow(struct flow *flow, const uint8_t *packet);
/* A TCP packet, let in by the filter, that lwIP gets soon: its connection's memory is fetched. */
void demux_expect(const uint8_t *packet);
/* Of the addresses and ports of such a packet; nobody else can tell which ones collide. */
uint32_t demux_hash(const uint8_t *packet);
/* What lwIP still holds for this interface: connections in TIME_WAIT or waiting for a last ACK. */
void demux_drop(const struct netif *netif);

/* --- hold.c: SYNs that wait for the owner ----------------------------------------------------- */

/* Of a packet that the filter has let in: it begins, or changes, what is held; lwIP must not see it. */
bool hold_takes(struct stack *stack, const struct pbuf *pbuf);
/* The connection is HELD or ANSWERED no longer; what is left of its SYN is freed. */
void hold_end(struct stack_conn *conn);
/* RST in answer to a held SYN, whose connection ends. */
void hold_refuse(struct stack_conn *conn);
void hold_refuse_all(struct stack *stack);

/* --- open.c: how connections come about ------------------------------------------------------- */

void addr_to_lwip(const struct addr *addr, ip_addr_t *ip);
err_t conn_accept(void *stack, struct tcp_pcb *pcb, err_t err);

/* --- conn.c --------------------------------------------------------------------------------- */

/* NULL: no memory, or conns_max. */
struct stack_conn *conn_create(struct stack *stack, void *user);
void conn_destroy(struct stack_conn *conn);
/* From now on the pcb's callbacks come to the connection. */
void conn_attach(struct stack_conn *conn, struct tcp_pcb *pcb);
/* No callback of its pcb reaches the connection any more. */
void conn_detach(struct stack_conn *conn);
/* ended() comes with the next turn: never from within a call of the owner's. */
void conn_end_later(struct stack_conn *conn, enum stack_end how);
/* Emits ended() for all that is over. */
void conn_reap(struct stack *stack);
/* Without a word to the peer; ended() at once. */
void conn_drop(struct stack_conn *conn);
/* sender.low_water is reached. */
void conn_drained(struct tcp_pcb *pcb);
/* tcp_output() for all that was written to. */
void conn_output(struct stack *stack);

/* --- pcb_clock.c: a connection's timers, to the millisecond ----------------------------------- */

/* Something of it may be due earlier than before. */
void pcb_clock_set(struct tcp_pcb *pcb);
void pcb_clock_drop(struct tcp_pcb *pcb);
/* Runs what is due. */
void pcb_clock_run(uint64_t now_ns);
/* UINT64_MAX: nothing. */
uint64_t pcb_clock_deadline(void);

/* --- identity.c ------------------------------------------------------------------------------ */

/* Draws the key of the initial sequence numbers, and the origin of timestamps: once. */
void identity_init(void (*random)(void *ctx, void *out, size_t len), void *ctx);

/* --- pmtu.c: how large packets may be --------------------------------------------------------- */

/* A retransmission timeout: pcb->nrtx is counted, what was under way is lost. */
void pmtu_timeout(struct tcp_pcb *pcb);
/* An ICMP message about the size of packets, let in by the filter: true, and lwIP does not get it. */
bool pmtu_takes(struct stack *stack, const struct dgram *packet);
/* Each turn: what was lowered may be tried again. */
void pmtu_advance(struct stack *stack);
/* --- window.c: the receive window ------------------------------------------------------------ */

/* The handshake is over. */
void window_begin(struct stack_conn *conn);
/* So many bytes were passed on: the window opens again, more or less. */
void window_consumed(struct stack_conn *conn, size_t len);
/* Nothing is promised to this peer any more. */
void window_end(struct stack_conn *conn);

/* --- port.c --------------------------------------------------------------------------------- */

/* What lwIP allocates is counted in this budget; random numbers come from this source. */
void port_bind(struct budget *budget, void (*random)(void *ctx, void *out, size_t len), void *ctx);
/* Memory that is kept for reuse: a tick passes, and some of it may not be needed any more. */
void port_age(void);
/* More than half of the budget is taken. */
bool port_is_crowded(void);
/* Little is left: what can be had again from a peer is given up. */
void port_relieve(void);
/* Gives it back: all, or all but a little while nothing is going on. */
void port_trim(bool all);
/* A local port that no connection of this pcb's address and interface to this target has; 0: none. */
uint16_t port_choose(const struct tcp_pcb *pcb, const ip_addr_t *to, uint16_t to_port);
/* The peer will be in TIME_WAIT with it: not for a new connection soon. */
void port_rest(uint16_t port);
