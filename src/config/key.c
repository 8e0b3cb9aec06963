// SPDX-License-Identifier: MIT
#include "config.h"

#include <string.h>

enum {
	HEX_LEN = 2 * CONFIG_KEY_LEN,
	BASE64_LEN = 44, /* RFC 4648, section 4: 43 characters and one of padding */
};

/*
 * A table that a secret indexes tells the cache about it, and leaving at the first wrong character
 * tells the clock. So each character is compared with every range of its alphabet, by arithmetic,
 * and whether all were digits is known at the end.
 */
struct range {
	uint8_t first, last; /* characters that follow each other */
	uint8_t value;	     /* what the first stands for */
};

struct alphabet {
	unsigned width;		/* bits of a digit */
	struct range ranges[6]; /* all zero behind the last one */
};

static const struct alphabet hex = {4, {{'0', '9', 0}, {'a', 'f', 10}, {'A', 'F', 10}}};
static const struct alphabet base64 = {
	6, {{'A', 'Z', 0}, {'a', 'z', 26}, {'0', '9', 52}, {'+', '+', 62}, {'/', '/', 63}}};

enum { DIGIT = 1 << 8 }; /* marks the value of a character that is a digit */

/* All ones when first <= x <= last, else 0. All are small: a difference's top bit is its sign. */
static uint32_t within(uint32_t x, uint32_t first, uint32_t last)
{
	return -(((first - 1 - x) & (x - last - 1)) >> 31);
}

/* The value of a digit with DIGIT set, 0 for anything else. */
static uint32_t digit_value(const struct alphabet *alphabet, uint8_t c)
{
	uint32_t value = 0;

	for (const struct range *range = alphabet->ranges; range->last != 0; range++)
		value |= within(c, range->first, range->last) &
			 (DIGIT | ((uint32_t)c - range->first + range->value));
	return value;
}

static char digit_char(const struct alphabet *alphabet, uint32_t value)
{
	uint32_t c = 0;

	for (const struct range *range = alphabet->ranges; range->last != 0; range++) {
		uint32_t place = value - range->value;

		c |= within(place, 0, (uint32_t)range->last - range->first) &
		     (place + range->first);
	}
	return (char)c;
}

/* As many digits of `text` as a key has. */
static bool decode(uint8_t *key, const struct alphabet *alphabet, const char *text)
{
	uint32_t bits = 0, valid = DIGIT;
	unsigned have = 0; /* bits that are not in the key yet */
	size_t len = 0;

	while (len < CONFIG_KEY_LEN) {
		uint32_t value = digit_value(alphabet, (uint8_t)*text++);

		valid &= value;
		bits = bits << alphabet->width | (value & (DIGIT - 1));
		have += alphabet->width;
		if (have >= 8) {
			have -= 8;
			key[len++] = (uint8_t)(bits >> have);
		}
	}
	/* Base64 leaves two bits over; were they free, one key would have four spellings. */
	return valid != 0 && (bits & ((1u << have) - 1)) == 0;
}

bool config_parse_key(uint8_t key[static CONFIG_KEY_LEN], const char *text)
{
	size_t len = strlen(text);
	bool ok = false;

	memset(key, 0, CONFIG_KEY_LEN);
	if (len == HEX_LEN)
		ok = decode(key, &hex, text);
	else if (len == BASE64_LEN)
		ok = decode(key, &base64, text) && text[BASE64_LEN - 1] == '=';
	if (!ok)
		explicit_bzero(key, CONFIG_KEY_LEN);
	return ok;
}

char *config_format_key(const uint8_t key[static CONFIG_KEY_LEN], char text[static BASE64_LEN + 1])
{
	for (size_t i = 0; i < BASE64_LEN - 1; i++) {
		size_t byte = i * 6 / 8;
		unsigned pair = (unsigned)key[byte] << 8;

		if (byte + 1 < CONFIG_KEY_LEN)
			pair |= key[byte + 1];
		text[i] = digit_char(&base64, pair >> (10 - i * 6 % 8) & 63);
	}
	text[BASE64_LEN - 1] = '=';
	text[BASE64_LEN] = '\0';
	return text;
}
