// SPDX-License-Identifier: MIT
/*
 * From a connection on one side to one on both. Egress begins with a connection in the tunnel and
 * dials the host; ingress begins with one on the host and dials through the tunnel; a probe of the
 * host begins with nothing and takes away what it gets. Which of them it is shows in what is there
 * already: a tunnel end, a file descriptor, or neither.
 *
 *	WAITING --an address--> DIALLING --it accepts--> OPEN
 *	   ^                       |
 *	   +--- it failed ---------+	no address or no time is left: BROKEN
 *
 * A target may have many addresses. The connection gets one at a time (base/target.h), and the next
 * one only when that has refused, is unreachable, or has not answered within its share of the
 * connect time-out; whoever came learns of the last failure alone, as a reset. The shares are equal,
 * so that two silent addresses leave time for a third. While the target's name has not been resolved
 * there is no address, and the connection waits; the time-out counts from its acceptance, whatever
 * it is spent on.
 *
 * An attempt that is given up ends like any other, by its completion or by ended(): only then is its
 * socket, or its connection in the tunnel, out of the way of the next one.
 */
#include "inside.h"

#include "base/log.h"
#include "base/time.h"

#include <errno.h>
#include <string.h>

/* A lost SYN is sent again after 1 s (RFC 6298, section 2), and that one needs time, too. */
enum { ATTEMPT_MIN_MS = 1500 };

struct relay_conn *conn_new(struct relay *relay)
{
	struct relay_conn *conn = budget_alloc(relay->config.budget, sizeof(*conn));

	if (conn == NULL)
		return NULL;
	conn->relay = relay;
	conn->fd = -1;
	conn->recv_limit = relay_idle_limit(relay);
	list_append(&relay->conns, &conn->all);
	list_init(&conn->dirty);
	list_init(&conn->wait);
	list_init(&conn->idle);
	list_init(&conn->owing);
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
	list_remove(&conn->idle);
	list_remove(&conn->owing);
	relay->stats.open--;
	budget_free(relay->config.budget, conn, sizeof(*conn));
}

/* --- the end of it ------------------------------------------------------------------------------ */

