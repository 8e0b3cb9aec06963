// SPDX-License-Identifier: MIT
/*
 * What only real sockets show, on every real backend: datagrams, rings that are too small, sleep
 * and signals. What all backends share, the fake included, is in tests/sim/io_contract.c.
 */
#include "io_seen.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

/* The smallest ring there is: what does not fit must still work. */
enum { ENTRIES = 1 };

/* Each backend in a process of its own: a ring is torn down late, and interrupts a sleep by that. */
#define REAL_TEST(name)                                                                            \
	static void name(struct io *io);                                                           \
	Test(io_uring, name, .timeout = 30)                                                        \
	{                                                                                          \
		run(&io_backend_uring, name);                                                      \
	}                                                                                          \
	Test(io_epoll, name, .timeout = 30)                                                        \
	{                                                                                          \
		run(&io_backend_epoll, name);                                                      \
	}                                                                                          \
	static void name(struct io *io)

static void run(const struct io_backend *backend, void (*test)(struct io *))
{
	struct io io;
	int error = io_init(&io, backend, ENTRIES);

	if (error != 0) {
		printf("SKIP io/%s: %s\n", backend->name, strerror(-error));
		return;
	}
	test(&io);
	io_fini(&io);
}

static void turn(struct io *io)
{
	uint64_t now_ns;

	cr_assert_eq(io_turn(io, 0, &now_ns), 0);
}

/* --- many operations, few entries -------------------------------------------------------------- */

enum { MANY = 10000 };

static unsigned many_done;

static void count_done(struct io_op *op, int result)
{
	(void)op;
	cr_assert_eq(result, POLLIN);
	many_done++;
}

/* More than the submission and the completion queue hold. */
REAL_TEST(ten_thousand_at_once)
{
	struct io_op *ops = calloc(MANY, sizeof(*ops));
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

	for (int i = 0; i < MANY; i++) {
		ops[i] = (struct io_op){.done = count_done, .kind = IO_POLL, .fd = fd};
		ops[i].poll.events = POLLIN;
		io_submit(io, &ops[i]);
	}
	cr_assert(turn_until(io, &many_done, MANY));
	cr_assert_eq(io->stats.completions, MANY);
	cr_assert_eq(io->ops, 0);
	io_close(io, fd);
	free(ops);
}

/* All wait, all are cancelled, some before the kernel has seen them: each ends once. */
REAL_TEST(a_thousand_cancels_at_once)
{
	enum { COUNT = 1000 };
	struct seen *polls = calloc(COUNT, sizeof(*polls));
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	for (int i = 0; i < COUNT; i++) {
		polls[i] = seen_poll(fd, POLLIN);
		io_submit(io, &polls[i].op);
		if (i == COUNT / 2)
			turn(io);
	}
	for (int i = 0; i < COUNT; i++)
		io_cancel(io, &polls[i].op);
	for (int i = 0; i < COUNT; i++) {
		cr_assert(turn_until(io, &polls[i].ends, 1));
		cr_assert_eq(polls[i].result, -ECANCELED);
	}
	cr_assert_eq(io->stats.completions, COUNT);
	io_close(io, fd);
	free(polls);
}

/* Two pieces each, so that every send needs a header of its own while the ring is refilled. */
REAL_TEST(many_sends_keep_their_headers)
{
	enum { COUNT = 300 };
	struct seen *sends = calloc(COUNT, sizeof(*sends));
	struct iovec(*iov)[2] = calloc(COUNT, sizeof(*iov));
	int(*fds)[2] = calloc(COUNT, sizeof(*fds));
	char text[COUNT][12];
	char got[4];

	for (int i = 0; i < COUNT; i++) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]), 0);
		snprintf(text[i], sizeof(text[i]), "%03d", i);
		iov[i][0] = (struct iovec){text[i], 1};
		iov[i][1] = (struct iovec){text[i] + 1, 2};
		sends[i] = seen_send(fds[i][0], iov[i], 2);
		io_submit(io, &sends[i].op);
	}
	for (int i = 0; i < COUNT; i++) {
		cr_assert(turn_until(io, &sends[i].ends, 1));
		cr_assert_eq(sends[i].result, 3);
		cr_assert_eq(recv(fds[i][1], got, sizeof(got), MSG_DONTWAIT), 3);
		cr_assert_arr_eq(got, text[i], 3);
		io_close(io, fds[i][0]);
		close(fds[i][1]);
	}
	free(sends);
	free(iov);
	free(fds);
}

