/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A histogram of times with the same relative precision everywhere, as HdrHistogram has it: each
 * power of two is cut into SLOTS equal buckets, so a value is known to 1/SLOTS of itself, and
 * counting one is a shift and an increment, without a division or a limit.
 */
enum { SLOT_BITS = 7, SLOTS = 1 << SLOT_BITS, BUCKETS = (64 - SLOT_BITS + 1) << SLOT_BITS };

struct latency {
	uint64_t count, max_ns;
	uint32_t buckets[BUCKETS];
};

/* How far a value is shifted until it has SLOT_BITS + 1 bits; small ones are kept as they are. */
static inline unsigned latency_shift(uint64_t ns)
{
	return ns < SLOTS ? 0 : 63 - (unsigned)__builtin_clzll(ns) - SLOT_BITS;
}

static inline void latency_add(struct latency *latency, uint64_t ns)
{
	unsigned shift = latency_shift(ns);

	latency->buckets[((size_t)shift << SLOT_BITS) + (ns >> shift)]++;
	latency->count++;
	if (ns > latency->max_ns)
		latency->max_ns = ns;
}

/* The most that falls into this bucket. */
static inline uint64_t latency_bucket_ns(size_t bucket)
{
	unsigned shift = bucket < 2 * SLOTS ? 0 : (unsigned)(bucket >> SLOT_BITS) - 1;
	uint64_t base = bucket - ((size_t)shift << SLOT_BITS);

	return (base + 1) * (1ULL << shift) - 1;
}

/* The time that so many of a thousand took at most. */
static inline uint64_t latency_permille_ns(const struct latency *latency, uint64_t permille)
{
	uint64_t rank = (latency->count * permille + 999) / 1000, seen = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		seen += latency->buckets[i];
		if (seen >= rank && seen > 0)
			return latency_bucket_ns(i) < latency->max_ns ? latency_bucket_ns(i)
								      : latency->max_ns;
	}
	return 0;
}
