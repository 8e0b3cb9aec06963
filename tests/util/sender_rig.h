/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/budget.h"
#include "stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A stack that sends, a path, and a receiver that is no stack, on virtual time: what the sender does
 * is seen segment by segment, and each may be lost by name. Offsets count bytes of the stream from 0.
 */
enum {
	RIG_MSS = 1380,
	RIG_SENDS_MAX = 1 << 18,
	RIG_RANGES_MAX = 4096,
	RIG_EVENTS_MAX = 1 << 16,
	RIG_ACK_LEN_MAX = 80,
};

/* One transmission. */
struct rig_send {
	uint64_t at_ns; /* since the rig began */
	uint32_t offset, len;
	uint32_t times; /* how often its first byte has left before */
	bool lost;	/* by the path */
};

struct rig_range {
	uint32_t from, to;
	uint32_t stamp; /* of its last change: the newest is reported first (RFC 2018, section 4) */
};

struct rig_event {
	uint64_t at_ns;
	uint64_t order; /* of those at the same time */
	uint32_t offset, len;
	uint8_t ack_len; /* 0: a segment for the receiver; else an ACK for the stack */
	uint8_t ack[RIG_ACK_LEN_MAX];
};

struct rig {
	/* the path; both ways each delay_ns */
	uint64_t delay_ns;
	uint64_t rate;	      /* bytes a second; 0: any */
	uint64_t queue_bytes; /* of a path with a rate; the rest is lost */
	uint32_t loss_ppm, late_ppm;
	uint64_t late_ns; /* by how much the late ones are */
	bool (*loses)(struct rig *rig, const struct rig_send *send); /* NULL: nobody */
	/* the receiver */
	enum stack_congestion congestion;
	bool no_sack, no_dsack, deaf; /* deaf: hears nothing */
	uint32_t window;	      /* bytes, of the receiver */
	uint32_t ack_every;	      /* segments in order; at most 40 ms late */

	/* what has been seen */
	struct rig_send send[RIG_SENDS_MAX];
	size_t sends;
	uint32_t received;	 /* in order */
	uint64_t done_ns;	 /* when all that was written had arrived in order */
	uint64_t longest_gap_ns; /* in which nothing arrived in order, though there was something */
	size_t acks, duplicates;
	uint32_t flight_high; /* the most bytes sent beyond what the receiver has, since reset */

	/* the rest is the rig's own */
	struct stack *stack;
	struct budget budget;
	struct stack_conn *conn;
	uint64_t start_ns, now_ns, path_free_ns, seed, ack_due_ns, progress_ns;
	uint32_t isn, peer_seq, sent_high, written, to_write, acked;
	uint32_t unacked_segments, stamp;
	bool connected, ended, dsack_pending;
	uint32_t dsack_from, dsack_to;
	struct rig_range range[RIG_RANGES_MAX];
	size_t ranges;
	struct rig_event event[RIG_EVENTS_MAX];
	size_t events;
	uint64_t order;
	uint8_t room[65536];
};

/* Sets defaults: 10 ms each way, SACK, a window of 64 MiB, an ACK for every second segment. */
void rig_init(struct rig *rig);
/* The handshake, after the path has been described. */
void rig_connect(struct rig *rig);
void rig_fini(struct rig *rig);

/* So many bytes more are there to be sent. */
void rig_write(struct rig *rig, uint32_t bytes);
/* Goes on for so long, or until all bytes have arrived in order; true: they have. */
bool rig_run(struct rig *rig, uint64_t for_ns);
/* Goes on for so long whatever has arrived. */
void rig_wait(struct rig *rig, uint64_t for_ns);

/* An ACK of the test's own making, at once; `sacks`: pairs of offsets. */
void rig_ack(struct rig *rig, uint32_t offset, const uint32_t *sacks, int count);

/* How many transmissions of bytes that had left before. */
size_t rig_again(const struct rig *rig);
/* Bytes a second since the rig began, of those that arrived in order. */
double rig_goodput(const struct rig *rig);
