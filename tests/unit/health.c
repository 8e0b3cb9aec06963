// SPDX-License-Identifier: MIT
/*
 * The responder on the real backend, asked by real sockets of the same thread: a test writes, turns
 * the loop until the answer is there, and moves the clock that health sees where it must wait.
 */
#include "health.h"

#include "../../src/health/inside.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MAX = 4096, TURNS_MAX = 2000 };

static const uint64_t ns_per_ms = 1000000, ns_per_s = 1000000000;

static struct io io;
static struct health *health;
static uint64_t skew_ns; /* how far the clock was moved */
static int fds_before;

/* What the proxy would say. */
static const char *reason;	 /* not_ready() */
static int dial_error;		 /* dial() answers with it at once; 0: with a connection */
static bool dial_later;		 /* or not before the test does */
static struct health_dial *lent; /* the dial that waits for the test */
static int dials, cancels;

/* The target: a listener of the test, what it was asked, and what it answers. */
static int target_fd = -1, target_conn = -1;
static const char *target_answer;
static char target_got[ANSWER_MAX];
static size_t target_got_len;

static int count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static int connect_to(int family, uint16_t port)
{
	struct addr addr = {.family = (uint8_t)family, .port = port};
	struct sockaddr_storage sa;
	unsigned len;
	int fd = socket(family == ADDR_V6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.ip[family == ADDR_V6 ? 15 : 3] = 1;
	if (family == ADDR_V4)
		addr.ip[0] = 127;
	len = addr_to_sockaddr(&addr, false, &sa);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -errno;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);

	getsockname(fd, (struct sockaddr *)&sa, &len);
	return ntohs(sa.sin_port);
}

/* --- what health asks the proxy -------------------------------------------------------------- */

static const char *not_ready(void *ctx)
{
	(void)ctx;
	return reason;
}

static void *dial(void *ctx, struct health_dial *d)
{
	(void)ctx;
	dials++;
	if (dial_later)
		lent = d;
	else if (dial_error)
		health_dialled(d, -1, dial_error);
	else
		health_dialled(d, connect_to(ADDR_V4, port_of(target_fd)), 0);
	return &dials;
}

static void cancel(void *ctx, void *handle)
{
	(void)ctx;
	cr_assert_eq(handle, &dials);
	cancels++;
}

static const char *target_name(void *ctx)
{
	(void)ctx;
	return "target.example:8080";
}

static const struct health_ops ops = {
	.not_ready = not_ready,
	.dial = dial,
	.cancel = cancel,
	.target = target_name,
};

/* --- one test's world ------------------------------------------------------------------------ */

static void start(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	fds_before = count_fds();
	target_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(target_fd, (struct sockaddr *)&any, sizeof(any)), 0);
	cr_assert_eq(listen(target_fd, 8), 0);
	if (io_init(&io, &io_backend_uring, 64) < 0)
		return;
	cr_assert_eq(health_open(&health, &io, 0, &ops), 0);
}

/* The target takes what it is sent, and answers as soon as the empty line is there. */
static void serve_target(void)
{
	ssize_t len;

	if (target_conn < 0)
		target_conn = accept4(target_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (target_conn < 0 || !target_answer)
		return;
	len = read(target_conn, target_got + target_got_len,
		   sizeof(target_got) - 1 - target_got_len);
	if (len > 0)
		target_got_len += (size_t)len;
	if (strstr(target_got, "\r\n\r\n")) {
		cr_assert_geq(write(target_conn, target_answer, strlen(target_answer)), 0);
		close(target_conn);
		target_conn = -1;
		target_answer = NULL;
	}
}

static void turn(void)
{
	uint64_t now_ns;

	cr_assert_eq(io_turn(&io, io_now() + ns_per_ms, &now_ns), 0);
	if (health)
		health_turn(health, now_ns + skew_ns);
	serve_target();
}

static void turns(int count)
{
	while (count-- > 0)
		turn();
}

static void stop(void)
{
	if (!health)
		return;
	health_close(health);
	for (int i = 0; i < TURNS_MAX && !health_closed(health); i++)
		turn();
	cr_assert(health_closed(health), "something is still under way");
	health_free(health);
	health = NULL;
	io_fini(&io);
	close(target_fd);
	if (target_conn >= 0)
		close(target_conn);
	cr_expect_eq(count_fds(), fds_before, "descriptors leak");
}

TestSuite(health, .init = start, .fini = stop, .timeout = 60);

/* True, after saying so, when this kernel has no io_uring for us. */
static bool skipped(const char *test)
{
	if (!health)
		fprintf(stderr, "SKIP health/%s: io_uring does not start here\n", test);
	return !health;
}

/* --- a client -------------------------------------------------------------------------------- */

static int client_new(void)
{
	int fd = connect_to(ADDR_V4, health_port(health));

	cr_assert_geq(fd, 0);
	return fd;
}

static void say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until the other side closes, in an orderly way, and closes too. */
static void hear(int fd, char answer[static ANSWER_MAX])
{
	size_t got = 0;

	for (int i = 0; i < TURNS_MAX; i++) {
		ssize_t len = read(fd, answer + got, ANSWER_MAX - 1 - got);

		if (len == 0) {
			answer[got] = '\0';
			close(fd);
			turns(3);
			return;
		}
		cr_assert(len > 0 || errno == EAGAIN, "reset: %s", strerror(errno));
		if (len > 0)
			got += (size_t)len;
		turn();
	}
	cr_assert_fail("no end of the answer");
}

static void ask(const char *request, char answer[static ANSWER_MAX])
{
	int fd = client_new();

	say(fd, request);
	hear(fd, answer);
}

static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end ? end + 4 : "(no body)";
}

