// SPDX-License-Identifier: MIT
#include "name_world.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
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

/* RFC 1035, sections 3.2.2 and 4.1.1; RFC 3596, section 2.1 */
enum { DNS_PORT = 53, DNS_HEADER_LEN = 12, DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28 };
enum { RCODE_OK = 0, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, FLAG_TRUNCATED = 0x0200 };

struct name_world names;

/* --- the name server --------------------------------------------------------------------------- */

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

/* Records for all addresses; returns how many. */
static unsigned put_addrs(uint8_t **at, unsigned name_at, unsigned type)
{
	const char **texts = type == DNS_A ? names.server.v4 : names.server.v6;
	unsigned count = 0;

	for (; count < RECORDS_MAX && texts[count] != NULL; count++) {
		uint8_t ip[16];

		inet_pton(type == DNS_A ? AF_INET : AF_INET6, texts[count], ip);
		*at = put_record(*at, name_at, type, names.server.ttl_s, ip,
				 type == DNS_A ? 4 : 16);
	}
	return count;
}

/* The name behind the header, with dots; returns its length there. */
static size_t read_name(const uint8_t *name, char text[static NAME_MAX_LEN])
{
	size_t len = 0;

	while (name[len] != 0) {
		memcpy(text + len, name + len + 1, name[len]);
		len += name[len] + 1u;
		text[len - 1] = '.';
	}
	text[len == 0 ? 0 : len - 1] = '\0';
	return len + 1;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static unsigned rcode_for(const char *name, unsigned type)
{
	const struct name_server *server = &names.server;

	if ((server->broken != NULL && ends_with(name, server->broken)) ||
	    (server->no_v6 && type == DNS_AAAA))
		return RCODE_SERVFAIL;
	if (server->mood == REFUSE_NAME ||
	    (server->only != NULL && strcmp(name, server->only) != 0))
		return RCODE_NXDOMAIN;
	return RCODE_OK;
}

static void note_asked(const char *name)
{
	struct name_server *server = &names.server;

	cr_assert_lt(server->asked_len, NAMES_MAX);
	snprintf(server->asked[server->asked_len++], NAME_MAX_LEN, "%s", name);
}

static uint32_t next_random(void)
{
	static uint32_t state = 20261128;

	state = state * 1664525 + 1013904223;
	return state >> 8;
}

/* Up to eight bytes of the records or of their counts become others; sometimes the end is missing. */
static size_t mangle(uint8_t *message, size_t records_at, size_t len)
{
	size_t room = len - records_at;

	for (uint32_t i = next_random() % 8 + 1; i > 0; i--) {
		uint32_t at = next_random() % (uint32_t)(room + 6);

		message[at < 6 ? 6 + at : records_at + at - 6] = (uint8_t)next_random();
	}
	return next_random() % 4 == 0 ? len - next_random() % (uint32_t)(room + 1) : len;
}

/* Turns the query in `message` into its answer; returns the length. */
static size_t answer(uint8_t *message, bool truncate)
{
	char name[NAME_MAX_LEN];
	uint8_t *at = message + DNS_HEADER_LEN + read_name(message + DNS_HEADER_LEN, name);
	unsigned type = (unsigned)at[0] << 8 | at[1], records = 0, name_at = DNS_HEADER_LEN;
	unsigned rcode = rcode_for(name, type);
	size_t records_at;

	at += 4;
	records_at = (size_t)(at - message);
	if (type == DNS_A && names.server.mood != MANGLE)
		note_asked(name);
	if (names.server.alias_ttl_s != 0 && rcode == RCODE_OK && !truncate) {
		static const uint8_t alias[] = {1, 'b', 0xc0, DNS_HEADER_LEN};

		at = put_record(at, name_at, DNS_CNAME, names.server.alias_ttl_s, alias,
				sizeof(alias));
		name_at = (unsigned)(at - message - (ptrdiff_t)sizeof(alias));
		records++;
	}
	if (rcode == RCODE_OK && !truncate)
		records += put_addrs(&at, name_at, type);
	put16(message + 2, 0x8180 | (truncate ? FLAG_TRUNCATED : 0) | rcode);
	put16(message + 6, records);
	put16(put16(message + 8, 0), 0);
	return names.server.mood == MANGLE ? mangle(message, records_at, (size_t)(at - message))
					   : (size_t)(at - message);
}

static void serve_udp(void)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	uint8_t message[2048];

	while (recvfrom(names.server.udp, message, 512, MSG_DONTWAIT, (struct sockaddr *)&from,
			&from_len) > DNS_HEADER_LEN) {
		size_t len;

		names.server.queries++;
		if (names.server.mood == SILENT)
			continue;
		len = answer(message, names.server.mood == TRUNCATE);
		cr_assert_eq(sendto(names.server.udp, message, len, 0, (struct sockaddr *)&from,
				    from_len),
			     (ssize_t)len);
	}
}

