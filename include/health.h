/* SPDX-License-Identifier: MIT */
#pragma once

#include "io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A tiny HTTP/1.1 responder for probes, on the loop: GET and HEAD, one request per connection, a
 * fixed number of probers with fixed buffers. It knows HTTP and nothing of the proxy: whether the
 * proxy is ready, and how to reach the target, it asks through `ops`.
 */
enum {
	HEALTH_PROBERS_MAX = 32,
	HEALTH_REQUEST_MAX = 4096,    /* bytes; longer ones get 431 */
	HEALTH_BODY_MAX = 24 * 1024,  /* bytes of an answer: the metrics, with 64 allowed IPs */
	HEALTH_REQUEST_TIMEOUT_S = 5, /* for a prober to send its request and take the answer */
	HEALTH_PROBE_TIMEOUT_S = 5,   /* default of timeout=; at most _MAX */
	HEALTH_PROBE_TIMEOUT_MAX_S = 60,
};

struct health;
struct health_dial;

/* 0 with a socket that is connected to the target (owned by the callee), or a negative errno. */
void health_dialled(struct health_dial *dial, int fd, int error);

/* What a prober may ask of the proxy itself. */
enum health_check {
	HEALTH_SERVING, /* the listeners are bound, it does not drain */
	HEALTH_READY,	/* serving, and the tunnel works, or is idle after it did */
	HEALTH_STARTED, /* the first handshake is done */
};

struct health_ops {
	/* NULL when it is so, else the reason why not, in a few words. */
	const char *(*why_not)(void *ctx, enum health_check check);
	/* Writes the metrics, in the format of Prometheus; returns their length. */
	size_t (*metrics)(void *ctx, char text[HEALTH_BODY_MAX]);
	/*
	 * Connects to the target the way that the proxy's connections go. Answers by calling
	 * health_dialled() once, at once or later, also after cancel(). The dial is lent until
	 * then. Returns a handle for cancel(). The error -ENOTCONN says that the tunnel has no
	 * session.
	 */
	void *(*dial)(void *ctx, struct health_dial *dial);
	void (*cancel)(void *ctx, void *handle);
	/* The Host: of mode=http, "name:port". */
	const char *(*target)(void *ctx);
	void *ctx;
};

/* 0 and `*health`, or a negative errno when the port cannot be bound (all addresses). */
int health_open(struct health **health, struct io *io, uint16_t port, const struct health_ops *ops);

/* The port that is listened on: the kernel's choice where health_open() was given 0. */
uint16_t health_port(const struct health *health);

/* Once a turn: what probers have sent, and what has taken too long. */
void health_turn(struct health *health, uint64_t now_ns);

/* When health_turn() next has something to do; UINT64_MAX: only after new completions. */
uint64_t health_deadline(const struct health *health);

/* Cancels; free when health_closed() is true after further io_turn()s. */
void health_close(struct health *health);
bool health_closed(const struct health *health);
void health_free(struct health *health);
