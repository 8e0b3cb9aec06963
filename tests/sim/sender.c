// SPDX-License-Identifier: MIT
/* The sender, segment by segment: what it sends again, when, and what it does not. */
#include "sender_rig.h"
#include "stack_pair.h"

#include "../../src/stack/sender.h"
#include "base/time.h"

#include <criterion/criterion.h>

static struct rig rig;

enum { WINDOW_START = 10 * RIG_MSS }; /* RFC 6928 */

static const uint64_t round_trip_ns = 20 * NS_PER_MS; /* of a rig that nobody changed */

static void init(void)
{
	rig_init(&rig);
}

static void start(void)
{
	rig_connect(&rig);
}

/* So many segments, of which some are lost, are whole within a second. */
static void transfer(uint32_t segments, bool (*loses)(struct rig *rig, const struct rig_send *send),
		     bool no_sack)
{
	init();
	rig.loses = loses;
	rig.no_sack = no_sack;
	start();
	rig_write(&rig, segments * RIG_MSS);
	cr_assert(rig_run(&rig, NS_PER_S));
}

/* The n-th transmission of the segment that begins with `offset`; NULL: it was not sent so often. */
static const struct rig_send *sending(uint32_t offset, uint32_t times)
{
	for (size_t i = 0; i < rig.sends; i++) {
		if (rig.send[i].offset == offset && rig.send[i].times == times)
			return &rig.send[i];
	}
	return NULL;
}

static size_t timeouts_waited(void)
{
	size_t count = 0;

	for (size_t i = 1; i < rig.sends; i++)
		count += rig.send[i].at_ns - rig.send[i - 1].at_ns >= 200 * NS_PER_MS;
	return count;
}

/* --- windows ------------------------------------------------------------------------------------------ */

Test(sender, ten_segments_leave_at_once)
{
	init();
	start();
	rig_write(&rig, 40 * RIG_MSS);
	cr_assert_eq(rig.sends, 10);
	cr_assert(rig_run(&rig, NS_PER_S));
	cr_assert_eq(rig_again(&rig), 0);
	rig_fini(&rig);
}

Test(sender, the_window_doubles_each_round_trip)
{
	init();
	start();
	rig_write(&rig, 1 << 20);
	for (uint32_t sent = 10; sent <= 160; sent *= 2) {
		cr_assert_eq(rig.sent_high, (2 * sent - 10) * RIG_MSS);
		rig_wait(&rig, round_trip_ns);
	}
	rig_fini(&rig);
}

/* One that was never filled has not been tried: what is sent at once grows no further. */
Test(sender, a_window_that_is_not_used_does_not_grow)
{
	init();
	start();
	for (int i = 0; i < 100; i++) {
		rig_write(&rig, 4 * RIG_MSS);
		cr_assert(rig_run(&rig, NS_PER_S));
	}
	rig.flight_high = 0;
	rig_write(&rig, 1 << 20);
	cr_assert_leq(rig.flight_high, 2 * WINDOW_START);
	rig_fini(&rig);
}

/* RFC 5681, section 4.1 */
Test(sender, after_a_pause_the_window_is_small_again)
{
	init();
	start();
	rig_write(&rig, 1 << 20);
	cr_assert(rig_run(&rig, NS_PER_S));
	cr_assert_gt(rig.flight_high, 20 * RIG_MSS);
	rig_wait(&rig, 20 * NS_PER_S);
	rig.flight_high = 0;
	rig_write(&rig, 1 << 20);
	cr_assert_eq(rig.flight_high, WINDOW_START);
	rig_fini(&rig);
}

Test(sender, a_short_pause_keeps_the_window)
{
	init();
	start();
	rig_write(&rig, 1 << 20);
	cr_assert(rig_run(&rig, NS_PER_S));
	rig_wait(&rig, 50 * NS_PER_MS);
	rig.flight_high = 0;
	rig_write(&rig, 1 << 20);
	cr_assert_gt(rig.flight_high, 2 * WINDOW_START);
	rig_fini(&rig);
}

/* --- repair ---------------------------------------------------------------------------------------------- */

static bool loses_one(struct rig *r, const struct rig_send *send)
{
	(void)r;
	return send->offset == 50 * RIG_MSS && send->times == 0;
}

