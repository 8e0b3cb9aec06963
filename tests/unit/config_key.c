// SPDX-License-Identifier: MIT
/* Keys: their spellings, their files, and that no mistake gives one away. */
#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define PRIVATE_KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PUBLIC_KEY  "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define ZERO_KEY    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SECRET_PART "lXXJte14tji3zlMNq"
#define HEX_KEY	    "c809f3e5317e9575c9b5ed78b638b7ce530dabe85ddab614220241801DDF0669"
#define HEX_PART    "c9b5ed78b638b7ce"

/* The world of these tests: the variables that a test looks at, and one file. */
static const char *private_key, *private_key_file, *preshared_key, *public_key, *target_host;
static const char *address, *allowed_ip, *endpoint, *local_port;
static const char *file_text;
static int file_result;
static struct config config;
static struct config_errors errors;

static const char *get(void *ctx, const char *name)
{
	const struct {
		const char *name, *value;
	} table[] = {
		{"WG_PRIVATE_KEY", private_key},
		{"WG_PRIVATE_KEY_FILE", private_key_file},
		{"WG_PRESHARED_KEY", preshared_key},
		{"WG_PUBLIC_KEY", public_key},
		{"WG_ADDRESS", address},
		{"WG_ALLOWED_IP", allowed_ip},
		{"WG_ENDPOINT", endpoint},
		{"LOCAL_PORT", local_port},
		{"TARGET_HOST", target_host},
		{"TARGET_PORT", "80"},
	};

	(void)ctx;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(table[i].name, name) == 0)
			return table[i].value;
	}
	return NULL;
}

static int read_file(void *ctx, const char *path, char *text, size_t size)
{
	(void)ctx;
	if (strcmp(path, "/run/secrets/key") != 0)
		return -ENOENT;
	if (strlen(file_text) >= size)
		return -EFBIG;
	memcpy(text, file_text, strlen(file_text) + 1);
	return file_result;
}

static bool read_config(void)
{
	struct config_source source = {get, read_file, NULL};

	return config_read(&config, &source, &errors);
}

static void set_up(void)
{
	private_key = PRIVATE_KEY;
	public_key = PUBLIC_KEY;
	address = "10.0.0.2";
	allowed_ip = "0.0.0.0/0";
	endpoint = "192.0.2.1:51820";
	local_port = "8080";
	target_host = "10.0.0.1";
}

TestSuite(config_key, .init = set_up, .timeout = 10);

/* One mistake with `word` in it, and nothing of the secret. */
static void expect_mistake(const char *word)
{
	cr_assert_not(read_config(), "no mistake found, expected: %s", word);
	cr_assert_eq(errors.count, 1, "%zu: %s; %s", errors.count, errors.line[0], errors.line[1]);
	cr_expect_not_null(strstr(errors.line[0], word), "no \"%s\": %s", word, errors.line[0]);
	cr_expect_null(strstr(errors.line[0], SECRET_PART), "%s", errors.line[0]);
	cr_expect_null(strstr(errors.line[0], HEX_PART), "%s", errors.line[0]);
}

