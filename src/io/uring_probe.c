// SPDX-License-Identifier: MIT
/*
 * Set-up alone proves little: sandboxes refuse single calls, and copies of io_uring lack parts. So
 * one datagram is received the way all of them will be: into a ring-mapped buffer, by a multishot
 * operation that is cancelled afterwards. What is newest of all that is needed (Linux 6.1, the
 * ring's flags) has been proven by then.
 */
#include "uring.h"

#include "base/time.h"

#include <errno.h>
#include <unistd.h>

enum {
	PROBE_MAX_S = 1,
	PROBE_BUF_LEN = 64,
	PROBE_POOLS = 4, /* more than we open: there shall be memory for them */
};

struct probe {
	struct io_op op;
	int result; /* of the first completion, which is the datagram when all is well */
	unsigned completions;
};

static void probe_done(struct io_op *op, int result)
{
	struct probe *probe = list_entry(op, struct probe, op);

	if (probe->completions++ == 0)
		probe->result = result;
	if (op->recv.buf != NULL)
		buf_drop(&op->recv.buf->buf);
}

/* Turns until the operation has completed so often, or has ended. */
static int turn_until(struct io *io, const struct probe *probe, unsigned completions)
{
	uint64_t now_ns = io_now();
	uint64_t end_ns = now_ns + PROBE_MAX_S * NS_PER_S;
	int error = 0;

	while (error == 0 && probe->op.busy && probe->completions < completions && now_ns < end_ns)
		error = io_turn(io, end_ns, &now_ns);
	return error;
}

static int receive_one(struct io *io, struct io_pool *pool, const int fds[static 2])
{
	struct probe probe = {
		.op = {.done = probe_done, .kind = IO_RECV_DGRAMS, .fd = fds[0]},
		.result = -ENOSYS, /* what nothing at all means */
	};
	int error;

	probe.op.recv.pool = pool;
	io_submit(io, &probe.op);
	if (send(fds[1], "", 1, MSG_NOSIGNAL) < 0)
		probe.result = -errno;
	error = turn_until(io, &probe, 1);
	if (error == 0) {
		io_cancel(io, &probe.op);
		error = turn_until(io, &probe, 2);
	}
	/* One that does not end is left to the end of the ring, which is next. */
	if (error == 0 && probe.op.busy)
		error = -ENOSYS;
	return error == 0 && probe.result < 0 ? probe.result : error;
}

static int receive_into(struct io *io, struct io_pool *pool)
{
	int fds[2];
	int error;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	error = receive_one(io, pool, fds);
	close(fds[0]);
	close(fds[1]);
	return error;
}

int uring_probe(struct io *io)
{
	struct io_pool pools[PROBE_POOLS];
	int opened = 0;
	int error = 0;

	while (error == 0 && opened < PROBE_POOLS) {
		error = io_pool_init(&pools[opened], io, 1, PROBE_BUF_LEN);
		opened += error == 0;
	}
	if (error == 0)
		error = receive_into(io, &pools[0]);
	while (opened > 0)
		io_pool_fini(&pools[--opened]);
	io->stats = (struct io_stats){0};
	return error;
}
