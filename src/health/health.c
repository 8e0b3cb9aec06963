// SPDX-License-Identifier: MIT
/*
 * Theory of operation
 *
 * Whoever runs the proxy asks it over HTTP whether it is well: an orchestrator's probes every few
 * seconds, a person with curl. Both get little code and less trust. A prober has one of a fixed
 * number of places with fixed buffers, one request, and a deadline for each thing that it or the
 * target has to do. When most places are taken, those clients are shown out that have waited longest,
 * so that there are always places for who asks and goes; who comes when none is left is closed.
 * Probes of the target may take long and have half of the places at most. Nothing is allocated after
 * the start, so a flood of probers costs a flood of accepted and closed sockets and no more.
 *
 *	listen.c   the port
 *	health.c   accepting, the table of probers, the table of paths
 *	prober.c   one client: request, answer, orderly end
 *	dial.c	   one target: connection, GET, status line
 *	request.c  text taken apart; pure
 *
 * Completions only note what has come (prober_note); health_turn() does the work, for it knows the
 * time. Two things happen outside of a turn: a new connection is given its place when it is
 * accepted, and what is only waited for so that it can be closed is closed when it comes back. So
 * health_close() needs no further turns, just completions.
 *
 * What a path answers is in the table below, a row for each. To add one, write its function: it
 * calls prober_answer() at once, or prober_ask() to let the target's verdict be the answer.
 *
 * An answer says how things are and is not an alarm: nothing here is logged but trouble with the
 * listener itself.
 */
#include "inside.h"

#include "base/check.h"
#include "base/log.h"
#include "base/time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	POOL_BUFS = 4, /* shared by all: a buffer is held within done() only */
	ACCEPT_PAUSE_MS = 100,
	CROWD = HEALTH_PROBERS_MAX * 3 / 4, /* so many places are left to clients that are slow */
	ASKERS_MAX = HEALTH_PROBERS_MAX / 2,
};

/* --- the table of paths ---------------------------------------------------------------------- */

static size_t count_askers(const struct health *health)
{
	size_t count = 0;

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++)
		count += health->probers[i].dial.state != DIAL_IDLE;
	return count;
}

/* Ready, and with mode= whether the target can be reached; draining is not ready in any mode. */
static void answer_health(struct prober *prober, const struct request *request, uint64_t now_ns)
{
	const struct health_ops *ops = &prober->health->ops;
	struct probe probe;
	const char *wrong = probe_parse(&probe, request->query);
	const char *reason = wrong ? NULL : ops->why_not(ops->ctx, HEALTH_SERVING);

	if (wrong)
		prober_answer(prober, HTTP_BAD_REQUEST, wrong, now_ns);
	else if (reason)
		prober_answer(prober, HTTP_UNAVAILABLE, reason, now_ns);
	else if (probe.mode == PROBE_NONE)
		prober_answer(prober, HTTP_OK, "OK", now_ns);
	else if (count_askers(prober->health) == ASKERS_MAX)
		prober_answer(prober, HTTP_UNAVAILABLE, "too many probes of the target", now_ns);
	else
		prober_ask(prober, &probe, now_ns);
}

/* That this is answered at all is the answer: the loop turns. */
static void answer_livez(struct prober *prober, const struct request *request, uint64_t now_ns)
{
	(void)request;
	prober_answer(prober, HTTP_OK, "OK", now_ns);
}

static void answer_check(struct prober *prober, enum health_check check, uint64_t now_ns)
{
	const struct health_ops *ops = &prober->health->ops;
	const char *reason = ops->why_not(ops->ctx, check);

	if (reason)
		prober_answer(prober, HTTP_UNAVAILABLE, reason, now_ns);
	else
		prober_answer(prober, HTTP_OK, "OK", now_ns);
}

static void answer_readyz(struct prober *prober, const struct request *request, uint64_t now_ns)
{
	(void)request;
	answer_check(prober, HEALTH_READY, now_ns);
}

static void answer_startupz(struct prober *prober, const struct request *request, uint64_t now_ns)
{
	(void)request;
	answer_check(prober, HEALTH_STARTED, now_ns);
}

static void answer_metrics(struct prober *prober, const struct request *request, uint64_t now_ns)
{
	const struct health_ops *ops = &prober->health->ops;
	size_t len = ops->metrics(ops->ctx, prober->body);

	(void)request;
	prober_answer_body(prober, "text/plain; version=0.0.4; charset=utf-8", len, now_ns);
}

static const struct {
	const char *path;
	void (*answer)(struct prober *prober, const struct request *request, uint64_t now_ns);
} paths[] = {
	{"/health", answer_health},	{"/livez", answer_livez},     {"/readyz", answer_readyz},
	{"/startupz", answer_startupz}, {"/metrics", answer_metrics},
};

void health_route(struct prober *prober, const struct request *request, uint64_t now_ns)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (strcmp(request->path, paths[i].path) == 0) {
			paths[i].answer(prober, request, now_ns);
			return;
		}
	}
	prober_answer(prober, HTTP_NOT_FOUND, "no such path", now_ns);
}

/* --- accepting ------------------------------------------------------------------------------- */

