// SPDX-License-Identifier: MIT
#include "json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
	UNIT_MAX = 6,  /* bytes of one character as it is written: \u001f */
	CLOSING = 2,   /* of a value and of the object: kept free all the time */
	SEPARATORS = 6 /* of a member, without its value: ,"":"" */
};

void json_begin(struct json *json, char *text, size_t size)
{
	*json = (struct json){.text = text, .size = size, .len = 1};
	text[0] = '{';
}

static bool fits(const struct json *json, size_t len)
{
	return json->len + len + CLOSING <= json->size;
}

/* Bytes of the character at `text`: RFC 3629, section 4; 0: it is none. */
static size_t utf8_len(const char *text)
{
	static const struct {
		uint8_t first_min, first_max; /* of the first byte */
		uint8_t second_min, second_max;
		uint8_t len;
	} rows[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	const uint8_t *byte = (const uint8_t *)text;
	size_t len = 2;

	if (byte[0] < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (byte[0] < rows[i].first_min || byte[0] > rows[i].first_max)
			continue;
		if (byte[1] < rows[i].second_min || byte[1] > rows[i].second_max)
			return 0;
		/* A NUL is no continuation: nothing behind the end is looked at. */
		while (len < rows[i].len && (byte[len] & 0xc0) == 0x80)
			len++;
		return len == rows[i].len ? len : 0;
	}
	return 0;
}

/* The character at `text` as a string has it (RFC 8259, section 7); returns how long it was. */
static size_t escape(char unit[static UNIT_MAX + 1], const char *text)
{
	uint8_t byte = (uint8_t)text[0];
	size_t len = utf8_len(text);

	if (len == 0) {
		strcpy(unit, "\\ufffd");
		return 1;
	}
	if (byte < 0x20 || byte == 0x7f)
		snprintf(unit, UNIT_MAX + 1, "\\u%04x", byte);
	else
		snprintf(unit, UNIT_MAX + 1, "%s%.*s", byte == '"' || byte == '\\' ? "\\" : "",
			 (int)len, text);
	return len;
}

static void append(struct json *json, const char *text)
{
	size_t len = strlen(text);

	memcpy(json->text + json->len, text, len);
	json->len += len;
}

void json_add(struct json *json, const char *key, const char *value)
{
	char unit[UNIT_MAX + 1];

	if (!fits(json, SEPARATORS + strlen(key)))
		return;
	append(json, json->len == 1 ? "\"" : ",\"");
	append(json, key);
	append(json, "\":\"");
	while (*value != '\0') {
		value += escape(unit, value);
		if (!fits(json, strlen(unit)))
			break;
		append(json, unit);
	}
	append(json, "\"");
}

size_t json_end(struct json *json)
{
	append(json, "}");
	return json->len;
}
