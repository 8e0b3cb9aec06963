// SPDX-License-Identifier: MIT
/* The sender on paths: how much of them it uses, with and without losses, in virtual time. */
#include "sender_rig.h"

#include "base/time.h"

#include <criterion/criterion.h>

static struct rig rig;

enum { RATE = 12500000 }; /* bytes a second: 100 Mbit/s */
static const double payload = (double)RIG_MSS / (RIG_MSS + 40);

static void init(uint64_t round_trip_ms)
{
	rig_init(&rig);
	rig.delay_ns = round_trip_ms * NS_PER_MS / 2;
	rig.rate = RATE;
	rig.queue_bytes = RATE * round_trip_ms / 1000; /* as much as is under way without */
}

/* The part of the path that is used, without a stall of three timeouts. */
static double run_for(uint64_t seconds)
{
	rig_connect(&rig);
	rig_write(&rig, UINT32_MAX / 2);
	rig_wait(&rig, seconds * NS_PER_S);
	rig_fini(&rig);
	cr_assert_lt(rig.longest_gap_ns, 3 * (2 * rig.delay_ns + 200 * NS_PER_MS));
	return rig_goodput(&rig) / (RATE * payload);
}

Test(sender_loss, a_path_is_filled)
{
	static const struct {
		uint64_t round_trip_ms, queue_part;
	} path[] = {{5, 1}, {20, 1}, {20, 4}, {50, 1}};

	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		double used;

		init(path[i].round_trip_ms);
		rig.queue_bytes /= path[i].queue_part;
		used = run_for(10);
		cr_assert_gt(used, 0.9, "%zu ms: %f", (size_t)path[i].round_trip_ms, used);
		cr_assert_eq(rig.duplicates, 0);
	}
}

/* Slow start ends before it has overrun the queue by as much as it holds (RFC 9406). */
Test(sender_loss, the_first_seconds_lose_little)
{
	init(20);
	rig.rate = RATE / 2;
	rig.queue_bytes *= 2;
	cr_assert_gt(2 * run_for(2), 0.9);
	cr_assert_lt(rig_again(&rig), 150, "%zu", rig_again(&rig));
}

/* What Reno makes of one loss in so many segments (RFC 5348, section 3.1), which CUBIC never has
 * less than (RFC 9438, section 4.3). */
Test(sender_loss, random_loss)
{
	static const struct {
		uint32_t ppm;
		double root; /* of one in so many */
	} loss[] = {{100, 100}, {1000, 31.6}, {3000, 18.3}, {10000, 10}, {30000, 5.77}};

	for (size_t i = 0; i < sizeof(loss) / sizeof(loss[0]); i++) {
		for (uint64_t ms = 20; ms <= 100; ms += 80) {
			double reno = 1.22 * RIG_MSS * loss[i].root * 1000 / (double)ms / RATE,
			       used;

			init(ms);
			rig.loss_ppm = loss[i].ppm;
			used = run_for(30);
			cr_assert_gt(used, 0.85 * (reno < 1 ? reno : 1), "%u ppm, %zu ms: %f of %f",
				     loss[i].ppm, (size_t)ms, used, reno);
			cr_assert_leq(rig.duplicates, 5 + rig.sends / 1000);
		}
	}
}

Test(sender_loss, reordering)
{
	for (uint64_t late_ms = 1; late_ms <= 16; late_ms *= 2) {
		double used;

		init(20);
		rig.late_ppm = 10000;
		rig.late_ns = late_ms * NS_PER_MS;
		used = run_for(10);
		cr_assert_gt(used, 0.9, "%zu ms: %f", (size_t)late_ms, used);
	}
}

/* Short transfers: most are too short for three duplicates, all end in time. */
Test(sender_loss, short_transfers)
{
	for (uint32_t segments = 1; segments < 60; segments += 3) {
		for (uint64_t seed = 1; seed <= 20; seed++) {
			init(20);
			rig.loss_ppm = 30000;
			rig.seed = seed;
			rig_connect(&rig);
			rig_write(&rig, segments * RIG_MSS);
			cr_assert(rig_run(&rig, 4 * NS_PER_S), "%u segments, seed %zu", segments,
				  (size_t)seed);
			rig_wait(&rig, NS_PER_S);
			rig_fini(&rig);
		}
	}
}

/* Of many gaps an ACK tells of the latest: those may begin further on than it is looked through. */
Test(sender_loss, a_block_far_from_the_first_gap_is_found)
{
	uint32_t una, far;

	init(100);
	rig.rate = 0;
	rig_connect(&rig);
	rig_write(&rig, 64 << 20);
	for (int i = 0; i < 100 && rig.sends < 20000; i++)
		rig_wait(&rig, 20 * NS_PER_MS);
	rig.deaf = true;
	rig_wait(&rig, 200 * NS_PER_MS);
	una = rig.received;
	far = una + 5000 * RIG_MSS;
	cr_assert_gt(rig.send[rig.sends - 1].offset, far + 100 * RIG_MSS, "enough is under way");
	for (uint32_t i = 1; i <= 20; i++)
		rig_ack(&rig, una, (const uint32_t[]){far, far + i * RIG_MSS}, 2);
	cr_assert_gt(rig_again(&rig), 0, "what lies before it is lost");
	rig_fini(&rig);
}

/* The first slow start ends when round trips get longer. After a pause the next one goes back to where that was,
 * and does not end where it begins. */
Test(sender_loss, after_a_pause_slow_start_is_no_slower)
{
	init(100);
	rig.queue_bytes = 64 << 20; /* nothing is lost */
	rig_connect(&rig);
	rig_write(&rig, 100 << 20);
	cr_assert(rig_run(&rig, 60 * NS_PER_S));
	cr_assert_eq(rig_again(&rig), 0);
	rig_wait(&rig, 10 * NS_PER_S);
	rig.flight_high = 0;
	rig_write(&rig, 100 << 20);
	rig_wait(&rig, 590 * NS_PER_MS);
	cr_assert_geq(rig.flight_high, 10 * 32 * RIG_MSS, "%u: it doubles each time",
		      rig.flight_high / RIG_MSS);
	rig_fini(&rig);
}
