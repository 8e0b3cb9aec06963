/* SPDX-License-Identifier: MIT */
#pragma once

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What newer liburings offer and 2.3 (Debian 12) lacks, under names of our own so that both build.
 */

/* A buffer group of `count` entries that is shared with the kernel. NULL and `*error` on failure.
 */
static inline struct io_uring_buf_ring *buf_ring_open(struct io_uring *ring, unsigned count,
						      uint16_t group, int *error)
{
	size_t len = count * sizeof(struct io_uring_buf);
	struct io_uring_buf_reg reg = {.ring_entries = count, .bgid = group};
	/* mmap: the kernel wants it aligned to a page. */
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*error = -ENOMEM;
	if (memory == MAP_FAILED)
		return NULL;
	reg.ring_addr = (uintptr_t)memory;
	*error = io_uring_register_buf_ring(ring, &reg, 0);
	if (*error != 0) {
		munmap(memory, len);
		return NULL;
	}
	io_uring_buf_ring_init(memory);
	return memory;
}

static inline void buf_ring_close(struct io_uring *ring, struct io_uring_buf_ring *memory,
				  unsigned count, uint16_t group)
{
	io_uring_unregister_buf_ring(ring, group);
	munmap(memory, count * sizeof(struct io_uring_buf));
}

/* io_uring_register(2) by itself: the shared liburing 2.3 lacks the functions round it that are used. */
static inline int ring_register(const struct io_uring *ring, unsigned opcode, const void *arg,
				unsigned count)
{
	long result = syscall(__NR_io_uring_register, ring->ring_fd, opcode, arg, count);

	return result < 0 ? -errno : 0;
}

/* The kernel holds completions back until somebody enters it with GETEVENTS. */
static inline bool ring_has_more(const struct io_uring *ring)
{
	return (IO_URING_READ_ONCE(*ring->sq.kflags) &
		(IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
}
