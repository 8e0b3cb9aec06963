// SPDX-License-Identifier: MIT
/* A ring does what the backend asks of it, and refuses all else. */
#include "../../src/io/uring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { ENTRIES = 8 };

static struct io io;

/* The kernel's answer to an operation that is none of ours. */
static int answer_to(void (*prepare)(struct io_uring_sqe *sqe))
{
	struct io_uring *ring = &((struct uring *)io.state)->ring;
	struct __kernel_timespec wait = {.tv_sec = 5};
	struct io_uring_cqe *cqe;
	int result;

	prepare(io_uring_get_sqe(ring));
	result = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &wait, NULL);
	cr_assert_geq(result, 0, "%s", strerror(-result));
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

static void open_file(struct io_uring_sqe *sqe)
{
	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
}

static void make_socket(struct io_uring_sqe *sqe)
{
	io_uring_prep_socket(sqe, AF_UNIX, SOCK_STREAM, 0, 0);
}

/* Of our operations, with a flag that none of ours has. */
static void poll_linked(struct io_uring_sqe *sqe)
{
	io_uring_prep_poll_add(sqe, 0, 0);
	sqe->flags |= IOSQE_IO_LINK;
}

Test(io_restrict, a_ring_refuses_what_the_backend_never_asks, .timeout = 30)
{
	int error = io_init(&io, &io_backend_uring, ENTRIES);
	struct io_uring *ring;

	if (error != 0) {
		printf("SKIP io_restrict: %s\n", strerror(-error));
		return;
	}
	ring = &((struct uring *)io.state)->ring;
	cr_expect_eq(answer_to(open_file), -EACCES);
	cr_expect_eq(answer_to(make_socket), -EACCES);
	cr_expect_eq(answer_to(poll_linked), -EACCES);
	cr_expect_eq(io_uring_register_files_sparse(ring, 1), -EACCES);
	io_fini(&io);
}