static unsigned status_of(const char *answer)
{
	unsigned status = 0;

	sscanf(answer, "HTTP/1.1 %u ", &status);
	return status;
}

static void expect_text(const char *request, unsigned status, const char *body)
{
	char answer[ANSWER_MAX];

	ask(request, answer);
	cr_expect_eq(status_of(answer), status, "%s: %s", request, answer);
	cr_expect(strstr(body_of(answer), body), "%s: %s", request, answer);
	cr_expect(strstr(answer, "\r\nConnection: close\r\n"));
}

static void expect(const char *target, unsigned status, const char *body)
{
	char request[ANSWER_MAX];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);
	expect_text(request, status, body);
}

/* --- paths and methods ----------------------------------------------------------------------- */

Test(health, ready_and_not)
{
	if (skipped("ready_and_not"))
		return;
	expect("/health", 200, "OK");
	expect("/health?", 200, "OK");
	reason = "draining";
	expect("/health", 503, "draining");
	expect("/health?mode=tcp", 503, "draining");
	expect("/livez", 200, "OK");
	cr_expect_eq(dials, 0);
}

Test(health, head_is_get_without_the_body)
{
	char got[ANSWER_MAX], head[ANSWER_MAX];

	if (skipped("head_is_get_without_the_body"))
		return;
	ask("GET /health HTTP/1.1\r\n\r\n", got);
	ask("HEAD /health HTTP/1.1\r\n\r\n", head);
	cr_expect_str_eq(body_of(got), "OK");
	cr_expect_str_eq(body_of(head), "");
	cr_expect(strstr(got, "\r\nContent-Length: 2\r\n"));
	cr_expect_eq(strncmp(got, head, strlen(head)), 0);
}

Test(health, refusals)
{
	char answer[ANSWER_MAX];

	if (skipped("refusals"))
		return;
	expect("/", 404, "");
	expect("/healthz", 404, "");
	expect("/health/", 404, "");
	ask("POST /health HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", answer);
	cr_expect_eq(status_of(answer), 405);
	cr_expect(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
	expect_text("GET /health HTTP/2.0\r\n\r\n", 505, "");
	expect_text("GET /health\r\n\r\n", 400, "");
	expect_text("\r\n\r\n", 400, "");
	expect_text(" / HTTP/1.1\r\n\r\n", 400, "");
	expect_text("GET  /health HTTP/1.1\r\n\r\n", 400, "");
	expect_text("GET health HTTP/1.1\r\n\r\n", 400, "");
	expect_text("GET /health HTTP/1.1 \r\n\r\n", 400, "");
	expect_text("GET /h\xc3\xa4lth HTTP/1.1\r\n\r\n", 400, "");
	expect_text("GET /health\rHTTP/1.1\r\n\r\n", 400, "");
	expect_text("GET /health HTTP/1.0\n\n", 200, "OK");
}

Test(health, queries)
{
	static const char *const bad[] = {
		"mode",
		"mode=",
		"mode=udp",
		"mode=TCP",
		"mode=tcp&mode=tcp",
		"colour=red",
		"=",
		"timeout=",
		"timeout=3",
		"timeout=0s",
		"timeout=-1s",
		"timeout=61s",
		"timeout=2m",
		"timeout=1h",
		"timeout=60001ms",
		"timeout=9999999999999999999s",
		"timeout=3s3s",
		"mode=http&path=",
		"mode=http&path=x",
		"mode=http&path=/a%20b",
		"path=/x",
		"mode=http&path=/%",
		"mode=http&path=/%2",
		"mode=http&path=/%zz",
		"&",
		"mode=http&path=/%0d%0aHost:%20evil",
		"mode=http&path=/%00",
		"mode=tcp&path=/x",
		"mode=http&path=/%ff",
		"mode=tcp&",
	};
	char target[256];

	if (skipped("queries"))
		return;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(target, sizeof(target), "/health?%s", bad[i]);
		expect(target, 400, "accepted");
	}
	cr_expect_eq(dials, 0);
	expect("/health?timeout=60s&mode=tcp", 200, "OK");
	expect("/health?mode=t%63p&timeout=1m", 200, "OK");
	expect("/health?timeout=1ms", 200, "OK");
	cr_expect_eq(dials, 2);
}

