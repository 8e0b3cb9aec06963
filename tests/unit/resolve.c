// SPDX-License-Identifier: MIT
/*
 * Names, against a real loop, the real library, and a name server of our own: each test that needs
 * one lives in a network namespace with its own resolv.conf, where the server has port 53 of the
 * loopback to itself. It is served from the test's own thread, between two turns of the loop.
 */
#include "resolve.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

enum { DNS_PORT = 53, DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28, DNS_HEADER_LEN = 12 };

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

/* What the name server says. */
static struct {
	int udp, tcp;
	enum { ANSWER, SILENT, REFUSE_NAME, TRUNCATE } mood;
	const char *v4[4]; /* NULL at the end */
	const char *v6;
	uint32_t ttl_s;
	uint32_t alias_ttl_s; /* not 0: answer through an alias of this TTL */
	unsigned queries, tcp_queries;
} server;

static struct io io;
static struct resolve *resolve;
static uint64_t skew_ns; /* the tests' clock is ahead of io_now() by so much */

/* What changed() has said. */
static struct {
	unsigned calls;
	struct addr addrs[RESOLVE_ADDRS_MAX];
	size_t count;
} seen;

static void changed(void *ctx, const struct addr *addrs, size_t count)
{
	(void)ctx;
	seen.calls++;
	seen.count = count;
	memcpy(seen.addrs, addrs, count * sizeof(addrs[0]));
}

/* ---- the name server ---- */

static uint8_t *put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

/* A record whose name is a pointer to `name_at` (RFC 1035, sections 3.2.1 and 4.1.4). */
static uint8_t *put_record(uint8_t *at, unsigned name_at, unsigned type, uint32_t ttl_s,
			   const void *data, size_t len)
{
	at = put16(at, 0xc000 | name_at);
	at = put16(at, type);
	at = put16(at, 1);
	at = put16(put16(at, ttl_s >> 16), ttl_s & 0xffff);
	at = put16(at, (unsigned)len);
	memcpy(at, data, len);
	return at + len;
}

static size_t name_len(const uint8_t *name)
{
	size_t len = 0;

	while (name[len] != 0)
		len += name[len] + 1u;
	return len + 1;
}

/* Turns the query in `message` into its answer; returns the length. */
static size_t answer(uint8_t *message, bool truncate)
{
	uint8_t *at = message + DNS_HEADER_LEN + name_len(message + DNS_HEADER_LEN);
	unsigned type = (unsigned)at[0] << 8 | at[1], records = 0, name_at = DNS_HEADER_LEN;
	uint8_t ip[16];

	at += 4;
	if (server.alias_ttl_s != 0 && server.mood == ANSWER) {
		static const uint8_t alias[] = {1, 'b', 0xc0, DNS_HEADER_LEN};

		at = put_record(at, name_at, DNS_CNAME, server.alias_ttl_s, alias, sizeof(alias));
		name_at = (unsigned)(at - message - (ptrdiff_t)sizeof(alias));
		records++;
	}
	for (size_t i = 0; type == DNS_A && !truncate && server.v4[i] != NULL; i++, records++) {
		inet_pton(AF_INET, server.v4[i], ip);
		at = put_record(at, name_at, DNS_A, server.ttl_s, ip, 4);
	}
	if (type == DNS_AAAA && !truncate && server.v6 != NULL) {
		inet_pton(AF_INET6, server.v6, ip);
		at = put_record(at, name_at, DNS_AAAA, server.ttl_s, ip, 16);
		records++;
	}
	put16(message + 2, 0x8180 | (truncate ? 0x0200 : 0) | (server.mood == REFUSE_NAME ? 3 : 0));
	put16(message + 6, server.mood == REFUSE_NAME ? 0 : records);
	put16(put16(message + 8, 0), 0);
	return (size_t)(at - message);
}

static void serve_udp(void)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	uint8_t message[1024];

	while (recvfrom(server.udp, message, 512, MSG_DONTWAIT, (struct sockaddr *)&from,
			&from_len) > DNS_HEADER_LEN) {
		size_t len;

		server.queries++;
		if (server.mood == SILENT)
			continue;
		len = answer(message, server.mood == TRUNCATE);
		cr_assert_eq(
			sendto(server.udp, message, len, 0, (struct sockaddr *)&from, from_len),
			(ssize_t)len);
	}
}

