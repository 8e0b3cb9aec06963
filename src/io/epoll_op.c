// SPDX-License-Identifier: MIT
/* What each kind of operation is to epoll: the event that it waits for, the call that does it. */
#include "epoll.h"

#include "socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

enum {
	ACCEPTS_MAX = 32, /* of one pass */
	SENDS_MAX = 32,	  /* of one sendmmsg(2) */
};

uint32_t epoll_wants(const struct io_op *op)
{
	switch ((enum io_kind)op->kind) {
	case IO_RECV:
		return EPOLLIN | EPOLLRDHUP | EPOLLPRI;
	case IO_ACCEPT:
	case IO_RECV_DGRAMS:
		return EPOLLIN;
	case IO_CONNECT:
	case IO_SEND:
		return EPOLLOUT;
	case IO_POLL:
		return op->poll.events; /* the same bits, epoll_ctl(2) */
	case IO_SEND_DGRAMS:		/* never waits */
	case IO_KINDS:
		break;
	}
	return 0;
}

/* --- buffers ----------------------------------------------------------------------------------- */

/* The free buffer that is taken after `skip` others. */
static uint16_t free_id(const struct io_pool *pool, uint32_t skip)
{
	const struct epoll_pool *stack = pool->backend;

	return stack->ids[pool->free - 1 - skip];
}

static uint8_t *bytes_of(const struct io_pool *pool, uint16_t id)
{
	return pool->memory + (size_t)id * io_pool_stride(pool);
}

/*
 * Buffers that this turn may still fill, if they are free. A turn receives half of the pool's size
 * and no more, however often its buffers come back: bytes that wait in their socket while others
 * are worked on cost nothing, become more, and are a larger piece when their turn has come.
 */
static uint64_t fillable(const struct io_pool *pool)
{
	struct epoll_pool *stack = pool->backend;
	uint64_t bytes_max = (uint64_t)pool->count * pool->size / 2;

	if (stack->turn != pool->io->stats.turns)
		stack->filled = 0;
	stack->turn = pool->io->stats.turns;
	return stack->filled < bytes_max ? (bytes_max - stack->filled - 1) / pool->size + 1 : 0;
}

static bool is_receive(const struct io_op *op)
{
	return op->kind == IO_RECV || op->kind == IO_RECV_DGRAMS;
}

static struct io_buf *take_buffer(struct io_pool *pool, size_t len)
{
	struct epoll_pool *stack = pool->backend;
	struct io_buf *buf = io_pool_take(pool, free_id(pool, 0));

	stack->filled += len;
	buf->data = bytes_of(pool, buf->id);
	return buf;
}

/* --- kinds that complete once: a result, or -EAGAIN -------------------------------------------- */

