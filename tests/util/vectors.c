// SPDX-License-Identifier: MIT
#include "vectors.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool vectors_open(struct vectors *vectors, const char *file, const char *test)
{
	const char *folder = getenv("VECTORS_DIR");
	char path[PATH_MAX];

	memset(vectors, 0, sizeof(*vectors));
	if (!folder || *folder == '\0') {
		fprintf(stderr, "SKIP %s: VECTORS_DIR is not set\n", test);
		return false;
	}
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	vectors->file = fopen(path, "re");
	if (!vectors->file) {
		perror(path);
		abort();
	}
	return true;
}

static void split(struct vectors *vectors)
{
	char *rest = vectors->line;

	vectors->line[strcspn(vectors->line, "\n")] = '\0';
	for (vectors->fields = 0; rest && vectors->fields < VECTORS_FIELDS_MAX; vectors->fields++)
		vectors->field[vectors->fields] = strsep(&rest, "\t");
}

bool vectors_next(struct vectors *vectors)
{
	while (fgets(vectors->line, sizeof(vectors->line), vectors->file)) {
		if (vectors->line[0] == '#')
			continue;
		split(vectors);
		vectors->cases++;
		return true;
	}
	fclose(vectors->file);
	return false;
}

size_t hex_decode(uint8_t *out, size_t room, const char *hex)
{
	size_t len = strlen(hex) / 2;

	if (strcmp(hex, "-") == 0)
		return 0;
	if (len > room || strlen(hex) % 2 != 0)
		abort();
	for (size_t i = 0; i < len; i++) {
		char pair[] = {hex[2 * i], hex[2 * i + 1], '\0'};
		char *end;

		out[i] = (uint8_t)strtoul(pair, &end, 16);
		if (end != pair + 2)
			abort();
	}
	return len;
}
