// SPDX-License-Identifier: MIT
/*
 * The responder and clients that mean it no good, or know no better. Whatever they do: places and
 * memory are bounded, each ends by a deadline, and who asks a plain question is answered.
 */
#include "health_rig.h"

#include "base/time.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- slow ones --------------------------------------------------------------------------------- */

static void expect_silence(int fd)
{
	char byte;

	turns(5);
	cr_expect_lt(recv(fd, &byte, 1, MSG_PEEK), 0);
	cr_expect_eq(errno, EAGAIN);
}

static void expect_time_out(int fd)
{
	char answer[ANSWER_MAX];

	hear(fd, answer);
	cr_expect_eq(status_of(answer), 408);
	cr_expect_eq(busy_probers(), 0);
}

HEALTH_TEST(health_attacks, half_a_line_and_silence)
{
	int fd = client_new();

	say(fd, "GET /health HT");
	turns(5);
	rig.skew_ns += 4 * NS_PER_S;
	expect_silence(fd);
	rig.skew_ns += 2 * NS_PER_S;
	expect_time_out(fd);
}

/* A line every now and then does not buy time: the deadline is the whole request's. */
HEALTH_TEST(health_attacks, slowloris)
{
	int fd = client_new();

	say(fd, "GET /livez HTTP/1.1\r\n");
	for (int i = 0; i < 9; i++) {
		turns(5);
		rig.skew_ns += NS_PER_S / 2;
		say(fd, "X-Slow: loris\r\n");
		expect_silence(fd);
	}
	rig.skew_ns += NS_PER_S;
	expect_time_out(fd);
}

/* Who keeps his side open after the answer does not keep his place. */
HEALTH_TEST(health_attacks, answered_and_not_closed)
{
	char answer[ANSWER_MAX];
	int fd = client_new();

	say(fd, "GET /livez HTTP/1.1\r\n\r\n");
	turns(5);
	cr_expect_gt(read(fd, answer, sizeof(answer)), 0);
	cr_expect_eq(busy_probers(), 1);
	rig.skew_ns += 2 * NS_PER_S;
	turns(5);
	cr_expect_eq(busy_probers(), 0);
	close(fd);
}

