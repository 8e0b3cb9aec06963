/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The addresses of the one thing that connections go to. They are spread over all of them, in turns.
 * When an attempt fails, the same connection asks for the next address; the one that failed rests,
 * and is tried by others only after all that do not rest.
 */
enum {
	TARGET_ADDRS_MAX = 32, /* a cursor has a bit for each */
	TARGET_REST_S = 10,
};

struct target {
	struct addr addrs[TARGET_ADDRS_MAX];
	uint64_t rests_until_ns[TARGET_ADDRS_MAX];
	size_t count;  /* 0: none is known (yet) */
	uint32_t turn; /* of the next choice; begin anywhere, so that processes differ */
	uint32_t set;  /* counts target_set() */
};

/* What one connection has tried. All zero: nothing. */
struct target_cursor {
	uint32_t set;	/* the set of addresses that the rest is about */
	uint32_t tried; /* bits */
	uint32_t last;	/* the index of the last choice */
};

/* The addresses from now on, at most TARGET_ADDRS_MAX. Those that stay go on resting. */
void target_set(struct target *target, const struct addr *addrs, size_t count);

/*
 * The next address for this connection, borrowed until target_set(); NULL: it has tried all of them.
 * A set that is new since the last call is tried from the beginning.
 */
const struct addr *target_next(struct target *target, struct target_cursor *cursor,
			       uint64_t now_ns);

/* How many addresses target_next() still has. */
size_t target_left(const struct target *target, const struct target_cursor *cursor);

/* The address that was chosen last has refused, or does not answer. */
void target_failed(struct target *target, const struct target_cursor *cursor, uint64_t now_ns);
