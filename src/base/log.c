// SPDX-License-Identifier: MIT
#include "base/log.h"

#include "base/check.h"
#include "json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	MESSAGE_SIZE = 1024,
	LINE_SIZE = PIPE_BUF, /* longer ones may be torn apart by other writers: pipe(7) */
	TIME_SIZE = 32,
};

static enum log_level threshold = LOG_INFO;
static enum log_format format_used = LOG_TEXT;

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_set_format(enum log_format format)
{
	format_used = format;
}

int log_enabled(enum log_level level)
{
	return level <= threshold;
}

/* RFC 3339, UTC. */
static const char *format_time(char text[static TIME_SIZE])
{
	struct timespec now;
	struct tm utc;
	size_t at;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	at = strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + at, TIME_SIZE - at, ".%03ldZ", now.tv_nsec / 1000000);
	return text;
}

/* A name from a file or the network must not forge a second line or steer a terminal. */
static void mask_control(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

static size_t compose_text(char line[static LINE_SIZE], const char *level, char *message)
{
	char now[TIME_SIZE];

	mask_control(message);
	return (size_t)snprintf(line, LINE_SIZE, "%s %-5s %s", format_time(now), level, message);
}

/* The message comes last: it alone is cut when the line is full. */
static size_t compose_json(char line[static LINE_SIZE], const char *level,
			   const struct log_field *fields, const char *message)
{
	char now[TIME_SIZE];
	struct json json;

	json_begin(&json, line, LINE_SIZE - 1);
	json_add(&json, "time", format_time(now));
	json_add(&json, "level", level);
	for (; fields != NULL && fields->key != NULL; fields++)
		json_add(&json, fields->key, fields->value);
	json_add(&json, "message", message);
	return json_end(&json);
}

__attribute__((format(printf, 3, 0))) static void log_args(enum log_level level,
							   const struct log_field *fields,
							   const char *format, va_list args)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	char message[MESSAGE_SIZE], line[LINE_SIZE];
	size_t len;

	if (!log_enabled(level))
		return;
	vsnprintf(message, sizeof(message), format, args);
	len = format_used == LOG_JSON ? compose_json(line, names[level], fields, message)
				      : compose_text(line, names[level], message);
	line[len] = '\n';
	/* One write(2), so that lines of several processes do not mix. */
	if (write(STDERR_FILENO, line, len + 1) < 0)
		return; /* nowhere left to complain */
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(level, NULL, format, args);
	va_end(args);
}

void log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(level, fields, format, args);
	va_end(args);
}

void check_failed(const char *file, int line, const char *condition)
{
	log_error("fault in wg-tinyproxy at %s:%d: %s does not hold", file, line, condition);
	abort();
}
