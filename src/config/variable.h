/* SPDX-License-Identifier: MIT */
#pragma once

#include "config.h"

struct variable;

/*
 * Puts a value into `config`. NULL, or what is wrong with it, in words that follow the value;
 * `*text` (the parser's to cut up) then points at the part at fault.
 */
typedef const char *variable_parse(struct config *config, const struct variable *variable,
				   char **text);

/*
 * One row of the table that reading, mistakes and --help come from. `accepted` completes both
 * "accepted: ..." in a mistake and the line of --help.
 */
struct variable {
	const char *name;
	variable_parse *parse;
	const char *fallback; /* NULL: required; "": may be left out */
	const char *meaning;
	const char *accepted;
	size_t field;		  /* offset in struct config; the parser knows its type */
	uint64_t min, max;	  /* numbers: in the field's unit; text: max is the field's size */
	const char *const *words; /* parse_word: in the order of the enum, NULL at the end */
};

/* NULL behind the last one. */
const struct variable *variable_at(size_t index);

/* A key: never repeated in a mistake, and also taken from the file that <name>_FILE names. */
bool variable_is_key(const struct variable *variable);

static inline void *variable_field(struct config *config, const struct variable *variable)
{
	return (char *)config + variable->field;
}

variable_parse parse_key, parse_u16, parse_u32, parse_keepalive, parse_size, parse_duration;
variable_parse parse_word, parse_text, parse_addr, parse_host, parse_endpoint;
/* These two fill a list and its count. */
variable_parse parse_address, parse_allowed;

/* 0.0.0.0 or ::, by which a host means itself. */
bool addr_unspecified(const struct addr *addr);

/* Cuts white space off both ends, in place. */
char *text_trim(char *text);
