// SPDX-License-Identifier: MIT
/*
 * The contract of io.h, held against every backend: the kernel's, with real sockets, and the seeded
 * fake that the simulations trust. What differs between the two worlds is how a test comes by the
 * other end of a connection.
 */
#include "fake_io.h"
#include "io_seen.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { POOL_COUNT = 4, POOL_SIZE = 4096, SEEDS = 20 };

struct world {
	const struct io_backend *backend;
	int (*pair)(struct io *io, int *fd);
	size_t (*write)(struct io *io, int end, const void *bytes, size_t len);
	size_t (*read)(struct io *io, int end, void *bytes, size_t len);
	void (*shutdown)(struct io *io, int end);
	void (*close)(struct io *io, int end);
	void (*reset)(struct io *io, int end);
	int (*listen)(struct io *io, struct addr *addr);
	int (*dial)(struct io *io, int listener);
	/* An address that answers like this; FAKE_ACCEPTS is the one of the listener. */
	struct addr (*target)(struct io *io, enum fake_answer answer);
};

/* --- real sockets ------------------------------------------------------------------------------ */

static int real_listen(struct io *io, struct addr *addr)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)io;
	/* Small, and handed down to what is accepted: a large send has to wait. */
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int)), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	cr_assert_eq(listen(fd, 64), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	cr_assert(addr_from_sockaddr(addr, (struct sockaddr *)&sa));
	return fd;
}

static int real_dial(struct io *io, int listener)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)io;
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

static int real_pair(struct io *io, int *fd)
{
	struct addr addr;
	int listener = real_listen(io, &addr);
	int end = real_dial(io, listener);

	*fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	cr_assert_geq(*fd, 0);
	close(listener);
	return end;
}

static size_t real_write(struct io *io, int end, const void *bytes, size_t len)
{
	ssize_t n = send(end, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)io;
	return n > 0 ? (size_t)n : 0;
}

static size_t real_read(struct io *io, int end, void *bytes, size_t len)
{
	ssize_t n = recv(end, bytes, len, MSG_DONTWAIT);

	(void)io;
	return n > 0 ? (size_t)n : 0;
}

/* Silence: a listener whose backlog of one is full; Linux drops further SYNs. */
static struct addr silent_target(struct io *io)
{
	struct addr addr;
	struct sockaddr_storage sa;
	int listener = real_listen(io, &addr);
	unsigned len = addr_to_sockaddr(&addr, false, &sa);

	listen(listener, 0);
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		(void)connect(fd, (struct sockaddr *)&sa, len);
	}
	return addr;
}

static struct addr real_target(struct io *io, enum fake_answer answer)
{
	struct addr addr;
	int listener;

	if (answer == FAKE_SILENT)
		return silent_target(io);
	listener = real_listen(io, &addr);
	if (answer == FAKE_REFUSES)
		close(listener);
	return addr;
}

#define REAL_WORLD(the_backend)                                                                    \
	{                                                                                          \
		.backend = (the_backend), .pair = real_pair, .write = real_write,                  \
		.read = real_read, .shutdown = io_shutdown, .close = io_close, .reset = io_reset,  \
		.listen = real_listen, .dial = real_dial, .target = real_target,                   \
	}

static const struct world uring_world = REAL_WORLD(&io_backend_uring);
static const struct world epoll_world = REAL_WORLD(&io_backend_epoll);

/* --- the fake ---------------------------------------------------------------------------------- */

static int fake_listen(struct io *io, struct addr *addr)
{
	*addr = (struct addr){0};
	return fake_io_listen(io);
}

static struct addr fake_target(struct io *io, enum fake_answer answer)
{
	struct addr addr;

	cr_assert(addr_parse(&addr, "192.0.2.1"));
	addr.port = (uint16_t)(1000 + answer);
	fake_io_answer(io, &addr, answer);
	return addr;
}

static const struct world fake_world = {
	.backend = &io_backend_fake,
	.pair = fake_io_pair,
	.write = fake_io_write,
	.read = fake_io_read,
	.shutdown = fake_io_shutdown,
	.close = fake_io_close,
	.reset = fake_io_reset,
	.listen = fake_listen,
	.dial = fake_io_dial,
	.target = fake_target,
};

