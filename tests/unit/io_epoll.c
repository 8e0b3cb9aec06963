// SPDX-License-Identifier: MIT
/*
 * What epoll promises beyond the contract that all backends share (tests/sim/io_contract.c), and
 * when it is taken: where io_uring is refused, as the seccomp profiles of containers do.
 */
#include "io_seen.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(io_epoll_only, .timeout = 30);
TestSuite(io_any, .timeout = 30);

static struct io open_epoll(void)
{
	struct io io;

	cr_assert_eq(io_init(&io, &io_backend_epoll, 1), 0);
	return io;
}

static void turn(struct io *io)
{
	uint64_t now_ns;

	cr_assert_eq(io_turn(io, 0, &now_ns), 0);
}

/* --- sleep ------------------------------------------------------------------------------------- */

/* Turns that it takes to sleep for 20 ms in which somebody writes each 2 ms. */
static unsigned turns_under_fire(struct io *io, int fd)
{
	const uint64_t step_ns = 2000000;
	uint64_t now_ns = io_now();
	unsigned turns = 0;

	for (unsigned i = 0; i < 10; i++) {
		uint64_t end_ns = now_ns + step_ns;

		cr_assert_eq(write(fd, "x", 1), 1);
		for (; now_ns < end_ns; turns++)
			cr_assert_eq(io_turn(io, end_ns, &now_ns), 0);
	}
	return turns;
}

/* As when a connection has no room for what its host sends. */
Test(io_epoll_only, what_nobody_waits_for_does_not_wake)
{
	struct io io = open_epoll();
	struct io_pool pool;
	struct seen recv;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	cr_assert_eq(io_pool_init(&pool, &io, 1, 4096), 0);
	recv = seen_recv(fds[0], &pool, 4096);
	io_submit(&io, &recv.op);
	turn(&io);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert(turn_until(&io, &recv.ends, 1));
	buf_drop(&recv.buf->buf);
	cr_assert_leq(turns_under_fire(&io, fds[1]), 10 + 2, "one to note it, one to have enough");
	io_submit(&io, &recv.op);
	cr_assert(turn_until(&io, &recv.ends, 2));
	cr_assert_eq(recv.result, 10, "and nothing is missed");
	buf_drop(&recv.buf->buf);
	io_submit(&io, &recv.op);
	turn(&io);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert(turn_until(&io, &recv.ends, 3), "interest has come back");
	buf_drop(&recv.buf->buf);
	io_close(&io, fds[0]);
	io_pool_fini(&pool);
	io_fini(&io);
	close(fds[1]);
}

/* --- descriptors ------------------------------------------------------------------------------- */

/* While a duplicate keeps the first one's file open, and could keep its registration. */
Test(io_epoll_only, a_number_that_is_used_again_is_another_socket)
{
	struct io io = open_epoll();
	int first = eventfd(0, EFD_NONBLOCK);
	int duplicate = dup(first);
	struct seen poll = seen_poll(first, POLLIN);
	uint64_t deadline_ns, now_ns;

	io_submit(&io, &poll.op);
	turn(&io);
	cr_assert_eq(eventfd_write(first, 1), 0);
	cr_assert(turn_until(&io, &poll.ends, 1));
	io_close(&io, first);
	cr_assert_eq(eventfd(0, EFD_NONBLOCK), first);
	io_submit(&io, &poll.op);
	turn(&io);
	cr_assert_eq(eventfd_write(duplicate, 1), 0);
	deadline_ns = io_now() + 20000000;
	cr_assert_eq(io_turn(&io, deadline_ns, &now_ns), 0);
	cr_assert_geq(now_ns, deadline_ns, "woken by what was closed");
	cr_assert_eq(eventfd_write(first, 1), 0);
	cr_assert(turn_until(&io, &poll.ends, 2));
	io_close(&io, first);
	close(duplicate);
	io_fini(&io);
}

/* A regular file is none that epoll can wait for; the operation says so. */
Test(io_epoll_only, what_cannot_be_watched_is_an_error)
{
	struct io io = open_epoll();
	char name[] = "/tmp/io-epoll-XXXXXX";
	int fd = mkstemp(name);
	struct seen poll = seen_poll(fd, POLLPRI);

	io_submit(&io, &poll.op);
	cr_assert(turn_until(&io, &poll.ends, 1));
	cr_assert_eq(poll.result, -EPERM);
	io_close(&io, fd);
	io_fini(&io);
	unlink(name);
}

/* --- fairness, order --------------------------------------------------------------------------- */

enum { HOSTS = 6, RECV_LEN = 4096 };

struct host {
	struct seen recv;
	struct io *io;
	int fds[2];
	size_t bytes;
};

static void receive_on(struct io_op *op, int result)
{
	struct host *host = list_entry(op, struct host, recv.op);

	cr_assert_gt(result, 0);
	host->bytes += (size_t)result;
	buf_drop(&op->recv.buf->buf);
	io_submit(host->io, op);
}

static void host_open(struct host *host, struct io *io, struct io_pool *pool)
{
	static const uint8_t bytes[65536];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, host->fds), 0);
	cr_assert_eq(write(host->fds[1], bytes, sizeof(bytes)), sizeof(bytes));
	host->io = io;
	host->recv = seen_recv(host->fds[0], pool, RECV_LEN);
	host->recv.op.done = receive_on;
	io_submit(io, &host->recv.op);
}

