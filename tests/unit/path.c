// SPDX-License-Identifier: MIT
/* The arithmetic of an impaired path: bench/impair and the simulations are built on it. */
#include "path.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { LEN = 1250, PACKETS = 200000 }; /* 10,000 bits: 10 us at 1 Gbit/s */

static const uint64_t start_ns = 5 * NS_PER_S;

static struct path path_of(struct path_config config)
{
	struct path path;

	path_init(&path, &config, 7);
	return path;
}

/* Within so many thousandths of it. */
static void assert_near(double value, double expected, double permille)
{
	cr_assert(value > expected * (1 - permille / 1000) &&
			  value < expected * (1 + permille / 1000),
		  "%f, expected %f", value, expected);
}

Test(path, does_nothing_unless_asked)
{
	struct path path = path_of((struct path_config){0});

	for (uint64_t i = 0; i < 1000; i++) {
		struct path_fate fate = path_send(&path, start_ns + i, 65536);

		cr_assert_eq(fate.copies, 1);
		cr_assert_eq(fate.at_ns, start_ns + i);
		cr_assert_not(fate.held_back);
	}
}

Test(path, delay)
{
	struct path path = path_of((struct path_config){.delay_ns = 10 * NS_PER_MS});

	cr_assert_eq(path_send(&path, start_ns, LEN).at_ns, start_ns + 10 * NS_PER_MS);
	cr_assert_eq(path_send(&path, start_ns + 3, LEN).at_ns, start_ns + 3 + 10 * NS_PER_MS);
}

/* A burst leaves the bottleneck packet by packet; one that finds it idle waits for nobody. */
Test(path, rate)
{
	struct path path = path_of((struct path_config){.rate_bps = NS_PER_S, .delay_ns = 1000});

	for (uint64_t i = 1; i <= 1000; i++)
		cr_assert_eq(path_send(&path, start_ns, LEN).at_ns, start_ns + i * 10000 + 1000);
	cr_assert_eq(path.counts.waited_ns_max, 999 * 10000);
	cr_assert_eq(path_send(&path, start_ns + NS_PER_S, LEN).at_ns,
		     start_ns + NS_PER_S + 10000 + 1000);
}

Test(path, queue_is_bounded)
{
	struct path path = path_of(
		(struct path_config){.rate_bps = NS_PER_S, .queue_bytes = 10 * LEN});

	for (int i = 0; i < 100; i++)
		path_send(&path, start_ns, LEN);
	cr_assert_eq(path.counts.queue_full, 90);
	cr_assert_eq(path_send(&path, start_ns + 9999, LEN).copies, 0, "no place yet");
	cr_assert_eq(path_send(&path, start_ns + 10000, LEN).copies, 1, "one has left");
	cr_assert_eq(path_send(&path, start_ns + 10000, LEN).copies, 0, "and one has come");
	cr_assert_eq(path_dropped(&path), 92);
}

/* However small the queue, a bottleneck that is idle takes a packet. */
Test(path, queue_shorter_than_a_packet)
{
	struct path path = path_of((struct path_config){.rate_bps = NS_PER_S, .queue_bytes = 1});

	cr_assert_eq(path_send(&path, start_ns, LEN).copies, 1);
	cr_assert_eq(path_send(&path, start_ns, LEN).copies, 0);
	cr_assert_eq(path_send(&path, start_ns + 10000, LEN).copies, 1);
}

Test(path, mtu)
{
	struct path path = path_of((struct path_config){.mtu = 1280});

	cr_assert_eq(path_send(&path, start_ns, 1280).copies, 1);
	cr_assert_eq(path_send(&path, start_ns, 1281).copies, 0);
	cr_assert_eq(path.counts.too_long, 1);
}

Test(path, loss_at_random)
{
	static const uint32_t rates_ppm[] = {1000, 10000, 30000, 500000, 1000000};

	for (size_t i = 0; i < 5; i++) {
		struct path path = path_of((struct path_config){.loss_ppm = rates_ppm[i]});
		unsigned arrived = 0;

		for (int k = 0; k < PACKETS; k++)
			arrived += path_send(&path, start_ns, LEN).copies;
		cr_assert_eq(arrived + path.counts.lost, PACKETS);
		assert_near((double)path.counts.lost, PACKETS * 1e-6 * rates_ppm[i], 150);
	}
}

/* Bursts of ten on average, one in two hundred packets begins one: a loss of 10 / (190 + ...). */
Test(path, loss_in_bursts)
{
	struct path path = path_of(
		(struct path_config){.burst_ppm = 5000, .burst_end_ppm = 100000});
	unsigned bursts = 0, lost = 0;
	bool was_lost = false;

	for (int i = 0; i < PACKETS; i++) {
		bool is_lost = path_send(&path, start_ns, LEN).copies == 0;

		lost += is_lost;
		bursts += is_lost && !was_lost;
		was_lost = is_lost;
	}
	cr_assert_eq(path.counts.burst_lost, lost);
	assert_near((double)lost / bursts, 10, 150);
	assert_near(lost, PACKETS * 10.0 / 210, 150);
}

