/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/time.h"
#include "io.h"
#include "resolve.h"

/*
 * Names, against a real loop, the real library, and a name server of our own: a test that needs one
 * lives in a network namespace with its own resolv.conf and hosts, where the server has port 53 of
 * the loopback to itself. It is served from the test's own thread, between two turns of the loop.
 * There is one world at a time.
 */
enum { NAMES_MAX = 64, NAME_MAX_LEN = 255, RECORDS_MAX = 40 };

/* What the server says; a test may change it at any time. */
struct name_server {
	int udp, tcp;
	/* MANGLE: behind the question, bytes of the answer are others, by a fixed seed. */
	enum { ANSWER, SILENT, REFUSE_NAME, TRUNCATE, MANGLE } mood;
	const char *only;	     /* not NULL: no other name exists */
	const char *broken;	     /* not NULL: names with this end are answered SERVFAIL */
	bool no_v6;		     /* questions for IPv6 are answered SERVFAIL */
	const char *v4[RECORDS_MAX]; /* NULL at the end */
	const char *v6[RECORDS_MAX];
	uint32_t ttl_s;
	uint32_t alias_ttl_s; /* not 0: answer through an alias of this TTL */
	unsigned queries, tcp_queries;
	char asked[NAMES_MAX][NAME_MAX_LEN]; /* the names of the questions for IPv4, in order */
	size_t asked_len;
};

struct name_world {
	struct name_server server;
	struct io io;
	struct resolve *resolve;
	uint64_t skew_ns; /* the tests' clock is ahead of io_now() by so much */
	/* What changed() has said. */
	unsigned calls;
	struct addr addrs[RESOLVE_ADDRS_MAX];
	size_t count;
};

extern struct name_world names;

/*
 * A suite on both backends: NAMES_SUITE(suite), then NAMES_TEST(suite, name) for each test. With
 * names_open() the loop is the one that can be had, io_uring as a rule.
 */
#define NAMES_SUITE(suite)                                                                         \
	TestSuite(suite, .init = names_open, .fini = names_close, .timeout = 30);                  \
	TestSuite(suite##_epoll, .init = names_open_epoll, .fini = names_close, .timeout = 30)

#define NAMES_TEST(suite, name)                                                                    \
	static void suite##_##name(void);                                                          \
	Test(suite, name)                                                                          \
	{                                                                                          \
		suite##_##name();                                                                  \
	}                                                                                          \
	Test(suite##_epoll, name)                                                                  \
	{                                                                                          \
		suite##_##name();                                                                  \
	}                                                                                          \
	static void suite##_##name(void)

void names_open(void);
void names_open_epoll(void);
void names_close(void);

/* False, with a line that says so: the test cannot run here. */
bool names_enter_namespace(const char *test);

/* The files that have replaced the system's there. */
void names_write(const char *path, const char *text);

/* A turn of the loop and of the server; returns the tests' time. */
uint64_t names_turn(void);

/* Turns until changed() has been called `calls` times in all; false after `limit_ms`. */
bool names_turn_until(unsigned calls, unsigned limit_ms);

/* Turns until no question is under way: the deadline is no longer one of the library's. */
void names_turn_until_waiting(void);

/* One datagram's questions, without a turn of the loop. */
void names_serve(void);

struct resolve_name *names_watch(const char *name);

/* The address at this place is "ip:port". */
void names_expect(size_t index, const char *text);
