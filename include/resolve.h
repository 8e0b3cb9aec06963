/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Names to addresses, asynchronously, on the loop (c-ares), as pods have them: /etc/hosts, search
 * domains and ndots of /etc/resolv.conf, IPv4 and IPv6. A name is watched: it is resolved at once,
 * again as its TTL ends, and, while it does not resolve, again with growing pauses. What was last
 * known stays valid until something newer is.
 */
enum {
	RESOLVE_ADDRS_MAX = 32,
	RESOLVE_RETRY_MIN_S = 1, /* first pause after a failure; doubles up to _MAX */
	RESOLVE_RETRY_MAX_S = 30,
	RESOLVE_TTL_MIN_S = 5, /* a TTL is taken to be at least this, at most _MAX */
	RESOLVE_TTL_MAX_S = 300,
};

struct resolve;
struct resolve_name;

/*
 * Called from resolve_turn() when the addresses of a name have become known or have changed. There
 * is at least one; they are in the order of RFC 6724, but families take turns.
 */
typedef void resolve_fn(void *ctx, const struct addr *addrs, size_t count);

/* 0 and `*resolve`, or a negative errno. */
int resolve_open(struct resolve **resolve, struct io *io);

/* Cancels; free when resolve_closed() is true after further io_turn()s. */
void resolve_close(struct resolve *resolve);
bool resolve_closed(const struct resolve *resolve);
void resolve_free(struct resolve *resolve);

/*
 * Watches `name` (borrowed until return), which is no address; what it resolves to carries `port`.
 * With a dot at its end no search domain is tried. NULL: no memory. Failures are logged once per
 * series, success after failure too. Lives until resolve_free().
 */
struct resolve_name *resolve_watch(struct resolve *resolve, const char *name, uint16_t port,
				   resolve_fn *changed, void *ctx);

/* Asks again now, unless a question is under way: for an endpoint that no longer answers. */
void resolve_refresh(struct resolve_name *name);

/* Once a turn: due questions and time-outs, then the changed() calls. */
void resolve_turn(struct resolve *resolve, uint64_t now_ns);

/* When resolve_turn() next has something to do; UINT64_MAX: never. */
uint64_t resolve_deadline(const struct resolve *resolve);
