// SPDX-License-Identifier: MIT
/*
 * The proxy's life. It is started bottom up, so that what can fail for reasons of the host - ports,
 * limits, a forced backend - fails before anything is promised; it runs turn after turn
 * (turn.c); and it ends in steps, each with a deadline of its own:
 *
 *	RUNNING --SIGTERM--> DRAINING	readiness is red; egress refuses, ingress still accepts
 *		--idle, DRAIN_TIMEOUT or a second signal--> PARTING	RST for who is left
 *		--all gone, 1 s--> CLOSING	operations under way are cancelled and come back
 *
 * Secrets: the configuration's keys are wiped as soon as the core has taken them over; the core
 * lives in memory for secrets, and is wiped at the end.
 */
#include "inside.h"

#include "base/time.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signal.h>
#include <time.h>
#include <unistd.h>

enum {
	IO_ENTRIES = 512,
	PORT_RETRIES = 20,
	PORT_PAUSE_US = 100000,
	FILES_BESIDE = 128, /* descriptors for other things than connections */
};

static void random_bytes(void *ctx, void *out, size_t len)
{
	(void)ctx;
	crypto_random(out, len);
}

static int fail(const char *what, int error)
{
	log_error("%s: %s", what, strerror(-error));
	return error;
}

/* --- start -------------------------------------------------------------------------------- */

/* Connections that so many open files are enough for. */
static rlim_t connections_of(rlim_t files)
{
	return files > 2 * FILES_BESIDE ? files - FILES_BESIDE : files / 2;
}

/*
 * Connections must not take the last descriptor: whoever asks whether we are well needs one, and
 * takes a refusal for a proxy that has to be restarted.
 */
static void fit_into_file_limit(struct config *config)
{
	struct rlimit limit;
	rlim_t most;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	most = connections_of(limit.rlim_cur);
	if (most >= config->connections_max)
		return;
	log_warn("with a limit of %llu open files MAX_CONNECTIONS is %llu and not %u",
		 (unsigned long long)limit.rlim_cur, (unsigned long long)most,
		 config->connections_max);
	config->connections_max = (uint32_t)most;
}

static int start_wg(struct proxy *proxy)
{
	struct wg_config *wg_config = crypto_secret_alloc(sizeof(*wg_config));
	struct wg_env env = {.random = random_bytes};
	struct config *config = proxy->config;
	int error = -ENOMEM;

	proxy->wg = crypto_secret_alloc(wg_size());
	if (proxy->wg != NULL && wg_config != NULL) {
		memcpy(wg_config->private_key, config->private_key, WG_KEY_LEN);
		memcpy(wg_config->peer_public_key, config->public_key, WG_KEY_LEN);
		memcpy(wg_config->preshared_key, config->preshared_key, WG_KEY_LEN);
		memcpy(wg_config->allowed, config->allowed, sizeof(wg_config->allowed));
		wg_config->allowed_count = config->allowed_count;
		wg_config->endpoint = config->endpoint.addr;
		wg_config->keepalive_s = config->keepalive_s;
		wg_config->mtu = config->mtu;
		error = wg_init(proxy->wg, wg_config, &env, proxy->now_ns);
	}
	if (wg_config != NULL)
		crypto_secret_free(wg_config, sizeof(*wg_config));
	crypto_wipe(config->private_key, sizeof(config->private_key));
	crypto_wipe(config->preshared_key, sizeof(config->preshared_key));
	return error;
}

static int start_stack(struct proxy *proxy)
{
	const struct config *config = proxy->config;
	struct relay_config relay_config = {
		.io = &proxy->io,
		.budget = &proxy->budget,
		.conns_max = config->connections_max,
		.connect_timeout_ns = config->connect_timeout_ns,
		.idle_timeout_ns = config->idle_timeout_ns,
		.half_closed_timeout_ns = config->half_closed_timeout_ns,
		.train = udp_train(wg_message_len(proxy->wg, config->mtu)),
		.target = &proxy->target,
	};
	struct stack_config stack_config = {
		.addrs_count = config->address_count,
		.mtu = config->mtu,
		.congestion = config->congestion == CONFIG_BBR ? STACK_BBR : STACK_CUBIC,
		.conns_max = config->connections_max,
		.budget = &proxy->budget,
		.events = &relay_stack_events,
		.hold_syns = config->egress_accept == CONFIG_ACCEPT_LATE,
		.room = turn_room,
		.push = turn_push,
		.out_ctx = proxy,
		.random = random_bytes,
	};

	memcpy(stack_config.addrs, config->address, sizeof(stack_config.addrs));
	proxy->relay = relay_new(&relay_config);
	if (proxy->relay == NULL)
		return -ENOMEM;
	stack_config.events_ctx = proxy->relay;
	proxy->stack = stack_new(&stack_config, proxy->now_ns);
	if (proxy->stack == NULL)
		return -ENOMEM;
	relay_set_stack(proxy->relay, proxy->stack);
	return 0;
}

