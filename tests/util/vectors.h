/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Files of test vectors: one case a line, fields of hex (or words) between tabs, "-" for an empty
 * one, "#" before a comment. They lie in the folder that the environment names with VECTORS_DIR.
 */
enum { VECTORS_LINE_MAX = 8192, VECTORS_FIELDS_MAX = 8 };

struct vectors {
	FILE *file;
	char line[VECTORS_LINE_MAX];
	char *field[VECTORS_FIELDS_MAX];
	size_t fields;
	size_t cases; /* read so far */
};

/* False after a line "SKIP test: why" when VECTORS_DIR is not set; a missing file is a failure. */
bool vectors_open(struct vectors *vectors, const char *file, const char *test);

/* The next case; false at the end, where the file is closed. */
bool vectors_next(struct vectors *vectors);

/* Hex to bytes; "-" is none. Aborts when `hex` is not hex or longer than `room`. */
size_t hex_decode(uint8_t *out, size_t room, const char *hex);
