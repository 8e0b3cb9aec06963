// SPDX-License-Identifier: MIT
#include "question.h"

#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/*
 * Whatever patience resolv.conf asks for: the next server is asked after 2 s of silence, and when
 * all were silent, all are asked again with 4 s and then 8 s each.
 */
enum { FIRST_TIMEOUT_MS = 2000, TRIES = 3 };

enum { NAME_LEN_MAX = 253 }; /* RFC 1035, section 3.1, without the last dot */

/* A question that is under way is looked after at least this often. */
enum { TURN_MAX_S = 1 };

/* A socket of the library, watched through a duplicate that is ours to close. */
struct watch {
	struct io_op op; /* on the duplicate */
	struct list node;
	struct question *question;
	int fd; /* the library's own number, by which it calls the socket */
	uint32_t events;
	bool closed; /* by the library: the number may be another socket's already */
};

static void watch_done(struct io_op *op, int result);

static void watch_submit(struct watch *watch)
{
	watch->op.poll.events = watch->events;
	io_submit(watch->question->io, &watch->op);
}

static void watch_free(struct watch *watch)
{
	list_remove(&watch->node);
	io_close(watch->question->io, watch->op.fd);
	free(watch);
}

/* What cannot be watched, for lack of descriptors or memory, times out and is asked again. */
static void watch_start(struct question *question, int fd, uint32_t events)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (watch == NULL || duplicate < 0) {
		free(watch);
		if (duplicate >= 0)
			io_close(question->io, duplicate);
		return;
	}
	watch->question = question;
	watch->fd = fd;
	watch->events = events;
	watch->op.done = watch_done;
	watch->op.kind = IO_POLL;
	watch->op.fd = duplicate;
	list_append(&question->watches, &watch->node);
	watch_submit(watch);
}

static void watch_done(struct io_op *op, int result)
{
	struct watch *watch = list_entry(op, struct watch, op);
	bool readable = result < 0 || (result & ~POLLOUT) != 0;
	bool writable = result < 0 || (result & POLLOUT) != 0;

	if (!watch->closed && result != -ECANCELED)
		ares_process_fd(watch->question->channel, readable ? watch->fd : ARES_SOCKET_BAD,
				writable ? watch->fd : ARES_SOCKET_BAD);
	/* Which may have closed this very socket. */
	if (watch->closed)
		watch_free(watch);
	else
		watch_submit(watch);
}

static struct watch *find_open(struct question *question, int fd)
{
	list_for_each (node, &question->watches) {
		struct watch *watch = list_entry(node, struct watch, node);

		if (watch->fd == fd && !watch->closed)
			return watch;
	}
	return NULL;
}

/*
 * The library tells what it waits for on a socket; nothing means that it closes it now. A poll that
 * is under way is called back, and goes on from watch_done() with what holds then.
 */
static void socket_changed(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct question *question = ctx;
	struct watch *watch = find_open(question, fd);
	uint32_t events = (readable ? POLLIN : 0u) | (writable ? POLLOUT : 0u);

	if (watch == NULL) {
		if (events != 0)
			watch_start(question, fd, events);
	} else if (events != watch->events) {
		watch->events = events;
		watch->closed = events == 0;
		io_cancel(question->io, &watch->op);
	}
}

static bool has_addr(const struct question *question, const struct addr *addr)
{
	for (size_t i = 0; i < question->count; i++) {
		if (addr_equal(&question->addrs[i], addr))
			return true;
	}
	return false;
}

static void lower_ttl(struct question *question, int ttl_s)
{
	if (ttl_s < 0)
		ttl_s = 0;
	if ((uint32_t)ttl_s < question->ttl_s)
		question->ttl_s = (uint32_t)ttl_s;
}

static void take_addrs(struct question *question, const struct ares_addrinfo *info)
{
	question->count = 0;
	question->ttl_s = UINT32_MAX;
	for (const struct ares_addrinfo_cname *alias = info->cnames; alias; alias = alias->next)
		lower_ttl(question, alias->ttl);
	for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next) {
		struct addr addr;

		lower_ttl(question, node->ai_ttl);
		if (question->count < RESOLVE_ADDRS_MAX &&
		    addr_from_sockaddr(&addr, node->ai_addr) && !has_addr(question, &addr))
			question->addrs[question->count++] = addr;
	}
}

static void got_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info);

static void ask(struct question *question, const char *name)
{
	static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
							 .ai_socktype = SOCK_STREAM};

	ares_getaddrinfo(question->channel, name, NULL, &hints, got_answer, question);
}

/* The servers answered, but not the question: c-ares 1.18 says that they cannot be reached. */
static bool servers_failed(int status)
{
	return status == ARES_ESERVFAIL || status == ARES_EREFUSED || status == ARES_ECONNREFUSED;
}

/*
 * The library gives up a search as soon as the servers fail for one of its domains, glibc does not.
 * Such a domain may be out of order for long, and must not hide a name that is whole.
 */
static bool ask_whole(struct question *question)
{
	const char *dot = strrchr(question->name, '.');
	char name[NAME_LEN_MAX + 2];

	if (question->whole || dot == NULL || dot[1] == '\0')
		return false;
	snprintf(name, sizeof(name), "%s.", question->name);
	question->whole = true;
	ask(question, name);
	return true;
}

/* Called within any ares_ function, which must not be followed by ares_destroy() here. */
static void got_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
	struct question *question = ctx;

	(void)timeouts;
	if (servers_failed(status) && ask_whole(question))
		return;
	if (status == ARES_SUCCESS) {
		take_addrs(question, info);
		if (question->count == 0)
			status = ARES_ENODATA;
	}
	ares_freeaddrinfo(info);
	question->status = status;
	question->answered = true;
}

/* A channel of its own: resolv.conf is read anew, and the source port is another one. */
static int open_channel(struct question *question)
{
	char lookups[] = "fb"; /* /etc/hosts, then DNS, whatever nsswitch.conf says */
	struct ares_options options = {
		.lookups = lookups,
		.timeout = FIRST_TIMEOUT_MS,
		.tries = TRIES,
		.sock_state_cb = socket_changed,
		.sock_state_cb_data = question,
	};

	return ares_init_options(&question->channel, &options,
				 ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					 ARES_OPT_SOCK_STATE_CB);
}

void question_init(struct question *question, struct io *io)
{
	question->io = io;
	list_init(&question->watches);
}

void question_ask(struct question *question, const char *name)
{
	int status = open_channel(question);

	question->name = name;
	question->whole = false;
	if (status == ARES_SUCCESS) {
		ask(question, name);
	} else {
		question->channel = NULL;
		question->status = status;
		question->answered = true;
	}
}

uint64_t question_turn(struct question *question)
{
	struct timeval most = {.tv_sec = TURN_MAX_S};
	struct timeval buffer;
	const struct timeval *wait;

	ares_process_fd(question->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	wait = ares_timeout(question->channel, &most, &buffer);
	/* A microsecond more, so as not to come too early by what was rounded off. */
	return (uint64_t)wait->tv_sec * NS_PER_S + ((uint64_t)wait->tv_usec + 1) * 1000;
}

void question_end(struct question *question)
{
	if (question->channel != NULL)
		ares_destroy(question->channel);
	question->channel = NULL;
	question->answered = false;
}

bool question_idle(const struct question *question)
{
	return list_empty(&question->watches);
}
