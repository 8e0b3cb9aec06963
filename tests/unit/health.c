// SPDX-License-Identifier: MIT
/* What the responder answers: paths, methods, queries, requests in pieces, and the target's part. */
#include "health_rig.h"

#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- paths and methods ----------------------------------------------------------------------- */

HEALTH_TEST(health, ready_and_not)
{
	expect("/health", 200, "OK");
	expect("/health?", 200, "OK");
	rig.reason[HEALTH_SERVING] = "draining";
	expect("/health", 503, "draining");
	expect("/health?mode=tcp", 503, "draining");
	cr_expect_eq(rig.dials, 0);
}

/* Each asks its own question, and the loop's own path none. */
HEALTH_TEST(health, checks)
{
	static const char *const path[] = {"/health", "/readyz", "/startupz"};
	static const char *const reason[] = {"draining", "no handshake", "not yet"};

	for (int wrong = HEALTH_SERVING; wrong <= HEALTH_STARTED; wrong++) {
		rig.reason[wrong] = reason[wrong];
		for (int asked = HEALTH_SERVING; asked <= HEALTH_STARTED; asked++)
			expect(path[asked], asked == wrong ? 503 : 200,
			       asked == wrong ? reason[wrong] : "OK");
		expect("/livez", 200, "OK");
		rig.reason[wrong] = NULL;
	}
}

/* Of any length up to the bound. */
static void expect_metrics(void)
{
	static const size_t lengths[] = {0, 1, 10000, HEALTH_BODY_MAX};
	char answer[ANSWER_MAX], field[64];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		rig.metrics_len = lengths[i];
		ask("GET /metrics HTTP/1.1\r\n\r\n", answer);
		cr_expect_eq(status_of(answer), 200);
		cr_expect(strstr(answer, "\r\nContent-Type: text/plain; version=0.0.4; "));
		snprintf(field, sizeof(field), "\r\nContent-Length: %zu\r\n", lengths[i]);
		cr_expect(strstr(answer, field));
		cr_expect_eq(strspn(body_of(answer), "m"), lengths[i]);
		cr_expect_eq(strlen(body_of(answer)), lengths[i]);
	}
	ask("HEAD /metrics HTTP/1.1\r\n\r\n", answer);
	cr_expect(strstr(answer, field));
	cr_expect_str_eq(body_of(answer), "");
}

HEALTH_TEST(health, metrics)
{
	expect_metrics();
}

HEALTH_TEST(health, metrics_in_short_sends)
{
	rig.send_max = 100;
	expect_metrics();
	expect("/livez", 200, "OK");
}

HEALTH_TEST(health, head_is_get_without_the_body)
{
	char got[ANSWER_MAX], head[ANSWER_MAX];

	ask("GET /health HTTP/1.1\r\n\r\n", got);
	ask("HEAD /health HTTP/1.1\r\n\r\n", head);
	cr_expect_str_eq(body_of(got), "OK");
	cr_expect_str_eq(body_of(head), "");
	cr_expect(strstr(got, "\r\nContent-Length: 2\r\n"));
	cr_expect_eq(strncmp(got, head, strlen(head)), 0);
}

HEALTH_TEST(health, refusals)
{
	char answer[ANSWER_MAX];

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

HEALTH_TEST(health, queries)
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

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(target, sizeof(target), "/health?%s", bad[i]);
		expect(target, 400, "accepted");
	}
	cr_expect_eq(rig.dials, 0);
	expect("/health?timeout=60s&mode=tcp", 200, "OK");
	expect("/health?mode=t%63p&timeout=1m", 200, "OK");
	expect("/health?timeout=1ms", 200, "OK");
	cr_expect_eq(rig.dials, 2);
}

HEALTH_TEST(health, path_at_its_limit)
{
	char target[64 + PROBE_PATH_MAX + 1] = "/health?mode=http&path=/";
	size_t prefix = strlen(target) - 1;

	rig.target_answer = "HTTP/1.1 200 OK\r\n\r\n";
	memset(target + prefix + 1, 'p', PROBE_PATH_MAX - 1);
	expect(target, 200, "OK");
	target[prefix + PROBE_PATH_MAX] = 'p';
	expect(target, 400, "accepted");
}

/* --- requests as they come ------------------------------------------------------------------- */

HEALTH_TEST(health, byte_by_byte)
{
	static const char request[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
	char answer[ANSWER_MAX];
	int fd;

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
HEALTH_TEST(health, long_requests)
{
	static const size_t lengths[] = {HEALTH_REQUEST_MAX - 1, HEALTH_REQUEST_MAX,
					 HEALTH_REQUEST_MAX + 1, 30000};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char *request = long_request(lengths[i]);
		bool fits = lengths[i] <= HEALTH_REQUEST_MAX;

		expect_text(request, fits ? 200 : 431, fits ? "OK" : "4096");
		free(request);
	}
}

/* The deadline wakes the loop: it is not found by chance. */
HEALTH_TEST(health, deadline)
{
	uint64_t now_ns = io_now();
	int fd;

	turn();
	cr_expect_eq(health_deadline(rig.health), UINT64_MAX);
	fd = client_new();
	turns(5);
	cr_expect_geq(health_deadline(rig.health), now_ns + HEALTH_REQUEST_TIMEOUT_S * NS_PER_S);
	cr_expect_leq(health_deadline(rig.health), io_now() + HEALTH_REQUEST_TIMEOUT_S * NS_PER_S);
	close(fd);
	turns(5);
	cr_expect_eq(health_deadline(rig.health), UINT64_MAX);
}

HEALTH_TEST(health, both_families)
{
	char answer[ANSWER_MAX];
	int fd;

	expect("/livez", 200, "OK");
	fd = connect_to(ADDR_V6, health_port(rig.health));
	if (fd < 0) {
		fprintf(stderr, "SKIP health/both_families: no IPv6 loopback\n");
		return;
	}
	say(fd, "GET /livez HTTP/1.1\r\n\r\n");
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 200);
}