static int start_listener(struct proxy *proxy)
{
	return proxy->config->mode == CONFIG_INGRESS
		       ? host_listen(proxy)
		       : stack_listen(proxy->stack, proxy->config->local_port);
}

static int start_health(struct proxy *proxy)
{
	struct health_ops ops = probe_ops(proxy);

	if (proxy->config->health_port == 0)
		return 0;
	return health_open(&proxy->health, &proxy->io, proxy->config->health_port, &ops);
}

static const char *why_no_uring(int error)
{
	switch (error) {
	case -EPERM:
		return "not permitted (seccomp profile, or sysctl kernel.io_uring_disabled)";
	case -ENOSYS:
		return "this kernel or sandbox has none";
	case -EINVAL:
		return "this kernel's lacks what is needed (Linux 6.1 has it)";
	case -ENOMEM:
		return "not enough memory may be locked (RLIMIT_MEMLOCK)";
	default:
		return strerror(-error);
	}
}

static int open_loop(struct proxy *proxy)
{
	enum config_io wanted = proxy->config->io_backend;
	int refused = 0;
	int error;

	if (wanted == CONFIG_IO_EPOLL)
		return io_init(&proxy->io, &io_backend_epoll, IO_ENTRIES);
	if (wanted == CONFIG_IO_URING)
		error = refused = io_init(&proxy->io, &io_backend_uring, IO_ENTRIES);
	else
		error = io_init_any(&proxy->io, IO_ENTRIES, &refused);
	if (refused < 0)
		log_line(error < 0 ? LOG_ERROR : LOG_INFO, "no io_uring: %s",
			 why_no_uring(refused));
	return error;
}

static int start_loop(struct proxy *proxy)
{
	memory_setup(proxy);
	fit_into_file_limit(proxy->config);
	return open_loop(proxy);
}

/* The kernel may hold a predecessor's port for a moment after its end: it takes rings down late. */
static int start_udp(struct proxy *proxy)
{
	struct udp_config config = {.port = proxy->config->wg_listen_port};
	int error = udp_open(&proxy->udp, &proxy->io, &config);

	for (int i = 0; error == -EADDRINUSE && i < PORT_RETRIES; i++) {
		usleep(PORT_PAUSE_US);
		error = udp_open(&proxy->udp, &proxy->io, &config);
	}
	return error;
}

/* Without any of it the proxy works as well: nothing here fails. */
static int start_sandbox(struct proxy *proxy)
{
	const struct config *config = proxy->config;
	struct sandbox_needs needs = {
		.uring = proxy->io.backend == &io_backend_uring,
		.names = proxy->resolve != NULL,
		.tcp_port = config->mode == CONFIG_EGRESS ? config->target.addr.port : 0,
	};

	if (config->sandbox == CONFIG_SANDBOX_OFF)
		log_warn("no sandbox: SANDBOX is off");
	else
		sandbox_enter(&needs);
	return 0;
}

/* In this order; what is said when one fails, and of which port. */
static int start(struct proxy *proxy)
{
	const struct config *config = proxy->config;
	const struct {
		int (*run)(struct proxy *proxy);
		const char *failure;
		uint16_t port;
	} steps[] = {
		{host_block_signals, "cannot catch signals", 0},
		{start_loop, "cannot start the event loop (IO_BACKEND)", 0},
		{start_udp, "cannot open the WireGuard socket, WG_LISTEN_PORT",
		 config->wg_listen_port},
		{start_wg, "these WireGuard keys cannot work", 0},
		{start_stack, "cannot set up the tunnel's stack", 0},
		{host_watch, "cannot set up name resolution", 0},
		{start_listener, "cannot listen on LOCAL_PORT", config->local_port},
		{start_health, "cannot listen on HEALTH_PORT", config->health_port},
		{start_sandbox, "cannot enter the sandbox", 0},
	};
	int error = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && error == 0; i++) {
		error = steps[i].run(proxy);
		if (error < 0 && steps[i].port != 0)
			log_error("%s %u: %s", steps[i].failure, steps[i].port, strerror(-error));
		else if (error < 0)
			fail(steps[i].failure, error);
	}
	return error;
}

