// SPDX-License-Identifier: MIT
/*
 * From a connection on one side to one on both. Egress begins with a connection in the tunnel and
 * dials the host; ingress begins with one on the host and dials through the tunnel. Which of the
 * two it is shows in what is there already: a tunnel end or a file descriptor.
 *
 * While the target's name has not been resolved a connection waits; the connect time-out counts
 * from its acceptance, whatever it is spent on. Failing, for any reason, is a reset for who came.
 */
#include "inside.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

struct relay_conn *conn_new(struct relay *relay)
{
	struct relay_conn *conn;

	if (relay->stats.open >= relay->config.conns_max)
		return NULL;
	conn = budget_alloc(relay->config.budget, sizeof(*conn));
	if (conn == NULL)
		return NULL;
	conn->relay = relay;
	conn->fd = -1;
	conn->recv_limit = RECV_LIMIT_MIN;
	list_append(&relay->conns, &conn->all);
	list_init(&conn->dirty);
	list_init(&conn->wait);
	relay->stats.open++;
	relay->stats.total++;
	conn_mark_dirty(conn);
	return conn;
}

void conn_free(struct relay_conn *conn)
{
	struct relay *relay = conn->relay;

	queue_clear(&conn->to_host.queue, relay->config.budget);
	queue_clear(&conn->to_tunnel.queue, relay->config.budget);
	list_remove(&conn->all);
	list_remove(&conn->dirty);
	list_remove(&conn->wait);
	relay->stats.open--;
	budget_free(relay->config.budget, conn, sizeof(*conn));
}

/* --- dialling ---------------------------------------------------------------------------------- */

static enum relay_refusal refusal_of(const struct relay_conn *conn, int error)
{
	if (error == -ENOBUFS || error == -ENOMEM || error == -EMFILE || error == -ENFILE)
		return RELAY_REFUSED_LIMIT;
	if (error == -ETIMEDOUT)
		return conn->phase == RELAY_WAITING ? RELAY_REFUSED_ADDRESS : RELAY_REFUSED_TIMEOUT;
	return RELAY_REFUSED_TARGET;
}

void conn_tell_dialled(struct relay_conn *conn, int error)
{
	relay_dialled_fn *dialled = conn->dialled;

	conn->dialled = NULL;
	if (dialled != NULL)
		dialled(conn->dialled_ctx, error);
}

void conn_dialled(struct relay_conn *conn, int error)
{
	list_remove(&conn->wait);
	conn_tell_dialled(conn, error);
	if (error != 0) {
		log_debug("connection refused: %s", strerror(-error));
		conn->relay->stats.refused[refusal_of(conn, error)]++;
		conn_break(conn);
	} else {
		conn_set_phase(conn, RELAY_OPEN);
		conn_mark_dirty(conn);
	}
}

static void connect_done(struct io_op *op, int result)
{
	struct relay_conn *conn = list_entry(op, struct relay_conn, send);

	if (conn->phase == RELAY_DIALLING)
		conn_dialled(conn, result);
	conn_mark_dirty(conn);
}

static void dial_host(struct relay_conn *conn, const struct addr *target)
{
	struct io *io = conn->relay->config.io;

	conn->fd = io_socket(io, target->family);
	if (conn->fd < 0) {
		conn_dialled(conn, conn->fd);
		return;
	}
	io_tune(io, conn->fd);
	conn->send.kind = IO_CONNECT;
	conn->send.fd = conn->fd;
	conn->send.done = connect_done;
	conn->send.connect.to = &conn->to;
	conn->send.connect.len = addr_to_sockaddr(target, false, &conn->to);
	io_submit(io, &conn->send);
}

static void dial_tunnel(struct relay_conn *conn, const struct addr *target)
{
	int error;

	conn->tunnel = stack_connect(conn->relay->stack, target, conn, &error);
	if (conn->tunnel == NULL)
		conn_dialled(conn, error);
}

void conn_dial(struct relay_conn *conn)
{
	struct relay *relay = conn->relay;
	struct addr target = relay->config.target(relay->config.target_ctx);

	if (list_empty(&conn->wait)) {
		conn->deadline_ns = relay->config.connect_timeout_ns == 0
					    ? UINT64_MAX
					    : relay->now_ns + relay->config.connect_timeout_ns;
		list_append(&relay->dialling, &conn->wait);
	}
	if (target.family == ADDR_NONE)
		return;
	conn_set_phase(conn, RELAY_DIALLING);
	if (conn->fd < 0)
		dial_host(conn, &target);
	else
		dial_tunnel(conn, &target);
}
