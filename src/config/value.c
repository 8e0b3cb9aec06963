// SPDX-License-Identifier: MIT
/* Parsers of numbers, sizes, durations, words and keys. */
#include "variable.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const char out_of_range[] = "is out of range";

/* Reads the digits at `*text` and moves behind them. What is too large saturates. */
static bool take_digits(uint64_t *value, const char **text)
{
	size_t len = strspn(*text, "0123456789");

	if (len == 0)
		return false;
	*value = strtoull(*text, NULL, 10);
	*text += len;
	return true;
}

static const char *parse_number(uint64_t *value, const struct variable *variable, const char *text)
{
	if (!take_digits(value, &text) || *text != '\0')
		return "is not a whole number";
	return *value < variable->min || *value > variable->max ? out_of_range : NULL;
}

const char *parse_u16(struct config *config, const struct variable *variable, char **text)
{
	uint64_t value;
	const char *wrong = parse_number(&value, variable, *text);

	if (wrong == NULL)
		*(uint16_t *)variable_field(config, variable) = (uint16_t)value;
	return wrong;
}

const char *parse_u32(struct config *config, const struct variable *variable, char **text)
{
	uint64_t value;
	const char *wrong = parse_number(&value, variable, *text);

	if (wrong == NULL)
		*(uint32_t *)variable_field(config, variable) = (uint32_t)value;
	return wrong;
}

const char *parse_keepalive(struct config *config, const struct variable *variable, char **text)
{
	if (strcasecmp(*text, "off") != 0)
		return parse_u16(config, variable, text);
	config->keepalive_s = 0;
	return NULL;
}

/* The first unit from `from` on that is spelt as the letters at `text`; NULL: none. */
static const struct unit *find_unit(const struct unit *from, const char *text, size_t len)
{
	for (; from->name != NULL; from++) {
		if (strlen(from->name) == len && strncmp(from->name, text, len) == 0)
			return from;
	}
	return NULL;
}

/* Memory is counted in powers of two whatever the spelling, as systemd does. */
const char *parse_size(struct config *config, const struct variable *variable, char **text)
{
	static const struct unit units[] = {
		{"", 1},	 {"K", 1 << 10}, {"Ki", 1 << 10}, {"M", 1 << 20},
		{"Mi", 1 << 20}, {"G", 1 << 30}, {"Gi", 1 << 30}, {NULL, 0},
	};
	const char *at = *text;
	const struct unit *unit;
	uint64_t value;

	if (!take_digits(&value, &at))
		return "is not a size";
	unit = find_unit(units, at, strlen(at));
	if (unit == NULL)
		return "has a unit that is not known";
	if (value > variable->max / unit->factor || value * unit->factor < variable->min)
		return out_of_range;
	*(uint64_t *)variable_field(config, variable) = value * unit->factor;
	return NULL;
}

/* "1m30s": each unit at most once, the larger one first. */
const char *parse_duration(struct config *config, const struct variable *variable, char **text)
{
	static const struct unit units[] = {
		{"h", UINT64_C(3600000000000)},
		{"m", UINT64_C(60000000000)},
		{"s", NS_PER_S},
		{"ms", NS_PER_MS},
		{NULL, 0},
	};
	const struct unit *unit = units;
	const char *at = *text;
	uint64_t value, total = 0;

	/* Zero needs no unit. */
	while (*at != '\0' && strcmp(*text, "0") != 0) {
		size_t len;

		if (!take_digits(&value, &at))
			return "is not a duration";
		len = strspn(at, "hms");
		unit = find_unit(unit, at, len);
		if (unit == NULL)
			return "is not a duration: a unit is missing, unknown or out of order";
		if (value > (variable->max - total) / unit->factor)
			return out_of_range;
		total += value * unit->factor;
		at += len;
		unit++;
	}
	if (total < variable->min)
		return out_of_range;
	*(uint64_t *)variable_field(config, variable) = total;
	return NULL;
}

/* The field is an enum whose values are the indices of the words. */
const char *parse_word(struct config *config, const struct variable *variable, char **text)
{
	for (unsigned i = 0; variable->words[i] != NULL; i++) {
		if (strcasecmp(variable->words[i], *text) == 0) {
			*(unsigned *)variable_field(config, variable) = i;
			return NULL;
		}
	}
	return "is not known";
}

const char *parse_text(struct config *config, const struct variable *variable, char **text)
{
	size_t len = strlen(*text);

	if (len >= variable->max)
		return "is too long";
	memcpy(variable_field(config, variable), *text, len + 1);
	return NULL;
}

const char *parse_key(struct config *config, const struct variable *variable, char **text)
{
	static const uint8_t zero[CONFIG_KEY_LEN];
	uint8_t *key = variable_field(config, variable);

	if (!config_parse_key(key, *text))
		return "is not a key";
	/* Zero is how "no preshared key" is written; no other key may be zero. */
	if (variable->fallback == NULL && memcmp(key, zero, sizeof(zero)) == 0)
		return "is all zero";
	return NULL;
}
