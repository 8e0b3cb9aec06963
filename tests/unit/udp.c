// SPDX-License-Identifier: MIT
/* Two of our sockets, or one and a plain one, over loopback. Both address families. */
#include "udp.h"
#include "io_seen.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* --- a backend that fails sends on demand, and is the real one otherwise ----------------------- */

static const struct io_backend *real; /* what the test is run on */

static struct {
	int error;	/* what failing sends end with */
	unsigned count; /* so many, from now on */
	bool trains;	/* only those with UDP_SEGMENT */
	unsigned sends; /* handed over so far, failing ones too */
	void (*after_first)(void);
	struct {
		struct io_op *op;
		struct msghdr *msg;
		void (*done)(struct io_op *op, int result);
	} victim[64];
	unsigned victims;
} fault;

static void fail_send(struct io_op *op, int result)
{
	unsigned i = 0;

	(void)result;
	while (fault.victim[i].op != op)
		i++;
	fault.victim[i].op = NULL;
	op->kind = IO_SEND_DGRAMS;
	op->send_dgrams.msg = fault.victim[i].msg;
	op->done = fault.victim[i].done;
	op->done(op, fault.error);
	if (i == 0 && fault.after_first != NULL)
		fault.after_first();
}

/* A send that shall fail becomes a poll, which completes at once, and then tells the error. */
static void submit_or_fail(struct io *io, struct io_op *op)
{
	bool train = op->kind == IO_SEND_DGRAMS && op->send_dgrams.msg->msg_controllen > 0;

	fault.sends += op->kind == IO_SEND_DGRAMS;
	if (op->kind == IO_SEND_DGRAMS && fault.count > 0 && (train || !fault.trains)) {
		unsigned i = fault.victims++;

		fault.count--;
		fault.victim[i].op = op;
		fault.victim[i].msg = op->send_dgrams.msg;
		fault.victim[i].done = op->done;
		op->kind = IO_POLL;
		op->poll.events = POLLOUT;
		op->done = fail_send;
	}
	real->submit(io, op);
}

/* --- the frame of each test -------------------------------------------------------------------- */

static struct io_backend backend; /* `real`, but for faults */

/* A loop of its own for each, as in two processes. */
struct stage {
	struct io io, peer_io;
	struct udp *a, *b;
	struct addr to; /* b's address, of the family under test */
	uint64_t now_ns;
};

static const uint8_t families[] = {ADDR_V4, ADDR_V6};

static struct addr loopback(uint8_t family, uint16_t port)
{
	struct addr addr;

	cr_assert(addr_parse(&addr, family == ADDR_V4 ? "127.0.0.1" : "::1"));
	addr.port = port;
	return addr;
}

/* b's loop turns behind a's and waits for what a has sent. */
static void turn(struct stage *stage, uint64_t wait_ns)
{
	cr_assert_eq(io_turn(&stage->io, 0, &stage->now_ns), 0);
	cr_assert_eq(io_turn(&stage->peer_io, stage->now_ns + wait_ns, &stage->now_ns), 0);
	cr_assert_eq(io_turn(&stage->io, 0, &stage->now_ns), 0);
}

static void close_udp(struct stage *stage, struct udp *udp)
{
	udp_close(udp);
	for (int i = 0; i < 100 && !udp_closed(udp); i++)
		turn(stage, 1000000);
	cr_assert(udp_closed(udp));
	udp_free(udp);
}

static bool open_loops(struct stage *stage)
{
	int error;

	memset(&fault, 0, sizeof(fault));
	backend = *real;
	backend.submit = submit_or_fail;
	error = io_init(&stage->io, &backend, 64);
	if (error != 0) {
		printf("SKIP udp/%s: %s\n", real->name, strerror(-error));
		return false;
	}
	cr_assert_eq(io_init(&stage->peer_io, real, 64), 0);
	return true;
}

