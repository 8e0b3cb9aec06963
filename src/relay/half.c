// SPDX-License-Identifier: MIT
/*
 * An open connection: two halves that do the same thing in opposite directions.
 *
 *	host    --recv-->  to_tunnel.queue  --stack_write-->   tunnel
 *	tunnel  --data-->  to_host.queue    --IO_SEND------>   host
 *
 * Each half has one bound of its own. Towards the host it is the window that the tunnel's peer was
 * given: it opens (stack_consumed) only as the host's socket takes bytes. Towards the tunnel it is
 * the room in the queue: a receive is handed over only for bytes that the budget has already been
 * charged for, and what lwIP has not had acknowledged stays in the queue, lent.
 *
 * Completions and events note what happened and mark the connection dirty; conn_work(), once a
 * turn, moves everything that can be moved. An end travels behind the bytes before it: a half is
 * DONE when its queue is empty (host) or lent as a whole (tunnel) and the FIN is on its way.
 */
#include "inside.h"

#include <errno.h>

enum {
	QUEUE_MIN = 16384,
	QUEUE_MAX = 64 << 20, /* lwIP's send buffer takes no more */
	AHEAD_MAX = 128 * 1024,
	TRAIN_BYTES_MIN = 32768,
};

void half_set_state(struct half *half, enum half_state state)
{
	CHECK(state == half->state + 1);
	half->state = state;
}

void conn_set_phase(struct relay_conn *conn, enum relay_phase phase)
{
	static const uint8_t legal[] = {
		[RELAY_WAITING] = 1 << RELAY_DIALLING | 1 << RELAY_BROKEN,
		[RELAY_DIALLING] = 1 << RELAY_WAITING | 1 << RELAY_ANSWERING | 1 << RELAY_OPEN |
				   1 << RELAY_BROKEN,
		[RELAY_ANSWERING] = 1 << RELAY_OPEN | 1 << RELAY_BROKEN,
		[RELAY_OPEN] = 1 << RELAY_BROKEN,
		[RELAY_BROKEN] = 0,
	};

	CHECK((legal[conn->phase] >> phase & 1) != 0);
	conn->phase = phase;
}

void conn_mark_dirty(struct relay_conn *conn)
{
	if (list_empty(&conn->dirty))
		list_append(&conn->relay->dirty, &conn->dirty);
}

void conn_break(struct relay_conn *conn)
{
	if (conn->phase == RELAY_BROKEN)
		return;
	if (conn->phase == RELAY_OPEN)
		conn->relay->stats.resets++;
	conn_set_phase(conn, RELAY_BROKEN);
	conn_tell_dialled(conn, -1, -ECONNABORTED);
	list_remove(&conn->wait);
	list_remove(&conn->idle);
	list_remove(&conn->owing);
	conn_mark_dirty(conn);
}

/* An operation on the host's socket has ended with an error. */
static void break_by_host(struct relay_conn *conn, int error)
{
	if (error == -ETIMEDOUT)
		conn->relay->stats.timed_out[RELAY_TIMEOUT_HOST]++;
	conn_break(conn);
}

static void wait_on(struct relay_conn *conn, struct list *list)
{
	if (list_empty(&conn->wait))
		list_append(list, &conn->wait);
}

static void wait_for_memory(struct relay_conn *conn)
{
	wait_on(conn, &conn->relay->starved[conn->to_tunnel.queue.len > 0]);
}

/* --- host to tunnel ---------------------------------------------------------------------------- */

/*
 * Bytes that one direction may have queued: its fair share of a third of the budget, or as much as is
 * left of a half (dynamic thresholds: Choudhury and Hahne, 1998); segments take more. It is used as
 * far as the tunnel's window needs it: see is_ahead().
 */
static size_t queue_max(const struct relay *relay)
{
	const struct budget *budget = relay->config.budget;
	size_t share = budget->limit / 3 / (relay->stats.open + 1);

	if (share + budget->used < budget->limit / 2)
		share = budget->limit / 2 - budget->used;
	return share < QUEUE_MIN ? QUEUE_MIN : share > QUEUE_MAX ? QUEUE_MAX : share;
}

/*
 * A receive that filled its limit wants a larger one. One that did not has emptied the socket: the
 * next may wait for long, and holds as little of the budget as it can.
 */
