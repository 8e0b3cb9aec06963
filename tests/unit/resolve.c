// SPDX-License-Identifier: MIT
/* Names, their addresses and their times (name_world.h). */
#include "name_world.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <sys/resource.h>

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

/* How often this thread has waited for something: being interrupted by others does not count. */
static long waits(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

NAMES_SUITE(resolve);

NAMES_TEST(resolve, localhost_needs_no_server)
{
	names_watch("localhost");
	cr_assert(names_turn_until(1, 2000));
	names_expect(0, names.addrs[0].family == ADDR_V6 ? "[::1]:4711" : "127.0.0.1:4711");
}

/* Whatever the server in resolv.conf does, here: no turn may wait for it. */
NAMES_TEST(resolve, a_name_that_does_not_resolve_blocks_nothing)
{
	uint64_t end_ns = io_now() + 1500 * NS_PER_MS;

	names_watch("name.invalid");
	while (io_now() < end_ns) {
		uint64_t before_ns = io_now();
		long waits_before = waits();

		resolve_turn(names.resolve, before_ns);
		cr_assert(io_now() - before_ns < 200 * NS_PER_MS || waits() == waits_before);
		names_turn();
	}
	cr_expect_eq(names.calls, 0);
	cr_expect_lt(resolve_deadline(names.resolve), io_now() + 31 * NS_PER_S);
}

NAMES_TEST(resolve, hosts_come_first)
{
	if (!names_enter_namespace("hosts_come_first"))
		return;
	names.server.v4[0] = "127.0.0.2";
	names_watch("seven");
	cr_assert(names_turn_until(1, 2000));
	names_expect(0, "127.0.0.7:4711");
	cr_expect_eq(names.server.queries, 0);
}

NAMES_TEST(resolve, both_families_are_found)
{
	if (!names_enter_namespace("both_families_are_found"))
		return;
	names.server.v4[0] = "127.0.0.2";
	names.server.v6[0] = "::1";
	names_watch("host.example");
	cr_assert(names_turn_until(1, 2000));
	cr_expect_eq(names.count, 2);
	names_expect(0, "[::1]:4711"); /* RFC 6724, rule 6: ::1 has the highest precedence */
	names_expect(1, "127.0.0.2:4711");
}

/* No route: the namespace has the loopback alone. */
NAMES_TEST(resolve, what_cannot_be_reached_comes_last)
{
	if (!names_enter_namespace("what_cannot_be_reached_comes_last"))
		return;
	names.server.v4[0] = "127.0.0.2";
	names.server.v6[0] = "2001:db8::1";
	names_watch("host.example");
	cr_assert(names_turn_until(1, 2000));
	names_expect(0, "127.0.0.2:4711");
}

NAMES_TEST(resolve, a_change_is_told_after_the_ttl_and_another_order_is_none)
{
	if (!names_enter_namespace("a_change_is_told_after_the_ttl"))
		return;
	names.server.v4[0] = "127.0.0.2";
	names.server.v4[1] = "127.0.0.3";
	names_watch("host.example");
	cr_assert(names_turn_until(1, 2000));
	names_turn_until_waiting();
	cr_expect_leq(resolve_deadline(names.resolve), io_now() + 60 * NS_PER_S);
	cr_expect_geq(resolve_deadline(names.resolve), io_now() + 57 * NS_PER_S);
	names.server.v4[0] = "127.0.0.3";
	names.server.v4[1] = "127.0.0.2";
	names.skew_ns = 60 * NS_PER_S;
	names_turn_until_waiting();
	cr_expect_eq(names.server.queries, 4);
	cr_expect_eq(names.calls, 1);
	names.server.v4[1] = "127.0.0.4";
	names.skew_ns = 120 * NS_PER_S;
	cr_assert(names_turn_until(2, 2000));
	names_expect(0, "127.0.0.3:4711");
	names_expect(1, "127.0.0.4:4711");
}

NAMES_TEST(resolve, ttls_are_kept_within_bounds_and_aliases_count)
{
	if (!names_enter_namespace("ttls_are_kept_within_bounds"))
		return;
	names.server.v4[0] = "127.0.0.2";
	names.server.ttl_s = 86400;
	names_watch("host.example");
	cr_assert(names_turn_until(1, 2000));
	cr_expect_leq(resolve_deadline(names.resolve), io_now() + RESOLVE_TTL_MAX_S * NS_PER_S);
	cr_expect_geq(resolve_deadline(names.resolve),
		      io_now() + (RESOLVE_TTL_MAX_S - 2) * NS_PER_S);
	names.server.alias_ttl_s = 17;
	names.server.v4[0] = "127.0.0.3";
	names.skew_ns = RESOLVE_TTL_MAX_S * NS_PER_S;
	cr_assert(names_turn_until(2, 2000));
	cr_expect_leq(resolve_deadline(names.resolve), io_now() + names.skew_ns + 17 * NS_PER_S);
	cr_expect_geq(resolve_deadline(names.resolve), io_now() + names.skew_ns + 15 * NS_PER_S);
	names.server.alias_ttl_s = 1;
	names.server.v4[0] = "127.0.0.4";
	names.skew_ns += 17 * NS_PER_S;
	cr_assert(names_turn_until(3, 2000));
	cr_expect_geq(resolve_deadline(names.resolve),
		      io_now() + names.skew_ns + (RESOLVE_TTL_MIN_S - 2) * NS_PER_S);
}

NAMES_TEST(resolve, a_failure_keeps_what_is_known_and_pauses_grow)
{
	static const unsigned pauses_s[] = {1, 2, 4, 8, 16, 30, 30};

	if (!names_enter_namespace("a_failure_keeps_what_is_known"))
		return;
	names.server.v4[0] = "127.0.0.2";
	names_watch("host.example");
	cr_assert(names_turn_until(1, 2000));
	names.server.mood = REFUSE_NAME;
	names.skew_ns = 60 * NS_PER_S;
	for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
		unsigned asked = names.server.queries;
		uint64_t asked_ns = io_now() + names.skew_ns;

		for (int j = 0; j < 200 && names.server.queries < asked + 2; j++)
			names_turn();
		cr_assert_eq(names.server.queries, asked + 2); /* A and AAAA */
		for (int j = 0; j < 20; j++)
			names_turn();
		cr_expect_eq(names.server.queries, asked + 2, "asked again without a pause");
		cr_expect_geq(resolve_deadline(names.resolve), asked_ns + pauses_s[i] * NS_PER_S);
		cr_expect_leq(resolve_deadline(names.resolve),
			      asked_ns + pauses_s[i] * NS_PER_S + 1 * NS_PER_S);
		names.skew_ns += pauses_s[i] * NS_PER_S;
	}
	cr_expect_eq(names.calls, 1);
	names.server.mood = ANSWER;
	names.server.v4[0] = "127.0.0.3";
	names.skew_ns += 30 * NS_PER_S;
	cr_assert(names_turn_until(2, 2000));
	names_expect(0, "127.0.0.3:4711");
}