/* --- the frame of each test -------------------------------------------------------------------- */

struct stage {
	const struct world *world;
	struct io io;
	struct io_pool pool;
	int fd;	 /* the product's end of a connection */
	int end; /* the test's */
};

static void run(const struct world *world, void (*test)(struct stage *))
{
	struct stage stage = {.world = world};
	int error = io_init(&stage.io, world->backend, 64);

	if (error != 0) {
		printf("SKIP io_contract/%s: %s\n", world->backend->name, strerror(-error));
		return;
	}
	cr_assert_eq(io_pool_init(&stage.pool, &stage.io, POOL_COUNT, POOL_SIZE), 0);
	stage.end = world->pair(&stage.io, &stage.fd);
	test(&stage);
	cr_assert_eq(stage.pool.free, POOL_COUNT, "%s: buffers are missing", world->backend->name);
	io_pool_fini(&stage.pool);
	io_close(&stage.io, stage.fd);
	io_fini(&stage.io);
}

/* On the fake with many seeds: an order that breaks it is among them. */
static void run_with_seeds(void (*test)(struct stage *))
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		fake_io_seed(seed);
		run(&fake_world, test);
	}
}

#define CONTRACT(name)                                                                             \
	static void name(struct stage *stage);                                                     \
	Test(io_contract_uring, name, .timeout = 30)                                               \
	{                                                                                          \
		run(&uring_world, name);                                                           \
	}                                                                                          \
	Test(io_contract_epoll, name, .timeout = 30)                                               \
	{                                                                                          \
		run(&epoll_world, name);                                                           \
	}                                                                                          \
	Test(io_contract_fake, name, .timeout = 30)                                                \
	{                                                                                          \
		run_with_seeds(name);                                                              \
	}                                                                                          \
	static void name(struct stage *stage)

static size_t write_end(struct stage *stage, const char *text)
{
	return stage->world->write(&stage->io, stage->end, text, strlen(text));
}

static uint64_t now_of(struct io *io)
{
	uint64_t now_ns;

	cr_assert_eq(io_turn(io, 0, &now_ns), 0);
	return now_ns;
}

/* --- receiving --------------------------------------------------------------------------------- */

CONTRACT(recv_gives_bytes_then_end)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, POOL_SIZE);
	char got[8] = {0};
	size_t len = 0;

	cr_assert_eq(write_end(stage, "hello"), 5);
	stage->world->shutdown(&stage->io, stage->end);
	do {
		recv.events = 0;
		io_submit(&stage->io, &recv.op);
		cr_assert(turn_until(&stage->io, &recv.events, 1));
		if (recv.result > 0) {
			cr_assert_leq(len + (size_t)recv.result, 5);
			memcpy(got + len, recv.buf->data, (size_t)recv.result);
			len += (size_t)recv.result;
			buf_drop(&recv.buf->buf);
		}
	} while (recv.result > 0);
	cr_assert_eq(recv.result, 0);
	cr_assert_null(recv.buf, "the end of the stream carries no buffer");
	cr_assert_str_eq(got, "hello");
}

/* The end is there as soon as the bytes are: no second event tells of it. */
CONTRACT(bytes_and_end_come_together)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, POOL_SIZE);

	io_submit(&stage->io, &recv.op);
	now_of(&stage->io);
	cr_assert_eq(write_end(stage, "x"), 1);
	stage->world->shutdown(&stage->io, stage->end);
	cr_assert(turn_until(&stage->io, &recv.ends, 1));
	cr_assert_eq(recv.result, 1);
	buf_drop(&recv.buf->buf);
	io_submit(&stage->io, &recv.op);
	cr_assert(turn_until(&stage->io, &recv.ends, 2));
	cr_assert_eq(recv.result, 0);
}

CONTRACT(recv_keeps_to_its_limit)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, 3);

	cr_assert_eq(write_end(stage, "hello"), 5);
	io_submit(&stage->io, &recv.op);
	cr_assert(turn_until(&stage->io, &recv.events, 1));
	cr_assert(recv.result >= 1 && recv.result <= 3);
	buf_drop(&recv.buf->buf);
}