Test(sender, one_loss_is_repaired_in_a_round_trip)
{
	const struct rig_send *first, *again;

	transfer(400, loses_one, false);
	first = sending(50 * RIG_MSS, 0);
	again = sending(50 * RIG_MSS, 1);
	cr_assert_not_null(again);
	cr_assert_leq(again->at_ns - first->at_ns, round_trip_ns + round_trip_ns / 2);
	cr_assert_eq(rig_again(&rig), 1);
	cr_assert_eq(rig.duplicates, 0);
	rig_fini(&rig);
}

static bool loses_every_other(struct rig *r, const struct rig_send *send)
{
	(void)r;
	return send->times == 0 && send->offset >= 80 * RIG_MSS && send->offset < 120 * RIG_MSS &&
	       send->offset / RIG_MSS % 2 == 0;
}

Test(sender, twenty_losses_are_repaired_together)
{
	transfer(400, loses_every_other, false);
	cr_assert_eq(rig_again(&rig), 20);
	cr_assert_eq(rig.duplicates, 0);
	cr_assert_leq(sending(118 * RIG_MSS, 1)->at_ns - sending(118 * RIG_MSS, 0)->at_ns,
		      4 * round_trip_ns);
	cr_assert_eq(timeouts_waited(), 0);
	rig_fini(&rig);
}

static bool loses_twice(struct rig *r, const struct rig_send *send)
{
	(void)r;
	return send->offset == 50 * RIG_MSS && send->times < 3;
}

/* RFC 8985: what was sent after it has arrived. */
Test(sender, what_is_lost_again_is_sent_again)
{
	transfer(800, loses_twice, false);
	cr_assert_eq(rig_again(&rig), 3);
	cr_assert_eq(timeouts_waited(), 0);
	rig_fini(&rig);
}

static bool loses_last(struct rig *r, const struct rig_send *send)
{
	(void)r;
	return send->offset >= 20 * RIG_MSS && send->times == 0;
}

/* RFC 8985, section 7. */
Test(sender, a_lost_tail_is_probed_for)
{
	transfer(30, loses_last, false);
	/* The last of ten is sent again after two round trips; its SACK tells of the others. */
	cr_assert_leq(sending(29 * RIG_MSS, 1)->at_ns - sending(29 * RIG_MSS, 0)->at_ns,
		      3 * round_trip_ns + 2 * NS_PER_MS);
	cr_assert_leq(rig.done_ns - sending(29 * RIG_MSS, 1)->at_ns, 5 * round_trip_ns);
	cr_assert_eq(rig.duplicates, 0);
	rig_fini(&rig);
}

/* RFC 6298: 200 ms at least, and twice that each time. */
Test(sender, timeouts_back_off)
{
	transfer(10, NULL, false);
	rig.deaf = true;
	rig_write(&rig, RIG_MSS);
	rig_wait(&rig, 8 * NS_PER_S);
	/* At 0, the probe, and then timeouts. */
	for (uint32_t times = 3; times <= 5; times++) {
		uint64_t last_ns = sending(10 * RIG_MSS, times - 1)->at_ns -
				   sending(10 * RIG_MSS, times - 2)->at_ns;
		uint64_t this_ns = sending(10 * RIG_MSS, times)->at_ns -
				   sending(10 * RIG_MSS, times - 1)->at_ns;

		cr_assert_geq(this_ns, 200 * NS_PER_MS);
		if (times > 3)
			cr_assert_float_eq((double)this_ns / (double)last_ns, 2, 0.02);
	}
	rig.deaf = false;
	cr_assert(rig_run(&rig, 20 * NS_PER_S));
	rig_fini(&rig);
}

static bool loses_flight(struct rig *r, const struct rig_send *send)
{
	(void)r;
	return send->at_ns >= 2 * round_trip_ns && send->at_ns < 5 * round_trip_ns;
}

Test(sender, a_whole_flight_that_is_lost_comes_again)
{
	transfer(200, loses_flight, false);
	cr_assert_eq(rig.duplicates, 0);
	cr_assert_eq(timeouts_waited(), 1);
	rig_fini(&rig);
}

static bool loses_100_and_1000(struct rig *r, const struct rig_send *send)
{
	(void)r;
	return send->times == 0 &&
	       (send->offset == 100 * RIG_MSS || send->offset == 1000 * RIG_MSS);
}

