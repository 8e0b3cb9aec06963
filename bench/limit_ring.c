// SPDX-License-Identifier: MIT
#include "limit.h"

#include "base/check.h"

#include <errno.h>
#include <sys/mman.h>

enum { ENTRIES = 512 };

static struct io_uring ring;

/* As the proxy's: src/io/uring.c. */
void ring_open(void)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = ENTRIES * 8,
	};
	int error = io_uring_queue_init_params(ENTRIES, &ring, &params);

	if (error != 0)
		fail("io_uring", -error);
	(void)io_uring_register_ring_fd(&ring);
}

void ring_turn(void)
{
	struct io_uring_cqe *cqe;
	unsigned head;
	unsigned count = 0;
	int error = io_uring_submit_and_wait(&ring, 1);

	if (error < 0 && error != -EINTR)
		fail("io_uring", -error);
	io_uring_for_each_cqe (&ring, head, cqe) {
		struct op *op = io_uring_cqe_get_data(cqe);

		op->done(op, cqe);
		count++;
	}
	io_uring_cq_advance(&ring, count);
}

struct io_uring_sqe *ring_ask(struct op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (sqe == NULL && io_uring_submit(&ring) > 0)
		sqe = io_uring_get_sqe(&ring);
	CHECK(sqe != NULL);
	io_uring_sqe_set_data(sqe, op);
	return sqe;
}

uint8_t *pool_buf(const struct pool *pool, uint16_t id)
{
	return pool->memory + id * pool->len;
}

void pool_put(struct pool *pool, uint16_t id)
{
	io_uring_buf_ring_add(pool->ring, pool_buf(pool, id), (unsigned)pool->len, id,
			      io_uring_buf_ring_mask(pool->count), 0);
	io_uring_buf_ring_advance(pool->ring, 1);
	pool->free++;
}

uint16_t pool_take(struct pool *pool, const struct io_uring_cqe *cqe)
{
	CHECK(cqe->flags & IORING_CQE_F_BUFFER && pool->free > 0);
	pool->free--;
	return (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
}

static void *map(size_t len)
{
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail("mmap", errno);
	return memory;
}

void pool_open(struct pool *pool)
{
	struct io_uring_buf_reg reg = {.ring_entries = pool->count, .bgid = pool->group};
	int error;

	pool->ring = map(pool->count * sizeof(struct io_uring_buf));
	pool->memory = map(pool->count * pool->len);
	reg.ring_addr = (uintptr_t)pool->ring;
	error = io_uring_register_buf_ring(&ring, &reg, 0);
	if (error != 0)
		fail("buffers of io_uring", -error);
	io_uring_buf_ring_init(pool->ring);
	for (uint16_t id = 0; id < pool->count; id++)
		pool_put(pool, id);
}
