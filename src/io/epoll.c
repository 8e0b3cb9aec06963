// SPDX-License-Identifier: MIT
/*
 * The epoll backend: theory of operation
 *
 * For kernels and sandboxes without io_uring. An operation is one system call that is made when it
 * has a chance: at once when it is new, and again after the event that it has been waiting for.
 *
 *			     +----- not yet ----> descriptor's `waiting` --+
 *			     |						   | event, or
 *	io_submit() -> queue -> pass -> try -> done()			   | io_cancel()
 *		         ^__________________|___________________________|
 *				     multishot kinds that have not come to the end
 *
 * A turn makes a pass over the queue, looks at the events, and makes a second pass for those that
 * they have woken. What done() submits waits for the next pass, so that a turn has an end, and each
 * operation moves a bounded amount in a pass, so that everybody gets one. The turn sleeps only when
 * its first pass has completed nothing and there is nothing left to try.
 *
 * A cancelled operation goes to the queue like one that was woken, and the pass finds it cancelled.
 * One that is on no list at the time is being told its result: that stands.
 *
 * System calls are what this costs, so the number of them per message is what everything here is
 * about. In a conversation there is one receive and one send for each message beside the wait:
 *
 *  - A descriptor is registered when an operation first has to wait on it, edge-triggered, and
 *    stays so until it is closed. Waiting a second time costs nothing.
 *  - What an edge does not report again must be remembered: `exhausted` says that the last attempt
 *    took all there was, and that another waits for an event without a system call. It is set by
 *    EAGAIN, but also by a transfer that was shorter than it might have been, as epoll(7) allows
 *    for streams: anything that arrives later is an edge. Except that the end of the stream, an
 *    error or urgent data may already lie behind what was received, with an edge that is past:
 *    once an event has told of one (`ending`), EAGAIN alone counts.
 *  - Datagrams are received by the dozen with recvmmsg(2), into as many buffers as are free; that
 *    it filled fewer says that there are no more. Those of one turn leave in one sendmmsg(2).
 *  - An event that nobody waits for and that tells nothing new is not to come again: interest is
 *    then reduced to what is waited for. Otherwise each datagram that leaves would wake us (once
 *    EPOLLOUT had been of interest), or each segment from a host whose connection has no room.
 *
 * epoll_wait(2) counts milliseconds. They are rounded up, so a deadline is met up to a millisecond
 * late, which no timer of ours minds. epoll_pwait2(2) would be exact, but old sandboxes do not know
 * it. Like io_uring's, its clock stands still while the machine is suspended.
 *
 * Interest is registered per descriptor and open file. Another descriptor may share the file, and
 * would keep the registration alive: so it is deleted before closing, which is why descriptors are
 * closed through io_close().
 */
#include "epoll.h"

#include "base/time.h"
#include "socket.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 256, /* of one look; the others come with the next */
	DESCRIPTORS_MIN = 64,
};

/* --- descriptors ------------------------------------------------------------------------------- */

/* NULL: nothing has waited on it. */
static struct descriptor *find_descriptor(const struct epoll *epoll, int fd)
{
	return (size_t)fd < epoll->descriptors_len ? epoll->descriptors[fd] : NULL;
}

/* The kernel gives the lowest number that is free: the table is as long as there were sockets. */
static bool make_room(struct epoll *epoll, int fd)
{
	size_t len = epoll->descriptors_len;
	struct descriptor **descriptors;

	if ((size_t)fd < len)
		return true;
	len = len == 0 ? DESCRIPTORS_MIN : len;
	while (len <= (size_t)fd)
		len *= 2;
	descriptors = realloc(epoll->descriptors, len * sizeof(*descriptors));
	if (descriptors == NULL)
		return false;
	for (size_t i = epoll->descriptors_len; i < len; i++)
		descriptors[i] = NULL;
	epoll->descriptors = descriptors;
	epoll->descriptors_len = len;
	return true;
}

/* Made when there is none yet; NULL: no memory. It stays, for the next socket of this number. */
static struct descriptor *get_descriptor(struct epoll *epoll, int fd)
{
	struct descriptor *descriptor = find_descriptor(epoll, fd);

	if (descriptor != NULL || !make_room(epoll, fd))
		return descriptor;
	descriptor = calloc(1, sizeof(*descriptor));
	if (descriptor != NULL)
		list_init(&descriptor->waiting);
	epoll->descriptors[fd] = descriptor;
	return descriptor;
}

