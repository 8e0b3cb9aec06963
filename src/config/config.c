// SPDX-License-Identifier: MIT
#include "config.h"

#include "rules.h"
#include "variable.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Configuration in three steps, each of which knows nothing of the others:
 *
 *	variable.c	the table: one row per variable, with its parser, its default, and the
 *			words that --help and a mistake share
 *	value.c host.c	the parsers: a text becomes a field of struct config, or a few words that
 *	key.c		say what is wrong with it
 *	rules.c		what the fields must be to each other, looked at when all are there
 *
 * This file walks down the table: finds each variable's text, hands it to the parser, and writes
 * down what the parser did not like. Nothing ends the walk early. Who starts a container waits
 * seconds for each attempt, so one run must name every mistake, and none twice: a field whose text
 * was wrong stays zero, which the rules take for "not known".
 *
 * Defaults take the same way as values do: there is no second place where a default is written,
 * and the tests read a configuration of nothing but the required variables.
 *
 * A key may come from a file instead (<NAME>_FILE), as orchestrators mount secrets. White space
 * around a value is cut off wherever it came from: a mounted secret, and a variable filled from
 * one, usually ends in a newline that nobody sees.
 *
 * Secrets: every buffer that has held a value is wiped. A mistake repeats the part of the value
 * that is at fault, except for the keys' variables and for anything that may have a key inside
 * (somebody has mixed up two variables, or the quotes); of <NAME>_FILE the path is not repeated
 * either, since people put the key itself there.
 */
enum {
	VALUE_MAX = 4096, /* bytes of a value, the final NUL included */
	QUOTED_MAX = 64,  /* bytes of a value that a mistake repeats */
	KEY_DIGITS = 43,  /* of base64, without the padding */
};

static const char too_long[] = "is too long";

void error_add(struct config_errors *errors, const char *format, ...)
{
	size_t index = errors->count++;
	va_list args;

	if (index >= CONFIG_ERRORS_MAX)
		return;
	va_start(args, format);
	vsnprintf(errors->line[index], CONFIG_ERROR_LEN, format, args);
	va_end(args);
}

/* A run of base64 digits as long as a key, which a key's 64 hex digits are as well. */
static bool may_hold_key(const char *text)
{
	size_t run = 0;

	for (; *text != '\0' && run < KEY_DIGITS; text++)
		run = isalnum((unsigned char)*text) || *text == '+' || *text == '/' ? run + 1 : 0;
	return run == KEY_DIGITS;
}

/* A mistake in the value `text`, which lies in variable->name or in its file. */
static void value_error(struct config_errors *errors, const struct variable *variable,
			const char *text, const char *wrong)
{
	if (!variable_is_key(variable) && !may_hold_key(text))
		error_add(errors, "%s \"%.*s%s\" %s; accepted: %s", variable->name, QUOTED_MAX,
			  text, strlen(text) > QUOTED_MAX ? "..." : "", wrong, variable->accepted);
	else
		error_add(errors, "%s %s; accepted: %s", variable->name, wrong, variable->accepted);
}

/* The variable's text, NULL where there is none. */
static const char *get_text(const struct config_source *source, const char *name)
{
	const char *text = source->get(source->ctx, name);

	return text == NULL || text[strspn(text, " \t\r\n")] == '\0' ? NULL : text;
}

static void parse_value(struct config *config, const struct variable *variable, char *value,
			struct config_errors *errors)
{
	char *part = text_trim(value);
	const char *wrong = variable->parse(config, variable, &part);

	if (wrong != NULL)
		value_error(errors, variable, part, wrong);
}

/* What is wrong with a file that was read with this result, or for 0 with what it holds. */
static void file_error(struct config_errors *errors, const struct variable *variable, int error)
{
	const char *wrong = error == 0	       ? "is empty"
			    : error == -EILSEQ ? "has a NUL byte inside"
					       : "cannot be read: ";

	error_add(errors, "%s_FILE names a file that %s%s; accepted: the path of a file with %s",
		  variable->name, wrong, error == 0 || error == -EILSEQ ? "" : strerror(-error),
		  variable->accepted);
}

/* True when <NAME>_FILE is set: then `value` is filled, or the mistake is noted and it is empty. */
static bool read_key_file(const struct variable *variable, const struct config_source *source,
			  char value[static VALUE_MAX], struct config_errors *errors)
{
	char name[64];
	const char *path;
	int error;

	snprintf(name, sizeof(name), "%s_FILE", variable->name);
	path = get_text(source, name);
	if (path == NULL)
		return false;
	error = source->read_file(source->ctx, path, value, VALUE_MAX);
	if (error == 0 && value[strspn(value, " \t\r\n")] != '\0')
		return true;
	file_error(errors, variable, error);
	value[0] = '\0';
	return true;
}

static void read_variable(struct config *config, const struct variable *variable,
			  const struct config_source *source, struct config_errors *errors)
{
	const char *text = get_text(source, variable->name);
	char value[VALUE_MAX] = "";

	if (variable_is_key(variable) && read_key_file(variable, source, value, errors)) {
		if (text != NULL)
			error_add(errors, "%s and %s_FILE are both set; accepted: one of them",
				  variable->name, variable->name);
	} else if (text != NULL && strlen(text) >= sizeof(value)) {
		value_error(errors, variable, text, too_long);
	} else if (text != NULL) {
		memcpy(value, text, strlen(text) + 1);
	} else if (variable->fallback == NULL) {
		error_add(errors, "%s is not set; accepted: %s", variable->name,
			  variable->accepted);
	} else {
		memcpy(value, variable->fallback, strlen(variable->fallback) + 1);
	}
	if (value[0] != '\0')
		parse_value(config, variable, value, errors);
	explicit_bzero(value, sizeof(value));
}

bool config_read(struct config *config, const struct config_source *source,
		 struct config_errors *errors)
{
	const struct variable *variable;

	memset(config, 0, sizeof(*config));
	errors->count = 0;
	for (size_t i = 0; (variable = variable_at(i)) != NULL; i++)
		read_variable(config, variable, source, errors);
	config->listen_addr.port = config->local_port;
	rules_check(config, errors);
	return errors->count == 0;
}

void config_wipe(struct config *config)
{
	explicit_bzero(config, sizeof(*config));
}
