/* SPDX-License-Identifier: MIT */
#pragma once

#include "aead.h"
#include "base/budget.h"
#include "base/metrics.h"
#include "crypto.h"
#include "health.h"
#include "io.h"
#include "proxy.h"
#include "relay.h"
#include "resolve.h"
#include "sandbox.h"
#include "stack.h"
#include "udp.h"
#include "wg.h"

enum {
	PROXY_TX_MAX = 1024,	  /* packets gathered before they are sealed */
	PROXY_CONTROL_MAX = 8,	  /* wg_poll() steps a turn: data never waits for long */
	PROXY_FAREWELL_MS = 1000, /* for the last resets to leave */
	PROXY_SESSION_S = 180,	  /* a session's life: REJECT_AFTER_TIME, paper, section 6.1 */
};

enum proxy_state {
	PROXY_RUNNING,
	PROXY_DRAINING, /* no new work in egress; DRAIN_TIMEOUT for what there is */
	PROXY_PARTING,	/* everybody gets a RST */
	PROXY_CLOSING,	/* what is under way comes back */
};

/* Where the server may be. */
struct endpoint {
	struct resolve_name *name; /* NULL: it was given as an address */
	struct addr addrs[RESOLVE_ADDRS_MAX];
	size_t count, next;
};

/* A health probe on its way to the target; see probe.c. */
struct probe {
	struct proxy *proxy;
	struct health_dial *dial; /* NULL: free */
	struct relay_conn *conn;  /* that dials */
	int fd;			  /* ingress: our end of a socket pair; -1 otherwise */
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

	size_t heap_peak;    /* the most that the budget has seen since memory was given back */
	uint64_t trim_at_ns; /* when it is given back next, if it stays calm */

	bool session;	 /* this turn, data can be sealed */
	bool unanswered; /* said in the log, until a handshake completes */
	struct wg_tx tx[PROXY_TX_MAX];
	size_t tx_count;

	struct endpoint endpoint;
	struct target target;
	struct io_op signal_poll;
	int signal_fd;
	struct io_op accept;
	int listen_fd; /* ingress; -1 otherwise */
	uint64_t accept_again_ns;
	uint64_t accept_warn_ns; /* until then the log says nothing of failures */
	struct probe probes[HEALTH_PROBERS_MAX];
	char target_text[CONFIG_HOST_MAX + 8];
	int notify_fd; /* -1: no service manager asks */

	/* For the metrics. */
	const char *aead_engine;
	struct histogram turn_time;
	uint64_t started_s, handshake_s; /* since 1970; the last handshake, 0: none yet */
};

/* --- turn.c: the way of packets --------------------------------------------------------------- */
void turn_run(struct proxy *proxy);
uint64_t turn_deadline(const struct proxy *proxy);
/* The stack's way out: struct stack_config. */
uint8_t *turn_room(void *proxy, size_t len);
void turn_push(void *proxy, uint8_t *packet, size_t len);

/* --- memory.c: back to the system --------------------------------------------------------------- */
void memory_setup(struct proxy *proxy);
void memory_turn(struct proxy *proxy);

/* --- host.c: addresses, signals, the ingress listener ----------------------------------------- */
int host_watch(struct proxy *proxy);
/* The endpoint does not answer: another address, a fresh question. */
void host_next_endpoint(struct proxy *proxy);
int host_listen(struct proxy *proxy);
void host_accept_again(struct proxy *proxy);
/* The first step of the start, so that none is lost: from here on they wait to be read. */
int host_block_signals(struct proxy *proxy);
void host_await_signals(struct proxy *proxy);

/* --- probe.c ----------------------------------------------------------------------------------- */
struct health_ops probe_ops(struct proxy *proxy);
/* NULL when it is so, else why not. */
const char *probe_why_not(const struct proxy *proxy, enum health_check check);

/* --- metrics.c --------------------------------------------------------------------------------- */
/* What /metrics answers; returns its length. */
size_t metrics_write(void *proxy, char text[HEALTH_BODY_MAX]);

/* --- report.c: what the log and the service manager are told ----------------------------------- */
void report_start(const struct proxy *proxy);
void report_draining(const struct proxy *proxy);
void report_events(struct proxy *proxy);

/* --- notify.c: the service manager ------------------------------------------------------------- */
/* The socket that it listens on; -1: there is none, or (logged) none that works. */
int notify_open(void);
/* One datagram: lines of sd_notify(3). Does nothing without a socket. */
__attribute__((format(printf, 2, 3))) void notify_send(const struct proxy *proxy,
						       const char *format, ...);

/* --- proxy.c ----------------------------------------------------------------------------------- */
/* SIGTERM or SIGINT; the second one cuts the draining short. */
void proxy_stop(struct proxy *proxy);
