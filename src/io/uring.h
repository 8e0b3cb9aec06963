/* SPDX-License-Identifier: MIT */
#pragma once

#include "compat.h"
#include "io.h"

/*
 * How the kernel lays out a datagram in a buffer of IO_RECV_DGRAMS: struct io_uring_recvmsg_out,
 * then the *reserved* lengths of name and control data, however much of them is used, then the
 * payload. The sum is IO_POOL_EXTRA, which leaves the payload on a cache line of its own.
 */
enum { DGRAM_NAME_LEN = 32, DGRAM_CONTROL_LEN = 80 };

struct uring {
	struct io_uring ring;
	struct list queue;    /* operations that the kernel has not seen yet */
	struct list cancels;  /* operations that the kernel has and shall give up */
	struct list finished; /* cancelled while on the queue; result in op->state */
	struct msghdr dgram_shape;
	struct msghdr *send_msgs; /* owned: one per SQE, for IO_SEND of several pieces */
};

/* Writes the operation into `sqe`. What it needs beyond the operation lives as long as the SQE. */
void uring_prepare(struct uring *uring, struct io_uring_sqe *sqe, struct io_op *op);

/*
 * Takes the buffer that a receive has filled, if any, into op->recv and returns the length of the
 * payload, or the completion's error.
 */
int uring_take_buffer(struct uring *uring, struct io_op *op, const struct io_uring_cqe *cqe);

/* Enables a ring, for the operations that are written here. 0 or a negative errno. */
int uring_restrict(struct io_uring *ring);

/* Receives a datagram from ourselves. 0, or a negative errno: then this is no io_uring to use. */
int uring_probe(struct io *io);
