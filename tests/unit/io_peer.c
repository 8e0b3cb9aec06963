// SPDX-License-Identifier: MIT
/* What the kernel says of a TCP peer that reads, that does not read, and that is gone. */
#include "io.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SILENCE_MS = 300 };

static struct io io;

static void begin(void)
{
	cr_assert_eq(io_init(&io, &io_backend_epoll, 1), 0);
}

/* A connection over loopback: `pair[0]` is ours. */
static void connect_pair(int pair[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(bind(listener, (struct sockaddr *)&at, len), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(pair[0], (struct sockaddr *)&at, len), 0);
	pair[1] = accept(listener, NULL, NULL);
	cr_assert_geq(pair[1], 0);
	close(listener);
}

static enum io_peer stands(const int pair[2])
{
	return io_peer(&io, pair[0], SILENCE_MS * NS_PER_MS);
}

static void pause_ms(useconds_t ms)
{
	usleep(ms * 1000);
}

static void finish(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
	io_fini(&io);
}

Test(io_peer, who_has_acknowledged_all_is_even)
{
	int pair[2];

	begin();
	connect_pair(pair);
	cr_expect_eq(write(pair[0], "x", 1), 1);
	pause_ms(2 * SILENCE_MS);
	cr_expect_eq(stands(pair), IO_PEER_EVEN);
	finish(pair);
}

/* For much longer than the silence that is allowed. */
Test(io_peer, who_does_not_read_is_alive)
{
	static const char bytes[1 << 16];
	int pair[2];

	begin();
	connect_pair(pair);
	while (send(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0 || errno != EAGAIN)
		;
	for (int i = 0; i < 10; i++) {
		pause_ms(SILENCE_MS / 2);
		cr_expect_eq(stands(pair), IO_PEER_OWES);
	}
	finish(pair);
}

static bool set_loopback(bool up)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int error = ioctl(fd, SIOCSIFFLAGS, &request);

	close(fd);
	return error == 0;
}

/* In a network of our own, that we cut. */
Test(io_peer, who_is_gone_is_silent)
{
	int pair[2];

	if (unshare(CLONE_NEWNET) < 0 || !set_loopback(true)) {
		printf("SKIP io_peer: no network namespace: %s\n", strerror(errno));
		return;
	}
	begin();
	connect_pair(pair);
	cr_assert(set_loopback(false));
	cr_expect_eq(write(pair[0], "x", 1), 1);
	cr_expect_eq(stands(pair), IO_PEER_OWES);
	pause_ms(2 * SILENCE_MS);
	cr_expect_eq(stands(pair), IO_PEER_SILENT);
	finish(pair);
}

Test(io_peer, of_other_sockets_nothing_can_be_said)
{
	int pair[2];

	begin();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_expect_eq(write(pair[0], "x", 1), 1);
	cr_expect_eq(stands(pair), IO_PEER_EVEN);
	finish(pair);
}
