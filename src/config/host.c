// SPDX-License-Identifier: MIT
/* Parsers of addresses, lists of them, and host names. */
#include "variable.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char not_a_host[] = "is neither an address nor a host name";
static const char not_unicast[] = "is not a unicast address";

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

bool addr_unspecified(const struct addr *addr)
{
	static const uint8_t zero[16];

	return addr->family != ADDR_NONE && memcmp(addr->ip, zero, sizeof(zero)) == 0;
}

/* Multicast (RFC 5771, section 3; RFC 4291, section 2.7) and broadcast (RFC 919, section 7). */
static bool is_group(const struct addr *addr)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (addr->family == ADDR_V6)
		return addr->ip[0] == 0xff;
	return addr->ip[0] >> 4 == 14 || memcmp(addr->ip, broadcast, sizeof(broadcast)) == 0;
}

/* "10.0.0.2/24" as wg-quick files have it: the prefix says nothing to a single address. */
static const char *parse_inner_address(struct addr *addr, char *text)
{
	struct cidr cidr;

	if (!cidr_parse(&cidr, text))
		return "is not an address";
	text[strcspn(text, "/")] = '\0';
	if (!parse_ip(addr, text) || is_group(addr) || addr_unspecified(addr))
		return not_unicast;
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

/* "[fd00::1]" -> "fd00::1", in place; false when brackets hold anything but IPv6. */
static bool strip_brackets(char **text)
{
	size_t len = strlen(*text);

	if ((*text)[0] != '[')
		return true;
	if ((*text)[len - 1] != ']' || strchr(*text, ':') == NULL)
		return false;
	(*text)[len - 1] = '\0';
	++*text;
	return true;
}

/* Sets all of `host` but the port. NULL, or what is wrong with the text. */
static const char *set_host(struct config_host *host, char **text)
{
	struct addr addr;

	if (!strip_brackets(text) || strlen(*text) >= sizeof(host->name))
		return not_a_host;
	if (!parse_ip(&addr, *text)) {
		if (!name_valid(*text))
			return not_a_host;
		memset(&addr, 0, sizeof(addr));
	}
	if (is_group(&addr))
		return not_unicast;
	addr.port = host->addr.port;
	host->addr = addr;
	memcpy(host->name, *text, strlen(*text) + 1);
	return NULL;
}

const char *parse_host(struct config *config, const struct variable *variable, char **text)
{
	return set_host(variable_field(config, variable), text);
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
	const char *wrong;

	if (colon == NULL)
		return "has no port";
	if (!parse_port(&host->addr.port, colon + 1))
		return "has a port that is not between 1 and 65535";
	/* Bare IPv6 is ambiguous here: its last group would be taken for the port. */
	if ((*text)[0] != '[' && strchr(*text, ':') != colon)
		return "is IPv6 without brackets";
	*colon = '\0';
	wrong = set_host(host, text);
	return wrong == NULL && addr_unspecified(&host->addr) ? not_unicast : wrong;
}

const char *parse_addr(struct config *config, const struct variable *variable, char **text)
{
	struct addr *addr = variable_field(config, variable);

	if (!strip_brackets(text) || !parse_ip(addr, *text))
		return "is not an address";
	return is_group(addr) ? not_unicast : NULL;
}
