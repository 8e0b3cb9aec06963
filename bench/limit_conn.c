// SPDX-License-Identifier: MIT
#include "limit.h"

#include "base/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONNS_MAX = 1024, TCP_BUFS = 8, BUF_LEN = 65536 };

/*
 * A connection has a name as long as one of the peers may speak of it: until both have told the
 * other its end. The ingress gives the names, and so it may give a name again while the egress is
 * still busy with its former bearer's last bytes.
 */
struct conn {
	struct list link; /* of all */
	uint32_t id;
	int fd;
	bool ready; /* the target is dialled; or the egress was told */
	/* Host to tunnel: a received buffer that the tunnel has no room for yet. */
	struct op recv;
	bool receiving, host_ended, end_told;
	uint16_t held_id;
	size_t held_len;
	/* Tunnel to host: arrivals that wait, and those in the send that is under way. */
	struct op send;
	struct msghdr msg;
	struct list waiting, sending;
	size_t sending_len; /* 0: none is */
	bool peer_ended, shut, broken;
};

static struct {
	struct list all;
	struct conn *by_id[CONNS_MAX];
	struct op accept;
	bool accepting;
	int listener;
	const struct sockaddr *target;
	socklen_t target_len;
	struct pool pool;
	struct iovec pieces[UDP_BUFS * SEGMENTS_MAX]; /* of this turn's sends */
	size_t pieces_len;
} conns;

/* --- host to tunnel ---------------------------------------------------------------------------- */

static void received(struct op *op, const struct io_uring_cqe *cqe)
{
	struct conn *conn = list_entry(op, struct conn, recv);

	conn->receiving = false;
	if (cqe->flags & IORING_CQE_F_BUFFER)
		conn->held_id = pool_take(&conns.pool, cqe);
	if (cqe->res > 0)
		conn->held_len = (size_t)cqe->res;
	else if (cqe->flags & IORING_CQE_F_BUFFER)
		pool_put(&conns.pool, conn->held_id);
	/* Without a buffer, or after too many idle wake-ups, it is tried again. */
	if (cqe->res <= 0 && cqe->res != -ENOBUFS && cqe->res != -EAGAIN)
		conn->host_ended = true;
}

static void receive(struct conn *conn)
{
	struct io_uring_sqe *sqe = ring_ask(&conn->recv);

	io_uring_prep_recv(sqe, conn->fd, NULL, TRAIN_PAYLOAD, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = conns.pool.group;
	conn->receiving = true;
}

static void move_to_tunnel(struct conn *conn)
{
	if (conn->held_len > 0 && tunnel_has_room()) {
		tunnel_send(conn->id, pool_buf(&conns.pool, conn->held_id), conn->held_len);
		pool_put(&conns.pool, conn->held_id);
		conn->held_len = 0;
	}
	if (conn->held_len > 0 || conn->end_told || conn->receiving)
		return;
	if (conn->host_ended)
		conn->end_told = tunnel_tell(END, conn->id);
	else if (tunnel_has_room() && conns.pool.free > 0)
		receive(conn);
}

/* --- tunnel to host ---------------------------------------------------------------------------- */

static void release_all(struct list *arrivals)
{
	struct list *node;

	while ((node = list_pop(arrivals)) != NULL)
		tunnel_release(list_entry(node, struct arrival, link));
}

static void sent(struct op *op, const struct io_uring_cqe *cqe)
{
	struct conn *conn = list_entry(op, struct conn, send);

	/* MSG_WAITALL: less than all only comes of an error. */
	if (cqe->res < 0 || (size_t)cqe->res < conn->sending_len)
		conn->broken = true;
	conn->sending_len = 0;
	release_all(&conn->sending);
}

/* All that waits, in one send. */
static void send_waiting(struct conn *conn)
{
	struct list *node;

	conn->msg = (struct msghdr){.msg_iov = &conns.pieces[conns.pieces_len]};
	while ((node = list_pop(&conn->waiting)) != NULL) {
		struct arrival *arrival = list_entry(node, struct arrival, link);

		for (uint32_t i = 0; i < arrival->count; i++) {
			conns.pieces[conns.pieces_len++] = arrival->pieces[i];
			conn->sending_len += arrival->pieces[i].iov_len;
		}
		conn->msg.msg_iovlen += arrival->count;
		list_append(&conn->sending, node);
	}
	io_uring_prep_sendmsg(ring_ask(&conn->send), conn->fd, &conn->msg,
			      MSG_NOSIGNAL | MSG_WAITALL);
}

static void move_to_host(struct conn *conn)
{
	if (conn->sending_len > 0)
		return;
	if (conn->broken)
		release_all(&conn->waiting);
	if (!list_empty(&conn->waiting)) {
		send_waiting(conn);
	} else if (conn->peer_ended && !conn->shut) {
		(void)shutdown(conn->fd, SHUT_WR);
		conn->shut = true;
	}
}

/* --- begin and end ----------------------------------------------------------------------------- */

static struct conn *conn_new(int fd, uint32_t id)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (fd < 0 || conn == NULL)
		fail("a new connection", errno);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	conn->fd = fd;
	conn->id = id;
	conn->recv.done = received;
	conn->send.done = sent;
	list_init(&conn->waiting);
	list_init(&conn->sending);
	list_append(&conns.all, &conn->link);
	conns.by_id[id] = conn;
	return conn;
}