static int try_recv(struct epoll *epoll, struct io_op *op)
{
	struct io_pool *pool = op->recv.pool;
	ssize_t n;

	op->recv.buf = NULL;
	op->recv.segment = 0;
	if (pool->free == 0)
		return -ENOBUFS;
	n = recv(op->fd, bytes_of(pool, free_id(pool, 0)), op->recv.limit, MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if (n > 0)
		op->recv.buf = take_buffer(pool, (size_t)n);
	if (n > 0 && n < op->recv.limit)
		epoll_exhaust_by_short(epoll, op);
	return (int)n;
}

/* Copies the pieces from byte `skip` on; returns how many there are, and their bytes. */
static size_t remaining(const struct io_op *op, struct iovec rest[static IO_IOV_MAX], size_t *bytes)
{
	size_t skip = op->state;
	size_t count = 0;

	*bytes = 0;
	for (uint32_t i = 0; i < op->send.count; i++) {
		struct iovec piece = op->send.iov[i];
		size_t sent = skip < piece.iov_len ? skip : piece.iov_len;

		skip -= sent;
		if (sent == piece.iov_len)
			continue;
		piece.iov_base = (uint8_t *)piece.iov_base + sent;
		piece.iov_len -= sent;
		*bytes += piece.iov_len;
		rest[count++] = piece;
	}
	return count;
}

/* op->state is what has gone so far; those bytes are the result, whatever comes after them. */
static int try_send(struct io_op *op)
{
	struct iovec rest[IO_IOV_MAX];
	size_t bytes;
	struct msghdr msg = {.msg_iov = rest, .msg_iovlen = remaining(op, rest, &bytes)};
	ssize_t n = sendmsg(op->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && op->state > 0)
		return (int)op->state;
	if (n < 0)
		return -errno;
	op->state += (uint64_t)n;
	return (size_t)n == bytes ? (int)op->state : -EAGAIN;
}

/* Calling again is how to ask for the outcome: connect(2) says EALREADY until there is one. */
static int try_connect(const struct io_op *op)
{
	if (connect(op->fd, (struct sockaddr *)op->connect.to, op->connect.len) == 0)
		return 0;
	return errno == EINPROGRESS || errno == EALREADY ? -EAGAIN : -errno;
}

static int try_poll(const struct io_op *op)
{
	struct pollfd pollfd = {.fd = op->fd, .events = (short)op->poll.events};

	if (poll(&pollfd, 1, 0) < 0)
		return -errno;
	return pollfd.revents != 0 ? pollfd.revents : -EAGAIN;
}

static int try_once(struct epoll *epoll, struct io_op *op)
{
	switch ((enum io_kind)op->kind) {
	case IO_RECV:
		return try_recv(epoll, op);
	case IO_SEND:
		return try_send(op);
	case IO_CONNECT:
		return try_connect(op);
	default:
		return try_poll(op);
	}
}

static void run_once(struct io *io, struct io_op *op)
{
	struct epoll *epoll = io->state;
	int result = try_once(epoll, op);

	if (result != -EAGAIN) {
		io_complete(io, op, result, false);
		return;
	}
	epoll_exhaust(epoll, op);
	epoll_wait_for_event(io, op);
}

/* --- multishot kinds --------------------------------------------------------------------------- */

/* After an attempt that has not ended it. done() may have cancelled it. */
static void go_on(struct io *io, struct io_op *op, bool exhausted)
{
	struct epoll *epoll = io->state;

	if (op->cancelled) {
		io_complete(io, op, -ECANCELED, false);
	} else if (exhausted) {
		epoll_exhaust(epoll, op);
		epoll_wait_for_event(io, op);
	} else {
		list_append(&epoll->queue, &op->link);
	}
}

static void run_accept(struct io *io, struct io_op *op)
{
	int fd = 0;

	for (int i = 0; i < ACCEPTS_MAX && fd >= 0 && !op->cancelled; i++) {
		fd = accept4(op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			io_complete(io, op, fd, true);
	}
	if (fd < 0 && errno != EAGAIN)
		io_complete(io, op, -errno, false);
	else
		go_on(io, op, fd < 0);
}

void epoll_prepare_dgrams(struct epoll *epoll)
{
	for (int i = 0; i < EPOLL_DGRAMS_MAX; i++) {
		struct dgram_head *head = &epoll->heads[i];
		struct msghdr *msg = &epoll->received[i].msg_hdr;

		msg->msg_name = &head->from;
		msg->msg_iov = &head->iov;
		msg->msg_iovlen = 1;
		msg->msg_control = &head->control;
	}
}

/* Into the first `count` free buffers; returns how many were filled, or a negative errno. */
static int receive_dgrams(struct epoll *epoll, const struct io_op *op, uint32_t count)
{
	const struct io_pool *pool = op->recv.pool;
	int filled;

	for (uint32_t i = 0; i < count; i++) {
		struct dgram_head *head = &epoll->heads[i];
		struct msghdr *msg = &epoll->received[i].msg_hdr;

		head->iov = (struct iovec){bytes_of(pool, free_id(pool, i)), pool->size};
		head->from.sin6_family = AF_UNSPEC; /* stays so where there is no name */
		msg->msg_namelen = sizeof(head->from);
		msg->msg_controllen = sizeof(head->control);
	}
	filled = recvmmsg(op->fd, epoll->received, count, MSG_DONTWAIT, NULL);
	return filled < 0 ? -errno : filled;
}

/* All are taken before the first is told: done() gives buffers back, which changes their order. */
static void take_dgrams(struct epoll *epoll, struct io_pool *pool, struct io_buf **bufs, int count)
{
	for (int i = 0; i < count; i++) {
		bufs[i] = take_buffer(pool, epoll->received[i].msg_len);
		if (!addr_from_sockaddr(&bufs[i]->from, (struct sockaddr *)&epoll->heads[i].from))
			bufs[i]->from.family = ADDR_NONE;
	}
}

static uint32_t dgrams_max(const struct io_pool *pool)
{
	uint64_t count = fillable(pool);

	if (count > pool->free)
		count = pool->free;
	return count < EPOLL_DGRAMS_MAX ? (uint32_t)count : EPOLL_DGRAMS_MAX;
}

static void run_recv_dgrams(struct io *io, struct io_op *op)
{
	struct epoll *epoll = io->state;
	struct io_pool *pool = op->recv.pool;
	struct io_buf *bufs[EPOLL_DGRAMS_MAX];
	uint32_t asked = dgrams_max(pool);
	int count = asked > 0 ? receive_dgrams(epoll, op, asked) : -ENOBUFS;

	if (count < 0 && count != -EAGAIN) {
		io_complete(io, op, count, false);
		return;
	}
	take_dgrams(epoll, pool, bufs, count);
	for (int i = 0; i < count; i++) {
		op->recv.buf = bufs[i];
		op->recv.segment = socket_gro_segment(&epoll->received[i].msg_hdr);
		io_complete(io, op, (int)epoll->received[i].msg_len, true);
	}
	go_on(io, op, count < (int)asked);
}

/* --- sends of datagrams ------------------------------------------------------------------------ */

/* The next of the pass, when it is another one for this socket. */
static struct io_op *next_send(struct epoll *epoll, int fd)
{
	struct io_op *op = list_entry(epoll->pass.next, struct io_op, link);

	if (list_empty(&epoll->pass) || op->kind != IO_SEND_DGRAMS || op->fd != fd || op->cancelled)
		return NULL;
	list_remove(&op->link);
	return op;
}

static unsigned collect_sends(struct epoll *epoll, struct io_op *op, struct io_op **ops,
			      struct mmsghdr *messages)
{
	int fd = op->fd;
	unsigned count = 0;

	do {
		messages[count].msg_hdr = *op->send_dgrams.msg;
		ops[count++] = op;
	} while (count < SENDS_MAX && (op = next_send(epoll, fd)) != NULL);
	return count;
}

/*
 * In order. Behind one that finds the socket full none is tried: a shorter one might find room, and
 * overtake it. sendmmsg(2) keeps an error for itself when others have left before: it comes again
 * with the next call.
 */
static void run_send_dgrams(struct io *io, struct io_op *op)
{
	struct io_op *ops[SENDS_MAX];
	struct mmsghdr messages[SENDS_MAX];
	unsigned count = collect_sends(io->state, op, ops, messages);
	unsigned told = 0;
	int fd = op->fd;

	while (told < count) {
		int sent = sendmmsg(fd, messages + told, count - told, MSG_NOSIGNAL | MSG_DONTWAIT);
		int error = sent < 0 ? -errno : 0;
		unsigned end = error == 0	  ? told + (unsigned)sent
			       : error == -EAGAIN ? count
						  : told + 1;

		for (; told < end; told++)
			io_complete(io, ops[told], error == 0 ? (int)messages[told].msg_len : error,
				    false);
	}
}

/* -ECANCELED, unless it came too late for some bytes. */
static int cancelled_result(const struct io_op *op)
{
	return op->kind == IO_SEND && op->state > 0 ? (int)op->state : -ECANCELED;
}

static void run(struct io *io, struct io_op *op)
{
	switch ((enum io_kind)op->kind) {
	case IO_ACCEPT:
		run_accept(io, op);
		break;
	case IO_RECV_DGRAMS:
		run_recv_dgrams(io, op);
		break;
	case IO_SEND_DGRAMS:
		run_send_dgrams(io, op);
		break;
	default:
		run_once(io, op);
	}
}

void epoll_try(struct io *io, struct io_op *op)
{
	struct epoll *epoll = io->state;

	if (op->cancelled)
		io_complete(io, op, cancelled_result(op), false);
	else if (epoll_is_exhausted(epoll, op))
		epoll_wait_for_event(io, op);
	else if (is_receive(op) && fillable(op->recv.pool) == 0)
		list_append(&epoll->late, &op->link);
	else
		run(io, op);
}
