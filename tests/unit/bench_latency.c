/* SPDX-License-Identifier: MIT */
#include "../../bench/load/latency.h"

#include <criterion/criterion.h>

/* The benchmark's histogram of latencies. */

/* A bucket is named by the most that falls into it: never less than the value, hardly more. */
Test(bench_latency, precise_everywhere)
{
	for (unsigned bit = 0; bit < 63; bit++) {
		for (uint64_t offset = 0; offset < 64; offset++) {
			static struct latency latency;
			uint64_t ns = (1ULL << bit) + (offset << bit) / 64, found;

			latency = (struct latency){.count = 0};
			latency_add(&latency, ns);
			latency.max_ns = UINT64_MAX;
			found = latency_permille_ns(&latency, 500);
			cr_assert_geq(found, ns);
			cr_assert_leq(found - ns, ns / SLOTS, "%lu for %lu", found, ns);
		}
	}
}

/* 1..1000 us, each once, in an order that is not theirs. */
Test(bench_latency, percentiles_are_ranks)
{
	static struct latency latency;

	for (uint64_t i = 0; i < 1000; i++)
		latency_add(&latency, (i * 7 % 1000 + 1) * 1000);
	cr_assert_eq(latency.count, 1000);
	cr_assert_eq(latency.max_ns, 1000000);
	for (uint64_t permille = 1; permille <= 1000; permille++) {
		uint64_t ns = latency_permille_ns(&latency, permille);

		cr_assert(ns >= permille * 1000 && ns <= permille * 1000 * (SLOTS + 1) / SLOTS,
			  "%lu for %lu", ns, permille);
	}
}

/* What a bucket may hold more than was seen is not reported. */
Test(bench_latency, no_more_than_the_most)
{
	static struct latency latency;

	cr_assert_eq(latency_permille_ns(&latency, 999), 0);
	latency_add(&latency, 1000001);
	cr_assert_eq(latency_permille_ns(&latency, 999), 1000001);
}
