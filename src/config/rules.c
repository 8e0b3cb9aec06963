// SPDX-License-Identifier: MIT
#include "rules.h"

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

/* In ingress a target given by address is reached through the tunnel or not at all. */
static void check_ingress_target(const struct config *config, struct config_errors *errors)
{
	const struct config_host *target = &config->target;

	if (target->addr.family == ADDR_NONE)
		return;
	if (config->allowed_count > 0 && !allowed_contains(config, &target->addr))
		error_add(errors,
			  "TARGET_HOST \"%.64s\" is outside WG_ALLOWED_IP; accepted in ingress "
			  "mode: a host name or an address inside it",
			  target->name);
	if (config->address_count > 0 && !address_has(config, target->addr.family))
		error_add(errors,
			  "TARGET_HOST \"%.64s\" is of a family that WG_ADDRESS has no address of; "
			  "accepted in ingress mode: a host name or an address of its families",
			  target->name);
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
	if (config->mode == CONFIG_INGRESS) {
		check_ingress_target(config, errors);
		check_ingress_ports(config, errors);
	}
}
