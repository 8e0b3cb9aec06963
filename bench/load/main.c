/* SPDX-License-Identifier: MIT */
#include "listen.h"
#include "load.h"
#include "message.h"
#include "stream.h"

#include <stdbool.h>
#include <stddef.h>

/*
 *	load serve ADDRESS PORT			the server; prints "ready PORT"
 *	load run   ADDRESS PORT [NAME=NUMBER...]	a load, and what it took
 *	load first ADDRESS PORT TIMEOUT_MS	the time of day, in us, of the first answer
 *	load streams ADDRESS PORT CONTROL	the server of streams; prints "ready PORT"
 *	load stream ADDRESS PORT CONTROL up|down BYTES MS	one of them, limited in both
 *	load cpu   PID...			CPU time of each process in ns, one a line
 */
static int usage(void)
{
	fputs("usage: load serve|run|first ADDRESS PORT [NAME=NUMBER...|TIMEOUT_MS]\n"
	      "       load streams ADDRESS PORT CONTROL\n"
	      "       load stream ADDRESS PORT CONTROL up|down BYTES MS\n"
	      "       load cpu PID...\n",
	      stderr);
	return 2;
}

static const struct {
	const char *name;
	size_t offset;
} run_settings[] = {
	{"conns", offsetof(struct load, conns)},
	{"together", offsetof(struct load, together)},
	{"depth", offsetof(struct load, depth)},
	{"per_conn", offsetof(struct load, per_conn)},
	{"exchanges", offsetof(struct load, exchanges)},
	{"ms", offsetof(struct load, ms)},
	{"up", offsetof(struct load, up)},
	{"down", offsetof(struct load, down)},
	{"hold", offsetof(struct load, hold)},
	{"timeout_ms", offsetof(struct load, timeout_ms)},
};

static bool read_setting(struct load *load, const char *word)
{
	const char *value = strchr(word, '=');
	char *end;

	for (size_t i = 0; value != NULL && i < sizeof(run_settings) / sizeof(run_settings[0]);
	     i++) {
		const char *name = run_settings[i].name;

		if (strlen(name) != (size_t)(value - word) ||
		    strncmp(name, word, strlen(name)) != 0)
			continue;
		*(uint64_t *)(void *)((char *)load + run_settings[i].offset) = strtoull(value + 1,
											&end, 10);
		return *end == '\0' && end != value + 1;
	}
	return false;
}

static int run(const struct addrinfo *to, char **words)
{
	struct load load = {.conns = 1, .depth = 1, .exchanges = UINT64_MAX, .timeout_ms = 60000};

	for (; *words != NULL; words++) {
		if (!read_setting(&load, *words)) {
			fprintf(stderr, "load: %s is no setting\n", *words);
			return 2;
		}
	}
	if (load.conns < 1 || load.conns > CONNS_MAX || load.depth < 1 || load.depth > DEPTH_MAX) {
		fprintf(stderr, "load: conns 1..%d, depth 1..%d\n", CONNS_MAX, DEPTH_MAX);
		return 2;
	}
	return run_load(to, &load);
}

/* Exact, other than the ticks in /proc/PID/stat, and with threads that have ended. */
static int print_cpu(char **pids)
{
	for (; *pids != NULL; pids++) {
		clockid_t clock;

		if (clock_getcpuclockid((pid_t)strtol(*pids, NULL, 10), &clock) != 0) {
			fprintf(stderr, "load: no process %s\n", *pids);
			return 1;
		}
		printf("%llu\n", (unsigned long long)clock_ns(clock));
	}
	return 0;
}

static int stream(const struct addrinfo *to, char **words)
{
	struct stream stream = {.control = words[0],
				.up = strcmp(words[1], "up") == 0,
				.bytes = strtoull(words[2], NULL, 10),
				.limit_ms = strtoull(words[3], NULL, 10)};

	return run_stream(to, &stream);
}

int main(int argc, char **argv)
{
	struct addrinfo *address;

	if (argc > 2 && strcmp(argv[1], "cpu") == 0)
		return print_cpu(argv + 2);
	if (argc < 4)
		return usage();
	message_init();
	address = address_of(argv[2], argv[3]);
	if (strcmp(argv[1], "serve") == 0)
		serve(address);
	if (strcmp(argv[1], "run") == 0)
		return run(address, argv + 4);
	if (strcmp(argv[1], "first") == 0 && argc == 5)
		return run_first(address, strtoull(argv[4], NULL, 10));
	if (strcmp(argv[1], "streams") == 0 && argc == 5)
		serve_streams(address, argv[4]);
	if (strcmp(argv[1], "stream") == 0 && argc == 8)
		return stream(address, argv + 4);
	return usage();
}