static void run_on(const struct io_backend *loop, void (*test)(struct stage *), uint8_t family)
{
	const struct udp_config any = {0};
	struct stage stage = {0};

	real = loop;
	if (!open_loops(&stage))
		return;
	cr_assert_eq(udp_open(&stage.a, &stage.io, &any), 0);
	cr_assert_eq(udp_open(&stage.b, &stage.peer_io, &any), 0);
	stage.to = loopback(family, udp_port(stage.b));
	turn(&stage, 0);
	test(&stage);
	close_udp(&stage, stage.a);
	close_udp(&stage, stage.b);
	io_fini(&stage.io);
	io_fini(&stage.peer_io);
}

/* A ring is torn down late, and interrupts a sleep by that: so they come last. */
static void run(void (*test)(struct stage *), uint8_t family)
{
	run_on(&io_backend_epoll, test, family);
	run_on(&io_backend_uring, test, family);
}

#define BOTH_FAMILIES(name)                                                                        \
	static void name(struct stage *stage);                                                     \
	Test(udp, name, .timeout = 30)                                                             \
	{                                                                                          \
		for (size_t i = 0; i < 2; i++)                                                     \
			run(name, families[i]);                                                    \
	}                                                                                          \
	static void name(struct stage *stage)

/* Message `number`: its bytes tell which one it is, each of them. */
static void fill(uint8_t *message, size_t len, unsigned number)
{
	for (size_t i = 0; i < len; i++)
		message[i] = (uint8_t)(number * 37 + i * 11 + i / 256);
}

static bool is_filled(const uint8_t *message, size_t len, unsigned number)
{
	for (size_t i = 0; i < len; i++) {
		if (message[i] != (uint8_t)(number * 37 + i * 11 + i / 256))
			return false;
	}
	return true;
}

static bool push(struct stage *stage, size_t len, unsigned number)
{
	uint8_t *message = udp_room(stage->a, len);

	if (message == NULL)
		return false;
	fill(message, len, number);
	udp_push(stage->a, message, len, &stage->to);
	return true;
}

typedef size_t len_fn(unsigned number);

/* Receives messages first..last-1 at b, in this order, with these lengths, from a. */
static void expect(struct stage *stage, unsigned first, unsigned last, len_fn *len_of)
{
	uint64_t end_ns = stage->now_ns + 2000000000;
	struct dgram *dgrams;
	size_t count;

	while (first < last && stage->now_ns < end_ns) {
		turn(stage, 10000000);
		while ((count = udp_received(stage->b, &dgrams)) > 0) {
			for (size_t i = 0; i < count; i++, first++) {
				cr_assert_lt(first, last, "more than was sent");
				cr_assert_eq(dgrams[i].len, len_of(first), "message %u", first);
				cr_assert(is_filled(dgrams[i].data, dgrams[i].len, first),
					  "message %u", first);
				cr_assert_eq(dgrams[i].from->port, udp_port(stage->a));
				cr_assert_eq(dgrams[i].from->family, stage->to.family);
			}
		}
		udp_flush(stage->b);
	}
	cr_assert_eq(first, last, "%u did not arrive", first);
}

static size_t full(unsigned number)
{
	(void)number;
	return 1452;
}

static size_t short_tail(unsigned number)
{
	return number == 44 ? 80 : 1452;
}

static size_t alternating(unsigned number)
{
	return number % 2 == 0 ? 96 : 1452;
}

static size_t small(unsigned number)
{
	(void)number;
	return 96;
}

/* No two of them share a train. */
static size_t growing(unsigned number)
{
	return 96 + number % 1300;
}

static void push_many(struct stage *stage, unsigned first, unsigned last, len_fn *len_of)
{
	for (unsigned i = first; i < last; i++)
		cr_assert(push(stage, len_of(i), i), "room for message %u", i);
}

/* --- sending and receiving --------------------------------------------------------------------- */

BOTH_FAMILIES(one_message)
{
	push_many(stage, 0, 1, full);
	udp_flush(stage->a);
	expect(stage, 0, 1, full);
	cr_assert_eq(udp_stats(stage->a)->tx_datagrams, 1);
	cr_assert_eq(udp_stats(stage->a)->tx_trains, 0);
	cr_assert_eq(udp_stats(stage->b)->rx_datagrams, 1);
	cr_assert_eq(udp_stats(stage->b)->rx_merged, 0);
}

