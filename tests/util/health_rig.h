/* SPDX-License-Identifier: MIT */
#pragma once

#include "health.h"

#include "../../src/health/inside.h"

#include <criterion/criterion.h>

/*
 * The responder on a real backend, asked by real sockets of the same thread: a test writes, turns the
 * loop until the answer is there, and moves the clock that health sees where it must wait. Each test
 * runs on each backend, in a process of its own.
 */
enum { ANSWER_MAX = HEALTH_BODY_MAX + 1024, TURNS_MAX = 2000 };

#define HEALTH_TEST(suite, name)                                                                   \
	static void name(void);                                                                    \
	Test(suite##_uring, name, .timeout = 60)                                                   \
	{                                                                                          \
		health_rig_run(&io_backend_uring, #suite "/" #name, name);                         \
	}                                                                                          \
	Test(suite##_epoll, name, .timeout = 60)                                                   \
	{                                                                                          \
		health_rig_run(&io_backend_epoll, #suite "/" #name, name);                         \
	}                                                                                          \
	static void name(void)

struct health_rig {
	struct io io;
	struct health *health;
	uint64_t skew_ns; /* how far the clock was moved */
	size_t send_max;  /* bytes that a send takes, of a piece of its iov; 0: all */

	/* What the proxy would say. */
	const char *reason[HEALTH_STARTED + 1]; /* why_not(), per check */
	size_t metrics_len;			/* of the metrics, lines of 'm' */
	int dial_error;		  /* dial() answers with it at once; 0: with a connection */
	bool dial_later;	  /* or not before the test does */
	struct health_dial *lent; /* the dial that waits for the test */
	int dials, cancels;

	/* The target: a listener of the test, what it was asked, and what it answers. */
	int target_fd, target_conn;
	const char *target_answer;
	char target_got[4096];
	size_t target_got_len;
};

extern struct health_rig rig;

/* Skips, loudly, where this kernel has no such backend; finds leaks. */
void health_rig_run(const struct io_backend *backend, const char *name, void (*test)(void));

void turn(void);
void turns(int count);
size_t busy_probers(void);

/* --- a client ------------------------------------------------------------------------------- */

/* A non-blocking socket, or a negative errno. */
int connect_to(uint8_t family, uint16_t port);
int client_new(void);
void say(int fd, const char *text);

/* Reads until the other side closes, in an orderly way, and closes too. */
void hear(int fd, char answer[static ANSWER_MAX]);
void ask(const char *request, char answer[static ANSWER_MAX]);
const char *body_of(const char *answer);
unsigned status_of(const char *answer);
void expect_text(const char *request, unsigned status, const char *body);
void expect(const char *target, unsigned status, const char *body);
