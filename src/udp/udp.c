// SPDX-License-Identifier: MIT
/*
 * The WireGuard socket: theory of operation
 *
 * One UDP socket, bound and never connected, for both address families: with IPv6 it is a
 * dual-stack one and IPv4 peers appear as mapped addresses inside the kernel alone. As it is not
 * connected, the kernel tells it of few ICMP errors; those that it tells end a receive or fail a
 * send, are counted, and change nothing else: a stranger can forge them.
 *
 * Inward (udp_rx.c): one multishot receive fills a pool of 64 KiB buffers. With UDP_GRO a buffer
 * may hold many datagrams of one length; they are split here and share the buffer, which goes back
 * when the last reference is dropped. The pool is small on purpose, as it is the cache footprint of
 * receiving. When it runs dry the receive ends, and starts again as soon as a buffer is back; in
 * the meantime datagrams wait in the socket's buffer, which is as large as the system allows.
 *
 * Outward (udp_tx.c): messages are built in trains, 64 KiB of memory each, one behind the other.
 * Those of one length to one address, the last of which may be shorter, lie end to end and leave in
 * one sendmsg(2) with UDP_SEGMENT, a *send* here. Sizes that alternate make many short sends.
 *
 *	udp_room()  memory in a train; a send is promised for it
 *	udp_push()  the message joins the newest send, or begins one; sends are `unflushed`
 *	udp_flush() sends move to `waiting` and from there to the loop
 *	done        back to `free`; a train without sends or rooms begins again at its start
 *
 * Order. The loop runs sends of one turn in the order of their submission, and none of them waits
 * inside the kernel, so none overtakes another. A socket that is full says -EAGAIN: the sends go
 * back to `waiting`, to their place by number, and everything stands still until the socket is
 * writable. With all trains under way udp_room() says NULL, so that the stack above feels the
 * back-pressure; dropping a train would cost TCP inside the tunnel forty segments at once.
 *
 * GSO. Some paths refuse trains: devices without checksum offload (EIO), IPsec and other stacking
 * (EINVAL, EOPNOTSUPP), a route whose MTU is smaller than a segment (EMSGSIZE). The train goes back
 * to `waiting` and leaves message by message, so nothing is lost, and unless it was EMSGSIZE, a
 * matter of that route at that moment, no train is tried again on this socket.
 */
#include "inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <unistd.h>

/* About 40 ms at 1 Gbit/s; the kernel cuts it to net.core.rmem_max and wmem_max. */
enum { SOCKET_BUFFER_LEN = 4 * 1024 * 1024 };

static int bind_any(int fd, uint8_t family, uint16_t port)
{
	struct addr any = {.family = family, .port = port};
	struct sockaddr_storage sa;
	unsigned len = addr_to_sockaddr(&any, false, &sa);

	return bind(fd, (struct sockaddr *)&sa, len) == 0 ? 0 : -errno;
}

/* The options are wishes: each failure costs speed alone. */
static void tune(int fd)
{
	const int buffer_len = SOCKET_BUFFER_LEN;
	const int on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_len, sizeof(buffer_len));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_len, sizeof(buffer_len));
	(void)setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
}

/* A bound socket of this family, or a negative errno. */
static int open_socket(uint8_t family, uint16_t port)
{
	const int off = 0;
	int domain = family == ADDR_V6 ? AF_INET6 : AF_INET;
	int fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	int error;

	if (fd < 0)
		return -errno;
	if (family == ADDR_V6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	tune(fd);
	error = bind_any(fd, family, port);
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

static int open_any_socket(struct udp *udp, uint16_t port)
{
	udp->fd = open_socket(ADDR_V6, port);
	/* IPv6 may be left out of the kernel, or switched off by sysctl. */
	if (udp->fd == -EAFNOSUPPORT || udp->fd == -EADDRNOTAVAIL)
		udp->fd = open_socket(ADDR_V4, port);
	else
		udp->mapped = true;
	return udp->fd < 0 ? udp->fd : 0;
}

static void read_port(struct udp *udp)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	struct addr addr;

	CHECK(getsockname(udp->fd, (struct sockaddr *)&sa, &len) == 0);
	CHECK(addr_from_sockaddr(&addr, (struct sockaddr *)&sa));
	udp->port = addr.port;
}

static int start(struct udp *udp, uint16_t port)
{
	int error = open_any_socket(udp, port);

	if (error != 0)
		return error;
	read_port(udp);
	error = udp_tx_open(udp);
	if (error == 0)
		error = udp_rx_open(udp);
	if (error != 0) {
		udp_tx_free(udp);
		io_close(udp->io, udp->fd);
	}
	return error;
}

int udp_open(struct udp **udp, struct io *io, const struct udp_config *config)
{
	int error;

	*udp = calloc(1, sizeof(**udp));
	if (*udp == NULL)
		return -ENOMEM;
	(*udp)->io = io;
	error = start(*udp, config->port);
	if (error != 0) {
		free(*udp);
		*udp = NULL;
	}
	return error;
}

void udp_close(struct udp *udp)
{
	udp->closing = true;
	udp_rx_close(udp);
	udp_tx_close(udp);
}

bool udp_closed(const struct udp *udp)
{
	return udp->closing && !udp->rx.op.busy && udp_tx_closed(udp);
}

void udp_free(struct udp *udp)
{
	CHECK(udp_closed(udp));
	udp_rx_free(udp);
	udp_tx_free(udp);
	io_close(udp->io, udp->fd);
	free(udp);
}

uint16_t udp_port(const struct udp *udp)
{
	return udp->port;
}

int udp_fd(const struct udp *udp)
{
	return udp->fd;
}

const struct udp_stats *udp_stats(const struct udp *udp)
{
	return &udp->stats;
}