/* One connection with any number of queries, each behind its length (RFC 1035, section 4.2.2). */
static void serve_tcp(void)
{
	static int conn = -1;
	uint8_t message[2048];

	if (conn < 0)
		conn = accept4(names.server.tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (conn >= 0 && recv(conn, message, 2, 0) == 2) {
		size_t len = (size_t)message[0] << 8 | message[1];

		cr_assert_eq(recv(conn, message + 2, len, MSG_WAITALL), (ssize_t)len);
		names.server.tcp_queries++;
		len = answer(message + 2, false);
		put16(message, (unsigned)len);
		cr_assert_eq(send(conn, message, len + 2, 0), (ssize_t)len + 2);
	}
}

void names_serve(void)
{
	if (names.server.udp <= 0)
		return;
	serve_udp();
	serve_tcp();
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
	names.server.udp = bind_dns(SOCK_DGRAM);
	names.server.tcp = bind_dns(SOCK_STREAM);
	cr_assert_eq(listen(names.server.tcp, 4), 0);
	names.server.ttl_s = 60;
}

/* --- the namespace ----------------------------------------------------------------------------- */

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

void names_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

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

bool names_enter_namespace(const char *test)
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

/* --- the loop ---------------------------------------------------------------------------------- */

static void changed(void *ctx, const struct addr *addrs, size_t count)
{
	(void)ctx;
	names.calls++;
	names.count = count;
	memcpy(names.addrs, addrs, count * sizeof(addrs[0]));
}

void names_open(void)
{
	int refused;

	log_set_level(LOG_ERROR);
	cr_assert_eq(io_init_any(&names.io, 64, &refused), 0);
	cr_assert_eq(resolve_open(&names.resolve, &names.io), 0);
}

void names_open_epoll(void)
{
	log_set_level(LOG_ERROR);
	cr_assert_eq(io_init(&names.io, &io_backend_epoll, 64), 0);
	cr_assert_eq(resolve_open(&names.resolve, &names.io), 0);
}

void names_close(void)
{
	resolve_close(names.resolve);
	cr_expect_eq(resolve_deadline(names.resolve), UINT64_MAX);
	for (int i = 0; i < 100 && !resolve_closed(names.resolve); i++)
		names_turn();
	cr_assert(resolve_closed(names.resolve));
	resolve_free(names.resolve);
	io_fini(&names.io);
}

uint64_t names_turn(void)
{
	uint64_t now_ns = io_now();
	uint64_t deadline_ns = now_ns + 5 * NS_PER_MS;

	cr_assert_eq(io_turn(&names.io, deadline_ns, &now_ns), 0);
	resolve_turn(names.resolve, now_ns + names.skew_ns);
	names_serve();
	return now_ns + names.skew_ns;
}

bool names_turn_until(unsigned calls, unsigned limit_ms)
{
	uint64_t end_ns = io_now() + limit_ms * NS_PER_MS;

	while (names.calls < calls && io_now() < end_ns)
		names_turn();
	return names.calls >= calls;
}

void names_turn_until_waiting(void)
{
	uint64_t end_ns = io_now() + 3 * NS_PER_S;
	uint64_t now_ns = names_turn();

	while (resolve_deadline(names.resolve) < now_ns + 2 * NS_PER_S && io_now() < end_ns)
		now_ns = names_turn();
	cr_assert_geq(resolve_deadline(names.resolve), now_ns + 2 * NS_PER_S);
}

struct resolve_name *names_watch(const char *name)
{
	struct resolve_name *watched = resolve_watch(names.resolve, name, 4711, changed, NULL);

	cr_assert_not_null(watched);
	return watched;
}

void names_expect(size_t index, const char *text)
{
	char found[ADDR_TEXT_MAX];

	cr_assert_lt(index, names.count);
	cr_expect_str_eq(addr_format(&names.addrs[index], found), text);
}