static void adapt_recv_limit(struct relay_conn *conn, uint32_t received)
{
	if (received == conn->recv.recv.limit)
		conn->recv_limit = conn->recv_limit < RECV_LIMIT_MAX / 4 ? conn->recv_limit * 4
									 : RECV_LIMIT_MAX;
	else if (received < conn->recv.recv.limit)
		conn->recv_limit = relay_idle_limit(conn->relay);
}

static void take_received(struct relay_conn *conn, struct io_buf *buf, uint32_t received)
{
	struct budget *budget = conn->relay->config.budget;
	struct iovec bytes = {buf->data, received};

	/* The reservation was for this push: it cannot fail for want of budget, only of memory. */
	if (!queue_push(&conn->to_tunnel.queue, budget, &bytes, 1))
		conn_break(conn);
	if (received < conn->recv.recv.limit && conn->tunnel != NULL)
		stack_had_nothing(conn->tunnel);
	adapt_recv_limit(conn, received);
	conn->moved = true;
}

void conn_recv_done(struct io_op *op, int result)
{
	struct relay_conn *conn = list_entry(op, struct relay_conn, recv);
	struct io_buf *buf = op->recv.buf;

	budget_give(conn->relay->config.budget, conn->reserved);
	conn->reserved = 0;
	if (conn->phase == RELAY_OPEN && result > 0)
		take_received(conn, buf, (uint32_t)result);
	else if (conn->phase == RELAY_OPEN && result == 0)
		half_set_state(&conn->to_tunnel, HALF_ENDED);
	else if (conn->phase == RELAY_OPEN && result == -ENOBUFS)
		wait_on(conn, &list_entry(op->recv.pool, struct recv_pool, bufs)->waiting);
	else if (conn->phase == RELAY_OPEN)
		break_by_host(conn, result);
	if (buf != NULL)
		buf_drop(&buf->buf);
	conn_mark_dirty(conn);
}

/*
 * What the tunnel's window does not let out yet is better left where it is: read early, it would only
 * make the queue outgrow the cache. AHEAD_MAX is what keeps the tunnel busy until the next receive.
 */
static bool is_ahead(const struct relay_conn *conn)
{
	const struct queue *queue = &conn->to_tunnel.queue;

	return queue->len - queue->lent + stack_unsent(conn->tunnel) >= AHEAD_MAX;
}

/* What a train holds: a segment that is not full would end it, and one more begin another. Of a peer's
 * very short segments not all have to fit into one. */
static uint32_t train_bytes(const struct relay_conn *conn)
{
	uint32_t bytes = conn->relay->config.train * stack_segment(conn->tunnel);

	return bytes > TRAIN_BYTES_MIN ? bytes : TRAIN_BYTES_MIN;
}

static void start_recv(struct relay_conn *conn)
{
	struct relay *relay = conn->relay;
	size_t room = queue_max(relay);
	bool has_queued = conn->to_tunnel.queue.len > 0;
	uint32_t limit = conn->recv_limit, train;

	if (conn->recv.busy || !list_empty(&conn->wait) || conn->to_tunnel.state != HALF_OPEN ||
	    conn->to_tunnel.queue.len >= room)
		return; /* when it is a matter of room, acked() comes */
	if (is_ahead(conn)) {
		stack_await(conn->tunnel, AHEAD_MAX);
		return;
	}
	train = train_bytes(conn);
	if (limit > train)
		limit = train;
	if (limit > room - conn->to_tunnel.queue.len)
		limit = (uint32_t)(room - conn->to_tunnel.queue.len);
	/* feed_starved() has seen room for this much, if for no more. */
	if (relay_host_room(relay, true) < queue_cost(limit) && limit > RECV_LIMIT_MIN)
		limit = RECV_LIMIT_MIN;
	if (relay_host_room(relay, has_queued) < queue_cost(limit)) {
		wait_for_memory(conn);
		return;
	}
	CHECK(budget_take(relay->config.budget, queue_cost(limit)));
	conn->reserved = (uint32_t)queue_cost(limit);
	conn->recv.kind = IO_RECV;
	conn->recv.fd = conn->fd;
	conn->recv.done = conn_recv_done;
	conn->recv.recv.pool = limit > IDLE_LIMIT_MAX ? &relay->large.bufs : &relay->small.bufs;
	conn->recv.recv.limit = limit;
	io_submit(relay->config.io, &conn->recv);
}