/* One sendmsg, one completion: the kernel neither splits nor copies on the way. */
BOTH_FAMILIES(a_train_with_a_short_tail)
{
	push_many(stage, 0, 45, short_tail);
	udp_flush(stage->a);
	expect(stage, 0, 45, short_tail);
	cr_assert_eq(udp_stats(stage->a)->tx_datagrams, 45);
	cr_assert_eq(udp_stats(stage->a)->tx_trains, 1);
	cr_assert_eq(udp_stats(stage->b)->rx_merged, 1);
}

/* After the short one a new train begins: the kernel would split at the wrong place. */
BOTH_FAMILIES(a_message_behind_a_short_tail)
{
	push_many(stage, 0, 46, short_tail);
	push_many(stage, 46, 50, full);
	udp_flush(stage->a);
	expect(stage, 0, 50, short_tail);
}

BOTH_FAMILIES(alternating_lengths_keep_their_order)
{
	push_many(stage, 0, 300, alternating);
	udp_flush(stage->a);
	expect(stage, 0, 300, alternating);
	cr_assert_eq(udp_stats(stage->a)->tx_datagrams, 300);
}

BOTH_FAMILIES(a_train_has_at_most_64_messages)
{
	push_many(stage, 0, 150, small);
	udp_flush(stage->a);
	expect(stage, 0, 150, small);
	cr_assert_eq(udp_stats(stage->a)->tx_trains, 3);
	cr_assert_eq(udp_stats(stage->a)->tx_errors, 0);
}

/* More merged datagrams than one batch has: the buffer is shared by two batches. */
BOTH_FAMILIES(batches_are_bounded)
{
	struct dgram *dgrams;

	push_many(stage, 0, 400, small);
	udp_flush(stage->a);
	turn(stage, 10000000);
	cr_assert_eq(udp_received(stage->b, &dgrams), UDP_BATCH_MAX);
	cr_assert(is_filled(dgrams[255].data, 96, 255));
	cr_assert_eq(udp_received(stage->b, &dgrams), 400 - UDP_BATCH_MAX);
	cr_assert(is_filled(dgrams[0].data, 96, 256));
	cr_assert_eq(udp_received(stage->b, &dgrams), 0);
}

/* A train is for one address: this one goes to two in turn, and back to ourselves. */
BOTH_FAMILIES(addresses_do_not_mix)
{
	struct addr self = loopback(stage->to.family, udp_port(stage->a));
	struct dgram *dgrams;

	for (unsigned i = 0; i < 10; i++) {
		uint8_t *message = udp_room(stage->a, 100);

		fill(message, 100, i);
		udp_push(stage->a, message, 100, i % 2 ? &self : &stage->to);
	}
	udp_flush(stage->a);
	turn(stage, 10000000);
	cr_assert_eq(udp_received(stage->a, &dgrams), 5);
	for (unsigned i = 0; i < 5; i++)
		cr_assert(is_filled(dgrams[i].data, 100, 2 * i + 1));
	cr_assert_eq(udp_received(stage->a, &dgrams), 0);
	cr_assert_eq(udp_received(stage->b, &dgrams), 5);
	cr_assert_eq(udp_received(stage->b, &dgrams), 0);
}

BOTH_FAMILIES(an_empty_datagram_is_delivered)
{
	int fd = socket(stage->to.family == ADDR_V4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&stage->to, false, &sa);
	struct dgram *dgrams;

	cr_assert_eq(sendto(fd, "", 0, 0, (struct sockaddr *)&sa, len), 0);
	turn(stage, 100000000);
	cr_assert_eq(udp_received(stage->b, &dgrams), 1);
	cr_assert_eq(dgrams[0].len, 0);
	push_many(stage, 0, 3, full);
	udp_flush(stage->a);
	expect(stage, 0, 3, full);
	close(fd);
}

/* --- rooms ------------------------------------------------------------------------------------- */

