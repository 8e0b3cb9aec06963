/* SPDX-License-Identifier: MIT */
#pragma once

#include "io.h"

/* An operation that remembers what its done() was told. */
struct seen {
	struct io_op op;
	unsigned events; /* done() calls, all of them */
	unsigned ends;	 /* those with `more` false */
	int result;	 /* the last one */
	struct io_buf *buf;
};

static inline void seen_done(struct io_op *op, int result)
{
	struct seen *seen = list_entry(op, struct seen, op);

	seen->events++;
	seen->ends += !op->more;
	seen->result = result;
	seen->buf = op->kind == IO_RECV || op->kind == IO_RECV_DGRAMS ? op->recv.buf : NULL;
}

/* Turns until `*count` has come to `want`; false when it has not after a second or so. */
static inline bool turn_until(struct io *io, const unsigned *count, unsigned want)
{
	uint64_t now_ns;

	CHECK(io_turn(io, 0, &now_ns) == 0);
	for (uint64_t end_ns = now_ns + 1000000000; *count < want && now_ns < end_ns;)
		CHECK(io_turn(io, end_ns, &now_ns) == 0);
	return *count == want;
}

static inline struct seen seen_recv(int fd, struct io_pool *pool, uint32_t limit)
{
	return (struct seen){.op = {.done = seen_done,
				    .kind = IO_RECV,
				    .fd = fd,
				    .recv = {.pool = pool, .limit = limit}}};
}

static inline struct seen seen_send(int fd, struct iovec *iov, uint32_t count)
{
	return (struct seen){.op = {.done = seen_done,
				    .kind = IO_SEND,
				    .fd = fd,
				    .send = {.iov = iov, .count = count}}};
}

static inline struct seen seen_poll(int fd, uint32_t events)
{
	return (struct seen){
		.op = {.done = seen_done, .kind = IO_POLL, .fd = fd, .poll.events = events}};
}

static inline struct seen seen_accept(int fd)
{
	return (struct seen){.op = {.done = seen_done, .kind = IO_ACCEPT, .fd = fd}};
}

static inline struct seen seen_recv_dgrams(int fd, struct io_pool *pool)
{
	return (struct seen){
		.op = {.done = seen_done, .kind = IO_RECV_DGRAMS, .fd = fd, .recv.pool = pool}};
}
