// SPDX-License-Identifier: MIT
/*
 * What a prober writes, taken apart. Of a request only the first line means anything here (RFC
 * 9112, section 3); header fields are skipped, for none of them can change the answer.
 *
 * A query is a health check's configuration: somebody who misspells a parameter must learn it on
 * the first probe, not on the day that the check should have failed. So whatever is not understood
 * is refused, with a text that says what is accepted.
 */
#include "inside.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

bool request_complete(const char *text, size_t len)
{
	const char *end = text + len;
	const char *line = text;

	while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		line++;
		if (line < end && *line == '\r')
			line++;
		if (line < end && *line == '\n')
			return true;
	}
	return false;
}

/* The first line, NUL-terminated; false when it has bytes that no request line has. */
static bool cut_line(char *text)
{
	char *end = strpbrk(text, "\r\n");

	if (!end || (*end == '\r' && end[1] != '\n'))
		return false;
	*end = '\0';
	for (const char *c = text; c < end; c++) {
		if (*c < ' ' || *c > '~')
			return false;
	}
	return true;
}

static unsigned check_version(const char *version)
{
	if (strcmp(version, "HTTP/1.1") == 0 || strcmp(version, "HTTP/1.0") == 0)
		return HTTP_OK;
	if (strlen(version) == strlen("HTTP/2.0") && strncmp(version, "HTTP/", 5) == 0)
		return HTTP_VERSION_NOT_SUPPORTED;
	return HTTP_BAD_REQUEST;
}

unsigned request_parse(struct request *request, char *text)
{
	char *rest = text;
	const char *method;
	char *target;
	unsigned status;

	if (!cut_line(text))
		return HTTP_BAD_REQUEST;
	method = strsep(&rest, " ");
	target = strsep(&rest, " ");
	if (!rest || *method == '\0' || *target != '/')
		return HTTP_BAD_REQUEST;
	status = check_version(rest);
	if (status != HTTP_OK)
		return status;
	request->head = strcmp(method, "HEAD") == 0;
	request->path = strsep(&target, "?");
	request->query = target ? target : rest + strlen(rest);
	return request->head || strcmp(method, "GET") == 0 ? HTTP_OK : HTTP_METHOD_NOT_ALLOWED;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986, section 2.1, in place. False for a "%" without two digits and for what is no text. */
static bool percent_decode(char *text)
{
	char *out = text;

	for (const char *c = text; *c != '\0'; c++) {
		*out = *c;
		if (*c == '%') {
			int high = hex_digit(c[1]);
			int low = high < 0 ? -1 : hex_digit(c[2]);

			if (low < 0)
				return false;
			*out = (char)(high << 4 | low);
			c += 2;
		}
		if (*out < ' ' || *out > '~')
			return false;
		out++;
	}
	*out = '\0';
	return true;
}

static bool set_mode(struct probe *probe, char *value)
{
	if (strcmp(value, "tcp") == 0)
		probe->mode = PROBE_TCP;
	else if (strcmp(value, "http") == 0)
		probe->mode = PROBE_HTTP;
	return probe->mode != PROBE_NONE;
}

/* It is written into a request line: a space would end it there. */
static bool set_path(struct probe *probe, char *value)
{
	probe->path = value;
	return value[0] == '/' && strlen(value) <= PROBE_PATH_MAX && !strchr(value, ' ');
}

static uint64_t unit_ms(const char *unit)
{
	if (strcmp(unit, "ms") == 0)
		return 1;
	if (strcmp(unit, "s") == 0)
		return 1000;
	return strcmp(unit, "m") == 0 ? 60 * 1000 : 0;
}

static bool set_timeout(struct probe *probe, char *value)
{
	size_t digits = strspn(value, "0123456789");

	if (digits > 6) /* far beyond what is accepted, far below what overflows */
		return false;
	probe->timeout_ns = strtoul(value, NULL, 10) * unit_ms(value + digits) * NS_PER_MS;
	return probe->timeout_ns > 0 && probe->timeout_ns <= HEALTH_PROBE_TIMEOUT_MAX_S * NS_PER_S;
}

static const struct parameter {
	const char *name;
	bool (*set)(struct probe *probe, char *value);
	const char *accepted;
} parameters[] = {
	{"mode", set_mode, "mode: accepted are tcp and http"},
	{"path", set_path,
	 "path: accepted is what begins with /, has no spaces and at most 1024 bytes"},
	{"timeout", set_timeout, "timeout: accepted are 1ms to 60s, as in 500ms, 3s, 1m"},
};

enum { PARAMETERS = sizeof(parameters) / sizeof(parameters[0]) };

/* One "name=value"; `seen` has a bit for each parameter that came before. */
static const char *parse_parameter(struct probe *probe, char *text, unsigned *seen)
{
	const char *name = strsep(&text, "=");

	for (size_t i = 0; i < PARAMETERS; i++) {
		if (strcmp(name, parameters[i].name) != 0)
			continue;
		if (*seen & 1u << i)
			return "accepted is each parameter once";
		*seen |= 1u << i;
		if (!text || !percent_decode(text) || !parameters[i].set(probe, text))
			return parameters[i].accepted;
		return NULL;
	}
	return "accepted parameters are mode, path and timeout";
}

const char *probe_parse(struct probe *probe, char *query)
{
	const char *wrong = NULL;
	unsigned seen = 0;
	char *rest = *query != '\0' ? query : NULL;

	*probe = (struct probe){.timeout_ns = HEALTH_PROBE_TIMEOUT_S * NS_PER_S};
	while (rest && !wrong)
		wrong = parse_parameter(probe, strsep(&rest, "&"), &seen);
	if (!wrong && probe->path && probe->mode != PROBE_HTTP)
		wrong = "path: accepted with mode=http only";
	if (!probe->path)
		probe->path = "/";
	return wrong;
}
