/* SPDX-License-Identifier: MIT */
#pragma once

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/*
 * What the test servers and clients share: numeric addresses, and a start that the scripts can wait
 * for.
 */

/* Exits with a message when `host` is no numeric address. The caller owns the result. */
static inline struct addrinfo *address_of(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found;
	int error = getaddrinfo(host, port, &hints, &found);

	if (error != 0) {
		fprintf(stderr, "%s port %s: %s\n", host, port, gai_strerror(error));
		exit(2);
	}
	return found;
}

/* A listening socket. `flags` as of socket(2). */
static inline int listen_on(const struct addrinfo *to, int flags, int backlog)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
	    bind(fd, to->ai_addr, to->ai_addrlen) != 0 || listen(fd, backlog) != 0) {
		perror("listen");
		exit(1);
	}
	return fd;
}

/*
 * Tells the waiting script which port it became (port 0 asks for any). The server ends with the
 * shell that started it, so an interrupted test run leaves nothing behind.
 */
static inline void announce(int fd)
{
	struct sockaddr_storage self;
	socklen_t len = sizeof(self);
	char port[NI_MAXSERV];

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getsockname(fd, (struct sockaddr *)&self, &len) != 0 ||
	    getnameinfo((struct sockaddr *)&self, len, NULL, 0, port, sizeof(port),
			NI_NUMERICSERV) != 0) {
		perror("getsockname");
		exit(1);
	}
	printf("ready %s\n", port);
	fflush(stdout);
}
