// SPDX-License-Identifier: MIT
/*
 * The io_uring backend: theory of operation
 *
 * One ring, one thread, no helper threads and no polling. DEFER_TASKRUN makes the kernel do its
 * part of the completions only when we enter it with GETEVENTS, which is once a turn: nothing
 * interrupts the proxy between turns, and everything that came in meanwhile is handled as a batch.
 * The price: without an enter nothing ever completes, so every turn enters.
 *
 *	io_submit() -> queue -> SQE -> kernel -> CQE -> done()
 *	io_cancel() -> cancels -> SQE ASYNC_CANCEL	(the operation's own CQE still comes)
 *	io_cancel() of an operation on the queue -> finished -> done(-ECANCELED)
 *
 * Operations wait on a list of ours until the turn, so a full submission queue is no special case:
 * it is submitted, and the list goes on being worked off. Should the kernel refuse for the moment,
 * they stay on the list. Nothing is lost, and order is kept. A cancel needs an SQE too, hence its
 * list; the user_data of its SQE is zero and its own CQE is ignored. The cancel of an operation
 * that completes before it is handed over is forgotten: the memory may be somebody else's by then.
 *
 * A turn enters once and sleeps there if there is nothing to do. As the kernel stops after about
 * twenty deferred completions, the turn goes back for more while it says that there are more,
 * within a bound, so that a flood on one socket cannot keep the others' work waiting. A turn whose
 * deadline has come does not wait at all: a wait with a time-out of zero still sleeps for some 20
 * us.
 *
 * Multishot operations may stop with a good result (an empty datagram, a full completion queue).
 * That is io_uring's own affair: they are queued again, and the user sees them end with an error
 * alone.
 *
 * Received bytes land in ring-mapped buffer groups. The kernel takes a buffer only when it has
 * bytes for it, in the order in which they were given back.
 */
#include "uring.h"

#include "base/time.h"
#include "socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
	ROUNDS_MAX = 8,		/* of getting events in one turn: some 160 deferred completions */
	WAIT_MAX_S = 24 * 3600, /* the kernel adds it to its clock: it must not overflow */
};

static void uring_submit(struct io *io, struct io_op *op)
{
	struct uring *uring = io->state;

	list_append(&uring->queue, &op->link);
}

static void uring_cancel(struct io *io, struct io_op *op)
{
	struct uring *uring = io->state;

	if (list_empty(&op->link)) {
		list_append(&uring->cancels, &op->link);
		return;
	}
	list_remove(&op->link);
	op->state = (uint64_t)-ECANCELED;
	list_append(&uring->finished, &op->link);
}

/* NULL while the kernel takes no more. */
static struct io_uring_sqe *next_sqe(struct uring *uring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

	if (sqe == NULL && io_uring_submit(&uring->ring) > 0)
		sqe = io_uring_get_sqe(&uring->ring);
	return sqe;
}

/* The first of `list` and an SQE for it; NULL when there is not both. */
static struct io_op *next_op(struct uring *uring, struct list *list, struct io_uring_sqe **sqe)
{
	if (list_empty(list))
		return NULL;
	*sqe = next_sqe(uring);
	return *sqe != NULL ? list_entry(list_pop(list), struct io_op, link) : NULL;
}

static void hand_over(struct uring *uring)
{
	struct io_uring_sqe *sqe;
	struct io_op *op;

	while ((op = next_op(uring, &uring->cancels, &sqe)) != NULL) {
		io_uring_prep_cancel(sqe, op, 0);
		io_uring_sqe_set_data(sqe, NULL);
	}
	while ((op = next_op(uring, &uring->queue, &sqe)) != NULL)
		uring_prepare(uring, sqe, op);
}

/* These end an enter without harm: what was not submitted or delivered is so by the next one. */
static int enter_result(int result)
{
	switch (result) {
	case -ETIME:
	case -EINTR: /* a signal ends the turn, so that the caller can look at what it means */
	case -EAGAIN:
	case -EBUSY: /* the completion queue is full */
		return 0;
	default:
		return result < 0 ? result : 0;
	}
}

static int enter(struct uring *uring)
{
	return enter_result(io_uring_submit_and_get_events(&uring->ring));
}

