// SPDX-License-Identifier: MIT
/*
 * What /metrics answers. Every module counts for itself, all the time; here its counts get names,
 * and nothing is computed before somebody asks. Nothing is kept for it either, so an answer is what
 * holds at this moment, and a restart begins at zero, as Prometheus expects of counters.
 *
 * Names: units are seconds and bytes, counters end in _total, and what a label tells apart adds up
 * to a whole. The three families named wireguard_* are those of the exporters that read a kernel's
 * WireGuard, with their labels, so that dashboards in use find them; they show one peer, the server.
 * A metric that has been in a release keeps its name and meaning.
 *
 * To add one: count it in its module's stats, write it in the function for that module, say what it
 * tells in docs/operations.md, and look at the test that fills an answer as far as it can be filled:
 * HEALTH_BODY_MAX must still do.
 */
#include "inside.h"

#include <linux/sock_diag.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
	LABELS_MAX = 4096, /* a peer with WG_ALLOWED_MAX networks takes less than 3 KiB */
	LABEL_MAX = 128,
};

/* A sample of the family begun last. */
static void add(struct metrics *out, const char *label, const char *value, uint64_t count)
{
	char labels[LABEL_MAX];

	snprintf(labels, sizeof(labels), "%s=\"%s\"", label, value);
	metrics_add(out, labels, count);
}

/* --- as other exporters name it ------------------------------------------------------------- */

static size_t format_network(const struct cidr *cidr, char *text, size_t size)
{
	struct addr addr = {.family = cidr->family};
	char ip[ADDR_TEXT_MAX];

	memcpy(addr.ip, cidr->ip, sizeof(addr.ip));
	return (size_t)snprintf(text, size, "%s/%u", addr_format(&addr, ip), cidr->bits);
}

static void format_peer(const struct config *config, char labels[static LABELS_MAX])
{
	char key[45];
	size_t len = (size_t)snprintf(labels, LABELS_MAX,
				      "interface=\"wg-tinyproxy\",public_key=\"%s\",allowed_ips=\"",
				      config_format_key(config->public_key, key));

	for (size_t i = 0; i < config->allowed_count; i++) {
		if (i > 0)
			labels[len++] = ',';
		len += format_network(&config->allowed[i], labels + len, LABELS_MAX - len);
	}
	snprintf(labels + len, LABELS_MAX - len, "\"");
}

static void write_peer(struct metrics *out, const struct proxy *proxy)
{
	const struct wg_stats *stats = wg_stats(proxy->wg);
	char labels[LABELS_MAX];

	format_peer(proxy->config, labels);
	metrics_begin(out, "wireguard_sent_bytes_total", "counter",
		      "Bytes of WireGuard messages sent to the peer.");
	metrics_add(out, labels, stats->tx_bytes);
	metrics_begin(out, "wireguard_received_bytes_total", "counter",
		      "Bytes of WireGuard messages received from the peer and authenticated.");
	metrics_add(out, labels, stats->rx_bytes);
	metrics_begin(out, "wireguard_latest_handshake_seconds", "gauge",
		      "When the last handshake was completed, since 1970; 0: none yet.");
	metrics_add(out, labels, proxy->handshake_s);
}

/* --- the program ------------------------------------------------------------------------------ */

static void write_program(struct metrics *out, const struct proxy *proxy)
{
	char labels[LABEL_MAX];

	snprintf(labels, sizeof(labels),
		 "version=\"%s\",mode=\"%s\",io_backend=\"%s\",aead_engine=\"%s\"", VERSION,
		 proxy->config->mode == CONFIG_INGRESS ? "ingress" : "egress",
		 proxy->io.backend->name, proxy->aead_engine);
	metrics_begin(out, "wg_tinyproxy_build_info", "gauge",
		      "Always 1; the labels tell what runs.");
	metrics_add(out, labels, 1);
	metrics_gauge(out, "process_start_time_seconds", "When the process began, since 1970.",
		      proxy->started_s);
	metrics_gauge(out, "wg_tinyproxy_ready", "1: what /readyz answers with 200.",
		      probe_why_not(proxy, HEALTH_READY) == NULL);
	metrics_gauge(out, "wg_tinyproxy_session", "1: there is a session, data can be sent.",
		      proxy->session);
}

static void write_loop(struct metrics *out, const struct proxy *proxy)
{
	metrics_histogram(out, "wg_tinyproxy_loop_turn_seconds",
			  "Time that a turn of the event loop worked, waiting not included.",
			  &proxy->turn_time);
	metrics_counter(out, "wg_tinyproxy_io_completions_total", "Operations of the event loop.",
			proxy->io.stats.completions);
}

