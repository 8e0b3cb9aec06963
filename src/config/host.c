// SPDX-License-Identifier: MIT
/* Parsers of addresses, lists of them, and host names. */
#include "variable.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char not_a_host[] = "is neither an address nor a host name";

char *text_trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* IPv4 behind an IPv6 mask (RFC 4291, section 2.5.5.2) would slip past every check by family. */
static bool is_mapped(const struct addr *addr)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return addr->family == ADDR_V6 && memcmp(addr->ip, prefix, sizeof(prefix)) == 0;
}

static bool parse_ip(struct addr *addr, const char *text)
{
	return addr_parse(addr, text) && !is_mapped(addr);
}

/* 224.0.0.0/4 and ff00::/8; "unspecified" is all zero. */
static bool is_unicast(const struct addr *addr)
{
	static const uint8_t unspecified[16];

	if (memcmp(addr->ip, unspecified, sizeof(unspecified)) == 0)
		return false;
	return addr->family == ADDR_V4 ? addr->ip[0] < 224 : addr->ip[0] != 0xff;
}

/* "10.0.0.2/24" as wg-quick files have it: the prefix says nothing to a single address. */
static const char *parse_inner_address(struct addr *addr, char *text)
{
	struct cidr cidr;

	if (!cidr_parse(&cidr, text))
		return "is not an address";
	text[strcspn(text, "/")] = '\0';
	if (!parse_ip(addr, text) || !is_unicast(addr))
		return "is not a unicast address";
	return NULL;
}

const char *parse_address(struct config *config, const struct variable *variable, char **text)
{
	char *rest = *text;
	size_t count = 0;

	(void)variable;
	for (char *item = strsep(&rest, ","); item != NULL; item = strsep(&rest, ",")) {
		struct addr addr;
		const char *wrong;

		*text = text_trim(item);
		wrong = parse_inner_address(&addr, *text);
		if (wrong != NULL)
			return wrong;
		/* Two addresses have used up both families. */
		if (count == 2 || (count == 1 && config->address[0].family == addr.family))
			return "is the second address of its family";
		config->address[count++] = addr;
	}
	config->address_count = count;
	return NULL;
}

const char *parse_allowed(struct config *config, const struct variable *variable, char **text)
{
	char *rest = *text;
	size_t count = 0;

	(void)variable;
	for (char *item = strsep(&rest, ","); item != NULL; item = strsep(&rest, ",")) {
		*text = text_trim(item);
		if (count == CONFIG_ALLOWED_MAX)
			return "is one CIDR too many";
		if (!cidr_parse(&config->allowed[count++], *text))
			return "is not a CIDR";
	}
	config->allowed_count = count;
	return NULL;
}

static bool label_valid(const char *label, size_t len)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	return len >= 1 && len <= 63 && strspn(label, letters) >= len && label[0] != '-' &&
	       label[len - 1] != '-';
}

/*
 * RFC 1123, section 2.1; underscores are tolerated because people use them. A name whose last label
 * is a number is a mistyped IPv4 address: no top-level domain is numeric.
 */
static bool name_valid(const char *name)
{
	bool numeric = true;

	while (*name != '\0') {
		size_t len = strcspn(name, ".");

		if (!label_valid(name, len))
			return false;
		numeric = strspn(name, "0123456789") == len;
		name += len;
		if (*name == '.')
			name++;
	}
	return !numeric;
}

/* "[fd00::1]" -> "fd00::1", in place; NULL when brackets hold anything but IPv6. */
static char *strip_brackets(char *text)
{
	size_t len = strlen(text);

	if (text[0] != '[')
		return text;
	if (text[len - 1] != ']' || strchr(text, ':') == NULL)
		return NULL;
	text[len - 1] = '\0';
	return text + 1;
}

/* Sets all of `host` but the port. */
static bool set_host(struct config_host *host, char *text)
{
	struct addr addr;

	text = strip_brackets(text);
	if (text == NULL || strlen(text) >= sizeof(host->name))
		return false;
	if (!parse_ip(&addr, text)) {
		if (!name_valid(text))
			return false;
		memset(&addr, 0, sizeof(addr));
	}
	addr.port = host->addr.port;
	host->addr = addr;
	memcpy(host->name, text, strlen(text) + 1);
	return true;
}

const char *parse_host(struct config *config, const struct variable *variable, char **text)
{
	return set_host(variable_field(config, variable), *text) ? NULL : not_a_host;
}

static bool parse_port(uint16_t *port, const char *text)
{
	size_t len = strlen(text);
	unsigned long value = strtoul(text, NULL, 10);

	if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
		return false;
	*port = (uint16_t)value;
	return value >= 1 && value <= UINT16_MAX;
}

const char *parse_endpoint(struct config *config, const struct variable *variable, char **text)
{
	struct config_host *host = variable_field(config, variable);
	char *colon = strrchr(*text, ':');

	if (colon == NULL)
		return "has no port";
	if (!parse_port(&host->addr.port, colon + 1))
		return "has a port that is not between 1 and 65535";
	/* Bare IPv6 is ambiguous here: its last group would be taken for the port. */
	if ((*text)[0] != '[' && strchr(*text, ':') != colon)
		return "is IPv6 without brackets";
	*colon = '\0';
	return set_host(host, *text) ? NULL : not_a_host;
}

const char *parse_addr(struct config *config, const struct variable *variable, char **text)
{
	char *bare = strip_brackets(*text);

	if (bare == NULL || !parse_ip(variable_field(config, variable), bare))
		return "is not an address";
	return NULL;
}
