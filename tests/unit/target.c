// SPDX-License-Identifier: MIT
/* The addresses of a target: how connections are spread over them, and what failures change. */
#include "base/target.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <string.h>

enum { CONNECTIONS = 600 };

static struct target target;

static struct addr addr_number(size_t number)
{
	struct addr addr = {.ip = {192, 0, 2, (uint8_t)number}, .port = 80, .family = ADDR_V4};

	return addr;
}

/* 192.0.2.FIRST and so on. */
static void set(size_t first, size_t count)
{
	struct addr addrs[TARGET_ADDRS_MAX];

	for (size_t i = 0; i < count; i++)
		addrs[i] = addr_number(first + i);
	target_set(&target, addrs, count);
}

/* The last byte of the next address, 0 without one. */
static unsigned next(struct target_cursor *cursor, uint64_t now_ns)
{
	const struct addr *addr = target_next(&target, cursor, now_ns);

	return addr == NULL ? 0 : addr->ip[3];
}

static unsigned first(uint64_t now_ns)
{
	struct target_cursor cursor = {0};

	return next(&cursor, now_ns);
}

/* The next connection that would begin there finds it failing. */
static void fail(unsigned number, uint64_t now_ns)
{
	struct target_cursor cursor = {0};

	while (next(&cursor, now_ns) != number)
		continue;
	target_failed(&target, &cursor, now_ns);
}

/* How many of many connections begin at 192.0.2.NUMBER. */
static size_t share_of(unsigned number, uint64_t now_ns)
{
	size_t share = 0;

	for (int i = 0; i < CONNECTIONS; i++)
		share += first(now_ns) == number;
	return share;
}

Test(target, none_is_known)
{
	struct target_cursor cursor = {0};

	cr_expect_null(target_next(&target, &cursor, 0));
	cr_expect_eq(target_left(&target, &cursor), 0);
	target_failed(&target, &cursor, 0);
	target_set(&target, NULL, 0);
	cr_expect_null(target_next(&target, &cursor, 0));
}

Test(target, one_address_is_tried_once)
{
	struct target_cursor cursor = {0};

	set(1, 1);
	cr_expect_eq(target_left(&target, &cursor), 1);
	cr_expect_eq(next(&cursor, 0), 1);
	cr_expect_eq(target_left(&target, &cursor), 0);
	target_failed(&target, &cursor, 0);
	cr_expect_eq(next(&cursor, 0), 0);
	cr_expect_eq(first(0), 1, "the only one has to work");
}

Test(target, connections_are_spread_evenly)
{
	set(1, 3);
	for (unsigned number = 1; number <= 3; number++)
		cr_expect_eq(share_of(number, 0), CONNECTIONS / 3);
}

Test(target, a_connection_tries_every_address_once)
{
	struct target_cursor cursor = {0};
	uint64_t seen = 0;

	set(1, TARGET_ADDRS_MAX);
	target.turn = UINT32_MAX - 7; /* as a random start may be */
	for (size_t i = 0; i < TARGET_ADDRS_MAX; i++) {
		cr_assert_eq(target_left(&target, &cursor), TARGET_ADDRS_MAX - i);
		seen |= UINT64_C(1) << next(&cursor, 0);
		target_failed(&target, &cursor, 0);
	}
	cr_expect_eq(seen, UINT64_C(0x1fffffffe));
	cr_expect_eq(next(&cursor, 0), 0);
}

Test(target, what_failed_is_tried_last_for_a_while)
{
	enum { NOW_S = 100 };
	uint64_t now_ns = NOW_S * NS_PER_S;
	struct target_cursor cursor = {0};

	set(1, 3);
	fail(2, now_ns);
	cr_expect_eq(share_of(1, now_ns), CONNECTIONS / 2);
	cr_expect_eq(share_of(3, now_ns), CONNECTIONS / 2);
	next(&cursor, now_ns);
	next(&cursor, now_ns);
	cr_expect_eq(next(&cursor, now_ns), 2);
	now_ns += TARGET_REST_S * NS_PER_S - 1;
	cr_expect_eq(share_of(2, now_ns), 0);
	cr_expect_eq(share_of(2, now_ns + 1), CONNECTIONS / 3);
}

Test(target, all_have_failed)
{
	set(1, 2);
	fail(1, 0);
	fail(2, 0);
	cr_expect_eq(share_of(1, 0), CONNECTIONS / 2);
	cr_expect_eq(share_of(2, 0), CONNECTIONS / 2);
}

Test(target, an_address_that_stays_goes_on_resting)
{
	set(1, 2);
	fail(2, 0);
	set(2, 2);
	cr_expect_eq(share_of(2, 0), 0);
	cr_expect_eq(share_of(3, 0), CONNECTIONS);
	set(5, 2);
	cr_expect_eq(share_of(5, 0), CONNECTIONS / 2);
}

Test(target, a_new_set_is_tried_from_the_beginning)
{
	struct target_cursor cursor = {0};

	set(1, 1);
	cr_expect_eq(next(&cursor, 0), 1);
	set(8, 2);
	target_failed(&target, &cursor, 0); /* of the set that is gone */
	cr_expect_eq(target_left(&target, &cursor), 2);
	cr_expect_eq(share_of(8, 0), CONNECTIONS / 2);
	cr_expect_eq(next(&cursor, 0) + next(&cursor, 0), 8 + 9);
	cr_expect_eq(next(&cursor, 0), 0);
}
