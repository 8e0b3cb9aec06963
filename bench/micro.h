/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* One thing to measure: what a run does, `batch` times over. */
struct bench {
	const char *name, *engine;
	size_t len; /* bytes of one packet */
	/* Lays out fresh input, and makes certain that the work succeeded: off the clock. NULL: none. */
	void (*prepare)(const struct bench *bench);
	void (*run)(const struct bench *bench);
	void (*verify)(const struct bench *bench);
	size_t batch; /* operations of one run: packets, connections, ticks */
	size_t conns; /* TCP connections that are open beside it */
};

/* Prints a line of JSON: nanoseconds per operation. */
void measure(const struct bench *bench);

/* micro_stack.c */
void measure_stack(void);
