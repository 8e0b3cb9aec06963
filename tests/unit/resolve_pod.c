// SPDX-License-Identifier: MIT
/*
 * Names as pods ask for them (name_world.h): three search domains and ndots:5, as Kubernetes writes
 * resolv.conf, short names, names with a dot at their end, and servers that know one family only.
 */
#include "name_world.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const char pod_resolv_conf[] = "nameserver 127.0.0.1\n"
				      "search here.svc.cluster.test svc.cluster.test cluster.test\n"
				      "options ndots:5\n";

NAMES_SUITE(resolve_pod);

static bool enter_pod(const char *test)
{
	if (!names_enter_namespace(test))
		return false;
	names_write("/etc/resolv.conf", pod_resolv_conf);
	names.server.v4[0] = "127.0.0.2";
	return true;
}

/* Only `only` exists, and is found by asking for these names in turn. */
static void found_by_asking(const char *name, const char *only, const char *const *asked)
{
	size_t count = 0;

	names.server.only = only;
	names_watch(name);
	cr_assert(names_turn_until(1, 2000), "%s does not resolve", name);
	names_expect(0, "127.0.0.2:4711");
	for (; asked[count] != NULL; count++) {
		cr_assert_lt(count, names.server.asked_len, "%s was not asked for", asked[count]);
		cr_expect_str_eq(names.server.asked[count], asked[count]);
	}
	cr_expect_eq(names.server.asked_len, count);
}

#define ASKED(...) ((const char *const[]){__VA_ARGS__, NULL})

NAMES_TEST(resolve_pod, a_service_of_the_same_namespace)
{
	if (enter_pod("a_service_of_the_same_namespace"))
		found_by_asking("web", "web.here.svc.cluster.test",
				ASKED("web.here.svc.cluster.test"));
}

NAMES_TEST(resolve_pod, a_service_of_another_namespace)
{
	if (enter_pod("a_service_of_another_namespace"))
		found_by_asking(
			"web.there", "web.there.svc.cluster.test",
			ASKED("web.there.here.svc.cluster.test", "web.there.svc.cluster.test"));
}

/* Four dots are fewer than ndots: the search list comes first, even for a name that is whole. */
NAMES_TEST(resolve_pod, a_whole_name_is_asked_for_last)
{
	if (enter_pod("a_whole_name_is_asked_for_last"))
		found_by_asking("a.b.c.example.test", "a.b.c.example.test",
				ASKED("a.b.c.example.test.here.svc.cluster.test",
				      "a.b.c.example.test.svc.cluster.test",
				      "a.b.c.example.test.cluster.test", "a.b.c.example.test"));
}

NAMES_TEST(resolve_pod, five_dots_are_enough)
{
	if (enter_pod("five_dots_are_enough"))
		found_by_asking("a.b.c.d.example.test", "a.b.c.d.example.test",
				ASKED("a.b.c.d.example.test"));
}

NAMES_TEST(resolve_pod, a_dot_at_the_end_needs_no_search)
{
	if (enter_pod("a_dot_at_the_end_needs_no_search"))
		found_by_asking("example.test.", "example.test", ASKED("example.test"));
}

/* And when that name does not exist, none of the search domains may be asked for it. */
NAMES_TEST(resolve_pod, a_dot_at_the_end_forbids_a_search)
{
	if (!enter_pod("a_dot_at_the_end_forbids_a_search"))
		return;
	names.server.only = "example.test.cluster.test";
	names_watch("example.test.");
	cr_expect_not(names_turn_until(1, 500));
	cr_expect_eq(names.server.asked_len, 1);
	cr_expect_str_eq(names.server.asked[0], "example.test");
}

/* A search domain whose servers are out of order does not hide a name that is whole. */
NAMES_TEST(resolve_pod, a_broken_search_domain_hides_nothing)
{
	if (!enter_pod("a_broken_search_domain_hides_nothing"))
		return;
	names.server.broken = "cluster.test";
	names.server.only = "vpn.example.test";
	names_watch("vpn.example.test");
	cr_assert(names_turn_until(1, 3000));
	names_expect(0, "127.0.0.2:4711");
}

NAMES_TEST(resolve_pod, one_family_that_fails_does_not_take_the_other_along)
{
	if (!enter_pod("one_family_that_fails"))
		return;
	names.server.no_v6 = true;
	names_watch("web");
	cr_assert(names_turn_until(1, 3000));
	cr_expect_eq(names.count, 1);
	names_expect(0, "127.0.0.2:4711");
}

NAMES_TEST(resolve_pod, ipv6_alone)
{
	if (!enter_pod("ipv6_alone"))
		return;
	names.server.v4[0] = NULL;
	names.server.v6[0] = "::1";
	names_watch("web");
	cr_assert(names_turn_until(1, 2000));
	cr_expect_eq(names.count, 1);
	names_expect(0, "[::1]:4711");
}

/* By RFC 6724 alone the addresses without a route would be the last two. */
NAMES_TEST(resolve_pod, families_take_turns)
{
	static const char *const expected[] = {"[::1]:4711", "127.0.0.2:4711", "[2001:db8::1]:4711",
					       "127.0.0.3:4711", "[2001:db8::2]:4711"};

	if (!enter_pod("families_take_turns"))
		return;
	names.server.v4[1] = "127.0.0.3";
	names.server.v6[0] = "2001:db8::1";
	names.server.v6[1] = "2001:db8::2";
	names.server.v6[2] = "::1";
	names_watch("web");
	cr_assert(names_turn_until(1, 2000));
	cr_assert_eq(names.count, 5);
	for (size_t i = 0; i < 5; i++)
		names_expect(i, expected[i]);
}

/* A headless service of many pods: as many as there is room for. */
NAMES_TEST(resolve_pod, more_addresses_than_are_kept)
{
	static char text[RECORDS_MAX][16];

	if (!enter_pod("more_addresses_than_are_kept"))
		return;
	for (size_t i = 0; i < RECORDS_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "127.0.1.%zu", i);
		names.server.v4[i] = text[i];
	}
	names_watch("web");
	cr_assert(names_turn_until(1, 2000));
	cr_expect_eq(names.count, RESOLVE_ADDRS_MAX);
	names_expect(RESOLVE_ADDRS_MAX - 1, "127.0.1.31:4711");
}

/* The kubelet and docker rewrite it: what it says now counts, soon. */
NAMES_TEST(resolve_pod, hosts_may_change)
{
	if (!enter_pod("hosts_may_change"))
		return;
	names_watch("seven");
	cr_assert(names_turn_until(1, 2000));
	names_expect(0, "127.0.0.7:4711");
	names_write("/etc/hosts", "127.0.0.8 seven\n::1 seven\n");
	names.skew_ns = RESOLVE_TTL_MIN_S * NS_PER_S;
	cr_assert(names_turn_until(2, 2000));
	cr_assert_eq(names.count, 2);
	names_expect(0, "[::1]:4711");
	names_expect(1, "127.0.0.8:4711");
	cr_expect_eq(names.server.queries, 0);
}