/* Bytes that left in a span of time. */
static uint32_t sent_between(uint64_t from_ns, uint64_t to_ns)
{
	uint32_t bytes = 0;

	for (size_t i = 0; i < rig.sends; i++)
		bytes += rig.send[i].at_ns > from_ns && rig.send[i].at_ns <= to_ns ? rig.send[i].len
										   : 0;
	return bytes;
}

/* RFC 6937: the window comes down to seven tenths (RFC 9438) over a round trip, and stays there. */
Test(sender, recovery_sends_less)
{
	uint64_t at_ns;
	uint32_t before, during, after;

	init();
	rig.loses = loses_100_and_1000;
	rig.rate = 125000000; /* so that a round trip is one of segments, not of bursts */
	rig.queue_bytes = 4 << 20;
	start();
	rig_write(&rig, 4000 * RIG_MSS);
	while (sending(1000 * RIG_MSS, 1) == NULL)
		rig_wait(&rig, NS_PER_MS);
	at_ns = sending(1000 * RIG_MSS, 1)->at_ns - 1;
	rig_wait(&rig, 3 * round_trip_ns);
	before = sent_between(at_ns - round_trip_ns, at_ns);
	during = sent_between(at_ns, at_ns + round_trip_ns);
	after = sent_between(at_ns + round_trip_ns, at_ns + 2 * round_trip_ns);
	cr_assert_leq(during, before * 8 / 10, "%u, then %u", before, during);
	cr_assert_geq(during, before * 3 / 10, "%u, then %u", before, during);
	cr_assert_leq(after, before * 8 / 10, "%u, then %u, then %u", before, during, after);
	cr_assert_geq(after, before * 6 / 10, "%u, then %u, then %u", before, during, after);
	rig_fini(&rig);
}

/* --- what was no loss ---------------------------------------------------------------------------------- */

Test(sender, reordering_is_no_loss_for_long)
{
	init();
	rig.late_ppm = 10000;
	rig.late_ns = 4 * NS_PER_MS; /* less than a quarter of a round trip */
	start();
	rig_write(&rig, 20 << 20);
	cr_assert(rig_run(&rig, 60 * NS_PER_S));
	/* Some until it is known, then none. */
	cr_assert_lt(rig_again(&rig), 10, "%zu", rig_again(&rig));
	rig_fini(&rig);
}

/* A delay that outlasts the timeout: D-SACK says that all of it was there, and the window is back. */
Test(sender, a_timeout_that_was_none_is_undone)
{
	uint32_t before;

	init();
	start();
	rig_write(&rig, 64 << 20);
	rig_wait(&rig, 6 * round_trip_ns);
	before = rig.sent_high - rig.received;
	for (size_t i = 0; i < rig.events; i++)
		rig.event[i].at_ns += NS_PER_S; /* all at once: the heap stays one */
	rig_wait(&rig, NS_PER_S + 4 * round_trip_ns);
	cr_assert_gt(rig_again(&rig), 0);
	rig.flight_high = 0;
	rig_wait(&rig, 4 * round_trip_ns);
	cr_assert_geq(rig.flight_high, before * 8 / 10, "%u of %u", rig.flight_high, before);
	rig_fini(&rig);
}

/* --- other receivers --------------------------------------------------------------------------------- */

Test(sender, three_duplicates_without_sack)
{
	transfer(400, loses_one, true);
	cr_assert_eq(rig_again(&rig), 1);
	cr_assert_eq(timeouts_waited(), 0);
	rig_fini(&rig);
}

static bool loses_three(struct rig *r, const struct rig_send *send)
{
	(void)r;
	return send->times == 0 && (send->offset == 50 * RIG_MSS || send->offset == 55 * RIG_MSS ||
				    send->offset == 60 * RIG_MSS);
}

/* RFC 6582: each partial ACK tells of the next one. */
Test(sender, three_losses_without_sack)
{
	transfer(400, loses_three, true);
	cr_assert_eq(rig_again(&rig), 3);
	cr_assert_eq(timeouts_waited(), 0);
	cr_assert_leq(sending(60 * RIG_MSS, 1)->at_ns - sending(50 * RIG_MSS, 1)->at_ns,
		      2 * round_trip_ns + NS_PER_MS);
	rig_fini(&rig);
}