CONTRACT(recv_waits_without_a_buffer)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, POOL_SIZE);
	uint64_t now_ns = now_of(&stage->io);
	uint64_t deadline_ns = now_ns + 20000000;

	io_submit(&stage->io, &recv.op);
	while (now_ns < deadline_ns)
		cr_assert_eq(io_turn(&stage->io, deadline_ns, &now_ns), 0);
	cr_assert_eq(recv.events, 0);
	cr_assert_eq(stage->pool.free, POOL_COUNT);
	cr_assert_eq(write_end(stage, "x"), 1);
	cr_assert(turn_until(&stage->io, &recv.ends, 1));
	cr_assert_eq(recv.result, 1);
	buf_drop(&recv.buf->buf);
}

CONTRACT(recv_reports_a_reset)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, POOL_SIZE);

	io_submit(&stage->io, &recv.op);
	now_of(&stage->io);
	stage->world->reset(&stage->io, stage->end);
	cr_assert(turn_until(&stage->io, &recv.ends, 1));
	cr_assert_eq(recv.result, -ECONNRESET);
	cr_assert_null(recv.buf);
}

CONTRACT(an_empty_pool_says_so_and_recovers)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, 1);
	struct io_buf *held[POOL_COUNT];

	cr_assert_eq(write_end(stage, "abcde"), 5);
	for (unsigned i = 0; i < POOL_COUNT; i++) {
		io_submit(&stage->io, &recv.op);
		cr_assert(turn_until(&stage->io, &recv.ends, i + 1));
		cr_assert_eq(recv.result, 1);
		held[i] = recv.buf;
	}
	io_submit(&stage->io, &recv.op);
	cr_assert(turn_until(&stage->io, &recv.ends, POOL_COUNT + 1));
	cr_assert_eq(recv.result, -ENOBUFS);
	cr_assert_null(recv.buf);
	cr_assert_eq(stage->io.stats.enobufs, 1);
	for (unsigned i = 0; i < POOL_COUNT; i++) {
		cr_assert_eq(held[i]->data[0], "abcd"[i]);
		buf_drop(&held[i]->buf);
	}
	io_submit(&stage->io, &recv.op);
	cr_assert(turn_until(&stage->io, &recv.ends, POOL_COUNT + 2));
	cr_assert_eq(recv.result, 1);
	cr_assert_eq(recv.buf->data[0], 'e');
	buf_drop(&recv.buf->buf);
}

/* An operation whose done() works the loop. */
struct helper {
	struct seen seen;
	struct io *io;
	struct io_op *victim; /* to be cancelled */
	unsigned left;	      /* times to be submitted again */
};

/* --- sending ----------------------------------------------------------------------------------- */

enum { PIECE = 256 * 1024 };

/* Takes what has gone off the pieces; true when something is left. */
static bool advance(struct io_op *op, size_t sent)
{
	while (op->send.count > 0 && sent >= op->send.iov->iov_len) {
		sent -= op->send.iov->iov_len;
		op->send.iov++;
		op->send.count--;
	}
	if (op->send.count == 0)
		return false;
	op->send.iov->iov_base = (uint8_t *)op->send.iov->iov_base + sent;
	op->send.iov->iov_len -= sent;
	return true;
}

/* Sends again what a short send has left over. */
static void send_rest(struct io_op *op, int result)
{
	struct helper *sender = list_entry(op, struct helper, seen.op);

	cr_assert_gt(result, 0);
	if (advance(op, (size_t)result))
		io_submit(sender->io, op);
	else
		seen_done(op, result);
}

/* Far more than a socket holds, in pieces, with a reader that is slow: whole, and in order. */
CONTRACT(send_is_whole)
{
	const size_t total = (size_t)PIECE * IO_IOV_MAX;
	uint8_t *bytes = malloc(total);
	struct iovec iov[IO_IOV_MAX];
	struct helper sender = {.seen = seen_send(stage->fd, iov, IO_IOV_MAX), .io = &stage->io};
	uint8_t chunk[16384];
	size_t got = 0;

	if (stage->world == &fake_world)
		fake_io_faults(&stage->io)->short_permille = 200;
	sender.seen.op.done = send_rest;
	for (size_t i = 0; i < total; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 256);
	for (size_t i = 0; i < IO_IOV_MAX; i++)
		iov[i] = (struct iovec){bytes + i * PIECE, PIECE};
	io_submit(&stage->io, &sender.seen.op);
	for (uint64_t now_ns = now_of(&stage->io); got < total;) {
		size_t n = stage->world->read(&stage->io, stage->end, chunk, sizeof(chunk));

		cr_assert_leq(got + n, total);
		cr_assert(memcmp(chunk, bytes + got, n) == 0, "wrong bytes at %zu", got);
		got += n;
		cr_assert_eq(io_turn(&stage->io, n > 0 ? 0 : now_ns + 10000000, &now_ns), 0);
	}
	cr_assert(turn_until(&stage->io, &sender.seen.ends, 1));
	free(bytes);
}

