// SPDX-License-Identifier: MIT
#include "base/target.h"

#include "base/check.h"
#include "base/time.h"

#include <assert.h>

static_assert(TARGET_ADDRS_MAX == 8 * sizeof(((struct target_cursor *)0)->tried),
	      "a bit for each address");

static uint64_t rest_of(const struct target *target, const struct addr *addr)
{
	for (size_t i = 0; i < target->count; i++) {
		if (addr_equal(&target->addrs[i], addr))
			return target->rests_until_ns[i];
	}
	return 0;
}

void target_set(struct target *target, const struct addr *addrs, size_t count)
{
	struct target new = {.count = count, .turn = target->turn, .set = target->set + 1};

	CHECK(count <= TARGET_ADDRS_MAX);
	for (size_t i = 0; i < count; i++) {
		new.addrs[i] = addrs[i];
		new.rests_until_ns[i] = rest_of(target, &addrs[i]);
	}
	*target = new;
}

static uint32_t untried(const struct target *target, const struct target_cursor *cursor)
{
	uint32_t all = target->count == 0 ? 0 : UINT32_MAX >> (TARGET_ADDRS_MAX - target->count);

	return cursor->set == target->set ? all & ~cursor->tried : all;
}

/* Those of `choice` that do not rest; when all of them do, they have to work. */
static uint32_t rested(const struct target *target, uint32_t choice, uint64_t now_ns)
{
	uint32_t fit = 0;

	for (size_t i = 0; i < target->count; i++) {
		if (target->rests_until_ns[i] <= now_ns)
			fit |= choice & UINT32_C(1) << i;
	}
	return fit != 0 ? fit : choice;
}

const struct addr *target_next(struct target *target, struct target_cursor *cursor, uint64_t now_ns)
{
	uint32_t choice = rested(target, untried(target, cursor), now_ns);

	if (choice == 0)
		return NULL;
	for (int skip = (int)(target->turn++ % (uint32_t)__builtin_popcount(choice)); skip > 0;
	     skip--)
		choice &= choice - 1;
	if (cursor->set != target->set)
		cursor->tried = 0;
	cursor->set = target->set;
	cursor->last = (uint32_t)__builtin_ctz(choice);
	cursor->tried |= UINT32_C(1) << cursor->last;
	return &target->addrs[cursor->last];
}

size_t target_left(const struct target *target, const struct target_cursor *cursor)
{
	return (size_t)__builtin_popcount(untried(target, cursor));
}

/* The failure of an address that is no longer in the set is of no interest. */
void target_failed(struct target *target, const struct target_cursor *cursor, uint64_t now_ns)
{
	if (cursor->set == target->set && cursor->tried != 0)
		target->rests_until_ns[cursor->last] = now_ns + TARGET_REST_S * NS_PER_S;
}