NAMES_TEST(resolve, refresh_asks_at_once)
{
	struct resolve_name *name;

	if (!names_enter_namespace("refresh_asks_at_once"))
		return;
	names.server.v4[0] = "127.0.0.2";
	name = names_watch("host.example");
	cr_assert(names_turn_until(1, 2000));
	names.server.v4[0] = "127.0.0.3";
	resolve_refresh(name);
	cr_expect_eq(resolve_deadline(names.resolve), 0);
	cr_assert(names_turn_until(2, 2000));
	resolve_refresh(name);
	names_turn();
	resolve_refresh(name); /* a question is under way: no second one */
	names_turn_until_waiting();
	cr_expect_eq(names.server.queries, 6);
}

/*
 * A server that is hostile, or the way to it: lengths, pointers, counts and types that lie. What the
 * sanitizers do not complain of may give other addresses or none, but never more than are kept, and
 * the next good answer mends it.
 */
NAMES_TEST(resolve, mangled_answers_harm_nobody)
{
	struct resolve_name *name;

	if (!names_enter_namespace("mangled_answers_harm_nobody"))
		return;
	names.server.v4[0] = "127.0.0.2";
	names.server.v6[0] = "::1";
	names.server.alias_ttl_s = 60;
	name = names_watch("host.example");
	cr_assert(names_turn_until(1, 2000));
	names.server.mood = MANGLE;
	for (int i = 0; i < 300; i++) {
		unsigned queries = names.server.queries;

		resolve_refresh(name);
		for (int turns = 0; turns < 10 && names.server.queries < queries + 2; turns++)
			names_turn();
		names_turn();
		cr_assert(names.count >= 1 && names.count <= RESOLVE_ADDRS_MAX);
	}
	cr_expect_geq(names.server.queries, 600);
	names.server.mood = ANSWER;
	names.server.v4[0] = "127.0.0.9";
	names.server.v6[0] = NULL;
	names.count = 0;
	for (int turns = 0; turns < 2000 && names.count != 1; turns++) {
		resolve_refresh(name);
		names_turn();
	}
	names_expect(0, "127.0.0.9:4711");
}

