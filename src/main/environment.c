// SPDX-License-Identifier: MIT
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *get_variable(void *ctx, const char *name)
{
	(void)ctx;
	return getenv(name);
}

/* read(2) and not stdio, whose buffer would keep the key. */
int read_all(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, text + len, size - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	if (len == size)
		return -EFBIG;
	if (memchr(text, '\0', len) != NULL)
		return -EILSEQ;
	text[len] = '\0';
	return 0;
}

static int read_file(void *ctx, const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int error;

	(void)ctx;
	if (fd < 0)
		return -errno;
	error = read_all(fd, text, size);
	close(fd);
	return error;
}

const struct config_source environment_source = {get_variable, read_file, NULL};

/* Every copy: nothing forbids a variable to be there twice. */
static void wipe_variable(const char *name)
{
	size_t len = strlen(name);

	for (char **entry = environ; *entry != NULL; entry++) {
		if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=')
			explicit_bzero(*entry + len + 1, strlen(*entry + len + 1));
	}
}

void environment_wipe_keys(void)
{
	const char *name;

	for (size_t i = 0; (name = config_key_name(i)) != NULL; i++)
		wipe_variable(name);
}