/* One connection with any number of queries, each behind its length (RFC 1035, section 4.2.2). */
static void serve_tcp(void)
{
	static int conn = -1;
	uint8_t message[1024];

	if (conn < 0)
		conn = accept4(server.tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (conn >= 0 && recv(conn, message, 2, 0) == 2) {
		size_t len = (size_t)message[0] << 8 | message[1];

		cr_assert_eq(recv(conn, message + 2, len, MSG_WAITALL), (ssize_t)len);
		server.tcp_queries++;
		len = answer(message + 2, false);
		put16(message, (unsigned)len);
		cr_assert_eq(send(conn, message, len + 2, 0), (ssize_t)len + 2);
	}
}

static int bind_dns(int type)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0, "%s", strerror(errno));
	return fd;
}

static void start_server(void)
{
	server.udp = bind_dns(SOCK_DGRAM);
	server.tcp = bind_dns(SOCK_STREAM);
	cr_assert_eq(listen(server.tcp, 4), 0);
	server.ttl_s = 60;
}

/* ---- the namespace ---- */

/* A file of ours in the place of one of the system's. False: not allowed here. */
static bool replace_file(const char *path, const char *text)
{
	char name[] = "/tmp/resolve-test-XXXXXX";
	int fd = mkstemp(name);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
		  mount(name, path, NULL, MS_BIND, NULL) == 0;

	close(fd);
	unlink(name);
	return ok;
}

/* Writes into the file that has replaced it. */
static void write_resolv_conf(const char *text)
{
	int fd = open("/etc/resolv.conf", O_WRONLY | O_TRUNC | O_CLOEXEC);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static bool loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = ioctl(fd, SIOCSIFFLAGS, &request) == 0;

	close(fd);
	return ok;
}

/* False, with a line that says so: the test cannot run here. */
static bool enter_namespace(const char *test)
{
	bool ok = unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
		  mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && loopback_up() &&
		  replace_file("/etc/resolv.conf", "nameserver 127.0.0.1\n") &&
		  replace_file("/etc/hosts", "127.0.0.1 localhost\n127.0.0.7 seven\n");

	if (ok)
		start_server();
	else
		printf("SKIP resolve/%s: a namespace of its own takes root\n", test);
	fflush(stdout);
	return ok;
}

/* ---- the loop ---- */

static void set_up(void)
{
	log_set_level(LOG_ERROR);
	if (io_init(&io, &io_backend_uring, 64) != 0) {
		printf("SKIP resolve: no io_uring here\n");
		fflush(stdout);
		cr_skip_test();
	}
	cr_assert_eq(resolve_open(&resolve, &io), 0);
}

static uint64_t turn(void)
{
	uint64_t now_ns = io_now();
	uint64_t deadline_ns = now_ns + 5 * MS;

	cr_assert_eq(io_turn(&io, deadline_ns, &now_ns), 0);
	resolve_turn(resolve, now_ns + skew_ns);
	if (server.udp > 0) {
		serve_udp();
		serve_tcp();
	}
	return now_ns + skew_ns;
}

/* Turns until changed() has been called `calls` times in all; false after `limit_ms`. */
static bool turn_until_calls(unsigned calls, unsigned limit_ms)
{
	uint64_t end_ns = io_now() + limit_ms * MS;

	while (seen.calls < calls && io_now() < end_ns)
		turn();
	return seen.calls >= calls;
}

/* Turns until no question is under way: the deadline is no longer one of the library's. */
static void turn_until_waiting(void)
{
	uint64_t end_ns = io_now() + 3 * S;
	uint64_t now_ns = turn();

	while (resolve_deadline(resolve) < now_ns + 2 * S && io_now() < end_ns)
		now_ns = turn();
	cr_assert_geq(resolve_deadline(resolve), now_ns + 2 * S);
}

static void watch(const char *name)
{
	cr_assert_not_null(resolve_watch(resolve, name, 4711, changed, NULL));
}

static void expect_addr(size_t index, const char *text)
{
	char found[ADDR_TEXT_MAX];

	cr_assert_lt(index, seen.count);
	cr_expect_str_eq(addr_format(&seen.addrs[index], found), text);
}

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void close_all(void)
{
	if (resolve == NULL)
		return;
	resolve_close(resolve);
	cr_expect_eq(resolve_deadline(resolve), UINT64_MAX);
	for (int i = 0; i < 100 && !resolve_closed(resolve); i++)
		turn();
	cr_assert(resolve_closed(resolve));
	resolve_free(resolve);
	io_fini(&io);
}

TestSuite(resolve, .init = set_up, .fini = close_all, .timeout = 30);

Test(resolve, an_address_is_its_own_answer_and_never_asked_again)
{
	struct resolve_name *name = resolve_watch(resolve, "fd00::1", 4711, changed, NULL);

	cr_expect_eq(resolve_deadline(resolve), 0);
	resolve_turn(resolve, io_now());
	cr_expect_eq(seen.calls, 1);
	expect_addr(0, "[fd00::1]:4711");
	cr_expect_eq(resolve_deadline(resolve), UINT64_MAX);
	resolve_refresh(name);
	cr_expect_eq(resolve_deadline(resolve), UINT64_MAX);
}