/*
 * The kernel counts in CLOCK_MONOTONIC, which stands still while the machine is suspended; a
 * deadline that passes then is noticed as much later.
 */
static int enter_and_wait(struct uring *uring, uint64_t wait_ns)
{
	uint64_t seconds = wait_ns / NS_PER_S;
	struct __kernel_timespec timeout = {
		.tv_sec = seconds < WAIT_MAX_S ? (int64_t)seconds : WAIT_MAX_S,
		.tv_nsec = (long long)(wait_ns % NS_PER_S),
	};
	struct io_uring_cqe *cqe;

	return enter_result(
		io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &timeout, NULL));
}

/* Something can be done without waiting: ours, or the kernel's. */
static bool work_left(const struct uring *uring)
{
	return !list_empty(&uring->queue) || !list_empty(&uring->cancels) ||
	       !list_empty(&uring->finished) || ring_has_more(&uring->ring) ||
	       io_uring_cq_ready(&uring->ring) > 0;
}

static int hand_over_and_wait(struct uring *uring, uint64_t deadline_ns)
{
	uint64_t now_ns = deadline_ns > 0 ? io_now() : 0;

	hand_over(uring);
	if (deadline_ns <= now_ns || work_left(uring))
		return enter(uring);
	return enter_and_wait(uring, deadline_ns - now_ns);
}

/* The operation goes back to the kernel, unless it has been cancelled. */
static void restart(struct uring *uring, struct io_op *op)
{
	if (op->cancelled)
		op->state = (uint64_t)-ECANCELED;
	list_append(op->cancelled ? &uring->finished : &uring->queue, &op->link);
}

/*
 * The kernel stops waiting for a socket after some number of wake-ups that did not satisfy it, and
 * says what a non-blocking socket says then. Datagrams never wait: to them it is an answer.
 */
static bool gave_up_waiting(const struct io_op *op, int result)
{
	return result == -EAGAIN && op->kind != IO_SEND_DGRAMS;
}

static void deliver(struct io *io, struct io_op *op, const struct io_uring_cqe *cqe)
{
	struct uring *uring = io->state;
	bool receives = op->kind == IO_RECV || op->kind == IO_RECV_DGRAMS;
	bool multishot = op->kind == IO_ACCEPT || op->kind == IO_RECV_DGRAMS;
	int result = receives ? uring_take_buffer(uring, op, cqe) : cqe->res;
	bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;

	if (!more) {
		list_remove(&op->link); /* from `cancels`, where it may be */
		/* A multishot operation may also stop for no fault. */
		more = gave_up_waiting(op, result) || (multishot && result >= 0);
		if (more)
			restart(uring, op);
	}
	if (!gave_up_waiting(op, result))
		io_complete(io, op, result, more);
}

static void deliver_completed(struct io *io)
{
	struct uring *uring = io->state;
	struct io_uring_cqe *cqe;
	unsigned head;
	unsigned count = 0;

	io_uring_for_each_cqe (&uring->ring, head, cqe) {
		struct io_op *op = io_uring_cqe_get_data(cqe);

		if (op != NULL)
			deliver(io, op, cqe);
		count++;
	}
	io_uring_cq_advance(&uring->ring, count);
}

/* Those finished by a done() in between come with the next round: hence the mark. */
static void deliver_finished(struct io *io)
{
	struct uring *uring = io->state;
	struct list mark;
	struct list *node;

	list_append(&uring->finished, &mark);
	while ((node = list_pop(&uring->finished)) != &mark) {
		struct io_op *op = list_entry(node, struct io_op, link);

		io_complete(io, op, (int)op->state, false);
	}
}

static int uring_turn(struct io *io, uint64_t deadline_ns, uint64_t *now_ns)
{
	struct uring *uring = io->state;
	int error = hand_over_and_wait(uring, deadline_ns);

	for (int round = 1; error == 0; round++) {
		deliver_finished(io);
		deliver_completed(io);
		if (round == ROUNDS_MAX || !work_left(uring))
			break;
		hand_over(uring);
		error = enter(uring);
	}
	*now_ns = io_now();
	return error;
}

