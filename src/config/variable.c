// SPDX-License-Identifier: MIT
/* The table of all variables. */
#include "variable.h"

#include "base/time.h"

#include <stdio.h>
#include <string.h>

#define FIELD(name) .field = offsetof(struct config, name)

static const char key_accepted[] = "64 hex digits or 44 characters of base64";
static const char u16_accepted[] = "1 to 65535";
static const char duration_accepted[] = "like 500ms, 5s, 1m30s or 1h, at most 24h";
static const char duration_or_never[] = "0 (never), or like 500ms, 5s, 1m30s or 1h, at most 24h";
static const char *const mode_words[] = {"egress", "ingress", NULL};
static const char *const io_words[] = {"auto", "uring", "epoll", NULL};
static const char *const congestion_words[] = {"cubic", "bbr", NULL};
static const char *const accept_words[] = {"late", "early", NULL};
static const char *const sandbox_words[] = {"auto", "off", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_words[] = {"text", "json", NULL};

static const struct variable variables[] = {
	{"WG_PRIVATE_KEY", parse_key, NULL, "our private key", key_accepted, FIELD(private_key)},
	{"WG_PUBLIC_KEY", parse_key, NULL, "the server's public key", key_accepted,
	 FIELD(public_key)},
	{"WG_PRESHARED_KEY", parse_key, "", "preshared key", key_accepted, FIELD(preshared_key)},
	{"WG_ADDRESS", parse_address, NULL, "our address inside the tunnel",
	 "one IPv4 address, one IPv6 address, or both with a comma", FIELD(address)},
	{"WG_ALLOWED_IP", parse_allowed, NULL, "addresses on the other side of the tunnel",
	 "up to 64 CIDRs with commas between them", FIELD(allowed)},
	{"WG_ENDPOINT", parse_endpoint, NULL, "the server",
	 "name:port, 192.0.2.1:port, [2001:db8::1]:port", FIELD(endpoint)},
	{"WG_LISTEN_PORT", parse_u16, "", "our UDP port", "1 to 65535, or 0 for any",
	 FIELD(wg_listen_port), .max = UINT16_MAX},
	{"WG_KEEPALIVE", parse_keepalive, "25", "seconds between keepalives",
	 "1 to 65535; 0 or off: none", FIELD(keepalive_s), .max = UINT16_MAX},
	/* From what every IPv4 host must take (RFC 791, section 3.1) to jumbo frames. */
	{"WG_MTU", parse_u16, "1420", "MTU inside the tunnel",
	 "576 to 9000, with IPv6 at least 1280", FIELD(mtu), .min = 576, .max = 9000},
	{"PROXY_MODE", parse_word, "egress", "which way connections go",
	 "egress (tunnel to host) or ingress (host to tunnel)", FIELD(mode), .words = mode_words},
	{"LISTEN_ADDR", parse_addr, "0.0.0.0", "host address to listen on in ingress mode",
	 "an IPv4 or IPv6 address", FIELD(listen_addr)},
	{"LOCAL_PORT", parse_u16, NULL, "port to listen on", u16_accepted, FIELD(local_port),
	 .min = 1, .max = UINT16_MAX},
	{"TARGET_HOST", parse_host, NULL, "where connections go", "an address or a host name",
	 FIELD(target)},
	{"TARGET_PORT", parse_u16, NULL, "the target's port", u16_accepted, FIELD(target.addr.port),
	 .min = 1, .max = UINT16_MAX},
	{"HEALTH_PORT", parse_u16, "", "port for health checks", "1 to 65535, or 0 for none",
	 FIELD(health_port), .max = UINT16_MAX},
	{"MAX_CONNECTIONS", parse_u32, "4096", "connections at the same time", u16_accepted,
	 FIELD(connections_max), .min = 1, .max = UINT16_MAX},
	{"MEMORY_LIMIT", parse_size, "64M", "ceiling for all buffers together",
	 "8M to 1024G; K, M, G or Ki, Mi, Gi are powers of 1024", FIELD(memory_limit),
	 .min = UINT64_C(8) << 20, .max = UINT64_C(1) << 40},
	{"CONNECT_TIMEOUT", parse_duration, "5s", "for the target to accept a connection",
	 duration_accepted, FIELD(connect_timeout_ns), .min = 1, .max = 24 * 3600 * NS_PER_S},
	{"IDLE_TIMEOUT", parse_duration, "0", "for connections without bytes in either direction",
	 duration_or_never, FIELD(idle_timeout_ns), .max = 24 * 3600 * NS_PER_S},
	{"HALF_CLOSED_TIMEOUT", parse_duration, "1h", "the same, when one direction has ended",
	 duration_or_never, FIELD(half_closed_timeout_ns), .max = 24 * 3600 * NS_PER_S},
	{"EGRESS_ACCEPT", parse_word, "late", "when egress accepts a connection in the tunnel",
	 "late (when the target has accepted it) or early (at once)", FIELD(egress_accept),
	 .words = accept_words},
	{"DRAIN_TIMEOUT", parse_duration, "25s", "for connections to end after SIGTERM",
	 "0 (cut them at once), or like 500ms, 5s, 1m30s or 1h, at most 24h",
	 FIELD(drain_timeout_ns), .max = 24 * 3600 * NS_PER_S},
	{"TCP_CONGESTION", parse_word, "cubic", "congestion control in the tunnel", "cubic or bbr",
	 FIELD(congestion), .words = congestion_words},
	{"IO_BACKEND", parse_word, "auto", "what the event loop is built on",
	 "auto (io_uring where it is allowed), uring or epoll", FIELD(io_backend),
	 .words = io_words},
	{"AEAD_ENGINE", parse_text, "auto", "ChaCha20-Poly1305 implementation",
	 "auto, or an engine's name", FIELD(aead_engine), .max = CONFIG_ENGINE_MAX},
	{"SANDBOX", parse_word, "auto", "what the process gives up after its start",
	 "auto (all that the kernel can take) or off (for debugging)", FIELD(sandbox),
	 .words = sandbox_words},
	{"LOG_LEVEL", parse_word, "info", "how much is logged", "error, warn, info or debug",
	 FIELD(log_level), .words = level_words},
	{"LOG_FORMAT", parse_word, "text", "how it is written", "text or json", FIELD(log_format),
	 .words = format_words},
};

const struct variable *variable_at(size_t index)
{
	return index < sizeof(variables) / sizeof(variables[0]) ? &variables[index] : NULL;
}

bool variable_is_key(const struct variable *variable)
{
	return variable->parse == parse_key;
}

const char *config_key_name(size_t index)
{
	const struct variable *variable;

	for (size_t i = 0; (variable = variable_at(i)) != NULL; i++) {
		if (variable_is_key(variable) && index-- == 0)
			return variable->name;
	}
	return NULL;
}

const char *config_help(size_t index)
{
	static char line[CONFIG_ERROR_LEN];
	const struct variable *variable = variable_at(index);

	if (variable == NULL)
		return NULL;
	snprintf(line, sizeof(line), "%-19s %s: %s [%s%s]", variable->name, variable->meaning,
		 variable->accepted,
		 variable->fallback == NULL	 ? "required"
		 : variable->fallback[0] == '\0' ? "optional"
						 : "default ",
		 variable->fallback == NULL ? "" : variable->fallback);
	return line;
}
