// SPDX-License-Identifier: MIT
/*
 * Theory of operation
 *
 * An operation has one owner at a time. Its user fills it in and submits it; from then on it is the
 * backend's, with everything that it points at, until done() is called with `more` false. That call
 * is the only way back: success, failure, cancellation and an exhausted pool all arrive there, and
 * each exactly once. So an owner that wants to die cancels what it has under way, counts the done()
 * calls, and goes when the count is zero. It never has to ask in which state an operation is.
 *
 *		io_submit()		   done(more = true), multishot kinds only
 *	 idle ------------> under way <--+
 *	  ^		       |   |_____|
 *	  |____________________|
 *	    done(more = false)
 *
 * done() is called from io_turn() and from nowhere else. A user can therefore submit and cancel in
 * the middle of any function of its own without being re-entered, and in done() itself may do
 * whatever it likes: the backend does not touch the operation after the last done() returns, which
 * makes resubmitting and freeing it there legal.
 *
 * This file holds what every backend shares: the checks of that contract, the clock and the buffer
 * pools. A backend provides the vtable of struct io_backend; nothing above sees which one it is.
 *
 * A pool is one piece of memory cut into `count` buffers. A buffer is either with the backend, free
 * to be filled, or out with one reference or more. Taking one (io_pool_take) and its return (the
 * last buf_drop) keep the count in `free`; the backend learns of the return through pool_put() and
 * is free to hand the buffers out in any order.
 */
#include "io.h"

#include "base/time.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum {
	POOL_COUNT_MAX = 32768, /* buffers of a ring-mapped group, io_uring_register_buf_ring(3) */
	BUF_ALIGN = 64,		/* a cache line */
};

static bool is_multishot(const struct io_op *op)
{
	return op->kind == IO_ACCEPT || op->kind == IO_RECV_DGRAMS;
}

static bool is_receive(const struct io_op *op)
{
	return op->kind == IO_RECV || op->kind == IO_RECV_DGRAMS;
}

int io_init(struct io *io, const struct io_backend *backend, unsigned entries)
{
	*io = (struct io){.backend = backend};
	return backend->init(io, entries);
}

int io_init_any(struct io *io, unsigned entries, int *refused)
{
	*refused = io_init(io, &io_backend_uring, entries);
	return *refused == 0 ? 0 : io_init(io, &io_backend_epoll, entries);
}

void io_fini(struct io *io)
{
	CHECK(io->ops == 0);
	CHECK(!io->turning);
	io->backend->fini(io);
}

/* What only a fault of ours can get wrong, found where it is made and not in a late completion. */
static void check_operands(const struct io_op *op)
{
	switch (op->kind) {
	case IO_CONNECT:
		CHECK(op->connect.to != NULL);
		break;
	case IO_RECV:
		CHECK(op->recv.limit >= 1 && op->recv.limit <= op->recv.pool->size);
		break;
	case IO_RECV_DGRAMS:
		CHECK(op->recv.pool != NULL);
		break;
	case IO_SEND:
		CHECK(op->send.count >= 1 && op->send.count <= IO_IOV_MAX);
		break;
	case IO_SEND_DGRAMS:
		CHECK(op->send_dgrams.msg != NULL);
		break;
	default:
		CHECK(op->kind < IO_KINDS);
	}
}

void io_submit(struct io *io, struct io_op *op)
{
	CHECK(!op->busy);
	CHECK(op->done != NULL);
	CHECK(op->fd >= 0);
	check_operands(op);
	op->busy = true;
	op->more = false;
	op->cancelled = false;
	io->ops++;
	io->backend->submit(io, op);
}

void io_cancel(struct io *io, struct io_op *op)
{
	if (!op->busy || op->cancelled)
		return;
	op->cancelled = true;
	io->backend->cancel(io, op);
}

void io_complete(struct io *io, struct io_op *op, int result, bool more)
{
	CHECK(io->turning);
	CHECK(op->busy);
	CHECK(!more || is_multishot(op));
	CHECK(more || result < 0 || !is_multishot(op));
	io->stats.completions++;
	if (result == -ENOBUFS)
		io->stats.enobufs++;
	op->more = more;
	op->busy = more;
	io->ops -= !more;
	/* The one of an earlier completion has long been somebody else's. */
	if (is_receive(op) && result < 0)
		op->recv.buf = NULL;
	op->done(op, result);
}

int io_turn(struct io *io, uint64_t deadline_ns, uint64_t *now_ns)
{
	int error;

	CHECK(!io->turning);
	io->turning = true;
	io->stats.turns++;
	error = io->backend->turn(io, deadline_ns, now_ns);
	io->turning = false;
	return error;
}

int io_socket(struct io *io, uint8_t family)
{
	return io->backend->socket(io, family);
}

void io_tune(struct io *io, int fd)
{
	io->backend->tune(io, fd);
}

void io_shutdown(struct io *io, int fd)
{
	io->backend->shutdown(io, fd);
}

void io_close(struct io *io, int fd)
{
	io->backend->close(io, fd);
}

void io_reset(struct io *io, int fd)
{
	io->backend->reset(io, fd);
}

enum io_peer io_peer(struct io *io, int fd, uint64_t silence_ns)
{
	return io->backend->peer(io, fd, silence_ns);
}

uint64_t io_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint32_t io_pool_stride(const struct io_pool *pool)
{
	return (pool->size + IO_POOL_EXTRA + BUF_ALIGN - 1) / BUF_ALIGN * BUF_ALIGN;
}

static void buf_returned(struct buf *buf)
{
	struct io_buf *io_buf = list_entry(buf, struct io_buf, buf);
	struct io_pool *pool = io_buf->pool;

	pool->free++;
	CHECK(pool->free <= pool->count);
	pool->io->backend->pool_put(pool->io, pool, io_buf);
}

struct io_buf *io_pool_take(struct io_pool *pool, uint16_t id)
{
	struct io_buf *buf = &pool->bufs[id];

	CHECK(id < pool->count);
	CHECK(buf->buf.refs == 0);
	buf->buf.refs = 1;
	pool->free--;
	return buf;
}

static int pool_alloc(struct io_pool *pool)
{
	pool->memory_len = (size_t)pool->count * io_pool_stride(pool);
	pool->bufs = calloc(pool->count, sizeof(*pool->bufs));
	pool->memory = mmap(NULL, pool->memory_len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pool->memory == MAP_FAILED)
		pool->memory = NULL;
	return pool->bufs != NULL && pool->memory != NULL ? 0 : -ENOMEM;
}

static void pool_release(struct io_pool *pool)
{
	free(pool->bufs);
	if (pool->memory != NULL)
		munmap(pool->memory, pool->memory_len);
	*pool = (struct io_pool){0};
}

int io_pool_init(struct io_pool *pool, struct io *io, uint32_t count, uint32_t size)
{
	int error;

	CHECK(count >= 1 && count <= POOL_COUNT_MAX && (count & (count - 1)) == 0);
	*pool = (struct io_pool){.io = io, .count = count, .size = size, .group = io->pools++};
	error = pool_alloc(pool);
	if (error == 0)
		error = io->backend->pool_init(io, pool);
	if (error != 0) {
		pool_release(pool);
		return error;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct io_buf *buf = &pool->bufs[i];

		*buf = (struct io_buf){.buf.release = buf_returned, .pool = pool};
		buf->id = (uint16_t)i;
		buf_returned(&buf->buf);
	}
	return 0;
}

void io_pool_fini(struct io_pool *pool)
{
	CHECK(pool->free == pool->count);
	pool->io->backend->pool_fini(pool->io, pool);
	pool_release(pool);
}