CONTRACT(send_to_a_dead_peer_fails)
{
	char byte = 'x';
	struct iovec iov = {&byte, 1};
	struct seen send = seen_send(stage->fd, &iov, 1);

	stage->world->reset(&stage->io, stage->end);
	io_submit(&stage->io, &send.op);
	cr_assert(turn_until(&stage->io, &send.ends, 1));
	cr_assert(send.result == -EPIPE || send.result == -ECONNRESET);
}

/* A cancel in the middle of a send tells how far it came: those bytes have gone. */
CONTRACT(cancelled_send_tells_what_went)
{
	uint8_t *bytes = calloc(PIECE, 32);
	struct iovec iov = {bytes, (size_t)PIECE * 32};
	struct seen send = seen_send(stage->fd, &iov, 1);
	uint8_t chunk[16384];
	size_t got = 0;
	size_t n;

	io_submit(&stage->io, &send.op);
	now_of(&stage->io);
	io_cancel(&stage->io, &send.op);
	cr_assert(turn_until(&stage->io, &send.ends, 1));
	cr_assert(send.result == -ECANCELED || send.result > 0);
	while ((n = stage->world->read(&stage->io, stage->end, chunk, sizeof(chunk))) > 0)
		got += n;
	cr_assert_eq(got, send.result > 0 ? (size_t)send.result : 0);
	free(bytes);
}

CONTRACT(both_directions_wait_at_once)
{
	uint8_t *bytes = calloc(PIECE, 32);
	struct iovec iov = {bytes, (size_t)PIECE * 32};
	struct seen recv = seen_recv(stage->fd, &stage->pool, POOL_SIZE);
	struct seen send = seen_send(stage->fd, &iov, 1);
	uint8_t chunk[16384];
	uint64_t now_ns;

	io_submit(&stage->io, &recv.op);
	io_submit(&stage->io, &send.op);
	now_of(&stage->io);
	now_of(&stage->io);
	cr_assert_eq(recv.ends + send.ends, 0);
	cr_assert_eq(write_end(stage, "x"), 1);
	cr_assert(turn_until(&stage->io, &recv.ends, 1));
	cr_assert_eq(recv.result, 1);
	buf_drop(&recv.buf->buf);
	for (now_ns = now_of(&stage->io); send.ends == 0;) {
		while (stage->world->read(&stage->io, stage->end, chunk, sizeof(chunk)) > 0)
			continue;
		cr_assert_eq(io_turn(&stage->io, now_ns + 1000000, &now_ns), 0);
	}
	cr_assert_gt(send.result, 0);
	free(bytes);
}

/* A reset does, too; the next send fails. */
CONTRACT(broken_send_tells_what_went)
{
	uint8_t *bytes = calloc(PIECE, 32);
	struct iovec iov = {bytes, (size_t)PIECE * 32};
	struct seen send = seen_send(stage->fd, &iov, 1);
	uint64_t now_ns;

	io_submit(&stage->io, &send.op);
	/* The fake takes its time before it sends anything. */
	cr_assert_eq(io_turn(&stage->io, now_of(&stage->io) + 1000000, &now_ns), 0);
	cr_assert_eq(send.ends, 0);
	stage->world->reset(&stage->io, stage->end);
	cr_assert(turn_until(&stage->io, &send.ends, 1));
	cr_assert_gt(send.result, 0);
	iov = (struct iovec){bytes, 1};
	io_submit(&stage->io, &send.op);
	cr_assert(turn_until(&stage->io, &send.ends, 2));
	cr_assert(send.result == -EPIPE || send.result == -ECONNRESET);
	free(bytes);
}