NAMES_TEST(resolve, truncated_answers_come_over_tcp)
{
	if (!names_enter_namespace("truncated_answers_come_over_tcp"))
		return;
	names.server.v4[0] = "127.0.0.2";
	names.server.mood = TRUNCATE;
	names_watch("host.example");
	cr_assert(names_turn_until(1, 3000));
	names_expect(0, "127.0.0.2:4711");
	cr_expect_eq(names.server.tcp_queries, 2);
}

/* 2 s is the library's first time-out: the deadline has to bring the loop back for it. */
NAMES_TEST(resolve, a_silent_server_is_asked_again)
{
	uint64_t now_ns = io_now(), end_ns = now_ns + 3 * NS_PER_S;

	if (!names_enter_namespace("a_silent_server_is_asked_again"))
		return;
	names.server.mood = SILENT;
	names_watch("host.example");
	while (now_ns < end_ns && names.server.queries < 4) {
		resolve_turn(names.resolve, now_ns);
		names_serve();
		cr_assert_eq(io_turn(&names.io, resolve_deadline(names.resolve), &now_ns), 0);
	}
	cr_expect_eq(names.server.queries, 4);
}

NAMES_TEST(resolve, an_early_server_that_is_silent_delays_nobody_else)
{
	if (!names_enter_namespace("an_early_server_that_is_silent"))
		return;
	names.server.mood = SILENT;
	names_watch("host.example");
	names_watch("seven");
	cr_assert(names_turn_until(1, 1000));
	names_expect(0, "127.0.0.7:4711");
}

NAMES_TEST(resolve, a_resolv_conf_that_comes_later_is_honoured)
{
	if (!names_enter_namespace("a_resolv_conf_that_comes_later"))
		return;
	names_write("/etc/resolv.conf", "nameserver 192.0.2.1\n"); /* no route: fails at once */
	names.server.v4[0] = "127.0.0.2";
	names_watch("host.example");
	for (int i = 0; i < 20; i++)
		names_turn();
	cr_expect_eq(names.calls, 0);
	names_write("/etc/resolv.conf", "nameserver 127.0.0.1\n");
	names.skew_ns += 1 * NS_PER_S;
	cr_assert(names_turn_until(1, 2000));
}

NAMES_TEST(resolve, closing_in_the_middle_leaves_no_descriptor)
{
	unsigned before;

	if (!names_enter_namespace("closing_in_the_middle"))
		return;
	names.server.mood = SILENT;
	before = open_files();
	names_watch("host.example");
	names_turn();
	cr_assert_gt(open_files(), before + 1); /* the library's and ours */
	cr_expect_not(resolve_closed(names.resolve));
	resolve_close(names.resolve);
	for (int i = 0; i < 20 && !resolve_closed(names.resolve); i++)
		names_turn();
	cr_expect_eq(open_files(), before);
}
