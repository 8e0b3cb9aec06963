// SPDX-License-Identifier: MIT
/* What the log says: one line per event that an operator cares about. */
#include "inside.h"

#include <stdio.h>

static const char *list_addresses(const struct config *config, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < config->address_count && at < size; i++) {
		char one[ADDR_TEXT_MAX];

		at += (size_t)snprintf(text + at, size - at, "%s%s", i == 0 ? "" : ", ",
				       addr_format(&config->address[i], one));
	}
	return text;
}

void report_start(const struct proxy *proxy)
{
	const struct config *config = proxy->config;
	char key[45], own[2 * ADDR_TEXT_MAX + 2], listen[ADDR_TEXT_MAX];

	list_addresses(config, own, sizeof(own));
	log_info("wg-tinyproxy %s, %s: our address %s, MTU %u, public key %s", VERSION,
		 config->mode == CONFIG_INGRESS ? "ingress" : "egress", own, config->mtu,
		 config_format_key(wg_public_key(proxy->wg), key));
	log_info("WireGuard on UDP port %u, server %s:%u; %s", udp_port(proxy->udp),
		 config->endpoint.name, config->endpoint.addr.port, proxy->io.backend->name);
	if (config->mode == CONFIG_INGRESS)
		log_info("listening on %s, target %s through the tunnel",
			 addr_format(&config->listen_addr, listen), proxy->target_text);
	else
		log_info("listening in the tunnel on port %u, target %s", config->local_port,
			 proxy->target_text);
	if (config->health_port != 0)
		log_info("health on port %u", config->health_port);
}

static void report_unanswered(struct proxy *proxy, const struct addr *endpoint)
{
	char text[ADDR_TEXT_MAX];

	if (!proxy->unanswered)
		log_warn("no answer to our handshake from %s, still trying",
			 addr_format(endpoint, text));
	proxy->unanswered = true;
}

void report_events(struct proxy *proxy)
{
	unsigned events = wg_events(proxy->wg);
	struct addr endpoint;
	char text[ADDR_TEXT_MAX];

	if (events == 0)
		return;
	endpoint = wg_status(proxy->wg, proxy->now_ns).endpoint;
	addr_format(&endpoint, text);
	if (events & WG_EVENT_ROAMED)
		log_info("the server's endpoint is now %s", text);
	if (events & WG_EVENT_LOST)
		log_line(proxy->config->keepalive_s > 0 ? LOG_WARN : LOG_INFO,
			 "session with %s lost: its keys have expired", text);
	if (events & WG_EVENT_GAVE_UP)
		log_warn("no answer from %s in 90 s%s", text,
			 proxy->config->keepalive_s > 0 ? ", trying on" : "");
	if (events & WG_EVENT_UNANSWERED) {
		report_unanswered(proxy, &endpoint);
		host_next_endpoint(proxy);
	}
	if (events & WG_EVENT_HANDSHAKE) {
		log_line(events & WG_EVENT_REKEY ? LOG_DEBUG : LOG_INFO,
			 "handshake completed with %s", text);
		proxy->unanswered = false;
	}
}
