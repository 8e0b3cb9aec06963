/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdarg.h>

/*
 * One line per event that an operator cares about, on stderr, written with a single write(2):
 *
 *	2026-11-22T13:44:30.123Z info  handshake completed with 192.0.2.1:51820
 *
 * None per packet; connections at debug. Never a secret. What a stranger can cause is logged at
 * debug, or once per series.
 */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);

/* For callers that would do work only to log it. */
int log_enabled(enum log_level level);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_DEBUG))                                                        \
			log_line(LOG_DEBUG, __VA_ARGS__);                                          \
	} while (0)
