// SPDX-License-Identifier: MIT
/* What the log and the service manager are told: one line per event that an operator cares about. */
#include "inside.h"

#include "base/time.h"

#include <stdio.h>
#include <time.h>

enum {
	US_PER_MS = 1000,
	STOP_SLACK_MS = 2000, /* for a busy machine, before the service manager kills */
};

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
	const char *mode = config->mode == CONFIG_INGRESS ? "ingress" : "egress";
	char key[45], own[2 * ADDR_TEXT_MAX + 2], listen[ADDR_TEXT_MAX];

	list_addresses(config, own, sizeof(own));
	config_format_key(wg_public_key(proxy->wg), key);
	log_event(
		LOG_INFO,
		LOG_FIELDS({"event", "start"}, {"version", VERSION}, {"mode", mode},
			   {"io_backend", proxy->io.backend->name},
			   {"aead_engine", proxy->aead_engine}),
		"wg-tinyproxy %s, %s: our address %s, MTU %u, congestion control %s, public key %s",
		VERSION, mode, own, config->mtu, config->congestion == CONFIG_BBR ? "bbr" : "cubic",
		key);
	log_info("WireGuard on UDP port %u, server %s:%u; event loop: %s", udp_port(proxy->udp),
		 config->endpoint.name, config->endpoint.addr.port, proxy->io.backend->name);
	if (config->mode == CONFIG_INGRESS)
		log_info("listening on %s, target %s through the tunnel",
			 addr_format(&config->listen_addr, listen), proxy->target_text);
	else
		log_info("listening in the tunnel on port %u, target %s", config->local_port,
			 proxy->target_text);
	if (config->health_port != 0)
		log_info("health on port %u", config->health_port);
	notify_send(proxy, "READY=1\nSTATUS=waiting for a handshake with %s:%u",
		    config->endpoint.name, config->endpoint.addr.port);
}

void report_draining(const struct proxy *proxy)
{
	uint32_t open = relay_stats(proxy->relay)->open;
	/* PARTING and CLOSING come after the draining, a second each at most. */
	uint64_t end_ms = proxy->config->drain_timeout_ns / NS_PER_MS + 2 * PROXY_FAREWELL_MS +
			  STOP_SLACK_MS;

	log_event(LOG_INFO, LOG_FIELDS({"event", "draining"}), "draining %u connections", open);
	notify_send(proxy, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\nSTATUS=draining %u connections",
		    (unsigned long long)end_ms * US_PER_MS, open);
}

static void report_unanswered(struct proxy *proxy, const char *endpoint)
{
	if (proxy->unanswered)
		return;
	log_event(LOG_WARN, LOG_FIELDS({"event", "handshake_unanswered"}, {"endpoint", endpoint}),
		  "no answer to our handshake from %s, still trying", endpoint);
	notify_send(proxy, "STATUS=no answer from %s", endpoint);
	proxy->unanswered = true;
}

static void report_lost(const struct proxy *proxy, const char *endpoint)
{
	log_event(proxy->config->keepalive_s > 0 ? LOG_WARN : LOG_INFO,
		  LOG_FIELDS({"event", "session_lost"}, {"endpoint", endpoint}),
		  "session with %s lost: its keys have expired", endpoint);
	notify_send(proxy, "STATUS=no session with %s", endpoint);
}

static void report_given_up(const struct proxy *proxy, const char *endpoint)
{
	log_event(LOG_WARN, LOG_FIELDS({"event", "handshake_given_up"}, {"endpoint", endpoint}),
		  "no answer from %s in 90 s%s", endpoint,
		  proxy->config->keepalive_s > 0 ? ", trying on" : "");
}

static void report_handshake(struct proxy *proxy, bool rekey, const char *endpoint)
{
	proxy->handshake_s = (uint64_t)time(NULL);
	proxy->unanswered = false;
	log_event(rekey ? LOG_DEBUG : LOG_INFO,
		  LOG_FIELDS({"event", "handshake"}, {"endpoint", endpoint}),
		  "handshake completed with %s", endpoint);
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
		log_event(LOG_INFO, LOG_FIELDS({"event", "endpoint_moved"}, {"endpoint", text}),
			  "the server's endpoint is now %s", text);
	if (events & WG_EVENT_LOST)
		report_lost(proxy, text);
	if (events & WG_EVENT_GAVE_UP)
		report_given_up(proxy, text);
	if (events & WG_EVENT_UNANSWERED) {
		report_unanswered(proxy, text);
		host_next_endpoint(proxy);
	}
	if (events & WG_EVENT_HANDSHAKE)
		report_handshake(proxy, (events & WG_EVENT_REKEY) != 0, text);
	if (events & (WG_EVENT_ROAMED | WG_EVENT_HANDSHAKE))
		notify_send(proxy, "STATUS=tunnel up, server at %s", text);
}
