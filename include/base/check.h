/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * CHECK(condition): something that only a fault of ours can break. It stays in release builds: a
 * proxy that goes on with broken invariants leaks somebody's bytes. Never use it on anything that a
 * stranger can influence; hostile bytes get a verdict and a counter.
 */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0))                                             \
			check_failed(__FILE__, __LINE__, #condition);                              \
	} while (0)

/* Writes one line to stderr and aborts. The hook that pure code may call. */
_Noreturn void check_failed(const char *file, int line, const char *condition);
