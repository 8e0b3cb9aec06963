// SPDX-License-Identifier: MIT
/*
 * The relay: connections in the tunnel joined with connections on the host.
 *
 * Everything that happens arrives as an event of the stack or as a completion of the loop. Both
 * only take note - bytes into a queue, an end into a state - and put the connection on the dirty
 * list. relay_turn() then works off that list: writes, receives, sends, ends, and frees. So no
 * callback ever finds a connection freed under it, a connection that had twenty packets in a turn
 * makes one send for them, and the stack is never called from within itself.
 *
 *	dial.c	 how a connection comes to have two sides
 *	idle.c	 how it ends when no bytes go
 *	owing.c	 how it ends when the host is dead
 *	half.c	 how bytes and ends go from one side to the other
 *	queue.c	 where the bytes are in between
 */
#include "inside.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

enum {
	SMALL_BUFS = 32,
	LARGE_BUFS = 8,
};

/* NULL: there is no room for another one that will carry bytes. */
static struct relay_conn *admit(struct relay *relay)
{
	/* With less memory for each, some would be open and hear nothing. */
	if (relay->stats.open >= relay->config.conns_max ||
	    relay->stats.open >= relay->config.budget->limit / CONN_MEMORY_MIN)
		return NULL;
	return conn_new(relay);
}

/* --- events of the stack ------------------------------------------------------------------ */

static void *on_accepted(void *ctx, struct stack_conn *tunnel, const struct addr *from)
{
	struct relay_conn *conn = admit(ctx);
	char text[ADDR_TEXT_MAX];

	if (conn == NULL)
		return NULL;
	log_debug("connection from %s", addr_format(from, text));
	conn->tunnel = tunnel;
	return conn;
}

static void *on_offered(void *ctx, struct stack_conn *tunnel, const struct addr *from)
{
	struct relay_conn *conn = on_accepted(ctx, tunnel, from);

	if (conn != NULL)
		conn->held = true;
	return conn;
}

static void on_connected(void *user)
{
	struct relay_conn *conn = user;

	if (conn->phase == RELAY_DIALLING)
		conn_dialled(conn, 0);
	if (conn->phase == RELAY_ANSWERING)
		conn_set_phase(conn, RELAY_OPEN);
	conn_mark_dirty(conn);
}

static bool on_data(void *user, const struct iovec *iov, int count)
{
	struct relay_conn *conn = user;

	conn->moved = true;
	conn_mark_dirty(conn);
	return queue_push(&conn->to_host.queue, conn->relay->config.budget, iov, count);
}

static void on_acked(void *user, size_t len)
{
	struct relay_conn *conn = user;

	queue_return(&conn->to_tunnel.queue, conn->relay->config.budget, len);
	if (conn->to_tunnel.queue.len == 0)
		list_remove(&conn->wait); /* there is more room for who has nothing queued */
	conn->moved = true;
	conn_mark_dirty(conn);
}

static void on_drained(void *user)
{
	conn_mark_dirty(user);
}

static void on_fin(void *user)
{
	struct relay_conn *conn = user;

	half_set_state(&conn->to_host, HALF_ENDED);
	conn_mark_dirty(conn);
}

static int error_of(enum stack_end how)
{
	return how == STACK_END_TIMEOUT	  ? -ETIMEDOUT
	       : how == STACK_END_REFUSED ? -ECONNREFUSED
					  : -ECONNRESET;
}

/* An orderly end leaves the host side to finish what is queued; any other breaks it off. */
static void on_ended(void *user, enum stack_end how)
{
	struct relay_conn *conn = user;

	conn->tunnel = NULL;
	conn_mark_dirty(conn);
	if (how == STACK_END_CLOSED)
		return;
	if (how == STACK_END_TIMEOUT && conn->phase == RELAY_OPEN)
		conn->relay->stats.timed_out[RELAY_TIMEOUT_TUNNEL]++;
	if (conn->phase == RELAY_DIALLING && !conn->send.busy)
		conn_dialled(conn, error_of(how)); /* it was the tunnel that was dialled */
	else
		conn_break(conn);
}

const struct stack_events relay_stack_events = {
	.accepted = on_accepted,
	.offered = on_offered,
	.connected = on_connected,
	.data = on_data,
	.acked = on_acked,
	.drained = on_drained,
	.fin = on_fin,
	.ended = on_ended,
};

/* --- life --------------------------------------------------------------------------------- */

struct relay *relay_new(const struct relay_config *config)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (relay == NULL)
		return NULL;
	relay->config = *config;
	list_init(&relay->conns);
	list_init(&relay->dirty);
	list_init(&relay->waiting);
	list_init(&relay->dialling);
	list_init(&relay->starved[0]);
	list_init(&relay->starved[1]);
	idle_init(relay);
	list_init(&relay->owing);
	list_init(&relay->small.waiting);
	list_init(&relay->large.waiting);
	if (io_pool_init(&relay->small.bufs, config->io, SMALL_BUFS, IDLE_LIMIT_MAX) < 0)
		goto no_small;
	if (io_pool_init(&relay->large.bufs, config->io, LARGE_BUFS, RECV_LIMIT_MAX) < 0)
		goto no_large;
	return relay;
