// SPDX-License-Identifier: MIT
/*
 * What the kernel knows of a TCP socket's peer. TCP_USER_TIMEOUT would end a connection by itself, but
 * it takes a peer whose window has been closed for that long for a dead one, answers or not (Linux,
 * tcp_probe_timer()), and a target that is only slow must not lose its connection.
 *
 * In a file of its own: libc's header lacks the newer fields, and the kernel's does not go with it.
 */
#include "socket.h"

#include "base/time.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum io_peer socket_peer(struct io *io, int fd, uint64_t silence_ns)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	(void)io;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return IO_PEER_EVEN;
	if (info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0)
		return IO_PEER_EVEN;
	/* Kernels before 5.4 tell no window, and get no verdict. */
	return info.tcpi_unacked > 0 && info.tcpi_snd_wnd > 0 &&
			       info.tcpi_last_ack_recv * NS_PER_MS >= silence_ns
		       ? IO_PEER_SILENT
		       : IO_PEER_OWES;
}
