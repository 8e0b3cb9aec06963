// SPDX-License-Identifier: MIT
#include "health_rig.h"

#include "base/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct health_rig rig;

static int count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

int connect_to(uint8_t family, uint16_t port)
{
	struct addr addr = {.family = family, .port = port};
	struct sockaddr_storage sa;
	unsigned len;
	int fd = socket(family == ADDR_V6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.ip[family == ADDR_V6 ? 15 : 3] = 1;
	if (family == ADDR_V4)
		addr.ip[0] = 127;
	len = addr_to_sockaddr(&addr, false, &sa);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -errno;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);

	getsockname(fd, (struct sockaddr *)&sa, &len);
	return ntohs(sa.sin_port);
}

/* --- what health asks the proxy -------------------------------------------------------------- */

static const char *why_not(void *ctx, enum health_check check)
{
	(void)ctx;
	return rig.reason[check];
}

static size_t metrics(void *ctx, char text[HEALTH_BODY_MAX])
{
	(void)ctx;
	memset(text, 'm', rig.metrics_len);
	return rig.metrics_len;
}

static void *dial(void *ctx, struct health_dial *d)
{
	(void)ctx;
	rig.dials++;
	if (rig.dial_later)
		rig.lent = d;
	else if (rig.dial_error)
		health_dialled(d, -1, rig.dial_error);
	else
		health_dialled(d, connect_to(ADDR_V4, port_of(rig.target_fd)), 0);
	return &rig.dials;
}

static void cancel(void *ctx, void *handle)
{
	(void)ctx;
	cr_assert_eq(handle, &rig.dials);
	rig.cancels++;
}

static const char *target_name(void *ctx)
{
	(void)ctx;
	return "target.example:8080";
}

static const struct health_ops ops = {
	.why_not = why_not,
	.metrics = metrics,
	.dial = dial,
	.cancel = cancel,
	.target = target_name,
};

/* --- one test's rig -------------------------------------------------------------------------- */

/* The target takes what it is sent, and answers as soon as the empty line is there. */
static void serve_target(void)
{
	ssize_t len;

	if (rig.target_conn < 0)
		rig.target_conn = accept4(rig.target_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (rig.target_conn < 0 || !rig.target_answer)
		return;
	len = read(rig.target_conn, rig.target_got + rig.target_got_len,
		   sizeof(rig.target_got) - 1 - rig.target_got_len);
	if (len > 0)
		rig.target_got_len += (size_t)len;
	if (strstr(rig.target_got, "\r\n\r\n")) {
		cr_assert_geq(write(rig.target_conn, rig.target_answer, strlen(rig.target_answer)),
			      0);
		close(rig.target_conn);
		rig.target_conn = -1;
		rig.target_answer = NULL;
	}
}

void turn(void)
{
	uint64_t now_ns;

	cr_assert_eq(io_turn(&rig.io, io_now() + NS_PER_MS, &now_ns), 0);
	if (rig.health)
		health_turn(rig.health, now_ns + rig.skew_ns);
	serve_target();
}

void turns(int count)
{
	while (count-- > 0)
		turn();
}

size_t busy_probers(void)
{
	size_t busy = 0;

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++)
		busy += rig.health->probers[i].state != PROBER_FREE;
	return busy;
}

/* Kernels seldom take a part of what is sent. */
static const struct io_backend *real_backend;

static void submit(struct io *io, struct io_op *op)
{
	static struct iovec piece;

	if (op->kind == IO_SEND && rig.send_max > 0) {
		piece = op->send.iov[op->send.iov[0].iov_len == 0 ? 1 : 0];
		if (piece.iov_len > rig.send_max)
			piece.iov_len = rig.send_max;
		op->send.iov = &piece;
		op->send.count = 1;
	}
	real_backend->submit(io, op);
}

static void start(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	rig.target_conn = -1;
	rig.target_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(rig.target_fd, (struct sockaddr *)&any, sizeof(any)), 0);
	cr_assert_eq(listen(rig.target_fd, HEALTH_PROBERS_MAX), 0);
	cr_assert_eq(health_open(&rig.health, &rig.io, 0, &ops), 0);
}

static void stop(void)
{
	health_close(rig.health);
	for (int i = 0; i < TURNS_MAX && !health_closed(rig.health); i++)
		turn();
	cr_assert(health_closed(rig.health), "something is still under way");
	health_free(rig.health);
	io_fini(&rig.io);
	close(rig.target_fd);
	if (rig.target_conn >= 0)
		close(rig.target_conn);
}

void health_rig_run(const struct io_backend *backend, const char *name, void (*test)(void))
{
	static struct io_backend short_backend;
	int fds_before = count_fds();
	int error;

	real_backend = backend;
	short_backend = *backend;
	short_backend.submit = submit;
	error = io_init(&rig.io, &short_backend, 64);
	if (error < 0) {
		fprintf(stderr, "SKIP %s: no %s: %s\n", name, backend->name, strerror(-error));
		return;
	}
	start();
	test();
	stop();
	cr_expect_eq(count_fds(), fds_before, "descriptors leak");
}

/* --- a client -------------------------------------------------------------------------------- */

int client_new(void)
{
	int fd = connect_to(ADDR_V4, health_port(rig.health));

	cr_assert_geq(fd, 0);
	return fd;
}

void say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void hear(int fd, char answer[static ANSWER_MAX])
{
	size_t got = 0;

	for (int i = 0; i < TURNS_MAX; i++) {
		ssize_t len = read(fd, answer + got, ANSWER_MAX - 1 - got);

		if (len == 0) {
			answer[got] = '\0';
			close(fd);
			turns(3);
			return;
		}
		cr_assert(len > 0 || errno == EAGAIN, "reset: %s", strerror(errno));
		if (len > 0)
			got += (size_t)len;
		turn();
	}
	cr_assert_fail("no end of the answer");
}

void ask(const char *request, char answer[static ANSWER_MAX])
{
	int fd = client_new();

	say(fd, request);
	hear(fd, answer);
}

const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end ? end + 4 : "(no body)";
}

unsigned status_of(const char *answer)
{
	unsigned status = 0;

	sscanf(answer, "HTTP/1.1 %u ", &status);
	return status;
}

void expect_text(const char *request, unsigned status, const char *body)
{
	char answer[ANSWER_MAX];

	ask(request, answer);
	cr_expect_eq(status_of(answer), status, "%s: %s", request, answer);
	cr_expect(strstr(body_of(answer), body), "%s: %s", request, answer);
	cr_expect(strstr(answer, "\r\nConnection: close\r\n"));
}

void expect(const char *target, unsigned status, const char *body)
{
	char request[4096];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);
	expect_text(request, status, body);
}