/* It is us who have no room: another address would not help. */
static bool is_limit(int error)
{
	return error == -ENOBUFS || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

static enum relay_refusal refusal_of(int error)
{
	if (is_limit(error))
		return RELAY_REFUSED_LIMIT;
	if (error == -EDESTADDRREQ)
		return RELAY_REFUSED_ADDRESS;
	return error == -ETIMEDOUT ? RELAY_REFUSED_TIMEOUT : RELAY_REFUSED_TARGET;
}

void conn_tell_dialled(struct relay_conn *conn, int fd, int error)
{
	relay_dialled_fn *dialled = conn->dialled;

	conn->dialled = NULL;
	if (dialled != NULL)
		dialled(conn->dialled_ctx, fd, error);
}

static void refuse(struct relay_conn *conn, int error)
{
	log_debug("connection refused: %s", strerror(-error));
	conn->relay->stats.refused[refusal_of(error)]++;
	conn_tell_dialled(conn, -1, error);
	conn_break(conn);
}

/* Whom it was dialled for takes the socket; nothing is left to relay. */
static void give_away(struct relay_conn *conn)
{
	int fd = conn->fd;

	conn->fd = -1;
	conn_tell_dialled(conn, fd, 0);
	conn_break(conn);
}

static void accepted(struct relay_conn *conn)
{
	if (conn->tunnel == NULL) {
		give_away(conn);
		return;
	}
	conn_tell_dialled(conn, -1, 0);
	conn_set_phase(conn, conn->held ? RELAY_ANSWERING : RELAY_OPEN);
	conn_mark_dirty(conn);
}

void conn_answer(struct relay_conn *conn)
{
	if (conn->held && !stack_answer(conn->tunnel))
		refuse(conn, -ENOBUFS);
	conn->held = false;
}

/* --- one attempt ------------------------------------------------------------------------------- */

void conn_dialled(struct relay_conn *conn, int error)
{
	struct relay *relay = conn->relay;

	list_remove(&conn->wait);
	if (error == 0) {
		accepted(conn);
		return;
	}
	if (is_limit(error)) {
		refuse(conn, error);
		return;
	}
	/* That it was given up shows as a cancelled operation, or as our own reset. */
	conn->error = relay->now_ns >= conn->give_up_ns ? -ETIMEDOUT : error;
	target_failed(relay->config.target, &conn->cursor, relay->now_ns);
	conn_set_phase(conn, RELAY_WAITING);
	conn_mark_dirty(conn);
}

static void connect_done(struct io_op *op, int result)
{
	struct relay_conn *conn = list_entry(op, struct relay_conn, send);

	conn_mark_dirty(conn);
	if (conn->phase != RELAY_DIALLING)
		return;
	if (result < 0) {
		io_close(conn->relay->config.io, conn->fd);
		conn->fd = -1;
	}
	conn_dialled(conn, result);
}

static void dial_host(struct relay_conn *conn, const struct addr *to)
{
	struct io *io = conn->relay->config.io;
	int fd = io_socket(io, to->family);

	if (fd < 0) {
		conn_dialled(conn, fd);
		return;
	}
	io_tune(io, fd);
	conn->fd = fd;
	conn->send.kind = IO_CONNECT;
	conn->send.fd = fd;
	conn->send.done = connect_done;
	conn->send.connect.to = &conn->to;
	conn->send.connect.len = addr_to_sockaddr(to, false, &conn->to);
	io_submit(io, &conn->send);
}

static void dial_tunnel(struct relay_conn *conn, const struct addr *to)
{
	int error;

	conn->tunnel = stack_connect(conn->relay->stack, to, conn, &error);
	if (conn->tunnel == NULL)
		conn_dialled(conn, error);
}

/* --- one after the other ----------------------------------------------------------------------- */

/* From the back: most get the same time, and who comes last then comes last. */
static void wait_in(struct list *waiting, struct relay_conn *conn, uint64_t give_up_ns)
{
	struct list *later = waiting;

	list_remove(&conn->wait);
	while (later->prev != waiting &&
	       list_entry(later->prev, struct relay_conn, wait)->give_up_ns > give_up_ns)
		later = later->prev;
	list_append(later, &conn->wait);
	conn->give_up_ns = give_up_ns;
}

static uint64_t deadline_ns(const struct relay_conn *conn)
{
	return conn->dialled_ns + conn->relay->config.connect_timeout_ns;
}

/* Equal shares of what is left, for this address and those that have not been tried. */
static uint64_t attempt_end_ns(const struct relay_conn *conn)
{
	const struct relay *relay = conn->relay;
	uint64_t left_ns = deadline_ns(conn) - relay->now_ns;
	uint64_t share_ns = left_ns / (1 + target_left(relay->config.target, &conn->cursor));

	if (share_ns < ATTEMPT_MIN_MS * NS_PER_MS)
		share_ns = ATTEMPT_MIN_MS * NS_PER_MS;
	return relay->now_ns + (share_ns < left_ns ? share_ns : left_ns);
}

static void wait_for_address(struct relay_conn *conn)
{
	if (list_empty(&conn->wait))
		wait_in(&conn->relay->waiting, conn, deadline_ns(conn));
}

void conn_dial(struct relay_conn *conn)
{
	struct relay *relay = conn->relay;
	const struct addr *to = NULL;
	char text[ADDR_TEXT_MAX];

	if (conn->dialled_ns == 0)
		conn->dialled_ns = relay->now_ns;
	if (relay->config.target->count == 0) {
		wait_for_address(conn);
		return;
	}
	if (relay->now_ns < deadline_ns(conn))
		to = target_next(relay->config.target, &conn->cursor, relay->now_ns);
	if (to == NULL) {
		refuse(conn, conn->error);
		return;
	}
	log_debug("dialling %s", addr_format(to, text));
	conn_set_phase(conn, RELAY_DIALLING);
	wait_in(&relay->dialling, conn, attempt_end_ns(conn));
	if (conn->fd < 0)
		dial_host(conn, to);
	else
		dial_tunnel(conn, to);
}

void conn_give_up(struct relay_conn *conn)
{
	list_remove(&conn->wait);
	if (conn->phase == RELAY_WAITING)
		refuse(conn, conn->error != 0 ? conn->error : -EDESTADDRREQ);
	else if (conn->send.busy)
		io_cancel(conn->relay->config.io, &conn->send);
	else
		stack_abort(conn->tunnel);
}