/* --- connections ------------------------------------------------------------------------------- */

static struct seen seen_connect(int fd, const struct addr *addr, struct sockaddr_storage *sa)
{
	struct seen connect = {.op = {.done = seen_done, .kind = IO_CONNECT, .fd = fd}};

	connect.op.connect.to = sa;
	connect.op.connect.len = addr_to_sockaddr(addr, false, sa);
	return connect;
}

static int connect_result(struct stage *stage, enum fake_answer answer)
{
	struct addr addr = stage->world->target(&stage->io, answer);
	int fd = io_socket(&stage->io, addr.family);
	struct sockaddr_storage sa;
	struct seen connect = seen_connect(fd, &addr, &sa);

	io_tune(&stage->io, fd);
	io_submit(&stage->io, &connect.op);
	if (answer == FAKE_SILENT) {
		now_of(&stage->io);
		io_cancel(&stage->io, &connect.op);
	}
	cr_assert(turn_until(&stage->io, &connect.ends, 1));
	io_close(&stage->io, fd);
	return connect.result;
}

CONTRACT(connect_succeeds_fails_and_is_cancelled)
{
	cr_assert_eq(connect_result(stage, FAKE_ACCEPTS), 0);
	cr_assert_eq(connect_result(stage, FAKE_REFUSES), -ECONNREFUSED);
	cr_assert_eq(connect_result(stage, FAKE_SILENT), -ECANCELED);
}

CONTRACT(accept_goes_on_until_cancelled)
{
	struct addr addr;
	int listener = stage->world->listen(&stage->io, &addr);
	struct seen accept = seen_accept(listener);

	io_submit(&stage->io, &accept.op);
	for (unsigned i = 0; i < 20; i++) {
		int end = stage->world->dial(&stage->io, listener);

		cr_assert(turn_until(&stage->io, &accept.events, i + 1));
		cr_assert_geq(accept.result, 0);
		cr_assert_eq(accept.ends, 0);
		io_close(&stage->io, accept.result);
		stage->world->close(&stage->io, end);
	}
	io_cancel(&stage->io, &accept.op);
	cr_assert(turn_until(&stage->io, &accept.ends, 1));
	cr_assert_eq(accept.result, -ECANCELED);
	io_close(&stage->io, listener);
}

CONTRACT(shutdown_and_reset_reach_the_other_end)
{
	char byte;

	io_shutdown(&stage->io, stage->fd);
	cr_assert_eq(stage->world->read(&stage->io, stage->end, &byte, 1), 0);
	cr_assert_eq(write_end(stage, "x"), 1, "the other direction lives on");
	io_reset(&stage->io, stage->fd);
	cr_assert_eq(write_end(stage, "x"), 0);
	stage->world->close(&stage->io, stage->end);
	stage->end = stage->world->pair(&stage->io, &stage->fd);
}

/* --- cancelling, and what done() may do -------------------------------------------------------- */

CONTRACT(cancel_before_the_turn)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, POOL_SIZE);

	io_submit(&stage->io, &recv.op);
	io_cancel(&stage->io, &recv.op);
	io_cancel(&stage->io, &recv.op);
	cr_assert_eq(recv.events, 0, "done() never comes from io_cancel()");
	cr_assert(turn_until(&stage->io, &recv.ends, 1));
	cr_assert_eq(recv.result, -ECANCELED);
	now_of(&stage->io);
	cr_assert_eq(recv.ends, 1);
}

CONTRACT(cancel_under_way)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, POOL_SIZE);
	struct seen poll = seen_poll(stage->fd, POLLIN);

	io_submit(&stage->io, &recv.op);
	io_submit(&stage->io, &poll.op);
	now_of(&stage->io);
	io_cancel(&stage->io, &recv.op);
	io_cancel(&stage->io, &poll.op);
	cr_assert(turn_until(&stage->io, &recv.ends, 1));
	cr_assert(turn_until(&stage->io, &poll.ends, 1));
	cr_assert_eq(recv.result, -ECANCELED);
	cr_assert_eq(poll.result, -ECANCELED);
	io_cancel(&stage->io, &recv.op); /* harmless by now */
	now_of(&stage->io);
	cr_assert_eq(recv.ends, 1);
}