static void move_to_tunnel(struct relay_conn *conn)
{
	struct half *half = &conn->to_tunnel;
	struct iovec piece;
	size_t taken;

	if (conn->tunnel == NULL || half->state == HALF_DONE)
		return;
	while (queue_peek(&half->queue, &piece, 1) > 0) {
		taken = stack_write(conn->tunnel, piece.iov_base, piece.iov_len);
		queue_lend(&half->queue, taken);
		conn->relay->stats.tunnel_bytes += taken;
		if (taken == 0 && half->queue.lent == 0)
			wait_for_memory(conn); /* otherwise acked() comes */
		if (taken == 0)
			return;
	}
	if (half->state == HALF_ENDED) {
		stack_shutdown(conn->tunnel);
		half_set_state(half, HALF_DONE);
	}
}

/* --- tunnel to host ---------------------------------------------------------------------------- */

void conn_send_done(struct io_op *op, int result)
{
	struct relay_conn *conn = list_entry(op, struct relay_conn, send);
	struct queue *queue = &conn->to_host.queue;

	if (result > 0) {
		conn->moved = conn->sent = true;
		queue_return(queue, conn->relay->config.budget, (size_t)result);
		conn->to_credit += (size_t)result;
		conn->relay->stats.host_bytes += (size_t)result;
	}
	queue_take_back(queue); /* after a short send */
	if (conn->phase == RELAY_OPEN && result < 0)
		break_by_host(conn, result);
	conn_mark_dirty(conn);
}

static void move_to_host(struct relay_conn *conn)
{
	struct half *half = &conn->to_host;
	int count;

	if (conn->to_credit > 0 && conn->tunnel != NULL)
		stack_consumed(conn->tunnel, conn->to_credit);
	conn->to_credit = 0;
	if (conn->send.busy || half->state == HALF_DONE)
		return;
	count = queue_peek(&half->queue, conn->iov, IO_IOV_MAX);
	if (count > 0) {
		size_t len = 0;

		for (int i = 0; i < count; i++)
			len += conn->iov[i].iov_len;
		queue_lend(&half->queue, len);
		conn->send.kind = IO_SEND;
		conn->send.fd = conn->fd;
		conn->send.done = conn_send_done;
		conn->send.send.iov = conn->iov;
		conn->send.send.count = (uint32_t)count;
		io_submit(conn->relay->config.io, &conn->send);
	} else if (half->state == HALF_ENDED) {
		/* With both directions at their end the close that follows says the same. */
		if (conn->to_tunnel.state == HALF_OPEN)
			io_shutdown(conn->relay->config.io, conn->fd);
		half_set_state(half, HALF_DONE);
	}
}

/* --- both -------------------------------------------------------------------------------------- */

static void close_host_if_done(struct relay_conn *conn)
{
	if (conn->fd < 0 || conn->to_host.state != HALF_DONE ||
	    conn->to_tunnel.state == HALF_OPEN || conn->recv.busy || conn->send.busy)
		return;
	io_close(conn->relay->config.io, conn->fd);
	conn->fd = -1;
}

static void work_broken(struct relay_conn *conn)
{
	struct io *io = conn->relay->config.io;

	if (conn->tunnel != NULL)
		stack_abort(conn->tunnel); /* ended() comes with the stack's turn */
	if (conn->recv.busy || conn->send.busy) {
		io_cancel(io, &conn->recv);
		io_cancel(io, &conn->send);
	} else if (conn->fd >= 0) {
		io_reset(io, conn->fd);
		conn->fd = -1;
	}
}

/* Here and not where the target's answer came: only the turn knows the time. */
static void count_dial(struct relay_conn *conn)
{
	struct relay *relay = conn->relay;

	if (conn->dialled_ns == 0)
		return;
	histogram_add(&relay->stats.connect_time, relay->now_ns - conn->dialled_ns);
	conn->dialled_ns = 0;
}

void conn_work(struct relay_conn *conn)
{
	if (conn->phase == RELAY_WAITING)
		conn_dial(conn);
	if (conn->phase == RELAY_ANSWERING || conn->phase == RELAY_OPEN)
		count_dial(conn);
	if (conn->phase == RELAY_ANSWERING)
		conn_answer(conn);
	if (conn->phase == RELAY_OPEN) {
		move_to_host(conn);
		move_to_tunnel(conn);
		start_recv(conn);
		close_host_if_done(conn);
		idle_note(conn);
		owing_note(conn);
	} else if (conn->phase == RELAY_BROKEN) {
		work_broken(conn);
	}
	if (conn->phase >= RELAY_OPEN && conn->tunnel == NULL && conn->fd < 0 && !conn->recv.busy &&
	    !conn->send.busy)
		conn_free(conn);
}