static int watch(struct epoll *epoll, int fd, struct descriptor *descriptor, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.fd = fd};
	int change = descriptor->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (epoll_ctl(epoll->fd, change, fd, &event) < 0)
		return -errno;
	descriptor->watched = event.events;
	return 0;
}

static void forget_descriptor(struct epoll *epoll, int fd)
{
	struct descriptor *descriptor = find_descriptor(epoll, fd);

	if (descriptor == NULL)
		return;
	CHECK(list_empty(&descriptor->waiting));
	if (descriptor->watched != 0)
		(void)epoll_ctl(epoll->fd, EPOLL_CTL_DEL, fd, NULL);
	descriptor->watched = descriptor->exhausted = 0;
	descriptor->ending = false;
}

bool epoll_is_exhausted(const struct epoll *epoll, const struct io_op *op)
{
	const struct descriptor *descriptor = find_descriptor(epoll, op->fd);

	if (op->kind == IO_POLL)
		return false; /* it asks what holds, whatever was tried */
	return descriptor != NULL && (descriptor->exhausted & epoll_wants(op)) != 0;
}

void epoll_exhaust(struct epoll *epoll, const struct io_op *op)
{
	struct descriptor *descriptor = get_descriptor(epoll, op->fd);

	/* Without memory to note it, there will be an attempt in vain. What a poll wants may be
	 * anything, and says nothing about transfers. */
	if (descriptor != NULL && op->kind != IO_POLL)
		descriptor->exhausted |= epoll_wants(op) & (EPOLLIN | EPOLLOUT);
}

void epoll_exhaust_by_short(struct epoll *epoll, const struct io_op *op)
{
	struct descriptor *descriptor = get_descriptor(epoll, op->fd);

	if (descriptor != NULL && !descriptor->ending)
		epoll_exhaust(epoll, op);
}

/* --- operations -------------------------------------------------------------------------------- */

static void epoll_submit(struct io *io, struct io_op *op)
{
	struct epoll *epoll = io->state;

	op->state = 0;
	list_append(&epoll->queue, &op->link);
}

static void epoll_cancel(struct io *io, struct io_op *op)
{
	struct epoll *epoll = io->state;

	if (list_empty(&op->link))
		return;
	list_remove(&op->link);
	list_append(&epoll->queue, &op->link);
}

void epoll_wait_for_event(struct io *io, struct io_op *op)
{
	struct epoll *epoll = io->state;
	struct descriptor *descriptor = get_descriptor(epoll, op->fd);
	uint32_t events = epoll_wants(op);
	int error = descriptor == NULL ? -ENOMEM : 0;

	/* The kernel looks when interest is new: what holds by now is not missed. */
	if (error == 0 && (events & ~descriptor->watched) != 0)
		error = watch(epoll, op->fd, descriptor, descriptor->watched | events);
	if (error == 0)
		list_append(&descriptor->waiting, &op->link);
	else
		io_complete(io, op, error, false);
}

/* To the queue with those that wait for one of `events`. */
static void wake(struct epoll *epoll, struct descriptor *descriptor, uint32_t events)
{
	struct list *next;

	for (struct list *node = descriptor->waiting.next; node != &descriptor->waiting;
	     node = next) {
		next = node->next;
		if ((epoll_wants(list_entry(node, struct io_op, link)) & events) == 0)
			continue;
		list_remove(node);
		list_append(&epoll->queue, node);
	}
}

static uint32_t all_wants(const struct descriptor *descriptor)
{
	uint32_t events = 0;

	list_for_each (node, &descriptor->waiting)
		events |= epoll_wants(list_entry(node, struct io_op, link));
	return events;
}

static void take_event(struct epoll *epoll, const struct epoll_event *event)
{
	int fd = event->data.fd;
	struct descriptor *descriptor = find_descriptor(epoll, fd);
	uint32_t events = event->events;
	uint32_t wanted = all_wants(descriptor);
	bool known = (descriptor->exhausted & events) == 0;

	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0)
		descriptor->ending = true;
	/* Whatever was wanted, the next attempt tells what is wrong. */
	if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		events |= wanted | EPOLLIN | EPOLLOUT;
	descriptor->exhausted &= ~events;
	if ((events & wanted) != 0)
		wake(epoll, descriptor, events);
	else if (known && (wanted | EPOLLET) != descriptor->watched)
		(void)watch(epoll, fd, descriptor, wanted); /* a failure costs wake-ups alone */
}

