// SPDX-License-Identifier: MIT
#include "rules.h"

#include "variable.h"

#include <string.h>

enum { IPV6_MTU_MIN = 1280 }; /* RFC 8200, section 5 */

static bool address_has(const struct config *config, uint8_t family)
{
	for (size_t i = 0; i < config->address_count; i++) {
		if (config->address[i].family == family)
			return true;
	}
	return false;
}

static bool allowed_has(const struct config *config, uint8_t family)
{
	for (size_t i = 0; i < config->allowed_count; i++) {
		if (config->allowed[i].family == family)
			return true;
	}
	return false;
}

static bool allowed_contains(const struct config *config, const struct addr *addr)
{
	for (size_t i = 0; i < config->allowed_count; i++) {
		if (cidr_contains(&config->allowed[i], addr->family, addr->ip))
			return true;
	}
	return false;
}

static void check_mtu(const struct config *config, struct config_errors *errors)
{
	const char *where = address_has(config, ADDR_V6)   ? "WG_ADDRESS"
			    : allowed_has(config, ADDR_V6) ? "WG_ALLOWED_IP"
							   : NULL;

	if (where != NULL && config->mtu != 0 && config->mtu < IPV6_MTU_MIN)
		error_add(errors,
			  "WG_MTU \"%u\" is too small for the IPv6 in %s; accepted: %d to 9000",
			  config->mtu, where, IPV6_MTU_MIN);
}

static bool is_own(const struct config *config, const struct addr *addr)
{
	for (size_t i = 0; i < config->address_count; i++) {
		const struct addr *own = &config->address[i];

		if (own->family == addr->family && memcmp(own->ip, addr->ip, sizeof(own->ip)) == 0)
			return true;
	}
	return false;
}

/* A family is of use when both ends of the tunnel have it. */
static void check_families(const struct config *config, struct config_errors *errors)
{
	bool known = config->address_count > 0 && config->allowed_count > 0;
	bool v4 = address_has(config, ADDR_V4), v6 = address_has(config, ADDR_V6);

	if (known && !(v4 && allowed_has(config, ADDR_V4)) && !(v6 && allowed_has(config, ADDR_V6)))
		error_add(errors,
			  "WG_ALLOWED_IP has no CIDR of the family of WG_ADDRESS; accepted: at "
			  "least one of %s",
			  v4 ? "IPv4" : "IPv6");
}

/* What could not be read does not count: it has its own error. */
const char *config_why_unreachable(const struct config *config, const struct addr *addr)
{
	if (addr_unspecified(addr))
		return "is not a unicast address";
	if (is_own(config, addr))
		return "is our own WG_ADDRESS";
	if (config->allowed_count > 0 && !allowed_contains(config, addr))
		return "is outside WG_ALLOWED_IP";
	if (config->address_count > 0 && !address_has(config, addr->family))
		return "is of a family that WG_ADDRESS has no address of";
	return NULL;
}

/* In ingress a target given by address is reached through the tunnel or not at all. */
static void check_ingress_target(const struct config *config, struct config_errors *errors)
{
	const char *wrong = config_why_unreachable(config, &config->target.addr);

	if (wrong != NULL)
		error_add(errors,
			  "TARGET_HOST \"%.64s\" %s; accepted in ingress mode: a host name, or an "
			  "address inside WG_ALLOWED_IP and of a family of WG_ADDRESS",
			  config->target.name, wrong);
}

/* In egress the two ports are on different sides. */
static void check_ingress_ports(const struct config *config, struct config_errors *errors)
{
	if (config->local_port != 0 && config->health_port == config->local_port)
		error_add(errors,
			  "HEALTH_PORT \"%u\" is LOCAL_PORT too; accepted in ingress mode: "
			  "another port",
			  config->health_port);
}

void rules_check(const struct config *config, struct config_errors *errors)
{
	check_mtu(config, errors);
	if (config->mode == CONFIG_INGRESS)
		check_ingress_ports(config, errors);
	/* The families of such a target are judged with it. */
	if (config->mode == CONFIG_INGRESS && config->target.addr.family != ADDR_NONE)
		check_ingress_target(config, errors);
	else
		check_families(config, errors);
}
