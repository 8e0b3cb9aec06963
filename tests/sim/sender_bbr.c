// SPDX-License-Identifier: MIT
/* BBR: what it makes of a path, with and without losses, in virtual time. */
#include "sender_rig.h"

#include "base/time.h"

#include <criterion/criterion.h>

static struct rig rig;

enum { RATE = 12500000 }; /* bytes a second: 100 Mbit/s */
static const double payload = (double)RIG_MSS / (RIG_MSS + 40);

static void init(uint64_t round_trip_ms)
{
	rig_init(&rig);
	rig.congestion = STACK_BBR;
	rig.delay_ns = round_trip_ms * NS_PER_MS / 2;
	rig.rate = RATE;
	rig.queue_bytes = RATE * round_trip_ms / 1000;
}

static double used_between(uint64_t from_s, uint64_t to_s)
{
	uint32_t before;

	rig_wait(&rig, from_s * NS_PER_S);
	before = rig.received;
	rig_wait(&rig, (to_s - from_s) * NS_PER_S);
	return (double)(rig.received - before) / (double)(to_s - from_s) / (RATE * payload);
}

static void start(void)
{
	rig_connect(&rig);
	rig_write(&rig, UINT32_MAX / 2);
}

/* Whatever is lost at random: CUBIC has a sixth of this path at 0.3 %, a twentieth at 3 %. */
Test(sender_bbr, random_loss_costs_little)
{
	static const uint32_t loss_ppm[] = {0, 1000, 3000, 10000, 30000};

	for (size_t i = 0; i < sizeof(loss_ppm) / sizeof(loss_ppm[0]); i++) {
		double used;

		init(20);
		rig.loss_ppm = loss_ppm[i];
		start();
		used = used_between(1, 21);
		cr_assert_gt(used, 0.9, "%u ppm: %f", loss_ppm[i], used);
		cr_assert_leq(rig.duplicates, 5 + rig.sends / 1000);
		cr_assert_lt(rig.longest_gap_ns, 3 * 220 * NS_PER_MS);
		rig_fini(&rig);
	}
}

/* What is found lost makes room in the network, not in the window: the queue that the start has built
 * overflows once, not for as long as the start lasts. */
Test(sender_bbr, the_start_overflows_once)
{
	init(100);
	start();
	rig_wait(&rig, 3 * NS_PER_S);
	cr_assert_lt(rig_again(&rig), rig.sends / 10, "%zu of %zu", rig_again(&rig), rig.sends);
	rig_fini(&rig);
}

/* A path with a queue of a second: it stays short, as the model says what fits without. */
Test(sender_bbr, the_queue_stays_short)
{
	uint64_t most_ns = 0;

	init(20);
	rig.queue_bytes = RATE;
	start();
	rig_wait(&rig, 2 * NS_PER_S);
	for (int i = 0; i < 1000; i++) {
		rig_wait(&rig, 5 * NS_PER_MS);
		if (rig.path_free_ns > rig.now_ns && rig.path_free_ns - rig.now_ns > most_ns)
			most_ns = rig.path_free_ns - rig.now_ns;
	}
	cr_assert_lt(most_ns, 15 * NS_PER_MS, "%zu", (size_t)most_ns);
	cr_assert_eq(rig_again(&rig), 0);
	rig_fini(&rig);
}

/* Segments leave as the path carries them, not all at the head of a round trip. */
Test(sender_bbr, segments_are_paced)
{
	uint32_t most = 0;
	uint64_t from_ns;

	init(20);
	start();
	rig_wait(&rig, 2 * NS_PER_S);
	for (size_t i = 0, k = 0; i < rig.sends; i++) {
		from_ns = rig.send[i].at_ns;
		for (k = i; k < rig.sends && rig.send[k].at_ns < from_ns + NS_PER_MS; k++)
			continue;
		if (from_ns > NS_PER_S && k - i > most)
			most = (uint32_t)(k - i);
	}
	/* Nine a millisecond are the path's rate; 1.25 times that while it looks for more. */
	cr_assert_leq(most, 25, "%u in a millisecond", most);
	rig_fini(&rig);
}

/* A path that becomes slower, then faster, is found out. */
Test(sender_bbr, follows_the_path)
{
	double used;

	init(20);
	start();
	rig_wait(&rig, 3 * NS_PER_S);
	rig.rate = RATE / 4;
	used = 4 * used_between(3, 8);
	cr_assert_gt(used, 0.85, "a quarter: %f", used);
	rig.rate = RATE;
	used = used_between(4, 8);
	cr_assert_gt(used, 0.9, "all again: %f", used);
	rig_fini(&rig);
}

/* Ten seconds without a shorter round trip: nearly nothing is sent for 200 ms. */
Test(sender_bbr, looks_for_the_round_trip)
{
	uint64_t quiet_ns = 0;

	init(20);
	start();
	rig_wait(&rig, NS_PER_S);
	rig.delay_ns += 3 * NS_PER_MS; /* the path becomes longer: what it was is not seen again */
	rig_wait(&rig, 11 * NS_PER_S);
	for (size_t i = 8; i < rig.sends; i++) {
		/* Eight segments in a window of four take two round trips. */
		if (rig.send[i].at_ns - rig.send[i - 8].at_ns > 20 * NS_PER_MS)
			quiet_ns += rig.send[i].at_ns - rig.send[i - 1].at_ns;
	}
	cr_assert_geq(quiet_ns, 100 * NS_PER_MS, "%zu", (size_t)quiet_ns);
	cr_assert_lt(quiet_ns, 600 * NS_PER_MS, "%zu", (size_t)quiet_ns);
	rig_fini(&rig);
}

static void write_slowly(uint32_t len, uint64_t each_ns, uint64_t for_ns)
{
	for (uint64_t at_ns = 0; at_ns < for_ns; at_ns += each_ns) {
		rig_write(&rig, len);
		rig_wait(&rig, each_ns);
	}
}

/* A source that is slower than the path does not make it out to be slow, whatever its pace. */
Test(sender_bbr, a_slow_source_says_nothing_of_the_path)
{
	uint32_t before;

	init(20);
	rig_connect(&rig);
	rig_write(&rig, 10 << 20);
	cr_assert(rig_run(&rig, 3 * NS_PER_S));
	write_slowly(10 * RIG_MSS, 10 * NS_PER_MS, 5 * NS_PER_S);
	write_slowly(RIG_MSS / 2, NS_PER_MS / 2, 5 * NS_PER_S);
	before = rig.received;
	rig_write(&rig, 10 << 20);
	rig_wait(&rig, NS_PER_S / 2);
	cr_assert_gt(rig.received - before, 0.8 * RATE * payload / 2);
	rig_fini(&rig);
}

/* The first round trip is known from the first ACK on: what follows does not leave in one burst. */
Test(sender_bbr, the_second_round_is_paced)
{
	uint64_t first_ns = 0, last_ns = 0;

	init(100);
	rig.rate = 0;
	start();
	rig_wait(&rig, 190 * NS_PER_MS);
	for (size_t i = 0; i < rig.sends; i++) {
		if (rig.send[i].at_ns < 50 * NS_PER_MS)
			continue;
		first_ns = first_ns == 0 ? rig.send[i].at_ns : first_ns;
		last_ns = rig.send[i].at_ns;
	}
	cr_assert_geq(last_ns - first_ns, 15 * NS_PER_MS, "%lu us",
		      (last_ns - first_ns) / NS_PER_US);
	rig_fini(&rig);
}