static struct prober *free_prober(struct health *health)
{
	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		if (health->probers[i].state == PROBER_FREE)
			return &health->probers[i];
	}
	return NULL;
}

static void close_listener(struct health *health)
{
	io_close(health->io, health->fd);
	health->fd = -1;
}

static void accepted(struct io_op *op, int result)
{
	struct health *health = list_entry(op, struct health, accept);
	struct prober *prober = health->closing ? NULL : free_prober(health);

	if (result >= 0 && prober)
		prober_admit(prober, result);
	else if (result >= 0)
		io_close(health->io, result);
	if (op->more)
		return;
	if (health->closing)
		close_listener(health);
	else
		health->accept_failed = health->dirty = true;
}

static void submit_accept(struct health *health)
{
	health->accept = (struct io_op){.done = accepted, .kind = IO_ACCEPT, .fd = health->fd};
	health->accept_at_ns = UINT64_MAX;
	io_submit(health->io, &health->accept);
}

/* Out of descriptors, most likely: some come back with time. */
static void pause_accepting(struct health *health, uint64_t now_ns)
{
	health->accept_failed = false;
	health->accept_at_ns = now_ns + ACCEPT_PAUSE_MS * NS_PER_MS;
	log_debug("health port: accepting failed, trying again in %d ms", ACCEPT_PAUSE_MS);
}

/* --- the turn -------------------------------------------------------------------------------- */

/* Of those that wait for their client, the one with the least time left. */
static struct prober *slowest_prober(struct health *health)
{
	const unsigned waiting = 1 << PROBER_READING | 1 << PROBER_ANSWERING | 1 << PROBER_DRAINING;
	struct prober *slowest = NULL;

	for (struct prober *p = health->probers; p < health->probers + HEALTH_PROBERS_MAX; p++) {
		if ((waiting >> p->state & 1) != 0 &&
		    (slowest == NULL || p->deadline_ns < slowest->deadline_ns))
			slowest = p;
	}
	return slowest;
}

/* Clients that hold their places must not keep an orchestrator out: it would restart the proxy. */
static void thin_crowd(struct health *health)
{
	struct prober *slowest;
	size_t taken = 0;

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++)
		taken += health->probers[i].state != PROBER_FREE &&
			 health->probers[i].state != PROBER_CLOSING;
	for (; taken > CROWD && (slowest = slowest_prober(health)) != NULL; taken--)
		prober_abandon(slowest);
}

static uint64_t earliest_deadline(const struct health *health)
{
	uint64_t earliest_ns = health->accept_at_ns;

	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		if (health->probers[i].deadline_ns < earliest_ns)
			earliest_ns = health->probers[i].deadline_ns;
	}
	return earliest_ns;
}

void health_turn(struct health *health, uint64_t now_ns)
{
	if (health->closing || (!health->dirty && now_ns < health->deadline_ns))
		return;
	if (health->accept_failed)
		pause_accepting(health, now_ns);
	if (now_ns >= health->accept_at_ns)
		submit_accept(health);
	/* A step may note something again, a dial that was answered at once for one. */
	do {
		health->dirty = false;
		for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++)
			prober_step(&health->probers[i], now_ns);
	} while (health->dirty);
	thin_crowd(health);
	health->deadline_ns = earliest_deadline(health);
}

uint64_t health_deadline(const struct health *health)
{
	if (health->closing)
		return UINT64_MAX;
	return health->dirty ? 0 : health->deadline_ns;
}

/* --- the door -------------------------------------------------------------------------------- */

int health_open(struct health **health, struct io *io, uint16_t port, const struct health_ops *ops)
{
	struct health *new = calloc(1, sizeof(*new));
	int error;

	if (!new)
		return -ENOMEM;
	new->io = io;
	new->ops = *ops;
	new->fd = health_listen(port);
	error = new->fd < 0 ? new->fd : io_pool_init(&new->pool, io, POOL_BUFS, HEALTH_REQUEST_MAX);
	if (error < 0) {
		if (new->fd >= 0)
			close_listener(new);
		free(new);
		return error;
	}
	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++)
		prober_init(&new->probers[i], new);
	new->deadline_ns = UINT64_MAX;
	submit_accept(new);
	*health = new;
	return 0;
}

uint16_t health_port(const struct health *health)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr addr = {0};

	if (getsockname(health->fd, (struct sockaddr *)&sa, &len) == 0)
		addr_from_sockaddr(&addr, (const struct sockaddr *)&sa);
	return addr.port;
}

void health_close(struct health *health)
{
	if (health->closing)
		return;
	health->closing = true;
	if (health->accept.busy)
		io_cancel(health->io, &health->accept);
	else
		close_listener(health);
	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++)
		prober_abandon(&health->probers[i]);
}

bool health_closed(const struct health *health)
{
	for (size_t i = 0; i < HEALTH_PROBERS_MAX; i++) {
		if (health->probers[i].state != PROBER_FREE)
			return false;
	}
	return health->closing && health->fd < 0;
}

void health_free(struct health *health)
{
	CHECK(health_closed(health));
	io_pool_fini(&health->pool);
	free(health);
}
