/* SPDX-License-Identifier: MIT */
#pragma once

#include "aead.h"
#include "base/budget.h"
#include "crypto.h"
#include "health.h"
#include "io.h"
#include "proxy.h"
#include "relay.h"
#include "resolve.h"
#include "stack.h"
#include "udp.h"
#include "wg.h"

enum {
	PROXY_TX_MAX = 1024,	  /* packets gathered before they are sealed */
	PROXY_CONTROL_MAX = 8,	  /* wg_poll() steps a turn: data never waits for long */
	PROXY_FAREWELL_MS = 1000, /* for the last resets to leave */
};

enum proxy_state {
	PROXY_RUNNING,
	PROXY_DRAINING, /* no new work in egress; DRAIN_TIMEOUT for what there is */
	PROXY_PARTING,	/* everybody gets a RST */
	PROXY_CLOSING,	/* what is under way comes back */
};

/* Addresses of a configured host: one that was written as such, or what its name resolves to. */
struct proxy_host {
	const struct config_host *config;
	struct resolve_name *name; /* NULL: it was an address */
	struct addr addrs[RESOLVE_ADDRS_MAX];
	size_t count, next;
};

/* A health probe on its way to the target; see probe.c. */
struct probe {
	struct proxy *proxy;
	struct health_dial *dial; /* NULL: nobody waits for it (any more) */
	bool busy;		  /* on its way: the loop or the relay still has to answer */
	struct io_op connect;
	struct sockaddr_storage to;
	int fd;
};

struct proxy {
	struct config *config;
	struct io io;
	struct budget budget;
	struct udp *udp;
	struct wg *wg;
	struct stack *stack;
	struct relay *relay;
	struct resolve *resolve; /* NULL: nothing has a name */
	struct health *health;	 /* NULL: no HEALTH_PORT */

	uint64_t now_ns;
	enum proxy_state state;
	uint64_t state_deadline_ns; /* DRAINING, PARTING and CLOSING end here at the latest */

	bool session;	 /* this turn, data can be sealed */
	bool unanswered; /* said in the log, until a handshake completes */
	struct wg_tx tx[PROXY_TX_MAX];
	size_t tx_count;

	struct proxy_host endpoint, target;
	struct io_op signal_poll;
	int signal_fd;
	struct io_op accept;
	int listen_fd; /* ingress; -1 otherwise */
	uint64_t accept_again_ns;
	bool accept_failing; /* said in the log, until one is accepted */
	struct probe probes[HEALTH_PROBERS_MAX];
	char target_text[CONFIG_HOST_MAX + 8];
};

/* --- turn.c: the way of packets --------------------------------------------------------------- */
void turn_run(struct proxy *proxy);
uint64_t turn_deadline(const struct proxy *proxy);
/* The stack's way out: struct stack_config. */
uint8_t *turn_room(void *proxy, size_t len);
void turn_push(void *proxy, uint8_t *packet, size_t len);

/* --- host.c: addresses, signals, the ingress listener ----------------------------------------- */
int host_watch(struct proxy *proxy);
struct addr host_target(void *proxy);
/* The endpoint does not answer: another address, a fresh question. */
void host_next_endpoint(struct proxy *proxy);
int host_listen(struct proxy *proxy);
void host_accept_again(struct proxy *proxy);
int host_catch_signals(struct proxy *proxy);

/* --- probe.c ----------------------------------------------------------------------------------- */
struct health_ops probe_ops(struct proxy *proxy);

/* --- report.c: what the log says --------------------------------------------------------------- */
void report_start(const struct proxy *proxy);
void report_events(struct proxy *proxy);

/* --- proxy.c ----------------------------------------------------------------------------------- */
/* SIGTERM or SIGINT; the second one cuts the draining short. */
void proxy_stop(struct proxy *proxy);
