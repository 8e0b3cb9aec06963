/* SPDX-License-Identifier: MIT */
#include "ask.h"
#include "base/time.h"
#include "load.h"
#include "message.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* What one blocking connection is enough for. */
enum { ENDS_TIMEOUT_S = 5, PAUSE_US = 200 };

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	exit(1);
}

int open_socket(const struct addrinfo *to, int flags)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		fail("socket: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return fd;
}

/* One answer to "GET /ends": true when there was one. */
static bool ask_ends(int fd, unsigned *open_count, unsigned *fault_count)
{
	struct message request = {.head = "GET /ends HTTP/1.1\r\nHost: target\r\n\r\n"};
	char answer[HEAD_MAX];
	const char *body;
	ssize_t n;

	request.head_len = strlen(request.head);
	if (message_send(&request, fd) != 0)
		return false;
	n = recv(fd, answer, sizeof(answer) - 1, 0);
	if (n <= 0)
		return false;
	answer[n] = '\0';
	body = strstr(answer, "\r\n\r\n");
	return body != NULL && sscanf(body, "%u %u", open_count, fault_count) == 2;
}

void check_ends(const struct addrinfo *to)
{
	struct timeval limit = {.tv_sec = ENDS_TIMEOUT_S};
	uint64_t give_up_ns = clock_ns(CLOCK_MONOTONIC) + ENDS_TIMEOUT_S * NS_PER_S;
	unsigned open_count, fault_count;
	int fd = open_socket(to, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, to->ai_addr, to->ai_addrlen) != 0)
		fail("asking the server: %s", strerror(errno));
	while (true) {
		if (!ask_ends(fd, &open_count, &fault_count))
			fail("asking the server: no answer");
		if (open_count == 0 || clock_ns(CLOCK_MONOTONIC) >= give_up_ns)
			break;
		usleep(PAUSE_US);
	}
	if (open_count > 0 || fault_count > 0)
		fail("at the server: %u connections not ended, %u ended badly", open_count,
		     fault_count);
	close(fd);
}

/* False when the connection came to nothing, which is what happens until both proxies are up. */
static bool exchange_once(int fd)
{
	struct message request, answer;

	message_get(&request, 1, 1);
	message_ok(&answer, 1, 1);
	if (message_send(&request, fd) != 0)
		return false;
	while (message_left(&answer) > 0) {
		uint8_t bytes[HEAD_MAX];
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n <= 0)
			return false;
		if (message_compare(&answer, bytes, (size_t)n) != n)
			fail("a wrong byte in the first answer");
	}
	return true;
}

int run_first(const struct addrinfo *to, uint64_t timeout_ms)
{
	uint64_t give_up_ns = clock_ns(CLOCK_MONOTONIC) + timeout_ms * NS_PER_MS;
	struct timeval limit = {.tv_sec = (time_t)(timeout_ms / 1000) + 1};

	while (clock_ns(CLOCK_MONOTONIC) < give_up_ns) {
		int fd = open_socket(to, 0);

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		if (connect(fd, to->ai_addr, to->ai_addrlen) == 0 && exchange_once(fd)) {
			printf("%llu\n", (unsigned long long)clock_ns(CLOCK_REALTIME) / 1000);
			return 0;
		}
		close(fd);
		usleep(PAUSE_US);
	}
	fail("no answer within %llu ms", (unsigned long long)timeout_ms);
}
