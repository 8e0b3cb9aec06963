/* SPDX-License-Identifier: MIT */
#include "listen.h"
#include "load.h"
#include "message.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

/*
 * One request of a connection at a time: what a client sends before its answer is complete stays in
 * the socket, or in `input` when it came together with what was asked for.
 */
enum { INPUT_MAX = 512, EVENTS_MAX = 64, BACKLOG = 4096 };

struct conn {
	int fd;
	uint32_t events;
	bool is_put, is_answering;
	struct message body; /* of a PUT */
	struct message answer;
	size_t input_len;
	char input[INPUT_MAX]; /* a head that is not complete, or more than one */
};

static int epoll;
static size_t open_count, fault_count;
static uint8_t chunk[CHUNK];

static void conn_end(struct conn *conn, bool is_fault)
{
	fault_count += is_fault;
	open_count--;
	close(conn->fd);
	free(conn);
}

static void conn_await(struct conn *conn, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = conn};

	if (conn->events != events)
		epoll_ctl(epoll, EPOLL_CTL_MOD, conn->fd, &event);
	conn->events = events;
}

/* PUT /SEED with a length, GET /ends or GET /SEED/LENGTH. */
static bool read_request(struct conn *conn, const char *head)
{
	static const char path[] = "GET /", length[] = "Content-Length: ";
	const char *body = strstr(head, length);
	char *end;
	uint64_t seed;

	if (strncmp(head, "GET /", strlen(path)) != 0 && strncmp(head, "PUT /", strlen(path)) != 0)
		return false;
	seed = strtoull(head + strlen(path), &end, 10);
	conn->is_put = head[0] == 'P';
	conn->is_answering = !conn->is_put;
	if (conn->is_put && body != NULL)
		message_body(&conn->body, seed, strtoull(body + strlen(length), NULL, 10));
	else if (strncmp(head, "GET /ends ", strlen("GET /ends ")) == 0)
		message_ends(&conn->answer, open_count - 1, fault_count);
	else if (conn->is_answering && *end == '/')
		message_ok(&conn->answer, seed, strtoull(end + 1, NULL, 10));
	else
		return false;
	return true;
}

static void drop_input(struct conn *conn, size_t len)
{
	conn->input_len -= len;
	memmove(conn->input, conn->input + len, conn->input_len);
}

/* True when a head was there: 1, 0 when there is none yet, -1 when it is none that we know. */
static int take_head(struct conn *conn)
{
	char *end = memmem(conn->input, conn->input_len, "\r\n\r\n", 4);

	if (end == NULL)
		return conn->input_len < INPUT_MAX ? 0 : -1;
	*end = '\0';
	if (!read_request(conn, conn->input))
		return -1;
	drop_input(conn, (size_t)(end + 4 - conn->input));
	return 1;
}

/* Works off what was received already: 1 when there may be more to do, 0, or -1 for a fault. */
static int take_input(struct conn *conn)
{
	ssize_t used;

	if (!conn->is_put)
		return take_head(conn);
	used = message_compare(&conn->body, (uint8_t *)conn->input, conn->input_len);
	if (used < 0)
		return -1;
	drop_input(conn, (size_t)used);
	if (message_left(&conn->body) > 0)
		return 0;
	conn->is_put = false;
	conn->is_answering = true;
	message_no_content(&conn->answer);
	return 1;
}

/* Until the answer is on its way: 1, or 0 when the socket is full, or -1 for a fault. */
static int send_answer(struct conn *conn)
{
	int error = message_send(&conn->answer, conn->fd);

	if (error == -EAGAIN)
		return 0;
	conn->is_answering = false;
	return error == 0 ? 1 : -1;
}

static int advance(struct conn *conn)
{
	int progress;

	do {
		progress = conn->is_answering ? send_answer(conn) : take_input(conn);
	} while (progress > 0);
	return progress;
}

/* The body of a PUT does not pass through `input`, and never takes what lies behind it. */
static ssize_t receive(struct conn *conn)
{
	uint64_t left = conn->is_put ? message_left(&conn->body) : 0;
	ssize_t n;

	if (left == 0) {
		n = recv(conn->fd, conn->input + conn->input_len, INPUT_MAX - conn->input_len, 0);
		conn->input_len += n > 0 ? (size_t)n : 0;
		return n;
	}
	n = recv(conn->fd, chunk, left < CHUNK ? (size_t)left : CHUNK, 0);
	if (n > 0 && message_compare(&conn->body, chunk, (size_t)n) != n) {
		errno = EBADMSG;
		return -1;
	}
	return n;
}

/* An end is in order between two requests, and nowhere else. */
static void conn_step(struct conn *conn)
{
	ssize_t n = conn->is_answering ? 1 : receive(conn);
	bool was_idle = !conn->is_put && !conn->is_answering && conn->input_len == 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || advance(conn) < 0)
		conn_end(conn, n != 0 || !was_idle);
	else
		conn_await(conn, conn->is_answering ? EPOLLOUT : EPOLLIN);
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *conn = calloc(1, sizeof(*conn));
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};

		if (conn == NULL)
			abort();
		conn->fd = fd;
		conn->events = EPOLLIN;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
		open_count++;
	}
	if (errno != EAGAIN)
		perror("accept");
}

_Noreturn void serve(const struct addrinfo *at)
{
	int listener = listen_on(at, SOCK_NONBLOCK, BACKLOG);
	struct epoll_event events[EVENTS_MAX] = {{.events = EPOLLIN}};

	epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]);
	announce(listener);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == NULL)
				accept_all(listener);
			else
				conn_step(events[i].data.ptr);
		}
	}
}
