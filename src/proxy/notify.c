// SPDX-License-Identifier: MIT
/*
 * What a service manager is told, by the protocol of sd_notify(3) and without its library: the
 * manager names a datagram socket in NOTIFY_SOCKET, and each datagram has lines of NAME=value.
 *
 *	READY=1 STATUS=...	the listeners are bound: when /health turns 200. The tunnel is not waited
 *				for: a server that is down must not make the start fail.
 *	STATUS=...		whether the tunnel is up: what `systemctl status` shows
 *	STOPPING=1 ...		draining; EXTEND_TIMEOUT_USEC is how long that may take, so that a long
 *				DRAIN_TIMEOUT needs no second setting in the unit
 *
 * The socket is connected once, at the start: a sandbox that comes later need not allow more than
 * write(2), and a path that is gone by then does no harm. Nothing here waits for the manager: the
 * tunnel is worth more than a line of status. Without NOTIFY_SOCKET all of it does nothing.
 */
#include "inside.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_MAX = 512 };

static int connect_to(const char *name, size_t len)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd, error;

	if ((name[0] != '/' && name[0] != '@') || len >= sizeof(to.sun_path))
		return -EINVAL;
	memcpy(to.sun_path, name, len);
	if (name[0] == '@')
		to.sun_path[0] = '\0'; /* an abstract name: unix(7) */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	len += offsetof(struct sockaddr_un, sun_path);
	if (connect(fd, (const struct sockaddr *)&to, (socklen_t)len) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int fd;

	if (name == NULL || name[0] == '\0')
		return -1;
	fd = connect_to(name, strlen(name));
	if (fd < 0)
		log_warn("NOTIFY_SOCKET \"%s\": %s; the service manager is told nothing", name,
			 strerror(-fd));
	return fd < 0 ? -1 : fd;
}

void notify_send(const struct proxy *proxy, const char *format, ...)
{
	char message[MESSAGE_MAX];
	va_list args;

	if (proxy->notify_fd < 0)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (write(proxy->notify_fd, message, strlen(message)) < 0)
		log_warn("telling the service manager failed: %s", strerror(errno));
}
