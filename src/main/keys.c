// SPDX-License-Identifier: MIT
#include "cli.h"
#include "crypto.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_TEXT_LEN = 44, KEY_INPUT_MAX = 4096 };

static int print_key(const uint8_t key[static CONFIG_KEY_LEN])
{
	char line[KEY_TEXT_LEN + 1];
	ssize_t written;

	config_format_key(key, line);
	line[KEY_TEXT_LEN] = '\n';
	written = write(STDOUT_FILENO, line, sizeof(line));
	explicit_bzero(line, sizeof(line));
	if (written == sizeof(line))
		return 0;
	fputs("wg-tinyproxy: cannot write the key\n", stderr);
	return EXIT_RUNTIME;
}

static bool others_may_read(int fd)
{
	struct stat file;

	return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && (file.st_mode & S_IRWXO) != 0;
}

int keys_generate(void)
{
	uint8_t key[CONFIG_KEY_LEN];
	int status;

	if (others_may_read(STDOUT_FILENO))
		fputs("wg-tinyproxy: warning: others may read the file that the key goes to; "
		      "consider umask 077\n",
		      stderr);
	crypto_random(key, sizeof(key));
	crypto_clamp(key);
	status = print_key(key);
	crypto_wipe(key, sizeof(key));
	return status;
}

/* One key on stdin, white space round it and nothing else. */
static bool read_key(uint8_t key[static CONFIG_KEY_LEN])
{
	static const char white[] = " \t\r\n";
	char text[KEY_INPUT_MAX];
	bool ok = read_all(STDIN_FILENO, text, sizeof(text)) == 0;

	if (ok) {
		char *start = text + strspn(text, white);
		char *end = start + strcspn(start, white);
		bool alone = end[strspn(end, white)] == '\0';

		*end = '\0';
		ok = alone && config_parse_key(key, start);
	}
	crypto_wipe(text, sizeof(text));
	return ok;
}

int keys_derive_public(void)
{
	uint8_t private_key[CONFIG_KEY_LEN], public_key[CONFIG_KEY_LEN];

	if (!read_key(private_key)) {
		fputs("wg-tinyproxy: stdin has no key: 44 characters of base64\n", stderr);
		return EXIT_RUNTIME;
	}
	crypto_public_key(public_key, private_key);
	crypto_wipe(private_key, sizeof(private_key));
	return print_key(public_key);
}
