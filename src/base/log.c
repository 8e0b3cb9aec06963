// SPDX-License-Identifier: MIT
#include "base/log.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 1024 };

static enum log_level threshold = LOG_INFO;

void log_set_level(enum log_level level)
{
	threshold = level;
}

int log_enabled(enum log_level level)
{
	return level <= threshold;
}

/* A name from a file or the network must not forge a second line or steer a terminal. */
static void mask_control(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

/* One write(2), so that lines of several processes do not mix. */
static void write_line(char *line, size_t len)
{
	line[len] = '\n';
	if (write(STDERR_FILENO, line, len + 1) < 0)
		return; /* nowhere left to complain */
}

void log_line(enum log_level level, const char *format, ...)
{
	static const char *const names[] = {"error", "warn ", "info ", "debug"};
	char line[LINE_MAX_LEN + 1];
	struct timespec now;
	struct tm utc;
	size_t at;
	va_list args;

	if (!log_enabled(level))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	at = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
	at += (size_t)snprintf(line + at, sizeof(line) - at, ".%03ldZ %s ", now.tv_nsec / 1000000,
			       names[level]);
	va_start(args, format);
	vsnprintf(line + at, LINE_MAX_LEN - at, format, args);
	va_end(args);
	mask_control(line + at);
	write_line(line, strlen(line));
}

void check_failed(const char *file, int line, const char *condition)
{
	log_error("fault in wg-tinyproxy at %s:%d: %s does not hold", file, line, condition);
	abort();
}