/* A sender that waits a second before it tries again does not meet the same burst. */
Test(path, bursts_end_in_silence)
{
	struct path path = path_of(
		(struct path_config){.burst_ppm = 100000, .burst_end_ppm = 50000});
	unsigned lost = 0, lost_again = 0;

	for (uint64_t i = 0; i < PACKETS; i++) {
		if (path_send(&path, start_ns + i * NS_PER_S, LEN).copies > 0)
			continue;
		lost++;
		lost_again += path_send(&path, start_ns + i * NS_PER_S + NS_PER_S / 5, LEN)
				      .copies == 0;
	}
	assert_near(lost, PACKETS * 0.1, 150);
	cr_assert_lt(lost_again, lost / 1000, "%u of %u", lost_again, lost);
}

Test(path, bursts_that_let_some_through)
{
	struct path path = path_of((struct path_config){
		.burst_ppm = 1000000, .burst_loss_ppm = 250000, .loss_ppm = 1000000});

	for (int i = 0; i < PACKETS; i++)
		path_send(&path, start_ns, LEN);
	cr_assert_eq(path.counts.lost, 0, "all are within the burst");
	assert_near((double)path.counts.burst_lost, PACKETS * 0.25, 100);
}

Test(path, duplicates)
{
	struct path path = path_of((struct path_config){.duplicate_ppm = 100000});
	unsigned arrived = 0;

	for (int i = 0; i < PACKETS; i++)
		arrived += path_send(&path, start_ns, LEN).copies;
	cr_assert_eq(arrived, PACKETS + path.counts.duplicated);
	assert_near((double)path.counts.duplicated, PACKETS * 0.1, 100);
}

/* Those held back are late by that much; the others do not wait for them. */
Test(path, reorder)
{
	struct path path = path_of((struct path_config){
		.delay_ns = 1000, .reorder_ppm = 10000, .reorder_ns = NS_PER_MS});
	unsigned held = 0;

	for (uint64_t i = 0; i < PACKETS; i++) {
		struct path_fate fate = path_send(&path, start_ns + i, LEN);

		held += fate.held_back;
		cr_assert_eq(fate.at_ns, start_ns + i + 1000 + (fate.held_back ? NS_PER_MS : 0));
	}
	cr_assert_eq(path.counts.reordered, held);
	assert_near(held, PACKETS * 0.01, 150);
}

/* Between 0 and all of it, now this now that, and nobody overtakes. */
Test(path, jitter)
{
	struct path path = path_of(
		(struct path_config){.delay_ns = 5 * NS_PER_MS, .jitter_ns = NS_PER_MS});
	uint64_t least_ns = UINT64_MAX, most_ns = 0, last_ns = 0, sum_ns = 0;

	for (uint64_t i = 0; i < PACKETS; i++) {
		uint64_t now_ns = start_ns + i * 10000;
		uint64_t at_ns = path_send(&path, now_ns, LEN).at_ns, took_ns = at_ns - now_ns;

		cr_assert_geq(at_ns, last_ns);
		last_ns = at_ns;
		sum_ns += took_ns;
		least_ns = took_ns < least_ns ? took_ns : least_ns;
		most_ns = took_ns > most_ns ? took_ns : most_ns;
	}
	cr_assert_geq(least_ns, 5 * NS_PER_MS);
	cr_assert_leq(least_ns, 5 * NS_PER_MS + NS_PER_MS / 50);
	cr_assert_geq(most_ns, 6 * NS_PER_MS - NS_PER_MS / 50);
	cr_assert_leq(most_ns, 6 * NS_PER_MS);
	assert_near((double)sum_ns / PACKETS, 5.6 * NS_PER_MS, 50);
}

Test(path, seeds)
{
	const struct path_config config = {
		.loss_ppm = 500000, .reorder_ppm = 100000, .reorder_ns = 5};
	struct path a, same, other;
	unsigned differences = 0;

	path_init(&a, &config, 1);
	path_init(&same, &config, 1);
	path_init(&other, &config, 2);
	for (int i = 0; i < 1000; i++) {
		struct path_fate one = path_send(&a, start_ns, LEN);
		struct path_fate two = path_send(&same, start_ns, LEN);

		cr_assert(one.copies == two.copies && one.at_ns == two.at_ns);
		differences += one.copies != path_send(&other, start_ns, LEN).copies;
	}
	cr_assert(differences > 400 && differences < 600);
}

/* The nth packet after it meets what the nth of all met. */
Test(path, chance_begins_anew)
{
	static bool lost[PACKETS / 100];
	struct path path = path_of((struct path_config){.loss_ppm = 300000, .burst_ppm = 10000});
	size_t differences = 0;

	for (size_t i = 0; i < PACKETS / 100; i++)
		lost[i] = path_send(&path, start_ns, LEN).copies == 0;
	for (size_t i = 0; i < PACKETS / 100; i++)
		differences += lost[i] != (path_send(&path, start_ns, LEN).copies == 0);
	cr_assert_gt(differences, 0);
	path_reseed(&path, 7);
	for (size_t i = 0; i < PACKETS / 100; i++)
		cr_assert_eq(lost[i], path_send(&path, start_ns, LEN).copies == 0, "%zu", i);
	cr_assert_eq(path.counts.entered, 3 * PACKETS / 100);
}