Test(health, path_at_its_limit)
{
	char target[64 + PROBE_PATH_MAX + 1] = "/health?mode=http&path=/";
	size_t prefix = strlen(target) - 1;

	if (skipped("path_at_its_limit"))
		return;
	target_answer = "HTTP/1.1 200 OK\r\n\r\n";
	memset(target + prefix + 1, 'p', PROBE_PATH_MAX - 1);
	expect(target, 200, "OK");
	target[prefix + PROBE_PATH_MAX] = 'p';
	expect(target, 400, "accepted");
}

/* --- requests as they come ------------------------------------------------------------------- */

Test(health, byte_by_byte)
{
	static const char request[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
	char answer[ANSWER_MAX];
	int fd;

	if (skipped("byte_by_byte"))
		return;
	fd = client_new();
	for (size_t i = 0; i < strlen(request); i++) {
		cr_assert_eq(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
		turns(2);
	}
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 200);
}

/* `len` bytes in all, the empty line at their end. */
static char *long_request(size_t len)
{
	char *request = malloc(len + 1);
	int head = snprintf(request, len + 1, "GET /livez HTTP/1.1\r\nX: ");

	memset(request + head, 'x', len - (size_t)head);
	memcpy(request + len - 4, "\r\n\r\n", 5);
	return request;
}

/* hear() would see a reset, if the bytes that nobody wants caused one. */
Test(health, long_requests)
{
	static const size_t lengths[] = {HEALTH_REQUEST_MAX - 1, HEALTH_REQUEST_MAX,
					 HEALTH_REQUEST_MAX + 1, 30000};

	if (skipped("long_requests"))
		return;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char *request = long_request(lengths[i]);
		bool fits = lengths[i] <= HEALTH_REQUEST_MAX;

		expect_text(request, fits ? 200 : 431, fits ? "OK" : "4096");
		free(request);
	}
}

Test(health, slow_prober)
{
	char answer[ANSWER_MAX];
	int fd;

	if (skipped("slow_prober"))
		return;
	fd = client_new();
	say(fd, "GET /health HT");
	turns(5);
	skew_ns += 4 * ns_per_s;
	turns(5);
	cr_expect_lt(read(fd, answer, sizeof(answer)), 0);
	skew_ns += 2 * ns_per_s;
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 408);
}

/* The deadline wakes the loop: it is not found by chance. */
Test(health, deadline)
{
	uint64_t now_ns = io_now();
	int fd;

	if (skipped("deadline"))
		return;
	turn();
	cr_expect_eq(health_deadline(health), UINT64_MAX);
	fd = client_new();
	turns(5);
	cr_expect_geq(health_deadline(health), now_ns + HEALTH_REQUEST_TIMEOUT_S * ns_per_s);
	cr_expect_leq(health_deadline(health), io_now() + HEALTH_REQUEST_TIMEOUT_S * ns_per_s);
	close(fd);
	turns(5);
	cr_expect_eq(health_deadline(health), UINT64_MAX);
}

static size_t busy_probers(void)
{
	size_t busy = 0;

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++)
		busy += health->probers[i].state != PROBER_FREE;
	return busy;
}