/* With the smallest window there is, and a system-wide default for what the sender may queue. */
static int deaf_client(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(health_port(rig.health)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int least = 1;

	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* The kernel must not go on offering the answer when we have given up: a RST, and it forgets. */
HEALTH_TEST(health_attacks, never_reads)
{
	int fd = deaf_client(), error = 0;
	socklen_t len = sizeof(error);

	rig.metrics_len = HEALTH_BODY_MAX;
	say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
	turns(10);
	cr_expect_eq(busy_probers(), 1);
	for (int i = 0; i < 2; i++) {
		rig.skew_ns += HEALTH_REQUEST_TIMEOUT_S * NS_PER_S;
		turns(5);
	}
	cr_expect_eq(busy_probers(), 0);
	cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	cr_expect_eq(error, ECONNRESET);
	close(fd);
}

/* A reader with a small window gets all of it, a little at a time. */
HEALTH_TEST(health_attacks, reads_slowly)
{
	char piece[512];
	ssize_t len;
	size_t got = 0;
	int fd = deaf_client();

	rig.metrics_len = HEALTH_BODY_MAX;
	say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
	for (int i = 0; i < TURNS_MAX; i++) {
		turn();
		len = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
		if (len == 0)
			break;
		got += len > 0 ? (size_t)len : 0;
	}
	cr_expect_gt(got, HEALTH_BODY_MAX);
	close(fd);
	turns(5);
	cr_expect_eq(busy_probers(), 0);
}

/* --- too much ---------------------------------------------------------------------------------- */

HEALTH_TEST(health_attacks, endless_writer)
{
	static const char noise[16384];
	int fd = client_new();

	say(fd, "GET /livez HTTP/1.1\r\n\r\n");
	turns(2);
	for (int i = 0; i < 100 && send(fd, noise, sizeof(noise), MSG_NOSIGNAL) > 0; i++)
		turn();
	turns(5);
	cr_expect_eq(busy_probers(), 0);
	close(fd);
}

/* One request a connection: the others are read and forgotten. */
HEALTH_TEST(health_attacks, pipelining)
{
	char request[40 * 50 + 1] = "", answer[ANSWER_MAX];
	int fd = client_new();

	for (int i = 0; i < 50; i++)
		strcat(request, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
	say(fd, request);
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 200);
	cr_expect_str_eq(body_of(answer), "OK");
	cr_expect_eq(busy_probers(), 0);
}

HEALTH_TEST(health_attacks, a_line_without_an_end)
{
	char *request = malloc(30001);

	memset(request, 'x', 30000);
	request[30000] = '\0';
	expect_text(request, 431, "4096");
	memcpy(request, "GET /", 5);
	expect_text(request, 431, "4096");
	free(request);
}

/* Some of it looks like a request; none of it is one. */
HEALTH_TEST(health_attacks, rubbish)
{
	char bytes[HEALTH_REQUEST_MAX], answer[ANSWER_MAX];

	srandom(1);
	for (int i = 0; i < 200; i++) {
		size_t len = 4 + (size_t)random() % (sizeof(bytes) - 4);
		int fd = client_new();

		for (size_t k = 0; k < len; k++)
			bytes[k] = (char)random();
		if (i % 2 == 0)
			memcpy(bytes, "GET ", 4);
		memcpy(bytes + len - 4, "\r\n\r\n", 4);
		cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
		hear(fd, answer);
		cr_assert_geq(status_of(answer), 400);
		cr_assert_lt(status_of(answer), 500);
	}
	cr_expect_eq(busy_probers(), 0);
}

/* --- half a connection ------------------------------------------------------------------------- */

HEALTH_TEST(health_attacks, half_closed_clients)
{
	char answer[ANSWER_MAX];
	int fd = client_new();

	say(fd, "GET /livez HTTP/1.1\r\n\r\n");
	shutdown(fd, SHUT_WR);
	hear(fd, answer);
	cr_expect_eq(status_of(answer), 200);
	fd = client_new();
	say(fd, "GET /livez HT");
	shutdown(fd, SHUT_WR);
	hear(fd, answer);
	cr_expect_str_eq(answer, "", "half a request has no answer");
	cr_expect_eq(busy_probers(), 0);
}

/* Gone in the middle of each thing that we may be doing. */
HEALTH_TEST(health_attacks, resets)
{
	static const char *const requests[] = {
		"",
		"GET /li",
		"GET /metrics HTTP/1.1\r\n\r\n",
		"GET /health?mode=http&timeout=2s HTTP/1.1\r\n\r\n",
	};
	struct linger at_once = {.l_onoff = 1};

	rig.metrics_len = HEALTH_BODY_MAX;
	for (size_t i = 0; i < 4 * sizeof(requests) / sizeof(requests[0]); i++) {
		int fd = client_new();

		say(fd, requests[i / 4]);
		turns((int)i % 4);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(fd);
		turns(5);
	}
	rig.skew_ns += 3 * NS_PER_S;
	turns(5);
	cr_expect_eq(busy_probers(), 0);
}

/* --- many -------------------------------------------------------------------------------------- */

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	turns(5);
	cr_expect_eq(busy_probers(), 0);
}

/* More silent clients than places: who has waited longest goes, and there is room for a probe. */
HEALTH_TEST(health_attacks, crowd)
{
	int crowd[HEALTH_PROBERS_MAX];
	char byte;

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		crowd[i] = client_new();
		turns(2);
	}
	cr_expect_lt(busy_probers(), HEALTH_PROBERS_MAX);
	cr_expect_eq(read(crowd[0], &byte, 1), 0, "the first one was shown out");
	expect_silence(crowd[HEALTH_PROBERS_MAX - 1]);
	for (int i = 0; i < 100; i++)
		expect("/livez", 200, "OK");
	close_all(crowd, HEALTH_PROBERS_MAX);
}

HEALTH_TEST(health_attacks, a_thousand_connections)
{
	enum { COUNT = 1000 };
	static int crowd[COUNT];
	struct rlimit files = {COUNT + 200, COUNT + 200};

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	for (size_t i = 0; i < COUNT; i++) {
		crowd[i] = client_new();
		say(crowd[i], i % 2 ? "GET /livez HT" : "");
		if (i % 100 == 99) {
			turns(3);
			cr_assert_leq(busy_probers(), HEALTH_PROBERS_MAX);
			expect("/livez", 200, "OK");
		}
	}
	rig.skew_ns += (HEALTH_REQUEST_TIMEOUT_S + 1) * NS_PER_S;
	turns(5);
	rig.skew_ns += 2 * NS_PER_S;
	turns(5);
	cr_expect_eq(busy_probers(), 0, "silent ones are shown out in time");
	close_all(crowd, COUNT);
}

/* Probes of the target may take a minute each, and must leave places for those that do not. */
HEALTH_TEST(health_attacks, probes_of_a_silent_target)
{
	int askers[HEALTH_PROBERS_MAX];

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		askers[i] = client_new();
		say(askers[i], "GET /health?mode=http&timeout=60s HTTP/1.1\r\n\r\n");
		turns(3);
	}
	expect("/health?mode=tcp", 503, "too many");
	expect("/livez", 200, "OK");
	cr_expect_lt(rig.dials, HEALTH_PROBERS_MAX);
	rig.skew_ns += 61 * NS_PER_S;
	turns(5);
	rig.skew_ns += 2 * NS_PER_S;
	turns(5);
	cr_expect_eq(busy_probers(), 0);
	expect("/health?mode=tcp", 200, "OK");
	close_all(askers, HEALTH_PROBERS_MAX);
}
