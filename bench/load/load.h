/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/*
 * The load generator of the benchmark: an HTTP/1.1 client and the server that it talks to, through
 * whatever is to be measured. Every load is exchanges on connections:
 *
 *	GET /SEED/LENGTH	200, and LENGTH bytes
 *	PUT /SEED, a body	204 when the body was right; else the connection ends
 *	GET /ends		200, how many other connections are open, and how many ended badly
 *
 * A body is a piece of one pseudo-random pattern that starts at SEED. The client knows every byte of
 * every answer, heads included, and the server every byte of a body, so both compare all that
 * arrives. Each exchange has a seed of its own: an answer that belongs to another one is seen.
 *
 * A bulk transfer is many exchanges of some hundred KiB under way at a time on one connection
 * (pipelining, RFC 9112 section 9.3.2), which can stop at any time, and so bounds every load in time
 * whatever it runs through.
 *
 * One thread, epoll, no allocation per exchange: the proxies shall have the processor.
 */

struct addrinfo;

/* What the client does, set by NAME=NUMBER; see run_settings[]. */
struct load {
	uint64_t conns;	     /* connections */
	uint64_t together;   /* at most so many of them busy at a time; 0: all */
	uint64_t depth;	     /* exchanges under way on one connection */
	uint64_t per_conn;   /* exchanges on a connection, which is then closed and opened anew */
	uint64_t exchanges;  /* no more of them in all */
	uint64_t ms;	     /* none begins later than this; 0: no limit */
	uint64_t up, down;   /* bytes of a body: PUT when there is an `up`, else GET */
	uint64_t hold;	     /* after per_conn exchanges wait for SIGUSR1, then one more each */
	uint64_t timeout_ms; /* of the whole run */
};

enum { DEPTH_MAX = 16, CONNS_MAX = 65536 };

/* Serves until it is ended. */
_Noreturn void serve(const struct addrinfo *at);

/* One line of NAME=NUMBER on stdout and 0, or a line that says what went wrong and 1. */
int run_load(const struct addrinfo *to, const struct load *load);

/* Exchanges once, trying again until `timeout_ms`; prints the time of day in us. */
int run_first(const struct addrinfo *to, uint64_t timeout_ms);

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
