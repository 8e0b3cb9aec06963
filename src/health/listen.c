// SPDX-License-Identifier: MIT
/* The port: all addresses of both families on one socket, or IPv4's where there is no IPv6. */
#include "inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

/* A flood must not make an orchestrator's SYN wait; the kernel takes what somaxconn allows. */
enum { LISTEN_BACKLOG = 1024 };

static void set_option(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

/* A bound and listening socket, or a negative errno. */
static int listen_on(const struct sockaddr_storage *any, unsigned len)
{
	int fd = socket(any->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	/* A restart must not wait for the last instance's connections in TIME_WAIT. */
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (any->ss_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(fd, (const struct sockaddr *)any, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		error = -errno;
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

int health_listen(uint16_t port)
{
	struct sockaddr_storage any;
	struct addr addr = {.family = ADDR_V6, .port = port};
	int fd = listen_on(&any, addr_to_sockaddr(&addr, false, &any));

	/* A port that is taken is taken; every other failure may be IPv6's. */
	if (fd >= 0 || fd == -EADDRINUSE)
		return fd;
	addr.family = ADDR_V4;
	return listen_on(&any, addr_to_sockaddr(&addr, false, &any));
}