/* --- end ---------------------------------------------------------------------------------- */

static void set_state(struct proxy *proxy, enum proxy_state state, uint64_t deadline_ns)
{
	CHECK(state > proxy->state);
	proxy->state = state;
	proxy->state_deadline_ns = deadline_ns;
}

static void part(struct proxy *proxy)
{
	uint32_t open = relay_stats(proxy->relay)->open;

	if (open > 0)
		log_warn("%u connections are cut", open);
	set_state(proxy, PROXY_PARTING, proxy->now_ns + PROXY_FAREWELL_MS * NS_PER_MS);
	io_cancel(&proxy->io, &proxy->accept);
	proxy->accept_again_ns = UINT64_MAX;
	stack_unlisten(proxy->stack);
	relay_abort_all(proxy->relay);
}

void proxy_stop(struct proxy *proxy)
{
	/* We are inside io_turn(), which may have slept for long: deadlines count from now. */
	proxy->now_ns = io_now();
	if (proxy->state == PROXY_DRAINING)
		part(proxy);
	if (proxy->state != PROXY_RUNNING)
		return;
	report_draining(proxy);
	set_state(proxy, PROXY_DRAINING, proxy->now_ns + proxy->config->drain_timeout_ns);
	if (proxy->config->mode == CONFIG_EGRESS)
		stack_unlisten(proxy->stack);
}

static void close_all(struct proxy *proxy)
{
	set_state(proxy, PROXY_CLOSING, proxy->now_ns + PROXY_FAREWELL_MS * NS_PER_MS);
	io_cancel(&proxy->io, &proxy->signal_poll);
	if (proxy->health != NULL)
		health_close(proxy->health);
	if (proxy->resolve != NULL)
		resolve_close(proxy->resolve);
	udp_close(proxy->udp);
}

static bool is_late(const struct proxy *proxy)
{
	return proxy->now_ns >= proxy->state_deadline_ns;
}

/* Goes on to the next state when this one is over, and further when that one is, too. */
static void advance(struct proxy *proxy)
{
	bool idle = relay_idle(proxy->relay);

	if (proxy->state == PROXY_DRAINING && (idle || is_late(proxy)))
		part(proxy);
	if (proxy->state == PROXY_PARTING && ((idle && !proxy->accept.busy) || is_late(proxy)))
		close_all(proxy);
}

static bool is_closed(const struct proxy *proxy)
{
	return !proxy->signal_poll.busy && udp_closed(proxy->udp) &&
	       (proxy->health == NULL || health_closed(proxy->health)) &&
	       (proxy->resolve == NULL || resolve_closed(proxy->resolve));
}

static int run(struct proxy *proxy)
{
	int error;

	while (proxy->state != PROXY_CLOSING) {
		error = io_turn(&proxy->io, turn_deadline(proxy), &proxy->now_ns);
		if (error < 0)
			return fail("the event loop failed", error);
		turn_run(proxy);
		advance(proxy);
	}
	while (!is_closed(proxy) && !is_late(proxy)) {
		error = io_turn(&proxy->io, proxy->state_deadline_ns, &proxy->now_ns);
		if (error < 0)
			return fail("the event loop failed", error);
	}
	log_event(LOG_INFO, LOG_FIELDS({"event", "ended"}), "ended");
	return 0;
}

int proxy_run(struct config *config)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	int error;

	if (proxy == NULL)
		return fail("cannot start", -ENOMEM);
	proxy->config = config;
	proxy->budget.limit = (size_t)config->memory_limit;
	proxy->now_ns = io_now();
	proxy->started_s = (uint64_t)time(NULL);
	proxy->aead_engine = aead_in_use();
	proxy->listen_fd = -1;
	proxy->notify_fd = notify_open();
	proxy->accept_again_ns = UINT64_MAX;
	proxy->state_deadline_ns = UINT64_MAX;
	snprintf(proxy->target_text, sizeof(proxy->target_text),
		 strchr(config->target.name, ':') == NULL ? "%s:%u" : "[%s]:%u",
		 config->target.name, config->target.addr.port);
	error = start(proxy);
	if (error == 0) {
		host_await_signals(proxy);
		report_start(proxy);
		error = run(proxy);
	}
	/* The process ends here: the kernel frees memory and sockets, we wipe secrets. */
	config_wipe(config);
	if (proxy->wg != NULL)
		crypto_secret_free(proxy->wg, wg_size());
	return error;
}
