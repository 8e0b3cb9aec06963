/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* An object of strings, in memory of fixed size. It is valid JSON whatever bytes go in. */
struct json {
	char *text; /* borrowed */
	size_t size, len;
};

void json_begin(struct json *json, char *text, size_t size);

/*
 * What does not fit is cut off the end of the value, and from then on members are left out.
 * `key` is plain text. Bytes that are no UTF-8 become U+FFFD.
 */
void json_add(struct json *json, const char *key, const char *value);

/* Closes the object and returns its length. */
size_t json_end(struct json *json);
