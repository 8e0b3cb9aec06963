// SPDX-License-Identifier: MIT
/* The host's side: names and addresses, signals, the ingress listener. */
#include "inside.h"

#include "base/time.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LISTEN_BACKLOG = 4096, /* the kernel takes what net.core.somaxconn allows */
	ACCEPT_PAUSE_MS = 100, /* after -EMFILE and its kind */
	ACCEPT_WARN_S = 60,
};

/* --- names ------------------------------------------------------------------------------------- */

static_assert((int)RESOLVE_ADDRS_MAX <= (int)TARGET_ADDRS_MAX, "a target holds what a name has");

/* A target in the tunnel must be where the tunnel leads. */
static const char *why_unusable(const struct proxy *proxy, const struct addr *addr)
{
	return proxy->config->mode == CONFIG_INGRESS ? config_why_unreachable(proxy->config, addr)
						     : NULL;
}

static void target_changed(void *ctx, const struct addr *addrs, size_t count)
{
	struct proxy *proxy = ctx;
	struct addr usable[RESOLVE_ADDRS_MAX];
	const char *why = "is missing";
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		const char *wrong = why_unusable(proxy, &addrs[i]);

		if (wrong == NULL)
			usable[kept++] = addrs[i];
		else
			why = wrong;
	}
	if (kept == 0)
		log_error("TARGET_HOST %s: none of its %zu addresses can be used, the last one %s",
			  proxy->config->target.name, count, why);
	target_set(&proxy->target, usable, kept);
}

/*
 * In a new set we go on where we are: at the address in use, or at one of its family, so that an
 * answer that changes each time does not lead back to a family that does not get through.
 */
static size_t place_in(const struct endpoint *endpoint, const struct addr *current)
{
	size_t place = endpoint->count;

	for (size_t i = endpoint->count; i-- > 0;) {
		if (addr_equal(&endpoint->addrs[i], current))
			return i;
		if (endpoint->addrs[i].family == current->family)
			place = i;
	}
	return place < endpoint->count ? place : 0;
}

static void endpoint_changed(void *ctx, const struct addr *addrs, size_t count)
{
	struct proxy *proxy = ctx;
	struct endpoint *endpoint = &proxy->endpoint;
	struct wg_status status = wg_status(proxy->wg, proxy->now_ns);

	memcpy(endpoint->addrs, addrs, count * sizeof(addrs[0]));
	endpoint->count = count;
	endpoint->next = place_in(endpoint, &status.endpoint);
	/* A session that works knows better than DNS where its peer is. */
	if (!status.session)
		wg_set_endpoint(proxy->wg, &endpoint->addrs[endpoint->next]);
}

void host_next_endpoint(struct proxy *proxy)
{
	struct endpoint *endpoint = &proxy->endpoint;

	if (endpoint->name == NULL)
		return;
	/* As long as the session carries data its endpoint is right: a lost response is no sign. */
	if (endpoint->count > 0 && !wg_status(proxy->wg, proxy->now_ns).session) {
		endpoint->next = (endpoint->next + 1) % endpoint->count;
		wg_set_endpoint(proxy->wg, &endpoint->addrs[endpoint->next]);
	}
	resolve_refresh(endpoint->name);
}

/* `*name`: NULL for an address. */
static int watch(struct proxy *proxy, const struct config_host *config, resolve_fn *changed,
		 struct resolve_name **name)
{
	if (config->addr.family != ADDR_NONE) {
		changed(proxy, &config->addr, 1);
		return 0;
	}
	if (proxy->resolve == NULL) {
		int error = resolve_open(&proxy->resolve, &proxy->io);

		if (error < 0)
			return error;
	}
	*name = resolve_watch(proxy->resolve, config->name, config->addr.port, changed, proxy);
	return *name == NULL ? -ENOMEM : 0;
}

int host_watch(struct proxy *proxy)
{
	const struct config *config = proxy->config;
	struct resolve_name *target; /* asked for again as its TTL ends, and only then */
	int error = watch(proxy, &config->endpoint, endpoint_changed, &proxy->endpoint.name);

	crypto_random(&proxy->target.turn, sizeof(proxy->target.turn));
	return error < 0 ? error : watch(proxy, &config->target, target_changed, &target);
}

/* --- the ingress listener ----------------------------------------------------------------- */

/* Descriptors come back one by one, and each is accepted with: said at times, not each time. */
static void accept_later(struct proxy *proxy, int error)
{
	uint64_t now_ns = io_now();

	if (now_ns >= proxy->accept_warn_ns) {
		log_warn("accepting connections failed: %s; trying on", strerror(-error));
		proxy->accept_warn_ns = now_ns + ACCEPT_WARN_S * NS_PER_S;
	}
	proxy->accept_again_ns = now_ns + ACCEPT_PAUSE_MS * NS_PER_MS;
}

static void accepted(struct io_op *op, int result)
{
	struct proxy *proxy = list_entry(op, struct proxy, accept);

	if (result >= 0 && proxy->state >= PROXY_PARTING)
		io_reset(&proxy->io, result);
	else if (result >= 0)
		relay_adopt(proxy->relay, result, NULL, NULL);
	if (op->more || proxy->state >= PROXY_PARTING)
		return;
	accept_later(proxy, result);
}

void host_accept_again(struct proxy *proxy)
{
	proxy->accept_again_ns = UINT64_MAX;
	proxy->accept.kind = IO_ACCEPT;
	proxy->accept.fd = proxy->listen_fd;
	proxy->accept.done = accepted;
	io_submit(&proxy->io, &proxy->accept);
}

static int open_listener(struct io *io, const struct addr *addr)
{
	struct sockaddr_storage sa;
	unsigned len = addr_to_sockaddr(addr, false, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	io_tune(io, fd);
	if (bind(fd, (const struct sockaddr *)&sa, len) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int host_listen(struct proxy *proxy)
{
	proxy->listen_fd = open_listener(&proxy->io, &proxy->config->listen_addr);
	if (proxy->listen_fd < 0)
		return proxy->listen_fd;
	host_accept_again(proxy);
	return 0;
}

/* --- signals ------------------------------------------------------------------------------ */

static void signalled(struct io_op *op, int result)
{
	struct proxy *proxy = list_entry(op, struct proxy, signal_poll);
	struct signalfd_siginfo info;

	while (result > 0 && read(proxy->signal_fd, &info, sizeof(info)) == sizeof(info))
		proxy_stop(proxy);
	if (result != -ECANCELED)
		host_await_signals(proxy);
}

void host_await_signals(struct proxy *proxy)
{
	proxy->signal_poll.kind = IO_POLL;
	proxy->signal_poll.fd = proxy->signal_fd;
	proxy->signal_poll.done = signalled;
	proxy->signal_poll.poll.events = POLLIN;
	io_submit(&proxy->io, &proxy->signal_poll);
}

int host_block_signals(struct proxy *proxy)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	proxy->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return proxy->signal_fd < 0 ? -errno : 0;
}
