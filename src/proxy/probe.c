// SPDX-License-Identifier: MIT
/*
 * Health probes reach the target by the way that connections take. In egress that is a connection
 * from the host, and the tunnel must have a session. In ingress the relay is given one end of a
 * socket pair, as if it had been accepted, and dials through the tunnel; the probe has the other
 * end.
 */
#include "inside.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const char *not_ready(void *ctx)
{
	const struct proxy *proxy = ctx;

	return proxy->state == PROXY_RUNNING ? NULL : "draining";
}

/* The probe is over: `fd` is the prober's from now on, if it waits and there was no error. */
static void answer(struct probe *probe, int error)
{
	struct health_dial *dial = probe->dial;
	int fd = probe->fd;

	probe->dial = NULL;
	probe->fd = -1;
	probe->busy = false;
	if ((error != 0 || dial == NULL) && fd >= 0)
		io_close(&probe->proxy->io, fd);
	if (dial != NULL)
		health_dialled(dial, error == 0 ? fd : -1, error);
}

static void connected(struct io_op *op, int result)
{
	answer(list_entry(op, struct probe, connect), result);
}

static void dial_host(struct probe *probe)
{
	struct proxy *proxy = probe->proxy;
	struct addr target = host_target(proxy);

	if (!proxy->session || target.family == ADDR_NONE) {
		answer(probe, proxy->session ? -EADDRNOTAVAIL : -ENOTCONN);
		return;
	}
	probe->fd = io_socket(&proxy->io, target.family);
	if (probe->fd < 0) {
		answer(probe, probe->fd);
		return;
	}
	probe->connect.kind = IO_CONNECT;
	probe->connect.fd = probe->fd;
	probe->connect.done = connected;
	probe->connect.connect.to = &probe->to;
	probe->connect.connect.len = addr_to_sockaddr(&target, false, &probe->to);
	io_submit(&proxy->io, &probe->connect);
}

static void relay_dialled(void *ctx, int error)
{
	answer(ctx, error);
}

static void dial_tunnel(struct probe *probe)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
		answer(probe, -errno);
		return;
	}
	probe->fd = pair[0];
	relay_adopt(probe->proxy->relay, pair[1], relay_dialled, probe);
}

static void *dial(void *ctx, struct health_dial *request)
{
	struct proxy *proxy = ctx;

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		struct probe *probe = &proxy->probes[i];

		if (probe->busy)
			continue;
		*probe = (struct probe){.proxy = proxy, .dial = request, .busy = true, .fd = -1};
		if (proxy->config->mode == CONFIG_INGRESS)
			dial_tunnel(probe);
		else
			dial_host(probe);
		return probe;
	}
	health_dialled(request, -1, -EBUSY);
	return NULL;
}

/* The prober is told at once; a dial through the tunnel ends by the relay's own time-out. */
static void cancel(void *ctx, void *handle)
{
	struct proxy *proxy = ctx;
	struct probe *probe = handle;
	struct health_dial *dial;

	if (probe == NULL || probe->dial == NULL)
		return;
	dial = probe->dial;
	probe->dial = NULL;
	io_cancel(&proxy->io, &probe->connect);
	health_dialled(dial, -1, -ECANCELED);
}

static const char *target(void *ctx)
{
	return ((const struct proxy *)ctx)->target_text;
}

struct health_ops probe_ops(struct proxy *proxy)
{
	return (struct health_ops){
		.not_ready = not_ready,
		.dial = dial,
		.cancel = cancel,
		.target = target,
		.ctx = proxy,
	};
}