/* Bytes and cancel at once: whoever wins, nothing is lost and done() comes once. */
CONTRACT(cancel_races_with_bytes)
{
	struct seen recv = seen_recv(stage->fd, &stage->pool, POOL_SIZE);

	for (unsigned i = 0; i < 100; i++) {
		recv.ends = 0;
		io_submit(&stage->io, &recv.op);
		now_of(&stage->io);
		cr_assert_eq(write_end(stage, "x"), 1);
		io_cancel(&stage->io, &recv.op);
		cr_assert(turn_until(&stage->io, &recv.ends, 1));
		if (recv.result == -ECANCELED) {
			cr_assert_null(recv.buf);
			io_submit(&stage->io, &recv.op);
			cr_assert(turn_until(&stage->io, &recv.ends, 2));
		}
		cr_assert_eq(recv.result, 1);
		buf_drop(&recv.buf->buf);
	}
}

static void submit_again(struct io_op *op, int result)
{
	struct helper *again = list_entry(op, struct helper, seen.op);

	seen_done(op, result);
	if (again->left-- > 0)
		io_submit(again->io, op);
	else
		io_cancel(again->io, again->victim);
}

CONTRACT(done_may_submit_again_and_cancel_others)
{
	struct seen victim = seen_recv(stage->fd, &stage->pool, 1);
	struct helper again = {.seen = seen_poll(stage->fd, POLLOUT),
			       .io = &stage->io,
			       .victim = &victim.op,
			       .left = 500};

	again.seen.op.done = submit_again;
	io_submit(&stage->io, &victim.op);
	io_submit(&stage->io, &again.seen.op);
	cr_assert(turn_until(&stage->io, &victim.ends, 1));
	cr_assert_eq(again.seen.ends, 501);
	cr_assert_eq(victim.result, -ECANCELED);
}

static unsigned freed;

static void free_op(struct io_op *op, int result)
{
	(void)result;
	freed++;
	free(list_entry(op, struct seen, op));
}

/* What the sanitizer watches: nobody looks at an operation after its last done(). */
CONTRACT(done_may_free_the_operation)
{
	freed = 0;
	for (unsigned i = 0; i < 50; i++) {
		struct seen *poll = malloc(sizeof(*poll));

		*poll = seen_poll(stage->fd, i % 2 ? POLLIN : POLLOUT);
		poll->op.done = free_op;
		io_submit(&stage->io, &poll->op);
		if (i % 4 == 3)
			now_of(&stage->io);
		if (i % 2)
			io_cancel(&stage->io, &poll->op);
	}
	cr_assert(turn_until(&stage->io, &freed, 50));
	cr_assert_eq(stage->io.ops, 0);
}

static void cancel_victim(struct io_op *op, int result)
{
	struct helper *killer = list_entry(op, struct helper, seen.op);

	seen_done(op, result);
	if (freed == 0)
		io_cancel(killer->io, killer->victim);
}

/* Both complete at once: one is cancelled before it is told so, and is freed when it is. */
CONTRACT(cancel_comes_too_late)
{
	for (unsigned i = 0; i < 20; i++) {
		struct seen *victim = malloc(sizeof(*victim));
		struct helper killer = {.seen = seen_poll(stage->fd, POLLOUT),
					.io = &stage->io,
					.victim = &victim->op};

		freed = 0;
		*victim = seen_poll(stage->fd, POLLOUT);
		victim->op.done = free_op;
		killer.seen.op.done = cancel_victim;
		io_submit(&stage->io, &killer.seen.op);
		io_submit(&stage->io, &victim->op);
		cr_assert(turn_until(&stage->io, &freed, 1));
		cr_assert(turn_until(&stage->io, &killer.seen.ends, 1));
		now_of(&stage->io);
	}
}

CONTRACT(poll_tells_what_holds)
{
	struct seen poll = seen_poll(stage->fd, POLLIN | POLLOUT);

	io_submit(&stage->io, &poll.op);
	cr_assert(turn_until(&stage->io, &poll.ends, 1));
	cr_assert_eq(poll.result, POLLOUT);
	poll.op.poll.events = POLLIN;
	io_submit(&stage->io, &poll.op);
	now_of(&stage->io);
	cr_assert_eq(poll.ends, 1);
	cr_assert_eq(write_end(stage, "x"), 1);
	cr_assert(turn_until(&stage->io, &poll.ends, 2));
	cr_assert_eq(poll.result, POLLIN);
}

