// SPDX-License-Identifier: MIT
/*
 * Health probes reach the target by the way that connections take, and by the same dialling. In
 * egress the relay dials the host for them, and the tunnel must have a session. In ingress the relay
 * is given one end of a socket pair, as if it had been accepted, and dials through the tunnel; the
 * probe has the other end.
 */
#include "inside.h"

#include "base/time.h"

#include <errno.h>
#include <sys/socket.h>

static bool is_answered_no_more(const struct proxy *proxy, uint64_t last_handshake_ns)
{
	return proxy->unanswered && proxy->now_ns - last_handshake_ns > PROXY_SESSION_S * NS_PER_S;
}

/*
 * Sessions that nobody uses end, and that is no fault. It is one when the last session has ended and
 * the server was asked for another and did not answer.
 */
const char *probe_why_not(const struct proxy *proxy, enum health_check check)
{
	uint64_t last_ns = wg_status(proxy->wg, proxy->now_ns).last_handshake_ns;

	if (check != HEALTH_STARTED && proxy->state != PROXY_RUNNING)
		return "draining";
	if (check != HEALTH_SERVING && last_ns == 0)
		return "no handshake yet";
	if (check == HEALTH_READY && is_answered_no_more(proxy, last_ns))
		return "the server does not answer handshakes";
	return NULL;
}

/* Without keepalives nobody else may ask for a session: who is not ready gets no traffic. */
static const char *why_not(void *ctx, enum health_check check)
{
	struct proxy *proxy = ctx;
	const char *reason = probe_why_not(proxy, check);

	if (check != HEALTH_SERVING && reason != NULL)
		wg_want_session(proxy->wg, proxy->now_ns);
	return reason;
}

/* The probe is over, and free for the next one. */
static void dialled(void *ctx, int fd, int error)
{
	struct probe *probe = ctx;
	struct health_dial *dial = probe->dial;

	if (probe->fd >= 0 && error == 0)
		fd = probe->fd;
	else if (probe->fd >= 0)
		io_close(&probe->proxy->io, probe->fd);
	probe->dial = NULL;
	health_dialled(dial, fd, error);
}

static void dial_host(struct probe *probe)
{
	struct proxy *proxy = probe->proxy;

	if (proxy->session)
		probe->conn = relay_dial(proxy->relay, dialled, probe);
	else
		dialled(probe, -1, -ENOTCONN);
}

static void dial_tunnel(struct probe *probe)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
		dialled(probe, -1, -errno);
		return;
	}
	probe->fd = pair[0];
	probe->conn = relay_adopt(probe->proxy->relay, pair[1], dialled, probe);
}

static void *dial(void *ctx, struct health_dial *request)
{
	struct proxy *proxy = ctx;

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		struct probe *probe = &proxy->probes[i];

		if (probe->dial != NULL)
			continue;
		*probe = (struct probe){.proxy = proxy, .dial = request, .fd = -1};
		if (proxy->config->mode == CONFIG_INGRESS)
			dial_tunnel(probe);
		else
			dial_host(probe);
		return probe;
	}
	health_dialled(request, -1, -EBUSY);
	return NULL;
}

/* Which answers the probe, unless it has been answered. */
static void cancel(void *ctx, void *handle)
{
	struct probe *probe = handle;

	(void)ctx;
	if (probe != NULL && probe->dial != NULL)
		relay_abort(probe->conn);
}

static const char *target(void *ctx)
{
	return ((const struct proxy *)ctx)->target_text;
}

struct health_ops probe_ops(struct proxy *proxy)
{
	return (struct health_ops){
		.why_not = why_not,
		.metrics = metrics_write,
		.dial = dial,
		.cancel = cancel,
		.target = target,
		.ctx = proxy,
	};
}
