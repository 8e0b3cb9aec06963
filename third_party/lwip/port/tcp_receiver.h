/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What lwIP carries for our receiver (src/stack/receiver.h): a part of each connection, and the hooks
 * that it calls (patches 0040 to 0042). lwIP itself reads none of it.
 */
#include <stdbool.h>
#include <stdint.h>

struct tcp_pcb;
struct pbuf;
struct tcp_run;

struct tcp_receiver {
	/* Bytes that arrived ahead of others, in runs that neither overlap nor touch. */
	struct tcp_run *runs;	/* by sequence number: a treap */
	struct tcp_run *newest; /* by last arrival */
	uint32_t cost;		/* memory of them, bytes */
	uint32_t fin_at;	/* the sequence number of a FIN that arrived ahead */
	bool has_fin;
	bool has_twice;
	uint32_t twice_left, twice_right; /* arrived twice: the next ACK says so (RFC 2883) */

	/* acknowledgements */
	uint32_t ack_us;     /* while TF_ACK_DELAY is set: when it is due; modulo 2^32 */
	uint64_t arrived_ns; /* when bytes came last */
	bool was_small;	     /* they were less than a full segment */
	bool eager;	     /* the peer sends such ones without waiting for an ACK */
	uint8_t arrivals;    /* since the owner has written: none, one, or more */
	uint8_t exchanges;   /* of one arrival and one answer, in a row, as far as they matter */
	uint8_t answer_ms;   /* how long answers take */
	uint8_t quick;	     /* segments that are acknowledged at once */
};

/*
 * A segment of the window, `len` bytes from `seq` and perhaps a FIN, that lies ahead of rcv_nxt.
 * Takes `bytes`, a chain of packets.
 */
void tcp_receiver_hold(struct tcp_pcb *pcb, uint32_t seq, uint32_t len, bool fin,
		       struct pbuf *bytes);
/*
 * rcv_nxt has moved: the run that it has reached, without what was taken before, behind `chain`, which
 * may be NULL; its tot_len is right modulo 2^16, as pbuf_split_64k() wants it. rcv_nxt and rcv_wnd
 * move on. `fin`: set when rcv_nxt has reached, and passed, a FIN that arrived ahead.
 */
struct pbuf *tcp_receiver_take(struct tcp_pcb *pcb, struct pbuf *chain, bool *fin);
/* Bytes from `left` to `right` have arrived twice. */
void tcp_receiver_twice(struct tcp_pcb *pcb, uint32_t left, uint32_t right);
/* An ACK is about to leave: sets rcv_sacks. */
void tcp_receiver_sacks(struct tcp_pcb *pcb);
/* The ACK has to say more than rcv_nxt. */
bool tcp_receiver_has_sacks(const struct tcp_pcb *pcb);
/* `len` bytes in sequence have arrived: they are acknowledged now or later. */
void tcp_receiver_arrived(struct tcp_pcb *pcb, uint32_t len, bool push);
/* Bytes that a new connection's SYN offers, 65,535 at most: its window does not begin smaller. */
uint32_t tcp_receiver_window(void);
/* Gives up all that is held. */
void tcp_receiver_end(struct tcp_pcb *pcb);
