/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>
#include <unistd.h>

/*
 *	webpage ADDRESS PORT [TEXT]
 *
 * A web page to find at the far end of a tunnel: HTTP/1.0 (RFC 1945), one request at a time. Every
 * path answers 200 with TEXT, but /status/NNN answers NNN, so that probes have something to judge.
 */
enum { REQUEST_MAX = 4096, CLIENT_TIMEOUT_S = 2 };

/* Up to the empty line. False when the client ended, dawdled or talked too much. */
static bool read_request(int fd, char request[static REQUEST_MAX])
{
	size_t len = 0;

	while (len + 1 < REQUEST_MAX) {
		ssize_t n = recv(fd, request + len, REQUEST_MAX - 1 - len, 0);

		if (n <= 0)
			return false;
		len += (size_t)n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n") != NULL)
			return true;
	}
	return false;
}

static void answer(int fd, const char *request, const char *text)
{
	int status = 200;
	char response[REQUEST_MAX];

	sscanf(request, "%*s /status/%3d", &status);
	snprintf(
		response, sizeof(response),
		"HTTP/1.0 %d Status\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s\n",
		status, strlen(text) + 1, text);
	send(fd, response, strlen(response), MSG_NOSIGNAL);
}

static void serve(int fd, const char *text)
{
	struct timeval limit = {.tv_sec = CLIENT_TIMEOUT_S};
	char request[REQUEST_MAX];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (!read_request(fd, request))
		return;
	answer(fd, request, text);
	/* Closing with unread bytes would reset the connection under the answer. */
	shutdown(fd, SHUT_WR);
	while (recv(fd, request, sizeof(request), 0) > 0)
		continue;
}

int main(int argc, char **argv)
{
	int listener;

	if (argc < 3) {
		fprintf(stderr, "usage: webpage ADDRESS PORT [TEXT]\n");
		return 2;
	}
	listener = listen_on(address_of(argv[1], argv[2]), 0, 64);
	announce(listener);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		serve(fd, argc > 3 ? argv[3] : "hello");
		close(fd);
	}
}