/* RFC 2018, section 8: it may forget what it has not acknowledged. */
Test(sender, a_receiver_that_reneges_gets_all_again)
{
	uint32_t all[2] = {RIG_MSS, 10 * RIG_MSS};

	init();
	rig.deaf = true;
	start();
	rig_write(&rig, 10 * RIG_MSS);
	rig_wait(&rig, round_trip_ns);
	rig_ack(&rig, 0, all, 2);
	rig_wait(&rig, 50 * NS_PER_MS);
	rig.deaf = false;
	cr_assert(rig_run(&rig, 10 * NS_PER_S));
	rig_fini(&rig);
}

/* The head is said to be there, and is never acknowledged. */
Test(sender, a_head_that_is_sacked_only_is_sent_again)
{
	uint32_t all[2] = {0, 10 * RIG_MSS};

	init();
	rig.deaf = true;
	start();
	rig_write(&rig, 10 * RIG_MSS);
	rig_wait(&rig, round_trip_ns);
	rig_ack(&rig, 0, all, 2);
	rig.deaf = false;
	cr_assert(rig_run(&rig, 10 * NS_PER_S));
	rig_fini(&rig);
}

/* It shrinks its window over what is under way, and says so for as long as it likes. */
Test(sender, a_window_that_closes_over_the_flight)
{
	init();
	rig.deaf = true;
	start();
	rig_write(&rig, 10 * RIG_MSS);
	rig.window = 0;
	for (int i = 0; i < 120; i++) {
		rig_wait(&rig, 5 * NS_PER_S);
		rig_ack(&rig, 0, NULL, 0);
		cr_assert_not(rig.ended, "after %d s", 5 * i);
	}
	rig.deaf = false;
	rig.window = 1 << 20;
	rig_ack(&rig, 0, NULL, 0);
	cr_assert(rig_run(&rig, 61 * NS_PER_S));
	rig_fini(&rig);
}

static bool loses_5_and_22(struct rig *r, const struct rig_send *send)
{
	(void)r;
	return send->times == 0 && (send->offset == 5 * RIG_MSS || send->offset == 22 * RIG_MSS);
}

/* Nearly 2^32 bytes arrive in order in between: a block that was remembered must not come back. */
Test(sender, a_block_from_before_the_numbers_wrapped)
{
	uint32_t back = 10 * RIG_MSS;
	struct tcp_pcb *pcb;

	transfer(20, loses_5_and_22, false);
	rig_wait(&rig, 200 * NS_PER_MS);
	pcb = rig.conn->pcb;
	pcb->snd_nxt -= back;
	pcb->lastack -= back;
	pcb->snd_lbb -= back;
	pcb->snd_wl2 -= back;
	pcb->sender.fack = pcb->lastack;
	pcb->sender.recover -= back;
	rig.isn -= back;
	rig_write(&rig, 20 * RIG_MSS);
	cr_assert(rig_run(&rig, NS_PER_S));
	rig_fini(&rig);
}

/* Blocks that lie, in any order: nothing is believed that was not sent, and all arrives. */
Test(sender, rubbish_in_sack_blocks)
{
	uint64_t seed = 3;

	for (int round = 0; round < 200; round++) {
		init();
		rig.loss_ppm = 20000;
		rig.seed = (uint64_t)round + 1;
		start();
		rig_write(&rig, 100 * RIG_MSS);
		for (int i = 0; i < 40; i++) {
			uint32_t sacks[8];

			for (int k = 0; k < 8; k++)
				sacks[k] = (uint32_t)(pair_random(&seed) % 20) * RIG_MSS / 2 +
					   rig.received - 5 * RIG_MSS;
			rig_ack(&rig,
				rig.received - (uint32_t)(pair_random(&seed) % 2) * RIG_MSS *
						       (rig.received > RIG_MSS),
				sacks, 2 * (1 + (int)(pair_random(&seed) % 3)));
			rig_wait(&rig, NS_PER_MS);
		}
		cr_assert(rig_run(&rig, 600 * NS_PER_S), "round %d hangs", round);
		rig_fini(&rig);
	}
}