Test(config_key, base64_and_hex_agree)
{
	uint8_t a[CONFIG_KEY_LEN], b[CONFIG_KEY_LEN];
	char text[45];

	cr_assert(config_parse_key(a, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd+/8="));
	cr_assert(config_parse_key(b, "000102030405060708090a0b0c0d0e0f"
				      "101112131415161718191A1B1C1DFBFF"));
	cr_expect_arr_eq(a, b, sizeof(a));
	for (uint8_t i = 0; i < 30; i++)
		cr_expect_eq(a[i], i);
	cr_expect_str_eq(config_format_key(a, text),
			 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd+/8=");
}

Test(config_key, other_spellings_are_refused_and_leave_nothing)
{
	static const char *const bad[] = {
		"",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd+/8",	 /* no padding */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd+/8==", /* too much */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd+/9=",	 /* bits left over */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd+/8A",	 /* 33 bytes */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd-_8=",	 /* the URL alphabet */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd =8=",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfbf",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfbfg",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfbff0",
	};
	static const uint8_t zero[CONFIG_KEY_LEN];
	uint8_t key[CONFIG_KEY_LEN];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(key, 0xa5, sizeof(key));
		cr_expect_not(config_parse_key(key, bad[i]), "%s", bad[i]);
		cr_expect_arr_eq(key, zero, sizeof(key), "%s", bad[i]);
	}
}

/* Each byte in place of a digit: a digit's value arrives, anything else is refused. */
Test(config_key, every_character_is_judged)
{
	static const char hex[] = "0123456789abcdefABCDEF";
	static const char base64[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[] = PRIVATE_KEY, hex_text[] = HEX_KEY, again[45];
	uint8_t key[CONFIG_KEY_LEN];

	for (int c = 1; c <= UINT8_MAX; c++) {
		const char *at = strchr(hex, c);

		hex_text[9] = text[8] = (char)c;
		cr_expect_eq(config_parse_key(key, hex_text), at != NULL, "%d", c);
		cr_expect(at == NULL || key[4] == 0x30 + (at - hex < 16 ? at - hex : at - hex - 6),
			  "%d", c);
		/* The first of four digits: the upper six bits of a byte. */
		at = strchr(base64, c);
		cr_expect_eq(config_parse_key(key, text), at != NULL, "%d", c);
		cr_expect(at == NULL || key[6] >> 2 == at - base64, "%d", c);
		if (at != NULL)
			cr_expect_str_eq(config_format_key(key, again), text);
	}
}

Test(config_key, a_file_gives_the_same_as_the_variable)
{
	char text[45];

	private_key = NULL;
	private_key_file = "/run/secrets/key";
	file_text = "\t" PRIVATE_KEY " \r\n\n";
	cr_assert(read_config(), "%s", errors.line[0]);
	cr_expect_str_eq(config_format_key(config.private_key, text), PRIVATE_KEY);
}

Test(config_key, both_variable_and_file_is_a_mistake)
{
	private_key_file = "/run/secrets/key";
	file_text = PRIVATE_KEY;
	expect_mistake("both");
}

Test(config_key, files_that_hold_no_key_are_named)
{
	char large[5000];

	private_key = NULL;
	private_key_file = "/nowhere";
	expect_mistake("No such file");
	private_key_file = PRIVATE_KEY; /* the key itself where its path belongs */
	expect_mistake("WG_PRIVATE_KEY_FILE");
	private_key_file = "/run/secrets/key";
	file_text = " \n";
	expect_mistake("empty");
	memset(large, 'A', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	file_text = large;
	expect_mistake("cannot be read: File too large");
	file_text = SECRET_PART;
	expect_mistake("WG_PRIVATE_KEY is not a key");
	file_text = PRIVATE_KEY;
	file_result = -EILSEQ;
	expect_mistake("WG_PRIVATE_KEY_FILE names a file that has a NUL byte inside; accepted");
}

Test(config_key, a_mistake_never_repeats_a_key)
{
	private_key = PRIVATE_KEY "=";
	expect_mistake("WG_PRIVATE_KEY is not a key");
	private_key = PRIVATE_KEY;
	preshared_key = SECRET_PART;
	expect_mistake("WG_PRESHARED_KEY is not a key");
	preshared_key = NULL;
	public_key = SECRET_PART; /* somebody has mixed them up */
	expect_mistake("WG_PUBLIC_KEY is not a key");
	public_key = PUBLIC_KEY;
	target_host = PRIVATE_KEY;
	expect_mistake("TARGET_HOST is neither");
}

Test(config_key, a_mistake_never_repeats_a_key_inside_other_text)
{
	allowed_ip = "10.0.0.0/8, " PRIVATE_KEY "/32";
	expect_mistake("WG_ALLOWED_IP is not a CIDR");
	allowed_ip = "0.0.0.0/0";
	address = HEX_KEY "/32";
	expect_mistake("WG_ADDRESS is not an address");
	address = "10.0.0.2";
	endpoint = "[" PRIVATE_KEY "]:51820";
	expect_mistake("WG_ENDPOINT is neither");
	endpoint = "192.0.2.1:" HEX_KEY;
	expect_mistake("WG_ENDPOINT has a port that is not");
	endpoint = "192.0.2.1:51820";
	local_port = "'" PRIVATE_KEY "'";
	expect_mistake("LOCAL_PORT is not a whole number");
	local_port = "8080";
	target_host = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk"; /* its padding is missing */
	expect_mistake("TARGET_HOST is neither");
	target_host = "x " HEX_KEY;
	expect_mistake("TARGET_HOST is neither");
	/* One digit less is no key. */
	target_host = "+" HEX_PART HEX_PART "lXXJte14t";
	cr_expect_not(read_config());
	cr_expect_not_null(strstr(errors.line[0], target_host), "%s", errors.line[0]);
}

Test(config_key, only_the_preshared_key_may_be_zero)
{
	preshared_key = ZERO_KEY;
	cr_expect(read_config());
	private_key = ZERO_KEY;
	expect_mistake("WG_PRIVATE_KEY is all zero");
	private_key = PRIVATE_KEY;
	public_key = ZERO_KEY;
	expect_mistake("WG_PUBLIC_KEY is all zero");
}

Test(config_key, names_of_the_keys)
{
	cr_expect_str_eq(config_key_name(0), "WG_PRIVATE_KEY");
	cr_expect_str_eq(config_key_name(1), "WG_PUBLIC_KEY");
	cr_expect_str_eq(config_key_name(2), "WG_PRESHARED_KEY");
	cr_expect_null(config_key_name(3));
}

Test(config_key, wiping_leaves_nothing)
{
	static const struct config zero;

	cr_assert(read_config());
	config_wipe(&config);
	cr_expect_arr_eq(&config, &zero, sizeof(config));
}