/* --- sleep ------------------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

/* One turn, from now to the deadline, and next to no CPU. */
REAL_TEST(idle_turn_sleeps_until_its_deadline)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct seen poll = seen_poll(fd, POLLIN);
	uint64_t deadline_ns;
	uint64_t cpu_before_ns;
	uint64_t now_ns;

	io_submit(io, &poll.op);
	turn(io);
	deadline_ns = io_now() + 300000000;
	cpu_before_ns = cpu_ns();
	cr_assert_eq(io_turn(io, deadline_ns, &now_ns), 0);
	cr_assert_geq(now_ns, deadline_ns);
	cr_assert_lt(cpu_ns() - cpu_before_ns, 50000000);
	io_cancel(io, &poll.op);
	cr_assert(turn_until(io, &poll.ends, 1));
	io_close(io, fd);
}

/* A thousand of them within a second: a deadline that has come costs no sleep. */
REAL_TEST(past_deadline_does_not_sleep)
{
	uint64_t begin_ns = io_now();
	uint64_t now_ns = begin_ns;

	for (int i = 0; i < 1000; i++)
		cr_assert_eq(io_turn(io, now_ns, &now_ns), 0);
	cr_assert_lt(now_ns - begin_ns, 1000000000);
}

static void ignore_signal(int number)
{
	(void)number;
}

REAL_TEST(a_signal_ends_the_turn)
{
	struct sigaction action = {.sa_handler = ignore_signal};
	struct itimerval timer = {.it_value.tv_usec = 50000};
	uint64_t deadline_ns = io_now() + 10000000000;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct seen poll = seen_poll(fd, POLLIN);
	uint64_t now_ns;

	io_submit(io, &poll.op);
	turn(io);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	cr_assert_eq(io_turn(io, deadline_ns, &now_ns), 0);
	cr_assert_lt(now_ns, deadline_ns);
	io_cancel(io, &poll.op);
	cr_assert(turn_until(io, &poll.ends, 1));
	io_close(io, fd);
}

/* --- datagrams --------------------------------------------------------------------------------- */

static const uint8_t families[] = {ADDR_V4, ADDR_V6};

/* A bound loopback socket; -1 where this machine has no such family. */
static int udp_socket(uint8_t family, struct addr *addr)
{
	int fd = socket(family == ADDR_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct sockaddr_storage sa;
	socklen_t len;

	cr_assert(addr_parse(addr, family == ADDR_V4 ? "127.0.0.1" : "::1"));
	len = addr_to_sockaddr(addr, false, &sa);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) != 0) {
		printf("SKIP io/family: no IPv%d here\n", family);
		return -1;
	}
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	cr_assert(addr_from_sockaddr(addr, (struct sockaddr *)&sa));
	return fd;
}

struct dgrams {
	struct io *io;
	struct io_pool pool;
	struct seen recv;
	int rx, tx;
	struct addr rx_addr, tx_addr;
};

static bool dgrams_open(struct dgrams *dgrams, struct io *io, uint8_t family)
{
	dgrams->io = io;
	dgrams->rx = udp_socket(family, &dgrams->rx_addr);
	dgrams->tx = udp_socket(family, &dgrams->tx_addr);
	if (dgrams->rx < 0 || dgrams->tx < 0)
		return false;
	cr_assert_eq(io_pool_init(&dgrams->pool, io, 4, 65536), 0);
	dgrams->recv = seen_recv_dgrams(dgrams->rx, &dgrams->pool);
	io_submit(io, &dgrams->recv.op);
	turn(io);
	return true;
}

static void dgrams_close(struct dgrams *dgrams)
{
	io_cancel(dgrams->io, &dgrams->recv.op);
	cr_assert(turn_until(dgrams->io, &dgrams->recv.ends, 1));
	cr_assert_eq(dgrams->recv.result, -ECANCELED);
	io_pool_fini(&dgrams->pool);
	io_close(dgrams->io, dgrams->rx);
	close(dgrams->tx);
}

/* The kernel sends: the other side of what is tested. */
static void send_plain(struct dgrams *dgrams, const void *bytes, size_t len)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = addr_to_sockaddr(&dgrams->rx_addr, false, &sa);

	cr_assert_eq(sendto(dgrams->tx, bytes, len, 0, (struct sockaddr *)&sa, sa_len),
		     (ssize_t)len);
}

