/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdarg.h>

/*
 * One line per event that an operator cares about, on stderr, written with a single write(2):
 *
 *	2026-11-22T13:44:30.123Z info  handshake completed with 192.0.2.1:51820
 *
 * or, as JSON, an object of strings:
 *
 *	{"time":"2026-11-22T13:44:30.123Z","level":"info","event":"handshake",
 *	 "endpoint":"192.0.2.1:51820","message":"handshake completed with 192.0.2.1:51820"}
 *
 * `time`, `level` and `message` are in each, in between what log_event() was given. None per
 * packet; connections at debug. Never a secret. What a stranger can cause is logged at debug, or
 * once per series.
 */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

void log_set_level(enum log_level level);
void log_set_format(enum log_format format);

/* For callers that would do work only to log it. */
int log_enabled(enum log_level level);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/*
 * A fact that the message has too, under a name that does not change when somebody rewords the
 * message: for programs. JSON lines alone show it.
 */
struct log_field {
	const char *key, *value;
};

/* LOG_FIELDS({"event", "draining"}, {"endpoint", text}) */
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {NULL, NULL}})

/* `fields`: borrowed until return, without a key at the end. */
__attribute__((format(printf, 3, 4))) void log_event(enum log_level level,
						     const struct log_field *fields,
						     const char *format, ...);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_DEBUG))                                                        \
			log_line(LOG_DEBUG, __VA_ARGS__);                                          \
	} while (0)
