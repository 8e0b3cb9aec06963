// SPDX-License-Identifier: MIT
#include "replay.h"

static uint64_t *word_of(struct replay *replay, uint64_t word)
{
	return &replay->words[word % REPLAY_WORDS];
}

/* Moves the window's upper end; the words that come into it still hold bits of a lap ago. */
static void advance(struct replay *replay, uint64_t counter)
{
	uint64_t newest = counter / 64;
	uint64_t word = replay->top == 0 ? 0 : (replay->top - 1) / 64;

	/* A far jump clears each word once, not once per lap. */
	if (newest - word > REPLAY_WORDS)
		word = newest - REPLAY_WORDS;
	while (word < newest)
		*word_of(replay, ++word) = 0;
	replay->top = counter + 1;
}

bool replay_accept(struct replay *replay, uint64_t counter)
{
	uint64_t *word = word_of(replay, counter / 64);
	uint64_t bit = UINT64_C(1) << (counter % 64);

	if (counter >= replay->top)
		advance(replay, counter);
	else if (replay->top - counter > REPLAY_WINDOW)
		return false;
	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}