/* CONNS_MAX: all are in use. */
static uint32_t free_name(void)
{
	uint32_t id = 0;

	while (id < CONNS_MAX && conns.by_id[id] != NULL)
		id++;
	return id;
}

static void accepted(struct op *op, const struct io_uring_cqe *cqe)
{
	(void)op;
	conns.accepting = false;
	if (cqe->res < 0)
		fail("accept", -cqe->res);
	conn_new(cqe->res, free_name());
}

static void accept_next(void)
{
	if (conns.listener < 0 || conns.accepting || free_name() == CONNS_MAX)
		return;
	io_uring_prep_accept(ring_ask(&conns.accept), conns.listener, NULL, NULL, SOCK_CLOEXEC);
	conns.accepting = true;
}

static void dialled(struct op *op, const struct io_uring_cqe *cqe)
{
	struct conn *conn = list_entry(op, struct conn, send);

	conn->send.done = sent;
	conn->ready = true;
	conn->broken = conn->host_ended = cqe->res < 0;
}

void conns_begin(uint32_t id)
{
	int fd = socket(conns.target->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct conn *conn = conn_new(fd, id);

	conn->send.done = dialled;
	io_uring_prep_connect(ring_ask(&conn->send), fd, conns.target, conns.target_len);
}

static struct conn *conn_of(uint32_t id)
{
	CHECK(id < CONNS_MAX && conns.by_id[id] != NULL);
	return conns.by_id[id];
}

void conns_data(struct arrival *arrival)
{
	list_append(&conn_of(arrival->conn)->waiting, &arrival->link);
}

void conns_end(uint32_t id)
{
	conn_of(id)->peer_ended = true;
}

/* --- the turn ---------------------------------------------------------------------------------- */

static void work(struct conn *conn)
{
	if (!conn->ready && conns.listener >= 0)
		conn->ready = tunnel_tell(BEGIN, conn->id);
	if (!conn->ready)
		return;
	move_to_tunnel(conn);
	move_to_host(conn);
	if (conn->end_told && conn->peer_ended && conns.by_id[conn->id] == conn)
		conns.by_id[conn->id] = NULL;
}

static void keep_or_free(struct conn *conn)
{
	if (!conn->end_told || !conn->shut) {
		list_append(&conns.all, &conn->link);
		return;
	}
	close(conn->fd);
	free(conn);
}

void conns_turn(void)
{
	struct list mark;
	struct list *node;

	conns.pieces_len = 0;
	list_append(&conns.all, &mark);
	while ((node = list_pop(&conns.all)) != &mark) {
		struct conn *conn = list_entry(node, struct conn, link);

		work(conn);
		keep_or_free(conn);
	}
	/* Another one is the first next time: the window is not for the oldest alone. */
	if ((node = list_pop(&conns.all)) != NULL)
		list_append(&conns.all, node);
	accept_next();
}

void conns_open(int listener, const struct sockaddr *target, socklen_t target_len)
{
	list_init(&conns.all);
	conns.listener = listener;
	conns.target = target;
	conns.target_len = target_len;
	conns.accept.done = accepted;
	conns.pool = (struct pool){.group = 1, .count = TCP_BUFS, .len = BUF_LEN};
	pool_open(&conns.pool);
	accept_next();
}
