// SPDX-License-Identifier: MIT
#include "../../src/wg/limits.h"
#include "../../src/wg/replay.h"

#include "wg_net.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(wg_replay, .timeout = 30);

Test(wg_replay, each_counter_once_in_order)
{
	struct replay replay = {0};

	for (uint64_t i = 0; i < 3 * REPLAY_WINDOW; i++) {
		cr_assert(replay_accept(&replay, i), "%lu", i);
		cr_assert_not(replay_accept(&replay, i), "%lu again", i);
	}
}

Test(wg_replay, each_counter_once_backwards_through_the_window)
{
	struct replay replay = {0};

	cr_assert(replay_accept(&replay, REPLAY_WINDOW - 1));
	for (uint64_t i = REPLAY_WINDOW - 1; i-- > 0;)
		cr_assert(replay_accept(&replay, i), "%lu", i);
	for (uint64_t i = 0; i < REPLAY_WINDOW; i++)
		cr_assert_not(replay_accept(&replay, i), "%lu again", i);
}

Test(wg_replay, the_edge_is_exact)
{
	for (uint64_t top = REPLAY_WINDOW; top < REPLAY_WINDOW + 200; top++) {
		struct replay replay = {0};

		cr_assert(replay_accept(&replay, top));
		cr_assert_not(replay_accept(&replay, top - REPLAY_WINDOW));
		cr_assert(replay_accept(&replay, top - REPLAY_WINDOW + 1));
		cr_assert_not(replay_accept(&replay, top - REPLAY_WINDOW + 1));
	}
}

/* The ring wraps: what a lap ago left behind must not look received. */
Test(wg_replay, far_jumps_forget_the_lap_before)
{
	const uint64_t jumps[] = {
		63, 64, 65, 8128, 8191, 8192, 16320, 16383, 16384, UINT64_C(1) << 32, 3};
	struct replay replay = {0};
	uint64_t at = 0;

	for (uint64_t i = 0; i < 20000; i++)
		cr_assert(replay_accept(&replay, at++));
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		uint64_t before = at;

		at += jumps[i];
		cr_assert(replay_accept(&replay, at));
		for (uint64_t c = at - 1; c >= before && at - c < REPLAY_WINDOW; c--)
			cr_assert(replay_accept(&replay, c), "%lu below %lu", c, at);
		at++;
	}
}

Test(wg_replay, counters_are_64_bits_wide)
{
	const uint64_t last = REJECT_AFTER_MESSAGES - 1;
	struct replay replay = {0};

	cr_expect(replay_accept(&replay, 5));
	cr_expect(replay_accept(&replay, (UINT64_C(1) << 32) + 5));
	cr_expect(replay_accept(&replay, last));
	cr_expect_not(replay_accept(&replay, last));
	cr_expect_not(replay_accept(&replay, 5));
	cr_expect(replay_accept(&replay, last - 8191));
	cr_expect_not(replay_accept(&replay, last - 8192));
}

/* Against the definition: a flag per counter. */
Test(wg_replay, random_walk_agrees_with_a_model)
{
	enum { SPAN = 1 << 20 };
	static bool seen[SPAN];
	static struct replay replay;
	uint64_t random = 7;
	uint64_t top = 0;

	for (int i = 0; i < 400000; i++) {
		uint64_t roll = wg_net_random(&random);
		uint64_t counter = top + roll % 100;
		bool expected;

		if (roll >> 60 > 2)
			counter = counter > roll % 10000 ? counter - roll % 10000 : 0;
		else if (roll >> 32 & 1 << 12)
			counter += roll >> 20 & 0x3fff;
		if (counter >= SPAN)
			break;
		expected = !seen[counter] && (counter >= top || top - counter <= REPLAY_WINDOW);
		cr_assert_eq(replay_accept(&replay, counter), expected, "%lu of %lu", counter, top);
		seen[counter] |= expected;
		top = counter >= top ? counter + 1 : top;
	}
	cr_assert_gt(top, 100000);
}
