// SPDX-License-Identifier: MIT
/*
 * Connections without bytes in either direction are ended after a while, both sides of them, with RST;
 * half-closed ones have a limit of their own. A list for each limit is ordered by when its connections
 * last moved bytes, so that the one to end next is at its head, whatever their number.
 *
 * A busy connection would go to the end of its list each turn. It goes there only when a grain of the
 * limit has passed since it last did; what moved in that grain is not known exactly, and is given the
 * whole of it.
 */
#include "inside.h"

#include "base/log.h"

enum { GRAINS = 16 };

static uint64_t grain_ns(const struct idle *idle)
{
	return idle->limit_ns / GRAINS;
}

static enum relay_timeout kind_of(const struct relay_conn *conn)
{
	return conn->to_host.state == HALF_OPEN && conn->to_tunnel.state == HALF_OPEN
		       ? RELAY_TIMEOUT_IDLE
		       : RELAY_TIMEOUT_HALF_CLOSED;
}

static bool is_fresh(const struct relay_conn *conn, enum relay_timeout kind)
{
	const struct idle *idle = &conn->relay->idle[kind];

	return !list_empty(&conn->idle) && conn->idle_kind == kind &&
	       (!conn->moved || conn->relay->now_ns - conn->moved_ns < grain_ns(idle));
}

void idle_note(struct relay_conn *conn)
{
	enum relay_timeout kind = kind_of(conn);
	struct idle *idle = &conn->relay->idle[kind];
	bool fresh = is_fresh(conn, kind);

	conn->moved = false;
	if (fresh)
		return;
	list_remove(&conn->idle);
	if (idle->limit_ns == 0)
		return;
	conn->idle_kind = (uint8_t)kind;
	conn->moved_ns = conn->relay->now_ns;
	list_append(&idle->conns, &conn->idle);
}

/* UINT64_MAX: nobody's ever. */
static uint64_t next_end_ns(const struct idle *idle)
{
	if (list_empty(&idle->conns))
		return UINT64_MAX;
	return list_entry(idle->conns.next, struct relay_conn, idle)->moved_ns + idle->limit_ns +
	       grain_ns(idle);
}

void idle_turn(struct relay *relay)
{
	for (size_t kind = 0; kind < IDLE_LIMITS; kind++) {
		struct idle *idle = &relay->idle[kind];

		while (next_end_ns(idle) <= relay->now_ns) {
			struct list *node = list_pop(&idle->conns);

			log_debug("connection ended: nothing was sent for too long");
			relay->stats.timed_out[kind]++;
			conn_break(list_entry(node, struct relay_conn, idle));
		}
	}
}

uint64_t idle_deadline(const struct relay *relay)
{
	uint64_t deadline_ns = UINT64_MAX;

	for (size_t kind = 0; kind < IDLE_LIMITS; kind++) {
		uint64_t end_ns = next_end_ns(&relay->idle[kind]);

		deadline_ns = end_ns < deadline_ns ? end_ns : deadline_ns;
	}
	return deadline_ns;
}

void idle_init(struct relay *relay)
{
	const struct relay_config *config = &relay->config;
	uint64_t idle_ns = config->idle_timeout_ns, half_ns = config->half_closed_timeout_ns;

	if (half_ns == 0 || (idle_ns != 0 && idle_ns < half_ns))
		half_ns = idle_ns;
	relay->idle[RELAY_TIMEOUT_IDLE].limit_ns = idle_ns;
	relay->idle[RELAY_TIMEOUT_HALF_CLOSED].limit_ns = half_ns;
	for (size_t kind = 0; kind < IDLE_LIMITS; kind++)
		list_init(&relay->idle[kind].conns);
}