static void expect_dgram(struct dgrams *dgrams, const void *bytes, size_t len)
{
	struct seen *recv = &dgrams->recv;
	unsigned before = recv->events;

	send_plain(dgrams, bytes, len);
	cr_assert(turn_until(dgrams->io, &recv->events, before + 1));
	cr_assert_eq(recv->result, (int)len);
	cr_assert_eq(recv->ends, 0, "still receiving");
	cr_assert_not_null(recv->buf);
	cr_assert_arr_eq(recv->buf->data, bytes, len);
	cr_assert(addr_equal(&recv->buf->from, &dgrams->tx_addr));
	cr_assert_eq(recv->op.recv.segment, 0);
	buf_drop(&recv->buf->buf);
}

REAL_TEST(datagrams_arrive_with_their_sender)
{
	static uint8_t bytes[65507];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (size_t f = 0; f < 2; f++) {
		struct dgrams dgrams = {0};

		if (!dgrams_open(&dgrams, io, families[f]))
			continue;
		expect_dgram(&dgrams, bytes, 1);
		expect_dgram(&dgrams, bytes, 1452);
		expect_dgram(&dgrams, bytes, sizeof(bytes));
		for (int i = 0; i < 20; i++)
			expect_dgram(&dgrams, bytes, 100);
		dgrams_close(&dgrams);
	}
}

/* io_uring stops a multishot receive at an empty one: nobody above may notice. */
REAL_TEST(an_empty_datagram_stops_nothing)
{
	struct dgrams dgrams = {0};

	cr_assert(dgrams_open(&dgrams, io, ADDR_V4));
	expect_dgram(&dgrams, "", 0);
	expect_dgram(&dgrams, "x", 1);
	expect_dgram(&dgrams, "", 0);
	dgrams_close(&dgrams);
}

/* The same, but the cancel comes in the done() of the empty datagram. */
static void cancel_at_once(struct io_op *op, int result)
{
	struct dgrams *dgrams = list_entry(op, struct dgrams, recv.op);

	seen_done(op, result);
	if (op->recv.buf != NULL)
		buf_drop(&op->recv.buf->buf);
	if (op->more)
		io_cancel(dgrams->io, op);
}

REAL_TEST(cancel_in_done_of_an_empty_datagram)
{
	struct dgrams dgrams = {0};

	cr_assert(dgrams_open(&dgrams, io, ADDR_V4));
	dgrams.recv.op.done = cancel_at_once;
	send_plain(&dgrams, "", 0);
	cr_assert(turn_until(io, &dgrams.recv.ends, 1));
	cr_assert_eq(dgrams.recv.events, 2);
	dgrams_close(&dgrams);
}

/* An answer of ICMP, which a connected socket hears of. */
REAL_TEST(an_error_of_the_network_ends_the_receive)
{
	struct dgrams dgrams = {0};
	struct sockaddr_storage sa;
	struct addr nobody;
	int fd = udp_socket(ADDR_V4, &nobody);
	unsigned len = addr_to_sockaddr(&nobody, false, &sa);

	close(fd);
	cr_assert(dgrams_open(&dgrams, io, ADDR_V4));
	cr_assert_eq(connect(dgrams.rx, (struct sockaddr *)&sa, len), 0);
	cr_assert_eq(send(dgrams.rx, "x", 1, 0), 1);
	cr_assert(turn_until(io, &dgrams.recv.ends, 1));
	cr_assert_eq(dgrams.recv.result, -ECONNREFUSED);
	dgrams.recv.ends = 0;
	io_submit(io, &dgrams.recv.op);
	dgrams_close(&dgrams);
}

static struct io_buf *held[16];
static unsigned held_len;

static void hold_buffer(struct io_op *op, int result)
{
	seen_done(op, result);
	if (op->recv.buf != NULL)
		held[held_len++] = op->recv.buf;
}