/* --- the turn ---------------------------------------------------------------------------------- */

/* Tries what is on `list` by now, each once. */
static void make_pass(struct io *io, struct list *list)
{
	struct epoll *epoll = io->state;
	struct list *node;

	while ((node = list_pop(list)) != NULL)
		list_append(&epoll->pass, node);
	while ((node = list_pop(&epoll->pass)) != NULL)
		epoll_try(io, list_entry(node, struct io_op, link));
}

/* Rounded up. */
static int milliseconds_until(uint64_t deadline_ns)
{
	uint64_t now_ns = deadline_ns > 0 ? io_now() : 0;
	uint64_t wait_ms;

	if (deadline_ns <= now_ns)
		return 0;
	wait_ms = (deadline_ns - now_ns - 1) / NS_PER_MS + 1;
	return wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}

static int look(struct epoll *epoll, int wait_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(epoll->fd, events, EVENTS_MAX, wait_ms);

	for (int i = 0; i < count; i++)
		take_event(epoll, &events[i]);
	/* A signal ends the turn, so that the caller can look at what it means. */
	return count < 0 && errno != EINTR ? -errno : 0;
}

static int epoll_turn(struct io *io, uint64_t deadline_ns, uint64_t *now_ns)
{
	struct epoll *epoll = io->state;
	uint64_t completions = io->stats.completions;
	bool idle;
	int error;

	if (!list_empty(&epoll->late))
		list_append(&epoll->pass, list_pop(&epoll->late));
	make_pass(io, &epoll->queue);
	idle = io->stats.completions == completions && list_empty(&epoll->queue) &&
	       list_empty(&epoll->late);
	error = look(epoll, idle ? milliseconds_until(deadline_ns) : 0);
	make_pass(io, &epoll->queue);
	make_pass(io, &epoll->late);
	*now_ns = io_now();
	return error;
}

/* --- pools, sockets, life ---------------------------------------------------------------------- */

static int epoll_pool_init(struct io *io, struct io_pool *pool)
{
	(void)io;
	pool->backend = calloc(1, sizeof(struct epoll_pool) + pool->count * sizeof(uint16_t));
	return pool->backend != NULL ? 0 : -ENOMEM;
}

static void epoll_pool_put(struct io *io, struct io_pool *pool, struct io_buf *buf)
{
	struct epoll_pool *stack = pool->backend;

	(void)io;
	stack->ids[pool->free - 1] = buf->id;
}

static void epoll_pool_fini(struct io *io, struct io_pool *pool)
{
	(void)io;
	free(pool->backend);
}

static void epoll_close(struct io *io, int fd)
{
	forget_descriptor(io->state, fd);
	socket_close(io, fd);
}

static void epoll_reset(struct io *io, int fd)
{
	forget_descriptor(io->state, fd);
	socket_reset(io, fd);
}

static int epoll_init(struct io *io, unsigned entries)
{
	struct epoll *epoll = calloc(1, sizeof(*epoll));

	(void)entries;
	if (epoll == NULL)
		return -ENOMEM;
	epoll->fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll->fd < 0) {
		free(epoll);
		return -errno;
	}
	list_init(&epoll->queue);
	list_init(&epoll->late);
	list_init(&epoll->pass);
	epoll_prepare_dgrams(epoll);
	io->state = epoll;
	return 0;
}

static void epoll_fini(struct io *io)
{
	struct epoll *epoll = io->state;

	for (size_t i = 0; i < epoll->descriptors_len; i++)
		free(epoll->descriptors[i]);
	free(epoll->descriptors);
	close(epoll->fd);
	free(epoll);
}

const struct io_backend io_backend_epoll = {
	.name = "epoll",
	.init = epoll_init,
	.fini = epoll_fini,
	.submit = epoll_submit,
	.cancel = epoll_cancel,
	.turn = epoll_turn,
	.pool_init = epoll_pool_init,
	.pool_put = epoll_pool_put,
	.pool_fini = epoll_pool_fini,
	.socket = socket_open,
	.tune = socket_tune,
	.shutdown = socket_shutdown,
	.close = epoll_close,
	.reset = epoll_reset,
	.peer = socket_peer,
};