Test(resolve, localhost_needs_no_server)
{
	watch("localhost");
	cr_assert(turn_until_calls(1, 2000));
	expect_addr(0, seen.addrs[0].family == ADDR_V6 ? "[::1]:4711" : "127.0.0.1:4711");
}

/* Whatever the server in resolv.conf does, here: no turn may wait for it. */
Test(resolve, a_name_that_does_not_resolve_blocks_nothing)
{
	uint64_t end_ns = io_now() + 1500 * MS;

	watch("name.invalid");
	while (io_now() < end_ns) {
		uint64_t before_ns = io_now();

		resolve_turn(resolve, before_ns);
		cr_assert_lt(io_now() - before_ns, 200 * MS);
		turn();
	}
	cr_expect_eq(seen.calls, 0);
	cr_expect_lt(resolve_deadline(resolve), io_now() + 31 * S);
}

Test(resolve, hosts_come_first)
{
	if (!enter_namespace("hosts_come_first"))
		return;
	server.v4[0] = "127.0.0.2";
	watch("seven");
	cr_assert(turn_until_calls(1, 2000));
	expect_addr(0, "127.0.0.7:4711");
	cr_expect_eq(server.queries, 0);
}

Test(resolve, both_families_are_found)
{
	if (!enter_namespace("both_families_are_found"))
		return;
	server.v4[0] = "127.0.0.2";
	server.v6 = "::1";
	watch("host.example");
	cr_assert(turn_until_calls(1, 2000));
	cr_expect_eq(seen.count, 2);
	expect_addr(0, "[::1]:4711"); /* RFC 6724, rule 6: ::1 has the highest precedence */
	expect_addr(1, "127.0.0.2:4711");
}

/* No route: the namespace has the loopback alone. */
Test(resolve, what_cannot_be_reached_comes_last)
{
	if (!enter_namespace("what_cannot_be_reached_comes_last"))
		return;
	server.v4[0] = "127.0.0.2";
	server.v6 = "2001:db8::1";
	watch("host.example");
	cr_assert(turn_until_calls(1, 2000));
	expect_addr(0, "127.0.0.2:4711");
}

Test(resolve, a_change_is_told_after_the_ttl_and_another_order_is_none)
{
	if (!enter_namespace("a_change_is_told_after_the_ttl"))
		return;
	server.v4[0] = "127.0.0.2";
	server.v4[1] = "127.0.0.3";
	watch("host.example");
	cr_assert(turn_until_calls(1, 2000));
	turn_until_waiting();
	cr_expect_leq(resolve_deadline(resolve), io_now() + 60 * S);
	cr_expect_geq(resolve_deadline(resolve), io_now() + 57 * S);
	server.v4[0] = "127.0.0.3";
	server.v4[1] = "127.0.0.2";
	skew_ns = 60 * S;
	turn_until_waiting();
	cr_expect_eq(server.queries, 4);
	cr_expect_eq(seen.calls, 1);
	server.v4[1] = "127.0.0.4";
	skew_ns = 120 * S;
	cr_assert(turn_until_calls(2, 2000));
	expect_addr(0, "127.0.0.3:4711");
	expect_addr(1, "127.0.0.4:4711");
}

Test(resolve, ttls_are_kept_within_bounds_and_aliases_count)
{
	if (!enter_namespace("ttls_are_kept_within_bounds"))
		return;
	server.v4[0] = "127.0.0.2";
	server.ttl_s = 86400;
	watch("host.example");
	cr_assert(turn_until_calls(1, 2000));
	cr_expect_leq(resolve_deadline(resolve), io_now() + RESOLVE_TTL_MAX_S * S);
	cr_expect_geq(resolve_deadline(resolve), io_now() + (RESOLVE_TTL_MAX_S - 2) * S);
	server.alias_ttl_s = 17;
	server.v4[0] = "127.0.0.3";
	skew_ns = RESOLVE_TTL_MAX_S * S;
	cr_assert(turn_until_calls(2, 2000));
	cr_expect_leq(resolve_deadline(resolve), io_now() + skew_ns + 17 * S);
	cr_expect_geq(resolve_deadline(resolve), io_now() + skew_ns + 15 * S);
	server.alias_ttl_s = 1;
	server.v4[0] = "127.0.0.4";
	skew_ns += 17 * S;
	cr_assert(turn_until_calls(3, 2000));
	cr_expect_geq(resolve_deadline(resolve), io_now() + skew_ns + (RESOLVE_TTL_MIN_S - 2) * S);
}

