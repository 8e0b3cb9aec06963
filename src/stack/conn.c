// SPDX-License-Identifier: MIT
/*
 * Connections: lwIP's pcb on one side, an owner's `user` pointer on the other.
 *
 * lwIP frees a pcb when it likes to (a RST, a timeout, the last ACK) and calls its error callback
 * afterwards; it may also keep one long after its owner has lost interest (TIME_WAIT, an
 * unacknowledged FIN). So a connection is detached from its pcb as soon as neither needs the other:
 * when lwIP frees the pcb, when the owner aborts, or when all is said in both directions - the
 * peer's FIN was seen, ours is queued, and every byte that the owner lent is acknowledged. What is
 * left then (our FIN's ACK, TIME_WAIT) lwIP does alone.
 *
 * The receive window belongs to the owner: bytes are credited when stack_consumed() says that they
 * have been passed on (window.c).
 */
#include "receiver.h"
#include "sender.h"

#include "lwip/priv/tcp_priv.h"

#include <string.h>
#include <sys/uio.h>

enum {
	DATA_IOV_MAX = 64,
	WRITE_LEAST = 4096,
	KEEPALIVE_IDLE_MS = 60000,
	KEEPALIVE_INTERVAL_MS = 15000,
	KEEPALIVE_COUNT = 4,
};

static void mark_dirty(struct stack_conn *conn)
{
	clock_touch();
	if (list_empty(&conn->work))
		list_append(&conn->stack->dirty, &conn->work);
}

/* --- life ----------------------------------------------------------------------------------- */

struct stack_conn *conn_create(struct stack *stack, void *user)
{
	struct stack_conn *conn;

	if (stack->stats.conns >= stack->config.conns_max)
		return NULL;
	conn = budget_alloc(stack->config.budget, sizeof(*conn));
	if (conn == NULL)
		return NULL;
	conn->stack = stack;
	conn->user = user;
	list_append(&stack->conns, &conn->all);
	list_init(&conn->work);
	stack->stats.conns++;
	return conn;
}

void conn_destroy(struct stack_conn *conn)
{
	hold_end(conn);
	list_remove(&conn->all);
	list_remove(&conn->work);
	window_end(conn);
	conn->stack->stats.conns--;
	budget_free(conn->stack->config.budget, conn, sizeof(*conn));
}

void conn_detach(struct stack_conn *conn)
{
	tcp_arg(conn->pcb, NULL);
	tcp_recv(conn->pcb, NULL);
	tcp_sent(conn->pcb, NULL);
	tcp_err(conn->pcb, NULL);
	conn->pcb = NULL;
}

void conn_end_later(struct stack_conn *conn, enum stack_end how)
{
	hold_end(conn);
	conn->state = STACK_CONN_ENDING;
	conn->how = (uint8_t)how;
	list_remove(&conn->work);
	list_append(&conn->stack->ending, &conn->work);
}

static void end_now(struct stack_conn *conn, enum stack_end how)
{
	struct stack *stack = conn->stack;
	void *user = conn->user;

	conn_destroy(conn);
	stack->in_event = true;
	stack->config.events->ended(user, how);
	stack->in_event = false;
}

void conn_reap(struct stack *stack)
{
	struct list *node;

	while ((node = list_pop(&stack->ending)) != NULL) {
		struct stack_conn *conn = list_entry(node, struct stack_conn, work);

		end_now(conn, conn->how);
	}
}

void conn_drop(struct stack_conn *conn)
{
	struct tcp_pcb *pcb = conn->pcb;

	if (pcb != NULL) {
		conn_detach(conn);
		tcp_abandon(pcb, 0);
	}
	end_now(conn, STACK_END_RESET);
}

/* All is said in both directions: see the head of this file. */
static void detach_if_done(struct stack_conn *conn)
{
	struct tcp_pcb *pcb = conn->pcb;

	if (!conn->fin_seen || !conn->shut || conn->lent > 0)
		return;
	conn_detach(conn);
	/* From here on lwIP's own time-outs for closed connections apply, and the clock's. */
	tcp_set_flags(pcb, TF_RXCLOSED);
	pcb->tmr = tcp_ticks;
	conn_end_later(conn, STACK_END_CLOSED);
}

/* --- lwIP's callbacks ------------------------------------------------------------------------ */

/* Hands `count` pieces over; false when the owner has no room. */
static bool give_pieces(struct stack_conn *conn, const struct iovec *iov, int count)
{
	bool taken;

	conn->stack->in_event = true;
	taken = conn->stack->config.events->data(conn->user, iov, count);
	conn->stack->in_event = false;
	return taken;
}

/*
 * Gives a chain to the owner, in as many pieces as it has. When the owner stops in the middle, lwIP
 * keeps the whole chain and offers it again: `taken_ahead` says how much of it to skip then.
 */
static bool give_chain(struct stack_conn *conn, const struct pbuf *chain)
{
	/* Not cleared for every packet, as -ftrivial-auto-var-init would: `count` are written. */
	struct iovec iov[DATA_IOV_MAX] __attribute__((uninitialized));
	uint32_t skip = conn->taken_ahead, len = 0;
	int count = 0;

	for (const struct pbuf *part = chain; part != NULL; part = part->next) {
		uint32_t skipped = LWIP_MIN(skip, part->len);

		skip -= skipped;
		iov[count++] = (struct iovec){(uint8_t *)part->payload + skipped,
					      part->len - skipped};
		len += part->len - skipped;
		if (count < DATA_IOV_MAX && part->next != NULL)
			continue;
		if (!give_pieces(conn, iov, count))
			return false;
		conn->taken_ahead += len;
		count = 0;
		len = 0;
	}
	conn->taken_ahead = 0;
	return true;
}