no_large:
	io_pool_fini(&relay->small.bufs);
no_small:
	free(relay);
	return NULL;
}

void relay_set_stack(struct relay *relay, struct stack *stack)
{
	relay->stack = stack;
}

void relay_free(struct relay *relay)
{
	CHECK(relay_idle(relay));
	io_pool_fini(&relay->small.bufs);
	io_pool_fini(&relay->large.bufs);
	free(relay);
}

/* `conn` NULL: there was no room for it. */
static struct relay_conn *begin(struct relay *relay, struct relay_conn *conn, int fd,
				relay_dialled_fn *dialled, void *ctx)
{
	if (conn != NULL) {
		conn->fd = fd;
		conn->dialled = dialled;
		conn->dialled_ctx = ctx;
		return conn;
	}
	relay->stats.refused[RELAY_REFUSED_LIMIT]++;
	if (fd >= 0)
		io_reset(relay->config.io, fd);
	if (dialled != NULL)
		dialled(ctx, -1, -ENOBUFS);
	return NULL;
}

struct relay_conn *relay_adopt(struct relay *relay, int fd, relay_dialled_fn *dialled, void *ctx)
{
	return begin(relay, admit(relay), fd, dialled, ctx);
}

struct relay_conn *relay_dial(struct relay *relay, relay_dialled_fn *dialled, void *ctx)
{
	return begin(relay, conn_new(relay), -1, dialled, ctx);
}

void relay_abort(struct relay_conn *conn)
{
	conn_break(conn);
}

/* --- the turn ----------------------------------------------------------------------------- */

static void give_up_late(struct relay *relay, struct list *waiting)
{
	while (!list_empty(waiting)) {
		struct relay_conn *conn = list_entry(waiting->next, struct relay_conn, wait);

		if (conn->give_up_ns > relay->now_ns)
			return;
		conn_give_up(conn);
	}
}

/* The target's name may have been resolved since the last turn. */
static void dial_waiting(struct relay *relay)
{
	struct list *node;

	if (relay->config.target->count == 0)
		return;
	while ((node = list_pop(&relay->waiting)) != NULL)
		conn_mark_dirty(list_entry(node, struct relay_conn, wait));
}

/* In the order in which they came to wait, for as long as the budget has room. */
static void feed_starved(struct relay *relay, bool has_queued)
{
	struct list *starved = &relay->starved[has_queued];
	size_t room = relay_host_room(relay, has_queued);

	while (room >= queue_cost(RECV_LIMIT_MIN) && !list_empty(starved)) {
		struct list *node = list_pop(starved);

		conn_mark_dirty(list_entry(node, struct relay_conn, wait));
		room -= queue_cost(RECV_LIMIT_MIN);
	}
}

/* All buffers are back by now, as a rule. */
static void serve_waiting(struct recv_pool *pool)
{
	for (uint32_t i = pool->bufs.free; i > 0 && !list_empty(&pool->waiting); i--) {
		struct list *node = list_pop(&pool->waiting);

		conn_mark_dirty(list_entry(node, struct relay_conn, wait));
	}
}

void relay_turn(struct relay *relay, uint64_t now_ns)
{
	struct list *node;

	relay->now_ns = now_ns;
	give_up_late(relay, &relay->waiting);
	give_up_late(relay, &relay->dialling);
	idle_turn(relay);
	owing_turn(relay);
	dial_waiting(relay);
	feed_starved(relay, false);
	feed_starved(relay, true);
	serve_waiting(&relay->small);
	serve_waiting(&relay->large);
	while ((node = list_pop(&relay->dirty)) != NULL)
		conn_work(list_entry(node, struct relay_conn, dirty));
}

static bool may_feed(const struct relay *relay, bool has_queued)
{
	return !list_empty(&relay->starved[has_queued]) &&
	       relay_host_room(relay, has_queued) >= queue_cost(RECV_LIMIT_MIN);
}

static uint64_t first_to_give_up_ns(const struct list *waiting)
{
	return list_empty(waiting) ? UINT64_MAX
				   : list_entry(waiting->next, struct relay_conn, wait)->give_up_ns;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t relay_deadline(const struct relay *relay)
{
	uint64_t deadline_ns = earlier(idle_deadline(relay), owing_deadline(relay));

	/* This turn may have made the room that somebody waits for. */
	if (!list_empty(&relay->dirty) || !list_empty(&relay->small.waiting) ||
	    !list_empty(&relay->large.waiting) || may_feed(relay, false) || may_feed(relay, true))
		return 0;
	deadline_ns = earlier(deadline_ns, first_to_give_up_ns(&relay->waiting));
	return earlier(deadline_ns, first_to_give_up_ns(&relay->dialling));
}

void relay_abort_all(struct relay *relay)
{
	list_for_each (node, &relay->conns)
		conn_break(list_entry(node, struct relay_conn, all));
}

bool relay_idle(const struct relay *relay)
{
	return list_empty(&relay->conns);
}

const struct relay_stats *relay_stats(const struct relay *relay)
{
	return &relay->stats;
}
