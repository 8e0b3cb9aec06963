// SPDX-License-Identifier: MIT
/* What each kind of operation is to io_uring: the SQE that asks, the buffer that answers. */
#include "uring.h"

#include "socket.h"

#include <assert.h>
#include <netinet/in.h>

static_assert(sizeof(struct io_uring_recvmsg_out) + DGRAM_NAME_LEN + DGRAM_CONTROL_LEN ==
		      IO_POOL_EXTRA,
	      "the payload of a datagram starts IO_POOL_EXTRA bytes into its buffer");
static_assert(DGRAM_NAME_LEN >= sizeof(struct sockaddr_in6), "an address of either family fits");
static_assert(DGRAM_CONTROL_LEN >= CMSG_SPACE(sizeof(int)), "UDP_GRO's segment size fits");

static void prepare_recv(struct io_uring_sqe *sqe, const struct io_op *op)
{
	io_uring_prep_recv(sqe, op->fd, NULL, op->recv.limit, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = op->recv.pool->group;
}

static void prepare_recv_dgrams(struct uring *uring, struct io_uring_sqe *sqe,
				const struct io_op *op)
{
	io_uring_prep_recvmsg_multishot(sqe, op->fd, &uring->dgram_shape, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = op->recv.pool->group;
}

/* MSG_WAITALL: the kernel goes on after a short send, so that one completion tells all. */
static void prepare_send(struct uring *uring, struct io_uring_sqe *sqe, const struct io_op *op)
{
	const int flags = MSG_NOSIGNAL | MSG_WAITALL;
	const struct iovec *iov = op->send.iov;
	/* The header must live until the kernel has taken the SQE, so each SQE has its own. */
	struct msghdr *msg = &uring->send_msgs[sqe - uring->ring.sq.sqes];

	if (op->send.count == 1) {
		io_uring_prep_send(sqe, op->fd, iov->iov_base, iov->iov_len, flags);
		return;
	}
	*msg = (struct msghdr){.msg_iov = op->send.iov, .msg_iovlen = op->send.count};
	io_uring_prep_sendmsg(sqe, op->fd, msg, (unsigned)flags);
}

void uring_prepare(struct uring *uring, struct io_uring_sqe *sqe, struct io_op *op)
{
	switch ((enum io_kind)op->kind) {
	case IO_ACCEPT:
		io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL,
					       SOCK_NONBLOCK | SOCK_CLOEXEC);
		break;
	case IO_CONNECT:
		io_uring_prep_connect(sqe, op->fd, (struct sockaddr *)op->connect.to,
				      op->connect.len);
		break;
	case IO_RECV:
		prepare_recv(sqe, op);
		break;
	case IO_SEND:
		prepare_send(uring, sqe, op);
		break;
	case IO_RECV_DGRAMS:
		prepare_recv_dgrams(uring, sqe, op);
		break;
	case IO_SEND_DGRAMS:
		io_uring_prep_sendmsg(sqe, op->fd, op->send_dgrams.msg,
				      MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case IO_POLL:
		io_uring_prep_poll_add(sqe, op->fd, op->poll.events);
		break;
	case IO_KINDS:
		break;
	}
	io_uring_sqe_set_data(sqe, op);
}

static uint32_t gro_segment(struct io_uring_recvmsg_out *out, struct msghdr *shape)
{
	struct msghdr msg = {
		.msg_control = io_uring_recvmsg_cmsg_firsthdr(out, shape),
		.msg_controllen = out->controllen,
	};

	return socket_gro_segment(&msg);
}

static int parse_dgram(struct uring *uring, struct io_op *op, struct io_buf *buf, int cqe_len)
{
	struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(buf->data, cqe_len,
								     &uring->dgram_shape);

	CHECK(out != NULL);
	if (!addr_from_sockaddr(&buf->from, io_uring_recvmsg_name(out)))
		buf->from.family = ADDR_NONE;
	op->recv.segment = gro_segment(out, &uring->dgram_shape);
	buf->data = io_uring_recvmsg_payload(out, &uring->dgram_shape);
	return cqe_len - IO_POOL_EXTRA;
}

int uring_take_buffer(struct uring *uring, struct io_op *op, const struct io_uring_cqe *cqe)
{
	struct io_pool *pool = op->recv.pool;
	uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	int result = cqe->res;
	struct io_buf *buf;

	op->recv.buf = NULL;
	op->recv.segment = 0;
	if (!(cqe->flags & IORING_CQE_F_BUFFER))
		return result;
	buf = io_pool_take(pool, id);
	buf->data = pool->memory + (size_t)id * io_pool_stride(pool);
	if (op->kind == IO_RECV_DGRAMS && result >= 0) {
		result = parse_dgram(uring, op, buf, result);
		op->recv.buf = buf;
	} else if (result > 0) {
		op->recv.buf = buf;
	} else {
		buf_drop(&buf->buf); /* the end of the stream, or an error, took one for nothing */
	}
	return result;
}
