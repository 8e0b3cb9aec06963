/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What lwIP carries for our sender (src/stack/sender.h): a part of each segment and of each
 * connection, and the hooks that it calls (patch 0030). lwIP itself reads none of it.
 */
#include <stdbool.h>
#include <stdint.h>

struct tcp_pcb;
struct tcp_seg;

/* Where a segment stands; on `unacked` each is in one of the last three. */
enum tcp_flight_state {
	FLIGHT_NONE,   /* not sent yet, or to be sent again as if it were new */
	FLIGHT_UNDER,  /* under way */
	FLIGHT_LOST,   /* believed lost: to be sent again */
	FLIGHT_SACKED, /* at the receiver (RFC 2018) */
};

struct tcp_flight {
	struct tcp_seg *next, *prev; /* UNDER: by last transmission; LOST: by sequence number */
	uint32_t sent_us;	     /* last transmission */
	uint32_t serial;	     /* of it: what leaves in one turn has one time */
	/* The connection's, at that time: for samples of the delivery rate. */
	uint32_t delivered, delivered_us, first_sent_us;
	uint8_t state; /* enum tcp_flight_state */
	bool again;    /* sent more than once */
	bool app_limited;
};

struct tcp_flight_list {
	struct tcp_seg *first, *last;
};

/* A block that the receiver has said to have, and the last segment of ours in it. */
struct tcp_sack_seen {
	uint32_t left, right;
	struct tcp_seg *last;
};

enum { TCP_SACKS_MAX = 4 }; /* as many as fit into the options (RFC 2018, section 3) */

struct tcp_cubic {
	double w_max, w_est, k_s; /* bytes, bytes, seconds */
	uint32_t epoch_us;
	bool in_epoch; /* false: the next growth starts a new one */
	/* HyStart++: least round trips of this round, the one before, and at the start of CSS */
	uint32_t round_min_us, last_min_us, base_min_us;
	uint8_t samples, css_rounds;
	uint8_t search; /* enum search */
	/* To undo. */
	uint8_t before_search;
	double before_w_max;
};

enum { BBR_ROUNDS = 8 };

struct tcp_bbr {
	uint32_t bw[BBR_ROUNDS]; /* greatest of each round, bytes a second; [0]: this one */
	uint32_t full_bw, min_rtt_us, min_rtt_at_us, phase_at_us, probe_until_us, prior_cwnd;
	uint8_t mode, phase, full_rounds; /* mode: enum bbr_mode */
	bool full, conserves, recovers, probe_round, knows_rtt;
};

struct tcp_sender {
	struct tcp_flight_list under, lost;
	struct tcp_sack_seen seen[TCP_SACKS_MAX];
	struct tcp_seg *walked; /* an ACK's blocks were looked for up to here, in vain; or NULL */
	uint32_t pipe, sacked;	/* bytes under way; bytes at the receiver */
	uint32_t fack;		/* end of the highest that is */
	uint32_t sent_us;	/* when something last left */
	uint32_t serial;	/* of the last transmission */

	/* round trips; 0: none measured yet */
	uint32_t srtt_us, rttvar_us, min_rtt_us, min_rtt_at_us;

	/* RFC 8985 */
	uint32_t rack_serial, rack_rtt_us;
	uint32_t dsack_round_end, tlp_end;
	uint32_t reorder_wait_us; /* 0: nobody is late */
	uint8_t reo_mult, reo_persist;

	/* loss recovery */
	uint16_t dup_acks;  /* of a peer without SACK: as many segments are out of order there */
	int32_t undo_bytes; /* sent again and not yet reported as duplicates */
	uint32_t again_at;  /* the first of them, on the clock of timestamps (RFC 7323) */
	uint32_t again_end; /* the end of the highest of them */
	uint32_t recover, prior_cwnd, prior_ssthresh, prr_delivered, prr_out, recover_pipe;

	/* rounds: a round ends when something is delivered that was sent after its start */
	uint32_t round_end;		      /* of `delivered` */
	uint32_t round_pipe, last_round_pipe; /* the most that was under way */

	/* delivery rate */
	uint32_t delivered, delivered_us, first_sent_us, app_limited;
	uint32_t pacing_rate; /* bytes a second; 0: not paced */
	uint64_t pace_ns;     /* when the next segment may leave */

	uint32_t low_water; /* conn_drained() when fewer bytes have not left; 0: nobody waits */

	/* timers: on the wheel no later than the earliest deadline, the receiver's included */
	struct tcp_pcb *wheel_next, **wheel_pprev; /* pprev NULL: not on it */
	uint32_t wheel_us, deadline_us, rto_us;

	uint8_t state;	      /* enum sender_state */
	uint8_t timer;	      /* enum sender_timer */
	uint8_t clock_shift;  /* 2^this milliseconds are the least step of timestamps */
	bool reordering : 1;  /* the path does */
	bool tlp_out : 1;     /* a probe is under way */
	bool tlp_again : 1;   /* it was a segment sent again */
	bool tlp_pass : 1;    /* it may leave */
	bool may_undo : 1;    /* what was lost may turn out to be none */
	bool limited : 1;     /* by the congestion window, in this round */
	bool was_limited : 1; /* ... in the one before */
	bool paced_out : 1;   /* a segment waits for pace_ns */
	bool stuck : 1;	      /* nothing could leave after the last timeout */
	bool syn_only : 1;    /* no round trip is known but that of our SYN */

	union {
		struct tcp_cubic cubic;
		struct tcp_bbr bbr;
	};
};

/* The connection's segments have been given a size: cwnd and all begin. */
void tcp_sender_begin(struct tcp_pcb *pcb);
/* May this segment, new to the network, leave now? The peer's window has room for it. */
bool tcp_sender_may_send(struct tcp_pcb *pcb, const struct tcp_seg *seg);
/* It has left, from `unsent`; snd_nxt is still what it was before. */
void tcp_sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg);
/* Sends again what is lost; before anything new. Negative: the interface has no room. */
int tcp_sender_repair(struct tcp_pcb *pcb);
/* The segment is about to leave `unacked`: acknowledged, or to be sent as if it were new. */
void tcp_sender_left(struct tcp_pcb *pcb, struct tcp_seg *seg, bool acked);
/*
 * An ACK was processed: `acked` bytes are off the queues. `sacks`: pairs of left and right edges.
 * `duplicate`: it says nothing new (RFC 5681, section 2). `echo`: of a timestamp of ours; 0: none.
 */
void tcp_sender_acked(struct tcp_pcb *pcb, uint32_t acked, bool duplicate, const uint32_t *sacks,
		      int count, uint32_t echo);
/* Later ones have overtaken it. `ackno`: what it acknowledges, at most `lastack`. */
void tcp_sender_late_ack(struct tcp_pcb *pcb, uint32_t ackno, const uint32_t *sacks, int count);
/* The first segment is sent again as soon as possible: the peer has not got it. */
void tcp_sender_resend(struct tcp_pcb *pcb);
/* The queues are about to be freed: no timer, nothing under way. */
void tcp_sender_end(struct tcp_pcb *pcb);