static void write_memory(struct metrics *out, const struct proxy *proxy)
{
	const struct budget *budget = &proxy->budget;

	metrics_gauge(out, "wg_tinyproxy_buffer_memory_bytes", "Buffers' part of MEMORY_LIMIT now.",
		      budget->used);
	metrics_gauge(out, "wg_tinyproxy_buffer_memory_high_water_bytes",
		      "The most that buffers took since the start.", budget->high);
	metrics_gauge(out, "wg_tinyproxy_buffer_memory_limit_bytes", "MEMORY_LIMIT.",
		      budget->limit);
}

/* --- connections ------------------------------------------------------------------------------ */

static void write_refused(struct metrics *out, const struct proxy *proxy)
{
	static const char *const reasons[RELAY_REFUSALS] = {
		[RELAY_REFUSED_LIMIT] = "limit",
		[RELAY_REFUSED_TARGET] = "target",
		[RELAY_REFUSED_TIMEOUT] = "timeout",
		[RELAY_REFUSED_ADDRESS] = "address",
	};
	const struct relay_stats *stats = relay_stats(proxy->relay);

	metrics_begin(out, "wg_tinyproxy_connections_refused_total", "counter",
		      "Connections that did not come about.");
	for (size_t i = 0; i < RELAY_REFUSALS; i++) {
		uint64_t count = stats->refused[i];

		if (i == RELAY_REFUSED_LIMIT)
			count += stack_stats(proxy->stack)->refused;
		add(out, "reason", reasons[i], count);
	}
}

static void write_timed_out(struct metrics *out, const struct relay_stats *stats)
{
	static const char *const reasons[RELAY_TIMEOUTS] = {
		[RELAY_TIMEOUT_IDLE] = "idle",
		[RELAY_TIMEOUT_HALF_CLOSED] = "half_closed",
		[RELAY_TIMEOUT_TUNNEL] = "tunnel_silent",
		[RELAY_TIMEOUT_HOST] = "host_silent",
	};

	metrics_begin(out, "wg_tinyproxy_connections_timed_out_total", "counter",
		      "Of those reset: because nothing was heard or sent for too long.");
	for (size_t i = 0; i < RELAY_TIMEOUTS; i++)
		add(out, "reason", reasons[i], stats->timed_out[i]);
}

static void write_connections(struct metrics *out, const struct proxy *proxy)
{
	const struct relay_stats *stats = relay_stats(proxy->relay);

	metrics_gauge(out, "wg_tinyproxy_connections_open", "Connections now.", stats->open);
	metrics_gauge(out, "wg_tinyproxy_connections_limit", "MAX_CONNECTIONS.",
		      proxy->config->connections_max);
	metrics_counter(out, "wg_tinyproxy_connections_total",
			"Connections taken up, those included that the target refused.",
			stats->total);
	write_refused(out, proxy);
	metrics_counter(out, "wg_tinyproxy_connections_reset_total",
			"Connections that ended with a reset, from whichever side.", stats->resets);
	write_timed_out(out, stats);
	metrics_histogram(out, "wg_tinyproxy_connect_seconds",
			  "Time from a connection's arrival until the target accepted it.",
			  &stats->connect_time);
	metrics_begin(out, "wg_tinyproxy_bytes_total", "counter",
		      "Bytes of connections that were passed on.");
	add(out, "direction", "to_host", stats->host_bytes);
	add(out, "direction", "to_tunnel", stats->tunnel_bytes);
}

/* --- the tunnel ------------------------------------------------------------------------------- */

static void write_handshakes(struct metrics *out, const struct proxy *proxy)
{
	const struct wg_stats *stats = wg_stats(proxy->wg);

	metrics_counter(out, "wg_tinyproxy_handshake_initiations_total",
			"Handshakes that we began, repeats included.", stats->handshakes_initiated);
	metrics_begin(out, "wg_tinyproxy_handshakes_total", "counter",
		      "How handshakes ended, whoever began them.");
	add(out, "result", "completed", stats->handshakes_completed);
	add(out, "result", "unanswered", stats->handshakes_unanswered);
	metrics_counter(out, "wg_tinyproxy_handshakes_given_up_total",
			"Series of unanswered handshakes that lasted 90 s.",
			stats->handshakes_given_up);
	metrics_counter(out, "wg_tinyproxy_rekeys_total",
			"Completed handshakes that replaced a session in use.", stats->rekeys);
	metrics_begin(out, "wg_tinyproxy_cookies_total", "counter",
		      "Cookie replies: an end under load asks for proof of address.");
	add(out, "direction", "received", stats->cookies_received);
	add(out, "direction", "sent", stats->cookies_sent);
}