/* As the proxy does it: many rooms first, one of them given up, one longer than its message. */
BOTH_FAMILIES(rooms_before_pushes)
{
	uint8_t *rooms[10];

	for (int i = 0; i < 10; i++)
		rooms[i] = udp_room(stage->a, 1452);
	for (unsigned i = 0, number = 0; i < 10; i++) {
		size_t len = number == 6 ? 1000 : 1452;

		if (i == 4)
			continue;
		fill(rooms[i], len, number++);
		udp_push(stage->a, rooms[i], len, &stage->to);
	}
	udp_flush(stage->a);
	turn(stage, 10000000);
	for (struct dgram *dgrams; udp_received(stage->b, &dgrams) > 0;) {
		for (unsigned i = 0; i < 9; i++) {
			cr_assert_eq(dgrams[i].len, i == 6 ? 1000 : 1452);
			cr_assert(is_filled(dgrams[i].data, dgrams[i].len, i));
		}
	}
	cr_assert_eq(udp_stats(stage->b)->rx_datagrams, 9);
	cr_assert_eq(udp_stats(stage->a)->tx_trains, 3, "parted by the gap and by the short one");
}

/* Each room has a send promised, should its message need one to itself. */
BOTH_FAMILIES(every_room_can_be_pushed)
{
	uint8_t *rooms[1024];
	unsigned count = 0;

	while (count < 1024 && (rooms[count] = udp_room(stage->a, 96)) != NULL)
		count++;
	cr_assert(count >= 256 && count < 1024);
	/* Of two neighbours neither begins where the other one ends. */
	for (unsigned i = 0; i < count; i++) {
		fill(rooms[i], 80, i);
		udp_push(stage->a, rooms[i], 80, &stage->to);
	}
	udp_flush(stage->a);
	for (unsigned i = 0; i < 100 && udp_stats(stage->a)->tx_datagrams < count; i++)
		turn(stage, 0);
	cr_assert_eq(udp_stats(stage->a)->tx_datagrams, count);
}

/* Rooms that are given up cost nothing, however many. */
BOTH_FAMILIES(rooms_without_pushes)
{
	for (unsigned i = 0; i < 2000; i++) {
		cr_assert_not_null(udp_room(stage->a, 1452), "room %u", i);
		if (i % 10 == 9)
			udp_flush(stage->a);
	}
	cr_assert_eq(udp_room_left(stage->a), UDP_TRAINS * 65536);
	cr_assert_eq(udp_stats(stage->a)->tx_datagrams, 0);
}

/* A room that shrinks when it is pushed leaves no gap: the next message joins the train. */
BOTH_FAMILIES(a_shrunk_room_leaves_no_gap)
{
	for (unsigned i = 0; i < 5; i++) {
		uint8_t *message = udp_room(stage->a, 1500);

		fill(message, 1452, i);
		udp_push(stage->a, message, 1452, &stage->to);
	}
	udp_flush(stage->a);
	expect(stage, 0, 5, full);
	cr_assert_eq(udp_stats(stage->a)->tx_trains, 1);
}

BOTH_FAMILIES(no_room_is_back_pressure)
{
	unsigned count = 0;

	cr_assert_null(udp_room(stage->a, 65508));
	cr_assert_eq(udp_room_left(stage->a), UDP_TRAINS * 65536);
	while (push(stage, 1452, count))
		count++;
	cr_assert_eq(count, UDP_TRAINS * 45, "whole trains");
	cr_assert_lt(udp_room_left(stage->a), UDP_TRAINS * 1452);
	udp_flush(stage->a);
	cr_assert_null(udp_room(stage->a, 1452), "not before they have left");
	turn(stage, 10000000);
	cr_assert_eq(udp_room_left(stage->a), UDP_TRAINS * 65536);
	cr_assert_eq(udp_stats(stage->a)->tx_no_room, 3);
	cr_assert_eq(udp_stats(stage->a)->tx_datagrams, count);
}

/* Every message a send of its own: they run out before the memory does, and come back. */
BOTH_FAMILIES(many_short_sends)
{
	unsigned sent = 0;

	for (int round = 0; round < 3; round++) {
		unsigned first = sent;

		while (push(stage, growing(sent), sent))
			sent++;
		cr_assert_geq(sent - first, 256);
		cr_assert_eq(udp_room_left(stage->a), 0);
		udp_flush(stage->a);
		expect(stage, first, sent, growing);
	}
}

/* --- errors ------------------------------------------------------------------------------------ */

/*
 * Nobody listens there. Unconnected sockets hear of it only when they ask for it, as here, which is
 * the worst case: the error ends the receive.
 */
