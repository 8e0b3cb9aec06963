/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The counters that one session has received. The ring is twice the window: a power of two, so that
 * finding a bit is a mask, and always a whole word ahead, so that words are cleared, never bits
 * (RFC 6479, which gives up a word of the window for that; here the window stays whole).
 */
enum {
	REPLAY_WINDOW = 8192,
	REPLAY_WORDS = 2 * REPLAY_WINDOW / 64,
};

struct replay {
	uint64_t top; /* one more than the highest counter so far; 0: none yet */
	uint64_t words[REPLAY_WORDS];
};

/*
 * Call for authenticated messages alone: a forged counter must not move the window. True, once per
 * counter, when it is new and at most REPLAY_WINDOW - 1 behind the highest.
 */
bool replay_accept(struct replay *replay, uint64_t counter);