/* A client that keeps its side open, or goes on writing, does not keep its place. */
Test(health, answered_and_not_closed)
{
	char answer[ANSWER_MAX];
	int fd;

	if (skipped("answered_and_not_closed"))
		return;
	fd = client_new();
	say(fd, "GET /livez HTTP/1.1\r\n\r\n");
	turns(5);
	cr_expect_gt(read(fd, answer, sizeof(answer)), 0);
	cr_expect_eq(busy_probers(), 1);
	skew_ns += 2 * ns_per_s;
	turns(5);
	cr_expect_eq(busy_probers(), 0);
	close(fd);
}

Test(health, endless_writer)
{
	static const char noise[16384];
	int fd;

	if (skipped("endless_writer"))
		return;
	fd = client_new();
	say(fd, "GET /livez HTTP/1.1\r\n\r\n");
	turns(2);
	for (int i = 0; i < 100 && send(fd, noise, sizeof(noise), MSG_NOSIGNAL) > 0; i++)
		turn();
	turns(5);
	cr_expect_eq(busy_probers(), 0);
	close(fd);
}

/* All places taken by clients who say nothing: the next is closed, and one that goes makes room. */
Test(health, crowd)
{
	int crowd[HEALTH_PROBERS_MAX], late;
	char byte;

	if (skipped("crowd"))
		return;
	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		crowd[i] = client_new();
		turns(2);
	}
	cr_expect_eq(busy_probers(), HEALTH_PROBERS_MAX);
	late = client_new();
	turns(5);
	cr_expect_eq(read(late, &byte, 1), 0);
	close(late);
	close(crowd[7]);
	turns(5);
	expect("/livez", 200, "OK");
	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		if (i != 7)
			close(crowd[i]);
	}
	turns(5);
	cr_expect_eq(busy_probers(), 0);
}

Test(health, both_families)
{
	char answer[ANSWER_MAX];
	int fd;

	if (skipped("both_families"))
		return;
	expect("/livez", 200, "OK");
	fd = connect_to(ADDR_V6, health_port(health));
	if (fd < 0) {
		fprintf(stderr, "SKIP health/both_families: no IPv6 loopback\n");
		return;
	}
	say(fd, "GET /livez HTTP/1.1\r\n\r\n");
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 200);
}

Test(health, port_in_use)
{
	struct health *second;

	if (skipped("port_in_use"))
		return;
	cr_expect_eq(health_open(&second, &io, health_port(health), &ops), -EADDRINUSE);
}

/* --- the target ------------------------------------------------------------------------------ */

Test(health, tcp)
{
	if (skipped("tcp"))
		return;
	expect("/health?mode=tcp", 200, "OK");
	dial_error = -ECONNREFUSED;
	expect("/health?mode=tcp", 503, "target: Connection refused");
	dial_error = -ENOTCONN;
	expect("/health?mode=tcp", 503, "tunnel: no session");
	cr_expect_eq(dials, 3);
	cr_expect_eq(cancels, 0);
}

Test(health, http)
{
	if (skipped("http"))
		return;
	target_answer = "HTTP/1.1 204 No Content\r\n\r\n";
	expect("/health?path=/a%2Fb%3fc=d+e&mode=http", 200, "OK");
	cr_expect(strstr(target_got, "GET /a/b?c=d+e HTTP/1.1\r\n"), "%s", target_got);
	cr_expect(strstr(target_got, "\r\nHost: target.example:8080\r\n"), "%s", target_got);
	cr_expect(strstr(target_got, "\r\nConnection: close\r\n"), "%s", target_got);
}

Test(health, http_answers)
{
	static const struct {
		const char *answer;
		unsigned status;
		const char *body;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "OK"},
		{"HTTP/1.0 302 Found\r\n\r\n", 200, "OK"},
		{"HTTP/1.1 200", 200, "OK"},
		{"HTTP/1.1 404 Not Found\r\n\r\n", 503, "target: answered 404"},
		{"HTTP/1.1 500 Oops\r\n\r\n", 503, "target: answered 500"},
		{"HTTP/1.1 100 Continue\r\n\r\n", 503, "target: answered 100"},
		{"HTTP/1.1 2x0 OK\r\n\r\n", 503, "not HTTP"},
		{"SSH-2.0-OpenSSH_9.2\r\n", 503, "not HTTP"},
		{"HTTP/1.1 20", 503, "closed without an answer"},
		{"", 503, "closed without an answer"},
	};

	if (skipped("http_answers"))
		return;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(target_got, 0, sizeof(target_got));
		target_got_len = 0;
		target_answer = cases[i].answer;
		expect("/health?mode=http", cases[i].status, cases[i].body);
		cr_expect(strstr(target_got, "GET / HTTP/1.1\r\n"));
	}
}

