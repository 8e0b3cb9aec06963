// SPDX-License-Identifier: MIT
/*
 * What a ring may be asked for, for good. Operations on a ring are no system calls, so the process's
 * seccomp filter does not see them: without this, whoever finds a fault in us could open sockets of
 * any kind by way of the ring. The kernel takes it as long as the ring is not enabled.
 */
#include "uring.h"

/* What uring_prepare() and cancelling write into SQEs. */
static const uint8_t operations[] = {
	IORING_OP_ACCEPT,  IORING_OP_CONNECT, IORING_OP_RECV,	  IORING_OP_SEND,
	IORING_OP_SENDMSG, IORING_OP_RECVMSG, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
};

/* Pools, and the ring's descriptor. */
static const uint8_t registrations[] = {
	IORING_REGISTER_PBUF_RING,
	IORING_UNREGISTER_PBUF_RING,
	IORING_REGISTER_RING_FDS,
	IORING_UNREGISTER_RING_FDS,
};

enum {
	OPERATIONS = sizeof(operations) / sizeof(operations[0]),
	REGISTRATIONS = sizeof(registrations) / sizeof(registrations[0]),
};

int uring_restrict(struct io_uring *ring)
{
	struct io_uring_restriction allowed[OPERATIONS + REGISTRATIONS + 1] = {0};
	struct io_uring_restriction *next = allowed;
	int error;

	for (unsigned i = 0; i < OPERATIONS; i++, next++) {
		next->opcode = IORING_RESTRICTION_SQE_OP;
		next->sqe_op = operations[i];
	}
	for (unsigned i = 0; i < REGISTRATIONS; i++, next++) {
		next->opcode = IORING_RESTRICTION_REGISTER_OP;
		next->register_op = registrations[i];
	}
	next->opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	next->sqe_flags = IOSQE_BUFFER_SELECT;
	error = ring_register(ring, IORING_REGISTER_RESTRICTIONS, allowed,
			      sizeof(allowed) / sizeof(allowed[0]));
	return error < 0 ? error : ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