BOTH_FAMILIES(a_closed_port_is_survived)
{
	struct addr to = stage->to;
	const int on = 1;
	struct dgram *dgrams;

	setsockopt(udp_fd(stage->a), IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	setsockopt(udp_fd(stage->a), IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
	stage->to.port = 1;
	push_many(stage, 0, 1, small);
	udp_flush(stage->a);
	for (int i = 0; i < 3; i++) {
		turn(stage, 10000000);
		cr_assert_eq(udp_received(stage->a, &dgrams), 0);
		udp_flush(stage->a);
	}
	cr_assert_eq(udp_stats(stage->a)->rx_errors, 1);
	stage->to = loopback(to.family, udp_port(stage->a));
	push_many(stage, 0, 1, small);
	udp_flush(stage->a);
	turn(stage, 10000000);
	cr_assert_eq(udp_received(stage->a, &dgrams), 1, "it receives again");
}

/* Buffers that somebody keeps: receiving stops, loses nothing, and goes on as they come back. */
BOTH_FAMILIES(lent_buffers_come_back)
{
	struct buf *held[UDP_RX_BUFS];
	struct dgram *dgrams;
	unsigned count = 0;

	cr_assert(udp_may_lend(stage->b));
	for (unsigned i = 0; i < UDP_RX_BUFS + 4; i++) {
		push_many(stage, i, i + 1, alternating);
		udp_flush(stage->a);
		turn(stage, 0);
	}
	for (size_t n; (n = udp_received(stage->b, &dgrams)) > 0;) {
		for (size_t i = 0; i < n; i++, count++) {
			held[count] = dgrams[i].home;
			buf_hold(held[count]);
		}
	}
	cr_assert_eq(count, UDP_RX_BUFS);
	cr_assert(!udp_may_lend(stage->b));
	turn(stage, 0);
	cr_assert_eq(udp_received(stage->b, &dgrams), 0);
	cr_assert_eq(udp_stats(stage->b)->rx_enobufs, 1);
	for (unsigned i = 0; i < count; i++)
		buf_drop(held[i]);
	cr_assert(udp_may_lend(stage->b));
	udp_flush(stage->b);
	turn(stage, 0);
	cr_assert_gt(udp_received(stage->b, &dgrams), 0, "receiving since the flush");
	cr_assert_eq(dgrams[0].len, alternating(UDP_RX_BUFS));
}

static void fail_trains(struct stage *stage, int error, bool gso_stays)
{
	fault.error = error;
	fault.count = 2;
	fault.trains = true;
	push_many(stage, 0, 100, alternating);
	push_many(stage, 100, 200, full);
	udp_flush(stage->a);
	for (unsigned i = 0; i < 2; i++)
		turn(stage, 0);
	cr_assert_eq(udp_stats(stage->a)->tx_errors, 0);
	cr_assert_geq(udp_stats(stage->a)->gso_fallbacks, 1);
	while (udp_stats(stage->a)->tx_datagrams < 200)
		turn(stage, 1000000);
	fault.count = 0;
	cr_assert_eq(udp_room_left(stage->a), UDP_TRAINS * 65536, "all memory is back");
	close_udp(stage, stage->b);
	cr_assert_eq(udp_open(&stage->b, &stage->peer_io, &(struct udp_config){.port = 0}), 0);
	stage->to.port = udp_port(stage->b);
	push_many(stage, 0, 45, full);
	udp_flush(stage->a);
	expect(stage, 0, 45, full);
	cr_assert_eq(udp_stats(stage->b)->rx_merged > 0, gso_stays);
}

BOTH_FAMILIES(gso_refused_for_good)
{
	fail_trains(stage, -EIO, false);
}

BOTH_FAMILIES(gso_refused_this_time)
{
	fail_trains(stage, -EMSGSIZE, true);
}

/* The train that is refused comes apart and arrives whole, in its order. */
BOTH_FAMILIES(a_refused_train_loses_nothing)
{
	fault.error = -EOPNOTSUPP;
	fault.count = 1;
	fault.trains = true;
	push_many(stage, 0, 45, short_tail);
	udp_flush(stage->a);
	expect(stage, 0, 45, short_tail);
	cr_assert_eq(udp_stats(stage->a)->gso_fallbacks, 1);
	cr_assert_eq(udp_stats(stage->a)->tx_trains, 0);
}

static struct stage *full_socket;

/* More to send, between the failure of message 0 and those of 1..19: it waits, behind them. */
static void push_meanwhile(void)
{
	unsigned sends = fault.sends;

	push_many(full_socket, 20, 30, growing);
	udp_flush(full_socket->a);
	cr_assert_eq(fault.sends, sends, "a full socket is left alone");
}

/* A full socket: everything waits for it, nothing overtakes, and nothing is lost. */
BOTH_FAMILIES(a_full_socket_is_waited_for)
{
	full_socket = stage;
	fault.error = -EAGAIN;
	fault.count = 20;
	fault.trains = false;
	fault.after_first = push_meanwhile;
	push_many(stage, 0, 20, growing);
	udp_flush(stage->a);
	expect(stage, 0, 30, growing);
	cr_assert_eq(fault.victims, 20);
	cr_assert_eq(udp_stats(stage->a)->tx_errors, 0);
}

BOTH_FAMILIES(a_send_that_fails_is_counted)
{
	fault.error = -ENOBUFS;
	fault.count = 1;
	fault.trains = false;
	push_many(stage, 0, 1, full);
	udp_flush(stage->a);
	turn(stage, 1000000);
	cr_assert_eq(udp_stats(stage->a)->tx_errors, 1);
	push_many(stage, 0, 1, full);
	udp_flush(stage->a);
	expect(stage, 0, 1, full);
}

/* No fault injected: an interface whose MTU is below the segment refuses the train by itself. */
static bool small_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd;
	bool ok;

	/* Root needs no user namespace, and a process with threads gets none. */
	if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	request.ifr_flags = IFF_UP;
	ok = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	request.ifr_mtu = 1300;
	ok = ok && ioctl(fd, SIOCSIFMTU, &request) == 0;
	close(fd);
	return ok;
}

static void push_beyond_mtu(struct stage *stage)
{
	push_many(stage, 0, 45, full);
	udp_flush(stage->a);
	expect(stage, 0, 45, full);
	cr_assert_eq(udp_stats(stage->a)->gso_fallbacks, 1);
	cr_assert_eq(udp_stats(stage->a)->tx_datagrams, 45);
}

Test(udp, segments_beyond_the_mtu, .timeout = 30)
{
	if (!small_loopback()) {
		printf("SKIP udp/segments_beyond_the_mtu: no network namespace\n");
		return;
	}
	run(push_beyond_mtu, ADDR_V4);
}

/* What joins() lets join: 64 messages, and 65,507 bytes. */
Test(udp, so_many_leave_in_one_train)
{
	cr_assert_eq(udp_train(1452), 45);
	cr_assert_eq(udp_train(1023), 64);
	cr_assert_eq(udp_train(100), 64);
	cr_assert_eq(udp_train(9032), 7);
	cr_assert_eq(udp_train(65507), 1);
}

/* --- life -------------------------------------------------------------------------------------- */

static void fixed_port(struct stage *stage)
{
	struct udp_config taken = {.port = udp_port(stage->b)};
	struct udp *udp;

	cr_assert_neq(taken.port, 0);
	cr_assert_eq(udp_open(&udp, &stage->io, &taken), -EADDRINUSE);
	cr_assert_null(udp);
	close_udp(stage, stage->b);
	cr_assert_eq(udp_open(&stage->b, &stage->peer_io, &taken), 0);
	cr_assert_eq(udp_port(stage->b), taken.port);
}

Test(udp, a_fixed_port, .timeout = 30)
{
	run(fixed_port, ADDR_V4);
}

/* In every state there is: unflushed, waiting, under way, received and not fetched. */
BOTH_FAMILIES(closing_in_the_middle)
{
	fault.error = -EAGAIN;
	fault.count = 1;
	fault.trains = false;
	push_many(stage, 0, 100, alternating);
	udp_flush(stage->a);
	turn(stage, 0);
	push_many(stage, 0, 50, alternating);
	udp_flush(stage->a);
	push_many(stage, 0, 50, alternating);
}