static void uring_pool_put(struct io *io, struct io_pool *pool, struct io_buf *buf)
{
	struct io_uring_buf_ring *ring = pool->backend;
	uint32_t stride = io_pool_stride(pool);

	(void)io;
	io_uring_buf_ring_add(ring, pool->memory + (size_t)buf->id * stride, stride, buf->id,
			      io_uring_buf_ring_mask(pool->count), 0);
	io_uring_buf_ring_advance(ring, 1);
}

static int uring_pool_init(struct io *io, struct io_pool *pool)
{
	struct uring *uring = io->state;
	int error;

	pool->backend = buf_ring_open(&uring->ring, pool->count, pool->group, &error);
	return error;
}

static void uring_pool_fini(struct io *io, struct io_pool *pool)
{
	struct uring *uring = io->state;

	buf_ring_close(&uring->ring, pool->backend, pool->count, pool->group);
}

/* The completion queue is larger, for multishot operations complete many times. */
static unsigned completions_of(unsigned entries)
{
	return entries * 8;
}

/* A ring may lock half of what we may, so that there is room for pools and for keys. */
static bool is_affordable(unsigned entries)
{
	size_t len = entries * sizeof(struct io_uring_sqe) +
		     completions_of(entries) * sizeof(struct io_uring_cqe);
	struct rlimit limit;

	return getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || len <= limit.rlim_cur / 2;
}

/*
 * Kernels charge a ring's memory to RLIMIT_MEMLOCK, which may be small, and which all processes of
 * the user share: then a smaller ring.
 */
static int open_ring(struct io_uring *ring, unsigned entries)
{
	static const unsigned sizes[] = {512, 256, 64};
	const size_t last = sizeof(sizes) / sizeof(sizes[0]) - 1;
	int error = -ENOMEM;

	for (size_t i = 0; i <= last && error == -ENOMEM; i++) {
		struct io_uring_params params = {
			.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
				 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
				 IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
			.cq_entries = completions_of(sizes[i]),
		};

		/* The next size would do as well. */
		if (i < last && (entries <= sizes[i + 1] || !is_affordable(sizes[i])))
			continue;
		error = io_uring_queue_init_params(sizes[i], ring, &params);
	}
	return error;
}

static int uring_start(struct uring *uring, unsigned entries)
{
	int error = open_ring(&uring->ring, entries);

	if (error != 0)
		return error;
	error = uring_restrict(&uring->ring);
	if (error == 0) {
		/* Saves a look-up of the descriptor per enter; without it everything works too. */
		(void)io_uring_register_ring_fd(&uring->ring);
		uring->send_msgs = calloc(uring->ring.sq.ring_entries, sizeof(*uring->send_msgs));
		error = uring->send_msgs != NULL ? 0 : -ENOMEM;
	}
	if (error != 0)
		io_uring_queue_exit(&uring->ring);
	return error;
}

static void uring_fini(struct io *io)
{
	struct uring *uring = io->state;

	io_uring_queue_exit(&uring->ring);
	free(uring->send_msgs);
	free(uring);
}

static int uring_init(struct io *io, unsigned entries)
{
	struct uring *uring = calloc(1, sizeof(*uring));
	int error;

	if (uring == NULL)
		return -ENOMEM;
	list_init(&uring->queue);
	list_init(&uring->cancels);
	list_init(&uring->finished);
	uring->dgram_shape.msg_namelen = DGRAM_NAME_LEN;
	uring->dgram_shape.msg_controllen = DGRAM_CONTROL_LEN;
	error = uring_start(uring, entries);
	if (error != 0) {
		free(uring);
		return error;
	}
	io->state = uring;
	error = uring_probe(io);
	if (error != 0)
		uring_fini(io);
	return error;
}

const struct io_backend io_backend_uring = {
	.name = "uring",
	.init = uring_init,
	.fini = uring_fini,
	.submit = uring_submit,
	.cancel = uring_cancel,
	.turn = uring_turn,
	.pool_init = uring_pool_init,
	.pool_put = uring_pool_put,
	.pool_fini = uring_pool_fini,
	.socket = socket_open,
	.tune = socket_tune,
	.shutdown = socket_shutdown,
	.close = socket_close,
	.reset = socket_reset,
	.peer = socket_peer,
};
