/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One direction of a network path, as arithmetic: what becomes of a packet that enters it now. It
 * holds no packets and reads no clock, so that the same path runs in virtual time (stack_pair.h)
 * and under bench/impair.
 *
 * A packet passes, in this order:
 *
 *	mtu	   longer ones vanish without a word: a black hole
 *	rate	   one at a time leaves a bottleneck; those that wait fill a queue of bounded length,
 *		   and who finds it full is dropped (drop-tail)
 *	loss	   at random, each for itself, and in bursts: a chain of two states that moves once per
 *		   packet (Gilbert 1960, Elliott 1963), and within a burst once per millisecond as well:
 *		   else one that begins with the last packet before a silence would wait for the
 *		   retransmission, and the one after it
 *	duplicate  both copies arrive together
 *	delay	   and jitter on top, at a level between 0 and jitter_ns that is drawn anew each
 *		   jitter_ns: packets bunch up when it falls, but none overtakes another
 *	reorder	   a packet is held back by reorder_ns more, and later ones overtake it
 *
 * Lost packets have taken their time at the bottleneck. All probabilities are in millionths, lengths
 * in bytes of whatever the caller calls a packet. A config of zeros is a path that does nothing.
 */
struct path_config {
	size_t mtu;		 /* 0: any length */
	uint64_t rate_bps;	 /* bits per second, at most 10^12; 0: no bottleneck */
	uint64_t queue_bytes;	 /* 0: no bound */
	uint32_t loss_ppm;	 /* outside of bursts */
	uint32_t burst_ppm;	 /* that a burst begins with this packet */
	uint32_t burst_end_ppm;	 /* that one ends, per packet or ms: mean length 10^6 / this */
	uint32_t burst_loss_ppm; /* within one; 0: all of them */
	uint32_t duplicate_ppm;
	uint32_t reorder_ppm;
	uint64_t reorder_ns;
	uint64_t delay_ns;
	uint64_t jitter_ns;
};

/* In packets. */
struct path_counts {
	uint64_t entered;
	uint64_t too_long;
	uint64_t queue_full;
	uint64_t lost;	     /* at random */
	uint64_t burst_lost; /* in a burst */
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t waited_ns_max; /* in the queue */
};

struct path {
	struct path_config config;
	struct path_counts counts;
	uint64_t seed;
	uint64_t queue_ns;     /* queue_bytes at that rate */
	uint64_t free_ns;      /* the bottleneck is busy until then */
	uint64_t last_ns;      /* nobody arrives before this, but those held back */
	uint64_t level_ns;     /* of the jitter */
	uint64_t level_end_ns; /* it holds until then */
	uint64_t moved_ns;     /* when the last packet came to where they are lost */
	bool in_burst;
};

struct path_fate {
	unsigned copies; /* 0: the packet is gone */
	bool held_back;	 /* others may overtake it; of all others times never go back */
	uint64_t at_ns;	 /* when it arrives */
};

/* The same seed, packets and times give the same fates. */
void path_init(struct path *path, const struct path_config *config, uint64_t seed);
/* Chance begins anew: the packets to come fare as the first ones did. Queue and counts stay. */
void path_reseed(struct path *path, uint64_t seed);

/* `now_ns` must not go back, and the caller may start its clock anywhere above 0. */
struct path_fate path_send(struct path *path, uint64_t now_ns, size_t len);

/* Of those that entered. */
uint64_t path_dropped(const struct path *path);
