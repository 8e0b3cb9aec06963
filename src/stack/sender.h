/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The sender's half of TCP, between lwIP's queues and its output; sender.c has the theory. The hooks
 * that lwIP calls are in third_party/lwip/port/tcp_sender.h.
 */
#include "inside.h"

#include "base/time.h"

#include "lwip/priv/tcp_priv.h"

enum sender_state {
	SENDER_OPEN,	 /* nothing is known to be lost */
	SENDER_RECOVERY, /* losses are repaired, the window shrinks to ssthresh (RFC 6937) */
	SENDER_LOSS,	 /* after a retransmission timeout: slow start over what was under way */
};

enum sender_timer {
	TIMER_NONE,
	TIMER_RTO,     /* RFC 6298 */
	TIMER_PROBE,   /* tail loss probe: RFC 8985, section 7 */
	TIMER_REORDER, /* late is lost from then on: RFC 8985, section 6.3 */
};

/* What one ACK has told. */
struct ack {
	uint32_t now_us;
	uint32_t ackno;	    /* less than pcb->lastack: others have overtaken it */
	uint32_t acked;	    /* bytes off the head of the queue */
	uint32_t echo;	    /* of a timestamp of ours (RFC 7323); 0: none */
	uint32_t delivered; /* bytes newly known to be at the receiver */
	uint32_t pipe_before;
	uint32_t newly_lost;
	uint32_t rtt_us;	  /* of the last segment that this ACK is for; 0: no sample */
	uint32_t rtt_most_us;	  /* of the first: what a timeout has to wait for */
	uint32_t prior_delivered; /* when the last of them was sent */
	bool any;		  /* something was */
	bool round;		  /* a round trip has ended */
	uint32_t rate;		  /* at which bytes are delivered, a second; 0: no sample */
	bool app_limited;	  /* the rate is as low as it is for want of bytes to send */
	uint32_t dsack_bytes;	  /* arrived twice (RFC 2883) */
};

/* A congestion controller: sets pcb->cwnd, and sender.pacing_rate if it paces. */
struct congestion {
	void (*begin)(struct tcp_pcb *pcb);
	/* For each ACK that delivered something. While `own_window` is false not in recovery. */
	void (*acked)(struct tcp_pcb *pcb, const struct ack *ack);
	/* Something was lost: the new ssthresh. */
	uint32_t (*lost)(struct tcp_pcb *pcb);
	/* It was not: cwnd and ssthresh are what they were. */
	void (*undone)(struct tcp_pcb *pcb);
	bool own_window; /* recovery does not set cwnd */
};

extern const struct congestion congestion_cubic, congestion_bbr;

/* Of all connections of the process to come. */
void sender_use(enum stack_congestion wanted);
const struct congestion *sender_congestion(void);

/* The owner had nothing to write for a while, and writes next. */
void sender_waited(struct tcp_pcb *pcb);

static inline uint32_t seg_seq(const struct tcp_seg *seg)
{
	return lwip_ntohl(seg->tcphdr->seqno);
}

static inline uint32_t seg_end(const struct tcp_seg *seg)
{
	return seg_seq(seg) + TCP_TCPLEN(seg);
}

/* Bytes under way. A peer without SACK says with each duplicate ACK that a segment has arrived. */
static inline uint32_t sender_pipe(const struct tcp_pcb *pcb)
{
	uint32_t arrived = (uint32_t)pcb->sender.dup_acks * pcb->mss;

	return pcb->sender.pipe - LWIP_MIN(pcb->sender.pipe, arrived);
}

/* Has a segment with this header left before? Ask before it leaves: then snd_nxt is still what it was. */
bool sender_had_left(const struct tcp_pcb *pcb, const struct tcp_hdr *header);
/* A segment of `unacked` leaves again. Negative: the interface has no room. */
int sender_send_again(struct tcp_pcb *pcb, struct tcp_seg *seg);

/* Of times in microseconds and of other counts that go on modulo 2^32. */
static inline bool is_later(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* --- flight.c: where each segment stands ---------------------------------------------------- */

void flight_sent(struct tcp_pcb *pcb, struct tcp_seg *seg, bool again);
/*
 * `near`: one that the same walk has found lost just before, or NULL; next to it is where the search for
 * the place begins.
 */
void flight_lost(struct tcp_pcb *pcb, struct tcp_seg *seg, struct tcp_seg *near);
/* All that the receiver has not got is lost; `renege`: it has got nothing (RFC 2018, section 8). */
void flight_all_lost(struct tcp_pcb *pcb, bool renege);
/* What is acknowledged is forgotten: before anything else of an ACK. */
void flight_forget(struct tcp_pcb *pcb);
/* Takes note of SACK blocks. */
void flight_sacks(struct tcp_pcb *pcb, const uint32_t *sacks, int count, struct ack *ack);
/* What left the queues or was marked since the last call; and forgets it. */
void flight_take_ack(struct tcp_pcb *pcb, struct ack *ack);

/* --- recovery.c: what is lost, and what follows from it -------------------------------------- */

/* The newest of the segments that an ACK is for was sent like this. */
void rack_delivered(struct tcp_sender *sender, const struct tcp_flight *newest, uint32_t now_us);
void recovery_acked(struct tcp_pcb *pcb, struct ack *ack, bool duplicate);
void recovery_timer(struct tcp_pcb *pcb);
/* The timer that has to run now. `progress`: it starts anew. */
void recovery_arm(struct tcp_pcb *pcb, bool progress);