/* The last buffer's use may already end the receive; the fifth datagram waits in the socket. */
REAL_TEST(a_dry_pool_ends_the_receive_and_loses_nothing)
{
	struct dgrams dgrams = {0};

	cr_assert(dgrams_open(&dgrams, io, ADDR_V4));
	dgrams.recv.op.done = hold_buffer;
	held_len = 0;
	for (unsigned i = 0; i < 5; i++)
		send_plain(&dgrams, &"abcde"[i], 1);
	cr_assert(turn_until(io, &dgrams.recv.ends, 1));
	cr_assert_eq(dgrams.recv.result, -ENOBUFS);
	cr_assert_eq(held_len, 4);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(held[i]->data[0], "abcd"[i]);
		buf_drop(&held[i]->buf);
	}
	dgrams.recv.ends = 0;
	io_submit(io, &dgrams.recv.op);
	cr_assert(turn_until(io, &held_len, 5));
	cr_assert_eq(held[4]->data[0], 'e');
	buf_drop(&held[4]->buf);
	dgrams_close(&dgrams);
}

/* One sendmsg with UDP_SEGMENT comes back merged, its last part short. */
static void check_merged(struct io *io, uint8_t family)
{
	enum { SEGMENT = 1452, LEN = SEGMENT * 44 + 100 };
	static uint8_t bytes[LEN];
	struct dgrams dgrams = {0};
	const int segment = SEGMENT;
	const int on = 1;

	if (!dgrams_open(&dgrams, io, family))
		return;
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i / 3);
	cr_assert_eq(setsockopt(dgrams.rx, SOL_UDP, UDP_GRO, &on, sizeof(on)), 0);
	cr_assert_eq(setsockopt(dgrams.tx, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	send_plain(&dgrams, bytes, LEN);
	cr_assert(turn_until(io, &dgrams.recv.events, 1));
	cr_assert_eq(dgrams.recv.result, LEN);
	cr_assert_eq(dgrams.recv.op.recv.segment, SEGMENT);
	cr_assert_arr_eq(dgrams.recv.buf->data, bytes, LEN);
	buf_drop(&dgrams.recv.buf->buf);
	dgrams_close(&dgrams);
}

REAL_TEST(merged_datagrams_tell_their_segment)
{
	check_merged(io, ADDR_V4);
	check_merged(io, ADDR_V6);
}

static struct seen seen_send_dgrams(int fd, struct msghdr *msg)
{
	struct seen send = {.op = {.done = seen_done, .kind = IO_SEND_DGRAMS, .fd = fd}};

	send.op.send_dgrams.msg = msg;
	return send;
}

/* More than one system call takes, in one turn: each tells its own outcome, and order is kept. */
REAL_TEST(one_bad_send_stops_no_other)
{
	enum { COUNT = 100, BAD = 41 };
	static uint8_t bytes[65536]; /* longer than any datagram */
	struct iovec iov[COUNT];
	struct msghdr msgs[COUNT] = {0};
	struct seen sends[COUNT];
	struct sockaddr_storage sa;
	struct addr addr;
	int rx = udp_socket(ADDR_V4, &addr);
	int tx = udp_socket(ADDR_V4, &(struct addr){0});
	unsigned len = addr_to_sockaddr(&addr, false, &sa);

	for (size_t i = 0; i < COUNT; i++) {
		iov[i] = (struct iovec){bytes, i == BAD ? sizeof(bytes) : i + 1};
		msgs[i] = (struct msghdr){&sa, len, &iov[i], 1, NULL, 0, 0};
		sends[i] = seen_send_dgrams(tx, &msgs[i]);
		io_submit(io, &sends[i].op);
	}
	for (int i = 0; i < COUNT; i++) {
		cr_assert(turn_until(io, &sends[i].ends, 1));
		cr_assert_eq(sends[i].result, i == BAD ? -EMSGSIZE : i + 1);
		if (i != BAD)
			cr_assert_eq(recv(rx, bytes, sizeof(bytes), MSG_DONTWAIT), i + 1);
	}
	io_close(io, tx);
	close(rx);
}

/* A datagram socket whose peer takes no more: at once -EAGAIN, and a poll tells when it is over. */
REAL_TEST(a_full_socket_does_not_hold_datagrams)
{
	char byte = 'x';
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct seen send, poll;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	send = seen_send_dgrams(fds[0], &msg);
	do {
		send.ends = 0;
		io_submit(io, &send.op);
		cr_assert(turn_until(io, &send.ends, 1));
	} while (send.result == 1);
	cr_assert_eq(send.result, -EAGAIN);
	poll = seen_poll(fds[0], POLLOUT);
	io_submit(io, &poll.op);
	turn(io);
	cr_assert_eq(poll.ends, 0);
	while (recv(fds[1], &byte, 1, MSG_DONTWAIT) == 1)
		continue;
	cr_assert(turn_until(io, &poll.ends, 1));
	cr_assert_eq(poll.result, POLLOUT);
	io_close(io, fds[0]);
	close(fds[1]);
}

/* --- sockets ----------------------------------------------------------------------------------- */

static int int_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	cr_assert_eq(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

REAL_TEST(sockets_are_tuned)
{
	int fd = io_socket(io, ADDR_V4);
	int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);

	io_tune(io, fd);
	cr_assert_eq(int_option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	cr_assert_eq(int_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	io_tune(io, unix_fd);
	cr_assert_eq(int_option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	io_close(io, fd);
	io_close(io, unix_fd);
}

/* Linux hands a listener's options down to what it accepts: five calls less per connection. */
REAL_TEST(what_a_tuned_listener_accepts_is_tuned)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd;

	io_tune(io, listener);
	cr_assert_eq(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fd = accept(listener, NULL, NULL);
	cr_assert_geq(fd, 0);
	cr_assert_eq(int_option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	cr_assert_eq(int_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	cr_assert_eq(int_option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
		     int_option(listener, IPPROTO_TCP, TCP_KEEPIDLE));
	io_close(io, fd);
	close(client);
	close(listener);
}

/* accept() fails while no descriptor is left: the operation ends and can be submitted again. */
REAL_TEST(accept_survives_running_out_of_descriptors)
{
	struct addr addr;
	struct sockaddr_storage sa;
	struct rlimit limit, none;
	int listener = io_socket(io, ADDR_V4);
	int client = io_socket(io, ADDR_V4);
	struct seen accept = seen_accept(listener);
	socklen_t len = sizeof(sa);

	cr_assert(addr_parse(&addr, "127.0.0.1"));
	cr_assert_eq(bind(listener, (struct sockaddr *)&sa, addr_to_sockaddr(&addr, false, &sa)),
		     0);
	cr_assert_eq(listen(listener, 8), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){3, limit.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	io_submit(io, &accept.op);
	(void)connect(client, (struct sockaddr *)&sa, len);
	cr_assert(turn_until(io, &accept.ends, 1));
	cr_assert_eq(accept.result, -EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);
	io_submit(io, &accept.op);
	cr_assert(turn_until(io, &accept.events, 2));
	cr_assert_geq(accept.result, 0);
	io_close(io, accept.result);
	io_cancel(io, &accept.op);
	cr_assert(turn_until(io, &accept.ends, 2));
	io_close(io, client);
	io_close(io, listener);
}

/* Urgent data stops a receive short of what lies behind it, which no further event tells of. */
REAL_TEST(urgent_data_holds_nothing_up)
{
	struct io_pool pool;
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	struct seen recv;
	int received = 0;

	cr_assert_eq(bind(listener, (struct sockaddr *)&sa, len), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&sa, len), 0);
	cr_assert_eq(io_pool_init(&pool, io, 4, 4096), 0);
	recv = seen_recv(accept(listener, NULL, NULL), &pool, 4096);
	io_submit(io, &recv.op);
	turn(io);
	cr_assert_eq(send(client, "abc", 3, 0), 3);
	cr_assert_eq(send(client, "!", 1, MSG_OOB), 1);
	cr_assert_eq(send(client, "def", 3, 0), 3);
	for (unsigned i = 1; received < 6; i++) {
		cr_assert(turn_until(io, &recv.ends, i), "%d bytes", received);
		cr_assert_gt(recv.result, 0);
		received += recv.result;
		buf_drop(&recv.buf->buf);
		if (received < 6)
			io_submit(io, &recv.op);
	}
	io_close(io, recv.op.fd);
	io_pool_fini(&pool);
	close(client);
	close(listener);
}

/* Without descriptors no ring: an errno, and nothing left behind. */
Test(io, uring_that_cannot_start_says_why, .timeout = 30)
{
	struct rlimit limit, none;
	struct io io;
	int error;

	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){0, limit.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	error = io_init(&io, &io_backend_uring, ENTRIES);
	setrlimit(RLIMIT_NOFILE, &limit);
	cr_assert_lt(error, 0);
}
