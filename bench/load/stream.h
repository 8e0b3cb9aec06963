/* SPDX-License-Identifier: MIT */
#pragma once

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * One connection, one direction, limited in bytes and in time, for paths on which a request that has
 * begun may take for ever. The receiver compares every byte, keeps the time from the client's
 * connect() on - both ends are on one machine and read one clock - and stops at the limit wherever
 * the stream is; then the client resets the connection.
 */
struct stream {
	bool up; /* from the client */
	uint64_t bytes, limit_ms;
	const char *control; /* congestion control of the kernel at this end */
};

/* Serves any number of them until it is ended: a process each. */
_Noreturn void serve_streams(const struct addrinfo *at, const char *control);

/*
 * Prints what the receiver saw, and returns 0: "bytes=N ns=N first_ns=N stall_ns=N whole=0|1", with
 * the time until all or the limit, until the first byte, and the longest time without a byte behind
 * it. A line that says what went wrong and 1: a wrong byte, an early end, no connection.
 */
int run_stream(const struct addrinfo *to, const struct stream *stream);