Test(resolve, a_failure_keeps_what_is_known_and_pauses_grow)
{
	static const unsigned pauses_s[] = {1, 2, 4, 8, 16, 30, 30};

	if (!enter_namespace("a_failure_keeps_what_is_known"))
		return;
	server.v4[0] = "127.0.0.2";
	watch("host.example");
	cr_assert(turn_until_calls(1, 2000));
	server.mood = REFUSE_NAME;
	skew_ns = 60 * S;
	for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
		unsigned asked = server.queries;
		uint64_t asked_ns = io_now() + skew_ns;

		for (int j = 0; j < 200 && server.queries < asked + 2; j++)
			turn();
		cr_assert_eq(server.queries, asked + 2); /* A and AAAA */
		for (int j = 0; j < 20; j++)
			turn();
		cr_expect_eq(server.queries, asked + 2, "asked again without a pause");
		cr_expect_geq(resolve_deadline(resolve), asked_ns + pauses_s[i] * S);
		cr_expect_leq(resolve_deadline(resolve), asked_ns + pauses_s[i] * S + 1 * S);
		skew_ns += pauses_s[i] * S;
	}
	cr_expect_eq(seen.calls, 1);
	server.mood = ANSWER;
	server.v4[0] = "127.0.0.3";
	skew_ns += 30 * S;
	cr_assert(turn_until_calls(2, 2000));
	expect_addr(0, "127.0.0.3:4711");
}

Test(resolve, refresh_asks_at_once)
{
	struct resolve_name *name;

	if (!enter_namespace("refresh_asks_at_once"))
		return;
	server.v4[0] = "127.0.0.2";
	name = resolve_watch(resolve, "host.example", 4711, changed, NULL);
	cr_assert(turn_until_calls(1, 2000));
	server.v4[0] = "127.0.0.3";
	resolve_refresh(name);
	cr_expect_eq(resolve_deadline(resolve), 0);
	cr_assert(turn_until_calls(2, 2000));
	resolve_refresh(name);
	turn();
	resolve_refresh(name); /* a question is under way: no second one */
	turn_until_waiting();
	cr_expect_eq(server.queries, 6);
}

Test(resolve, truncated_answers_come_over_tcp)
{
	if (!enter_namespace("truncated_answers_come_over_tcp"))
		return;
	server.v4[0] = "127.0.0.2";
	server.mood = TRUNCATE;
	watch("host.example");
	cr_assert(turn_until_calls(1, 3000));
	expect_addr(0, "127.0.0.2:4711");
	cr_expect_eq(server.tcp_queries, 2);
}

/* 2 s is the library's first time-out: the deadline has to bring the loop back for it. */
Test(resolve, a_silent_server_is_asked_again)
{
	uint64_t now_ns = io_now(), end_ns = now_ns + 3 * S;

	if (!enter_namespace("a_silent_server_is_asked_again"))
		return;
	server.mood = SILENT;
	watch("host.example");
	while (now_ns < end_ns && server.queries < 4) {
		resolve_turn(resolve, now_ns);
		serve_udp();
		cr_assert_eq(io_turn(&io, resolve_deadline(resolve), &now_ns), 0);
	}
	cr_expect_eq(server.queries, 4);
}

Test(resolve, an_early_server_that_is_silent_delays_nobody_else)
{
	if (!enter_namespace("an_early_server_that_is_silent"))
		return;
	server.mood = SILENT;
	watch("host.example");
	watch("seven");
	cr_assert(turn_until_calls(1, 1000));
	expect_addr(0, "127.0.0.7:4711");
}

Test(resolve, a_resolv_conf_that_comes_later_is_honoured)
{
	if (!enter_namespace("a_resolv_conf_that_comes_later"))
		return;
	write_resolv_conf("nameserver 192.0.2.1\n"); /* no route: fails at once */
	server.v4[0] = "127.0.0.2";
	watch("host.example");
	for (int i = 0; i < 20; i++)
		turn();
	cr_expect_eq(seen.calls, 0);
	write_resolv_conf("nameserver 127.0.0.1\n");
	skew_ns += 1 * S;
	cr_assert(turn_until_calls(1, 2000));
}

Test(resolve, closing_in_the_middle_leaves_no_descriptor)
{
	unsigned before;

	if (!enter_namespace("closing_in_the_middle"))
		return;
	server.mood = SILENT;
	before = open_files();
	watch("host.example");
	turn();
	cr_assert_gt(open_files(), before + 1); /* the library's and ours */
	cr_expect_not(resolve_closed(resolve));
	resolve_close(resolve);
	for (int i = 0; i < 20 && !resolve_closed(resolve); i++)
		turn();
	cr_expect_eq(open_files(), before);
}
