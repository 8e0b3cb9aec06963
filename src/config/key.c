// SPDX-License-Identifier: MIT
#include "config.h"

#include <string.h>

enum {
	HEX_LEN = 2 * CONFIG_KEY_LEN,
	BASE64_LEN = 44, /* RFC 4648, section 4: 43 characters and one of padding */
};

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of a digit, -1 for anything else; `c` is not NUL. */
static int digit_value(const char *digits, char c)
{
	const char *at = strchr(digits, c);

	return at == NULL ? -1 : (int)(at - digits);
}

static bool decode_hex(uint8_t *key, const char *text)
{
	for (size_t i = 0; i < HEX_LEN; i++) {
		char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] + ('a' - 'A')) : text[i];
		int value = digit_value(hex_digits, c);

		if (value < 0)
			return false;
		key[i / 2] = (uint8_t)(key[i / 2] << 4 | value);
	}
	return true;
}

static bool decode_base64(uint8_t *key, const char *text)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < BASE64_LEN - 1; i++) {
		int value = digit_value(base64_digits, text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*key++ = (uint8_t)(bits >> have);
		}
	}
	/* Two bits are left over; were they free, one key would have four spellings. */
	return (bits & 3) == 0 && text[BASE64_LEN - 1] == '=';
}

bool config_parse_key(uint8_t key[static CONFIG_KEY_LEN], const char *text)
{
	size_t len = strlen(text);
	bool ok = false;

	memset(key, 0, CONFIG_KEY_LEN);
	if (len == HEX_LEN)
		ok = decode_hex(key, text);
	else if (len == BASE64_LEN)
		ok = decode_base64(key, text);
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
		text[i] = base64_digits[pair >> (10 - i * 6 % 8) & 63];
	}
	text[BASE64_LEN - 1] = '=';
	text[BASE64_LEN] = '\0';
	return text;
}