static void host_close(struct host *host)
{
	host->recv.op.done = seen_done;
	io_cancel(host->io, &host->recv.op);
	cr_assert(turn_until(host->io, &host->recv.ends, 1));
	io_close(host->io, host->fds[0]);
	close(host->fds[1]);
}

/* All have more than a turn takes, which is half of the pool: nobody waits for long. */
Test(io_epoll_only, receives_take_turns)
{
	enum { TURNS = 4 * HOSTS, POOL = 4, FAIR = TURNS * POOL / 2 / HOSTS };
	struct io io = open_epoll();
	struct io_pool pool;
	struct host hosts[HOSTS] = {0};
	size_t total = 0;

	cr_assert_eq(io_pool_init(&pool, &io, POOL, RECV_LEN), 0);
	for (int i = 0; i < HOSTS; i++)
		host_open(&hosts[i], &io, &pool);
	for (int i = 0; i < TURNS; i++)
		turn(&io);
	for (int i = 0; i < HOSTS; i++) {
		size_t count = hosts[i].bytes / RECV_LEN;

		cr_assert(count >= FAIR / 2 && count <= FAIR * 2, "host %d: %zu", i, count);
		total += count;
	}
	cr_assert_eq(total, TURNS * POOL / 2);
	for (int i = 0; i < HOSTS; i++)
		host_close(&hosts[i]);
	io_pool_fini(&pool);
	io_fini(&io);
}

struct datagram {
	struct seen send;
	struct iovec iov;
	struct msghdr msg;
	int reader;
};

/* The reader takes one, if any is left, when it hears that there is no room: now there is. */
static void make_room(struct io_op *op, int result)
{
	struct datagram *datagram = list_entry(op, struct datagram, send.op);
	uint8_t byte;

	seen_done(op, result);
	if (result == -EAGAIN)
		(void)recv(datagram->reader, &byte, 1, MSG_DONTWAIT);
}

Test(io_epoll_only, nothing_overtakes_what_found_the_socket_full)
{
	enum { COUNT = 32 };
	struct io io = open_epoll();
	struct datagram datagrams[COUNT] = {0};
	uint8_t bytes[30000] = {0};
	bool full = false;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	cr_assert_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int)), 0);
	for (int i = 0; i < COUNT; i++) {
		struct datagram *datagram = &datagrams[i];

		datagram->reader = fds[1];
		datagram->iov = (struct iovec){bytes, sizeof(bytes)};
		datagram->msg = (struct msghdr){.msg_iov = &datagram->iov, .msg_iovlen = 1};
		datagram->send.op = (struct io_op){
			.done = make_room, .kind = IO_SEND_DGRAMS, .fd = fds[0]};
		datagram->send.op.send_dgrams.msg = &datagram->msg;
		io_submit(&io, &datagram->send.op);
	}
	turn(&io);
	for (int i = 0; i < COUNT; i++) {
		full = full || datagrams[i].send.result == -EAGAIN;
		cr_assert_eq(datagrams[i].send.result, full ? -EAGAIN : (int)sizeof(bytes));
	}
	cr_assert(full, "that was to find the socket full");
	io_close(&io, fds[0]);
	io_fini(&io);
	close(fds[1]);
}

/* --- which backend ----------------------------------------------------------------------------- */

/* From now on, in this process. */
static void refuse(unsigned call, unsigned error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void expect_epoll(int why)
{
	struct io io;
	int refused = 0;

	cr_assert_eq(io_init_any(&io, 64, &refused), 0);
	cr_assert_eq(io.backend, &io_backend_epoll);
	cr_assert_eq(refused, why);
	cr_assert_eq(io_init(&(struct io){0}, &io_backend_uring, 64), why, "forced: an error");
	turn(&io);
	io_fini(&io);
}

Test(io_any, epoll_where_io_uring_is_not_permitted)
{
	refuse(SYS_io_uring_setup, EPERM);
	expect_epoll(-EPERM);
}

Test(io_any, epoll_where_there_is_no_io_uring)
{
	refuse(SYS_io_uring_setup, ENOSYS);
	expect_epoll(-ENOSYS);
}

Test(io_any, epoll_where_memory_for_rings_is_short)
{
	refuse(SYS_io_uring_setup, ENOMEM);
	expect_epoll(-ENOMEM);
}

/* Set-up succeeds, and what is needed further does not: the probe finds out. */
Test(io_any, epoll_where_buffers_cannot_be_registered)
{
	refuse(SYS_io_uring_register, EINVAL);
	expect_epoll(-EINVAL);
}

Test(io_any, epoll_where_rings_cannot_be_entered)
{
	refuse(SYS_io_uring_enter, EPERM);
	expect_epoll(-EPERM);
}

Test(io_any, io_uring_where_all_of_it_works)
{
	struct io io;
	int refused;

	cr_assert_eq(io_init_any(&io, 64, &refused), 0);
	cr_assert_eq(io.backend == &io_backend_uring, refused == 0);
	cr_assert_eq(io.ops, 0);
	cr_assert_eq(io.stats.turns + io.stats.completions, 0, "what the probe did is not counted");
	io_fini(&io);
}