/* The target accepts and says nothing: the probe ends in time, and its socket with it. */
Test(health, http_timeout)
{
	char answer[ANSWER_MAX];
	int fd;

	if (skipped("http_timeout"))
		return;
	fd = client_new();
	say(fd, "GET /health?mode=http&timeout=3s HTTP/1.1\r\n\r\n");
	turns(5);
	skew_ns += 2900 * ns_per_ms;
	turns(5);
	cr_expect_lt(read(fd, answer, sizeof(answer)), 0);
	skew_ns += 200 * ns_per_ms;
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 503);
	cr_expect_str_eq(body_of(answer), "target: no answer in time");
	cr_expect_gt(read(target_conn, answer, sizeof(answer)), 0);
	cr_expect_eq(read(target_conn, answer, sizeof(answer)), 0);
	cr_expect_eq(busy_probers(), 0);
	cr_expect_eq(cancels, 0);
}

/* A dial that comes back when its prober has long been answered. */
Test(health, late_dial)
{
	char answer[ANSWER_MAX];
	int fd, late;

	if (skipped("late_dial"))
		return;
	dial_later = true;
	fd = client_new();
	say(fd, "GET /health?mode=tcp HTTP/1.1\r\n\r\n");
	turns(5);
	cr_assert(lent);
	skew_ns += (HEALTH_PROBE_TIMEOUT_S + 1) * ns_per_s;
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 503);
	cr_expect_eq(cancels, 1);
	cr_expect_eq(busy_probers(), 1);
	late = dup(target_fd);
	health_dialled(lent, late, 0);
	cr_expect_lt(fcntl(late, F_GETFD), 0);
	cr_expect_eq(busy_probers(), 0);
}

Test(health, dial_in_time)
{
	char answer[ANSWER_MAX];
	int fd;

	if (skipped("dial_in_time"))
		return;
	dial_later = true;
	fd = client_new();
	say(fd, "GET /health?mode=tcp HTTP/1.1\r\n\r\n");
	turns(5);
	health_dialled(lent, dup(target_fd), 0);
	cr_expect_eq(health_deadline(health), 0);
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 200);
	cr_expect_eq(cancels, 0);
}

/* One prober in each state; stop() then finds nothing left. */
Test(health, close_in_the_middle)
{
	static const char *const requests[] = {
		"",
		"GET /hea",
		"GET /health?mode=http HTTP/1.1\r\n\r\n",
		"GET /livez HTTP/1.1\r\n\r\n",
		"GET /health?mode=tcp HTTP/1.1\r\n\r\n",
	};
	enum { COUNT = sizeof(requests) / sizeof(requests[0]) };
	int fds[COUNT];

	if (skipped("close_in_the_middle"))
		return;
	for (size_t i = 0; i < COUNT; i++) {
		dial_later = i == COUNT - 1;
		fds[i] = client_new();
		say(fds[i], requests[i]);
		turns(3);
	}
	cr_expect_eq(busy_probers(), COUNT);
	health_close(health);
	cr_expect_eq(health_deadline(health), UINT64_MAX);
	turns(5);
	cr_expect_not(health_closed(health));
	health_dialled(lent, -1, -ECANCELED);
	cr_expect(health_closed(health));
	for (size_t i = 0; i < COUNT; i++)
		close(fds[i]);
}

/* --- any bytes ------------------------------------------------------------------------------- */

/* No server here: the parser alone, under the sanitizers. */
Test(health_request, mutations)
{
	static const char valid[] =
		"GET /health?mode=http&path=/a%2Fb&timeout=500ms HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char spice[] = "\0\r\n %&=?/\xff";

	srandom(1);
	for (int i = 0; i < 200000; i++) {
		char *text = malloc(sizeof(valid));
		struct request request = {0};
		struct probe probe;

		memcpy(text, valid, sizeof(valid));
		for (long n = random() % 4; n >= 0; n--)
			text[random() % (long)(sizeof(valid) - 1)] =
				spice[random() % (long)(sizeof(spice) - 1)];
		if (request_complete(text, sizeof(valid) - 1) &&
		    request_parse(&request, text) == HTTP_OK &&
		    probe_parse(&probe, request.query) == NULL)
			cr_assert(probe.path[0] == '/' && probe.timeout_ns > 0);
		free(text);
	}
}