static void write_packets(struct metrics *out, const struct proxy *proxy)
{
	const struct stack_stats *stats = stack_stats(proxy->stack);

	metrics_begin(out, "wg_tinyproxy_packets_total", "counter", "IP packets in the tunnel.");
	add(out, "direction", "received", stats->rx_packets);
	add(out, "direction", "sent", stats->tx_packets);
	metrics_counter(out, "wg_tinyproxy_packets_merged_total",
			"Of those received: handed on as part of the one before.",
			stats->rx_merged);
	metrics_counter(out, "wg_tinyproxy_tcp_retransmissions_total",
			"Of those sent: TCP segments that had been sent before.",
			stats->tx_retransmitted);
	metrics_begin(out, "wg_tinyproxy_tcp_challenges_total", "counter",
		      "TCP segments that may be somebody's guess, by what was done with them.");
	add(out, "result", "answered", stats->challenges);
	add(out, "result", "limited", stats->challenges_limited);
}

static void write_path(struct metrics *out, const struct proxy *proxy)
{
	const struct stack_stats *stats = stack_stats(proxy->stack);

	metrics_gauge(out, "wg_tinyproxy_path_mtu_bytes",
		      "Packets of new connections: WG_MTU, or less when such large ones vanish.",
		      stats->mtu);
	metrics_begin(out, "wg_tinyproxy_path_mtu_reductions_total", "counter",
		      "Connections whose packets were made smaller, by who found them too large.");
	add(out, "reason", "vanished", stats->pmtu_found);
	add(out, "reason", "router", stats->pmtu_told);
}

static void write_udp(struct metrics *out, const struct proxy *proxy)
{
	const struct udp_stats *stats = udp_stats(proxy->udp);

	metrics_begin(out, "wg_tinyproxy_udp_datagrams_total", "counter",
		      "Datagrams of the WireGuard socket.");
	add(out, "direction", "received", stats->rx_datagrams);
	add(out, "direction", "sent", stats->tx_datagrams);
	metrics_begin(
		out, "wg_tinyproxy_udp_batches_total", "counter",
		"Datagrams merged by the kernel (GRO), or sent as a train (GSO), in one call.");
	add(out, "direction", "received", stats->rx_merged);
	add(out, "direction", "sent", stats->tx_trains);
	metrics_counter(out, "wg_tinyproxy_udp_gso_fallbacks_total",
			"Trains that the kernel refused, sent one datagram at a time.",
			stats->gso_fallbacks);
	metrics_begin(out, "wg_tinyproxy_udp_errors_total", "counter",
		      "Errors of the WireGuard socket, such as an unreachable network.");
	add(out, "direction", "received", stats->rx_errors);
	add(out, "direction", "sent", stats->tx_errors);
	metrics_begin(out, "wg_tinyproxy_udp_waits_total", "counter",
		      "Times that all buffers of a direction were in use: work for the next turn.");
	add(out, "direction", "received", stats->rx_enobufs);
	add(out, "direction", "sent", stats->tx_no_room);
}

/* --- what was dropped ------------------------------------------------------------------------- */

/* What found no room in the socket is known to the kernel alone (Linux 4.12). */
static uint32_t socket_drops(const struct proxy *proxy)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	(void)getsockopt(udp_fd(proxy->udp), SOL_SOCKET, SO_MEMINFO, info, &len);
	return info[SK_MEMINFO_DROPS];
}

static void add_drop(struct metrics *out, const char *layer, const char *reason, uint64_t count)
{
	char labels[LABEL_MAX];

	snprintf(labels, sizeof(labels), "layer=\"%s\",reason=\"%s\"", layer, reason);
	metrics_add(out, labels, count);
}

static void write_drops(struct metrics *out, const struct proxy *proxy)
{
	const struct wg_stats *wg = wg_stats(proxy->wg);
	const struct stack_stats *stack = stack_stats(proxy->stack);

	metrics_begin(out, "wg_tinyproxy_packets_dropped_total", "counter",
		      "Packets and messages dropped, by who dropped them and why.");
	for (unsigned i = WG_DROP_LENGTH; i < WG_VERDICTS; i++)
		add_drop(out, "wireguard", wg_verdict_name(i), wg->verdicts[i]);
	add_drop(out, "wireguard", "no_session", wg->tx_no_session);
	add_drop(out, "wireguard", "not_allowed", wg->tx_not_allowed);
	add_drop(out, "stack", "unwanted", stack->rx_dropped);
	add_drop(out, "stack", "memory", stack->rx_no_memory);
	add_drop(out, "stack", "false_mtu", stack->pmtu_false);
	add_drop(out, "stack", "half_open", stack->rx_syns_dropped);
	add_drop(out, "udp", "socket_full", socket_drops(proxy));
}

typedef void write_fn(struct metrics *out, const struct proxy *proxy);

size_t metrics_write(void *ctx, char text[HEALTH_BODY_MAX])
{
	static write_fn *const parts[] = {
		write_peer,	  write_program, write_connections, write_memory, write_loop,
		write_handshakes, write_packets, write_drops,	    write_path,	  write_udp,
	};
	struct metrics out = {.text = text, .size = HEALTH_BODY_MAX};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		parts[i](&out, ctx);
	return out.len;
}
