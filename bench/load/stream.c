/* SPDX-License-Identifier: MIT */
#include "stream.h"
#include "ask.h"
#include "base/time.h"
#include "listen.h"
#include "load.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

enum { BACKLOG = 64, SEED = 12345, GRACE_S = 20 };

/* The first bytes of a connection, from the client; a report is the answer to an `up` one. */
struct request {
	uint64_t is_up, bytes, started_ns, limit_ns;
};

struct report {
	uint64_t bytes, ns, first_ns, stall_ns, is_whole, is_wrong;
};

static uint8_t chunk[CHUNK];

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* By socket: a network namespace may not have its own where the machine restricts them. */
static void set_control(int fd, const char *name)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) != 0)
		fail("congestion control %s: %s", name, strerror(errno));
}

/* Waits for events until then; what there is of them. */
static short wait_until(int fd, short events, uint64_t end_ns)
{
	struct pollfd polled = {.fd = fd, .events = events};
	uint64_t now = now_ns(), left_ns = end_ns > now ? end_ns - now : 0;
	struct timespec left = {(time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S)};

	return ppoll(&polled, 1, &left, NULL) > 0 ? polled.revents : 0;
}

/* --- the receiver ------------------------------------------------------------------------------ */

/* Notes what has arrived by `now`; last_ns is when something did before. */
static void note_arrival(struct report *report, uint64_t len, uint64_t started_ns, uint64_t last_ns,
			 uint64_t now)
{
	report->bytes += len;
	if (report->first_ns == 0)
		report->first_ns = now - started_ns;
	else if (now - last_ns > report->stall_ns)
		report->stall_ns = now - last_ns;
}

static struct report receive_stream(int fd, const struct request *request)
{
	uint64_t end_ns = request->started_ns + request->limit_ns, last_ns = request->started_ns;
	uint64_t now = last_ns;
	struct report report = {0};
	struct message body;

	message_body(&body, SEED, request->bytes);
	while (report.bytes < request->bytes && now < end_ns) {
		bool ready = wait_until(fd, POLLIN, end_ns) != 0;
		ssize_t n = ready ? recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT) : -1;

		now = now_ns();
		if (n < 0 && (!ready || errno == EAGAIN))
			continue;
		if (n <= 0)
			break; /* neither whole nor at its limit: an early end */
		if (message_compare(&body, chunk, (size_t)n) != n) {
			report.is_wrong = 1;
			break;
		}
		note_arrival(&report, (uint64_t)n, request->started_ns, last_ns, now);
		last_ns = now;
	}
	report.is_whole = report.bytes == request->bytes;
	if (!report.is_whole && now - last_ns > report.stall_ns)
		report.stall_ns = now - last_ns;
	report.ns = now - request->started_ns;
	return report;
}

/* --- the server -------------------------------------------------------------------------------- */

/* Until the other end resets or ends the connection; it is the one that knows when. */
static void drain(int fd)
{
	while (recv(fd, chunk, sizeof(chunk), 0) > 0)
		;
}

/* A connection without a request is a health probe. */
static _Noreturn void serve_stream(int fd)
{
	struct timeval limit = {.tv_sec = GRACE_S};
	struct request request;
	struct message body;
	struct report report;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (recv(fd, &request, sizeof(request), MSG_WAITALL) != sizeof(request))
		_exit(0);
	if (request.is_up) {
		report = receive_stream(fd, &request);
		send(fd, &report, sizeof(report), MSG_NOSIGNAL);
	} else {
		message_body(&body, SEED, request.bytes);
		message_send(&body, fd);
		shutdown(fd, SHUT_WR);
	}
	drain(fd);
	_exit(0);
}

_Noreturn void serve_streams(const struct addrinfo *at, const char *control)
{
	int listener = listen_on(at, 0, BACKLOG);

	set_control(listener, control); /* accepted sockets inherit it */
	signal(SIGCHLD, SIG_IGN);
	announce(listener);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0 && fork() == 0)
			serve_stream(fd);
		close(fd);
	}
}

/* --- the client -------------------------------------------------------------------------------- */

/* Sends until the server has reported: also behind the limit, which only the receiver judges. */
static bool send_stream(int fd, const struct request *request, struct report *report)
{
	uint64_t end_ns = request->started_ns + request->limit_ns + GRACE_S * NS_PER_S;
	struct message body;
	size_t got = 0;

	message_body(&body, SEED, request->bytes);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (got < sizeof(*report) && now_ns() < end_ns) {
		short wanted = message_left(&body) > 0 ? POLLIN | POLLOUT : POLLIN;
		short ready = wait_until(fd, wanted, end_ns);
		ssize_t n;

		if (ready & POLLIN) {
			n = recv(fd, (uint8_t *)report + got, sizeof(*report) - got, 0);
			if (n <= 0 && errno != EAGAIN)
				return false;
			got += n > 0 ? (size_t)n : 0;
		} else if (ready != 0) {
			int error = message_send(&body, fd);

			if (error != 0 && error != -EAGAIN)
				return false;
		}
	}
	return got == sizeof(*report);
}

int run_stream(const struct addrinfo *to, const struct stream *stream)
{
	struct request request = {.is_up = stream->up,
				  .bytes = stream->bytes,
				  .started_ns = now_ns(),
				  .limit_ns = stream->limit_ms * NS_PER_MS};
	struct linger at_once = {.l_onoff = 1};
	struct timeval limit = {.tv_sec = GRACE_S};
	struct report report = {0};
	int fd = open_socket(to, 0);

	set_control(fd, stream->control);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, to->ai_addr, to->ai_addrlen) != 0)
		fail("connect: %s", strerror(errno));
	if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		fail("send: %s", strerror(errno));
	if (!stream->up)
		report = receive_stream(fd, &request);
	else if (!send_stream(fd, &request, &report))
		fail("no report: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
	if (report.is_wrong || (!report.is_whole && report.ns < request.limit_ns))
		fail("%s behind %llu bytes", report.is_wrong ? "a wrong byte" : "an early end",
		     (unsigned long long)report.bytes);
	printf("bytes=%llu ns=%llu first_ns=%llu stall_ns=%llu whole=%llu\n",
	       (unsigned long long)report.bytes, (unsigned long long)report.ns,
	       (unsigned long long)report.first_ns, (unsigned long long)report.stall_ns,
	       (unsigned long long)report.is_whole);
	return 0;
}
