// SPDX-License-Identifier: MIT
#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <unistd.h>

/* A dead peer is found after 60 + 6 * 10 s, well before NATs and load balancers forget the flow. */
enum { KEEPALIVE_IDLE_S = 60, KEEPALIVE_INTERVAL_S = 10, KEEPALIVE_PROBES = 6 };

int socket_open(struct io *io, uint8_t family)
{
	int domain = family == ADDR_V4 ? AF_INET : AF_INET6;
	int fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	(void)io;
	return fd >= 0 ? fd : -errno;
}

/* Every option is a wish: a socket of another kind (a unix socket in a test) refuses them. */
static void wish(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

void socket_tune(struct io *io, int fd)
{
	(void)io;
	wish(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	wish(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	wish(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	wish(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	wish(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

/* A failure means that the connection is gone already, which its operations report. */
void socket_shutdown(struct io *io, int fd)
{
	(void)io;
	(void)shutdown(fd, SHUT_WR);
}

void socket_close(struct io *io, int fd)
{
	(void)io;
	(void)close(fd);
}

/* SO_LINGER with a time of zero: close(2) drops what is queued and sends RST, socket(7). */
void socket_reset(struct io *io, int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	socket_close(io, fd);
}

uint32_t socket_gro_segment(struct msghdr *msg)
{
	int segment = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level == SOL_UDP && cmsg->cmsg_type == UDP_GRO)
			memcpy(&segment, CMSG_DATA(cmsg), sizeof(segment));
	}
	return (uint32_t)segment;
}