static err_t on_fin(struct stack_conn *conn)
{
	struct stack *stack = conn->stack;

	conn->fin_seen = true;
	stack->in_event = true;
	stack->config.events->fin(conn->user);
	stack->in_event = false;
	detach_if_done(conn);
	return ERR_OK;
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *chain, err_t err)
{
	struct stack_conn *conn = arg;

	(void)err;
	if (chain == NULL)
		return on_fin(conn);
	if (give_chain(conn, chain)) {
		pbuf_free(chain);
		return ERR_OK;
	}
	if (pcb->state == ESTABLISHED || pcb->state == FIN_WAIT_1 || pcb->state == FIN_WAIT_2)
		return ERR_MEM; /* lwIP keeps it and offers it again */
	/* With its FIN behind it, it would not be offered again in every state: no silent loss. */
	pbuf_free(chain);
	conn_detach(conn);
	conn_end_later(conn, STACK_END_RESET);
	tcp_abort(pcb);
	return ERR_ABRT;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct stack_conn *conn = arg;

	(void)pcb;
	CHECK(len <= conn->lent);
	conn->lent -= len;
	conn->stack->in_event = true;
	conn->stack->config.events->acked(conn->user, len);
	conn->stack->in_event = false;
	detach_if_done(conn);
	return ERR_OK;
}

void conn_drained(struct tcp_pcb *pcb)
{
	struct stack_conn *conn = pcb->callback_arg;

	pcb->sender.low_water = 0;
	conn->stack->in_event = true;
	conn->stack->config.events->drained(conn->user);
	conn->stack->in_event = false;
}

/* lwIP has freed, or is about to free, the pcb. */
static void on_error(void *arg, err_t err)
{
	struct stack_conn *conn = arg;
	enum stack_end how = STACK_END_TIMEOUT; /* ERR_ABRT: lwIP gave up */

	conn->pcb = NULL;
	if (err == ERR_CLSD)
		how = conn->fin_seen ? STACK_END_CLOSED : STACK_END_RESET;
	else if (err == ERR_RST)
		how = conn->state == STACK_CONN_OPENING ? STACK_END_REFUSED : STACK_END_RESET;
	end_now(conn, how);
}

void conn_attach(struct stack_conn *conn, struct tcp_pcb *pcb)
{
	conn->pcb = pcb;
	tcp_arg(pcb, conn);
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_nagle_disable(pcb);
	ip_set_option(pcb, SOF_KEEPALIVE);
	pcb->keep_idle = KEEPALIVE_IDLE_MS;
	pcb->keep_intvl = KEEPALIVE_INTERVAL_MS;
	pcb->keep_cnt = KEEPALIVE_COUNT;
}

/* --- the owner's calls ------------------------------------------------------------------------ */

size_t stack_write(struct stack_conn *conn, const uint8_t *bytes, size_t len)
{
	CHECK(!conn->stack->in_event && !conn->shut);
	if (conn->state != STACK_CONN_OPEN)
		return 0;
	len = LWIP_MIN(len, LWIP_MIN(STACK_WRITE_MAX, tcp_sndbuf(conn->pcb)));
	if (len == 0)
		return 0;
	if (tcp_write(conn->pcb, bytes, (u16_t)len, 0) != ERR_OK) {
		/* lwIP takes all or nothing; when memory is short, a little goes on. */
		len = LWIP_MIN(len, WRITE_LEAST);
		if (tcp_write(conn->pcb, bytes, (u16_t)len, 0) != ERR_OK)
			return 0;
	}
	conn->lent += (uint32_t)len;
	receiver_answered(conn->pcb);
	mark_dirty(conn);
	return len;
}

uint16_t stack_segment(const struct stack_conn *conn)
{
	return conn->state == STACK_CONN_OPEN ? conn->pcb->mss : UINT16_MAX;
}

size_t stack_unsent(const struct stack_conn *conn)
{
	return conn->state == STACK_CONN_OPEN ? conn->pcb->snd_lbb - conn->pcb->snd_nxt : 0;
}

void stack_await(struct stack_conn *conn, uint32_t below)
{
	if (conn->state == STACK_CONN_OPEN && stack_unsent(conn) >= below)
		conn->pcb->sender.low_water = below;
}

void stack_had_nothing(struct stack_conn *conn)
{
	if (conn->state == STACK_CONN_OPEN)
		sender_waited(conn->pcb);
}

void stack_consumed(struct stack_conn *conn, size_t len)
{
	CHECK(!conn->stack->in_event);
	if (conn->state != STACK_CONN_OPEN)
		return;
	clock_touch();
	window_consumed(conn, len);
}

void stack_shutdown(struct stack_conn *conn)
{
	CHECK(!conn->stack->in_event && !conn->shut);
	if (conn->state != STACK_CONN_OPEN)
		return;
	conn->shut = true;
	if (conn->fin_seen)
		port_rest(conn->pcb->local_port);
	clock_touch();
	tcp_shutdown(conn->pcb, 0, 1); /* ERR_MEM: lwIP tries again by itself */
	detach_if_done(conn);
}

void stack_abort(struct stack_conn *conn)
{
	struct tcp_pcb *pcb = conn->pcb;

	CHECK(!conn->stack->in_event);
	if (conn->state == STACK_CONN_HELD)
		hold_refuse(conn);
	if (conn->state == STACK_CONN_ENDING)
		return;
	conn_detach(conn);
	tcp_abort(pcb);
	conn_end_later(conn, STACK_END_RESET);
}

void conn_output(struct stack *stack)
{
	struct list *node;

	while ((node = list_pop(&stack->dirty)) != NULL)
		tcp_output(list_entry(node, struct stack_conn, work)->pcb);
}
