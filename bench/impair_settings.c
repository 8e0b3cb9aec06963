// SPDX-License-Identifier: MIT
#include "impair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TIME, SHARE, RATE, BYTES, NUMBER, KINDS };

static const struct unit {
	enum kind kind;
	const char *name;
	double factor;
} units[] = {
	{TIME, "ns", 1},     {TIME, "us", 1e3}, {TIME, "ms", 1e6},   {TIME, "s", 1e9},
	{SHARE, "%", 1e4},   {SHARE, "ppm", 1}, {RATE, "kbit", 1e3}, {RATE, "mbit", 1e6},
	{RATE, "gbit", 1e9}, {BYTES, "", 1},	{BYTES, "k", 1024},  {BYTES, "m", 1048576},
	{NUMBER, "", 1},
};

static const double most[KINDS] = {
	[TIME] = 100e9, [SHARE] = 1e6, [RATE] = 1e12, [BYTES] = 4e9, [NUMBER] = 1e15};

#define PATH(name, kind, field, what)                                                              \
	{                                                                                          \
		name, kind, offsetof(struct path_config, field),                                   \
			sizeof(((struct path_config *)NULL)->field), true, what                    \
	}
#define WHOLE(name, kind, field, what)                                                             \
	{                                                                                          \
		name, kind, offsetof(struct settings, field), sizeof(uint64_t), false, what        \
	}

static const struct setting {
	const char *name;
	enum kind kind;
	size_t offset, size;
	bool is_of_path; /* offset is in struct path_config, else in struct settings */
	const char *what;
} settings_known[] = {
	PATH("delay", TIME, delay_ns, "of each packet"),
	PATH("jitter", TIME, jitter_ns, "at most so much on top; does not reorder"),
	PATH("rate", RATE, rate_bps, "of the bottleneck; none without it"),
	PATH("queue", BYTES, queue_bytes,
	     "in front of the bottleneck, as bytes or time; unbounded without"),
	PATH("loss", SHARE, loss_ppm, "each packet for itself"),
	PATH("burst", SHARE, burst_ppm, "that a burst of loss begins, per packet"),
	PATH("burst_end", SHARE, burst_end_ppm,
	     "that it ends, per packet or ms: 20% makes bursts of 5"),
	PATH("burst_loss", SHARE, burst_loss_ppm, "within a burst; all of them without it"),
	PATH("reorder", SHARE, reorder_ppm, "packets that are held back, so that others overtake"),
	PATH("reorder_by", TIME, reorder_ns, "for so long"),
	PATH("duplicate", SHARE, duplicate_ppm, "packets that arrive twice"),
	PATH("mtu", BYTES, mtu, "longer packets vanish"),
	WHOLE("seed", NUMBER, seed, "of all chance (1)"),
	WHOLE("memory", BYTES, memory, "for what is under way, each way (64m)"),
	WHOLE("batch", TIME, batch_ns,
	      "how early a packet may leave, to leave with others (100us)"),
};

/* The factor of a unit of that kind, 0: none of them. */
static double factor_of(enum kind kind, const char *unit)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].kind == kind && strcmp(units[i].name, unit) == 0)
			return units[i].factor;
	}
	return 0;
}

static bool read_value(enum kind kind, const char *text, uint64_t *value)
{
	char *unit;
	double number = strtod(text, &unit);
	double factor = factor_of(kind, unit);

	if (unit == text || factor == 0 || !(number >= 0) || number * factor > most[kind])
		return false;
	*value = (uint64_t)(number * factor + 0.5);
	return true;
}

static void store(void *base, const struct setting *setting, uint64_t value)
{
	uint32_t half = (uint32_t)value;
	void *to = (char *)base + setting->offset;

	if (setting->size == sizeof(half))
		memcpy(to, &half, sizeof(half));
	else
		memcpy(to, &value, sizeof(value));
}

/* A queue as a time waits for the rate, which may come behind it. */
static bool set(struct settings *settings, const struct setting *setting, enum way way,
		const char *text)
{
	struct path_config *path = &settings->path[way];
	uint64_t value, *as_time = NULL;

	if (strcmp(setting->name, "queue") == 0) {
		settings->queue_ns[way] = 0;
		as_time = &settings->queue_ns[way];
	}
	if (as_time != NULL && read_value(TIME, text, as_time))
		return true;
	if (!read_value(setting->kind, text, &value))
		return false;
	store(setting->is_of_path ? (void *)path : settings, setting, value);
	return true;
}

static bool read_word(struct settings *settings, const char *word)
{
	const char *value = strchr(word, '=');
	bool up = strncmp(word, "up.", 3) == 0, down = strncmp(word, "down.", 5) == 0;
	const char *name = up ? word + 3 : down ? word + 5 : word;

	for (size_t i = 0; value != NULL && i < sizeof(settings_known) / sizeof(settings_known[0]);
	     i++) {
		const struct setting *setting = &settings_known[i];

		if (strlen(setting->name) != (size_t)(value - name) ||
		    strncmp(setting->name, name, (size_t)(value - name)) != 0 ||
		    ((up || down) && !setting->is_of_path))
			continue;
		return (down || set(settings, setting, UP, value + 1)) &&
		       (up || set(settings, setting, DOWN, value + 1));
	}
	return false;
}

static bool settle_queue(struct settings *settings, enum way way)
{
	struct path_config *path = &settings->path[way];

	if (settings->queue_ns[way] == 0)
		return true;
	path->queue_bytes = (uint64_t)((double)settings->queue_ns[way] * (double)path->rate_bps /
				       8e9);
	return path->rate_bps > 0;
}

bool settings_read(struct settings *settings, char **words)
{
	for (; *words != NULL; words++) {
		if (!read_word(settings, *words)) {
			fprintf(stderr, "impair: %s is no setting\n", *words);
			return false;
		}
	}
	if (settle_queue(settings, UP) && settle_queue(settings, DOWN))
		return true;
	fprintf(stderr, "impair: a queue as a time needs a rate\n");
	return false;
}

void settings_help(void)
{
	static const char *const forms[KINDS] = {"TIME", "SHARE", "RATE", "BYTES", "NUMBER"};

	puts("impair ADDRESS PORT TO_ADDRESS TO_PORT [NAME=VALUE...]\n\n"
	     "Relays UDP between whoever sends to PORT and TO_PORT, like a bad network.\n"
	     "Prints \"ready PORT\" and, when it is ended by SIGTERM, what it did, as JSON.\n"
	     "After SIGUSR1 chance begins anew, from the same seed.\n");
	for (size_t i = 0; i < sizeof(settings_known) / sizeof(settings_known[0]); i++)
		printf("  %-11s %-7s %s\n", settings_known[i].name, forms[settings_known[i].kind],
		       settings_known[i].what);
	puts("\nTIME: ns us ms s; SHARE: % ppm; RATE: kbit mbit gbit, of UDP payload; BYTES of "
	     "UDP\n"
	     "payload: none, k, m. Both ways, or one alone: up.loss=1% is from the client,\n"
	     "down.loss=1% to it.");
}