HEALTH_TEST(health, port_in_use)
{
	struct health *second;

	cr_expect_eq(health_open(&second, &rig.io, health_port(rig.health), &rig.health->ops),
		     -EADDRINUSE);
}

/* --- the target ------------------------------------------------------------------------------ */

HEALTH_TEST(health, tcp)
{
	expect("/health?mode=tcp", 200, "OK");
	rig.dial_error = -ECONNREFUSED;
	expect("/health?mode=tcp", 503, "target: Connection refused");
	rig.dial_error = -ENOTCONN;
	expect("/health?mode=tcp", 503, "tunnel: no session");
	cr_expect_eq(rig.dials, 3);
	cr_expect_eq(rig.cancels, 0);
}

HEALTH_TEST(health, http)
{
	rig.target_answer = "HTTP/1.1 204 No Content\r\n\r\n";
	expect("/health?path=/a%2Fb%3fc=d+e&mode=http", 200, "OK");
	cr_expect(strstr(rig.target_got, "GET /a/b?c=d+e HTTP/1.1\r\n"), "%s", rig.target_got);
	cr_expect(strstr(rig.target_got, "\r\nHost: target.example:8080\r\n"), "%s",
		  rig.target_got);
	cr_expect(strstr(rig.target_got, "\r\nConnection: close\r\n"), "%s", rig.target_got);
}

HEALTH_TEST(health, http_answers)
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

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(rig.target_got, 0, sizeof(rig.target_got));
		rig.target_got_len = 0;
		rig.target_answer = cases[i].answer;
		expect("/health?mode=http", cases[i].status, cases[i].body);
		cr_expect(strstr(rig.target_got, "GET / HTTP/1.1\r\n"));
	}
}

/* The target accepts and says nothing: the probe ends in time, and its socket with it. */
HEALTH_TEST(health, http_timeout)
{
	char answer[ANSWER_MAX];
	int fd;

	fd = client_new();
	say(fd, "GET /health?mode=http&timeout=3s HTTP/1.1\r\n\r\n");
	turns(5);
	rig.skew_ns += 2900 * NS_PER_MS;
	turns(5);
	cr_expect_lt(read(fd, answer, sizeof(answer)), 0);
	rig.skew_ns += 200 * NS_PER_MS;
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 503);
	cr_expect_str_eq(body_of(answer), "target: no answer in time");
	cr_expect_gt(read(rig.target_conn, answer, sizeof(answer)), 0);
	cr_expect_eq(read(rig.target_conn, answer, sizeof(answer)), 0);
	cr_expect_eq(busy_probers(), 0);
	cr_expect_eq(rig.cancels, 0);
}

/* A dial that comes back when its prober has long been answered. */
HEALTH_TEST(health, late_dial)
{
	char answer[ANSWER_MAX];
	int fd, late;

	rig.dial_later = true;
	fd = client_new();
	say(fd, "GET /health?mode=tcp HTTP/1.1\r\n\r\n");
	turns(5);
	cr_assert(rig.lent);
	rig.skew_ns += (HEALTH_PROBE_TIMEOUT_S + 1) * NS_PER_S;
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 503);
	cr_expect_eq(rig.cancels, 1);
	cr_expect_eq(busy_probers(), 1);
	late = dup(rig.target_fd);
	health_dialled(rig.lent, late, 0);
	cr_expect_lt(fcntl(late, F_GETFD), 0);
	cr_expect_eq(busy_probers(), 0);
}

HEALTH_TEST(health, dial_in_time)
{
	char answer[ANSWER_MAX];
	int fd;

	rig.dial_later = true;
	fd = client_new();
	say(fd, "GET /health?mode=tcp HTTP/1.1\r\n\r\n");
	turns(5);
	health_dialled(rig.lent, dup(rig.target_fd), 0);
	cr_expect_eq(health_deadline(rig.health), 0);
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 200);
	cr_expect_eq(rig.cancels, 0);
}

/* One prober in each state; stop() then finds nothing left. */
HEALTH_TEST(health, close_in_the_middle)
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

	for (size_t i = 0; i < COUNT; i++) {
		rig.dial_later = i == COUNT - 1;
		fds[i] = client_new();
		say(fds[i], requests[i]);
		turns(3);
	}
	cr_expect_eq(busy_probers(), COUNT);
	health_close(rig.health);
	cr_expect_eq(health_deadline(rig.health), UINT64_MAX);
	turns(5);
	cr_expect_not(health_closed(rig.health));
	health_dialled(rig.lent, -1, -ECANCELED);
	cr_expect(health_closed(rig.health));
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
