/* SPDX-License-Identifier: MIT */
#pragma once

#include "sandbox.h"

#include <stddef.h>

/* Who makes a system call. The running process has the first ones, as far as they apply. */
enum caller {
	CALLER_LOOP = 1 << 0, /* whatever the backend */
	CALLER_URING = 1 << 1,
	CALLER_EPOLL = 1 << 2,
	CALLER_NAMES = 1 << 3,
	CALLER_START = 1 << 4,	 /* the program before the sandbox */
	CALLER_RUNTIME = 1 << 5, /* a container runtime before the program */
};

/* (argument & mask) == value. No mask: no condition. */
struct condition {
	unsigned arg;
	uint64_t mask, value;
};

/* Stands for our own process id in a condition. */
#define CONDITION_OWN_PID UINT64_MAX

enum { CALL_CONDITIONS_MAX = 2 };

/* One way to be allowed: several rows of one name are alternatives. */
struct call {
	const char *name;
	unsigned callers; /* set of enum caller */
	struct condition conditions[CALL_CONDITIONS_MAX];
};

extern const struct call calls[];
extern const size_t calls_count;

static inline size_t call_conditions(const struct call *call)
{
	size_t count = 0;

	while (count < CALL_CONDITIONS_MAX && call->conditions[count].mask != 0)
		count++;
	return count;
}

/* 0 or a negative errno. From then on a call that is not for one of `callers` ends the process. */
int filter_enter(unsigned callers);

/* The version of Landlock that we are now under, or a negative errno. */
int landlock_enter(const struct sandbox_needs *needs);