/* --- breaking it is noticed -------------------------------------------------------------------- */

Test(io_contract, double_submit_is_a_fault, .signal = SIGABRT, .timeout = 30)
{
	struct io io;
	struct seen poll = seen_poll(FAKE_FD_BASE, POLLIN);

	io_init(&io, &io_backend_fake, 1);
	io_submit(&io, &poll.op);
	io_submit(&io, &poll.op);
}

Test(io_contract, completing_twice_is_a_fault, .signal = SIGABRT, .timeout = 30)
{
	struct io io;
	struct seen poll = seen_poll(FAKE_FD_BASE, POLLIN);

	io_init(&io, &io_backend_fake, 1);
	io_submit(&io, &poll.op);
	io.turning = true;
	io_complete(&io, &poll.op, 0, false);
	io_complete(&io, &poll.op, 0, false);
}

Test(io_contract, ending_with_work_under_way_is_a_fault, .signal = SIGABRT, .timeout = 30)
{
	struct io io;
	struct seen poll = seen_poll(FAKE_FD_BASE, POLLIN);

	io_init(&io, &io_backend_fake, 1);
	io_submit(&io, &poll.op);
	io_fini(&io);
}

/* --- the fake's own ---------------------------------------------------------------------------- */

static uint64_t checksum_of_run(uint64_t seed)
{
	struct stage stage = {.world = &fake_world};
	struct seen recv;
	uint64_t sum = 0;

	fake_io_seed(seed);
	io_init(&stage.io, &io_backend_fake, 1);
	io_pool_init(&stage.pool, &stage.io, POOL_COUNT, POOL_SIZE);
	stage.end = fake_io_pair(&stage.io, &stage.fd);
	recv = seen_recv(stage.fd, &stage.pool, POOL_SIZE);
	for (unsigned i = 0; i < 10; i++) {
		fake_io_write(&stage.io, stage.end, "0123456789", 10);
		io_submit(&stage.io, &recv.op);
		cr_assert(turn_until(&stage.io, &recv.ends, i + 1));
		sum = sum * 31 + (uint64_t)recv.result + fake_io_now(&stage.io);
		buf_drop(&recv.buf->buf);
	}
	io_close(&stage.io, stage.fd);
	cr_assert_eq(fake_io_fds(&stage.io), 0);
	cr_assert_eq(fake_io_ops(&stage.io), 0);
	io_pool_fini(&stage.pool);
	io_fini(&stage.io);
	return sum;
}

Test(fake_io, same_seed_same_run, .timeout = 30)
{
	cr_assert_eq(checksum_of_run(7), checksum_of_run(7));
	cr_assert_neq(checksum_of_run(7), checksum_of_run(8));
}

Test(fake_io, faults_happen_when_asked_for, .timeout = 30)
{
	struct io io;
	struct io_pool pool;
	struct seen recv;
	int fd;

	io_init(&io, &io_backend_fake, 1);
	io_pool_init(&pool, &io, POOL_COUNT, POOL_SIZE);
	fake_io_write(&io, fake_io_pair(&io, &fd), "x", 1);
	recv = seen_recv(fd, &pool, 1);
	fake_io_faults(&io)->enobufs_permille = 1000;
	io_submit(&io, &recv.op);
	cr_assert(turn_until(&io, &recv.ends, 1));
	cr_assert_eq(recv.result, -ENOBUFS);
	fake_io_faults(&io)->enobufs_permille = 0;
	fake_io_faults(&io)->break_permille = 1000;
	io_submit(&io, &recv.op);
	cr_assert(turn_until(&io, &recv.ends, 2));
	cr_assert_eq(recv.result, 1, "what had arrived before the reset is still there");
	buf_drop(&recv.buf->buf);
	io_submit(&io, &recv.op);
	cr_assert(turn_until(&io, &recv.ends, 3));
	cr_assert_eq(recv.result, -ECONNRESET);
	io_close(&io, fd);
	io_pool_fini(&pool);
	io_fini(&io);
}
