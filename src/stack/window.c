// SPDX-License-Identifier: MIT
/*
 * How much a peer may send unasked.
 *
 * A connection begins with WINDOW_START. Up to WINDOW_EASY its window doubles each time that as much
 * was consumed: that fills a local path, and little is lost if it was not needed. Beyond, it follows
 * what the path carries (dynamic right-sizing: Fisk and Feng, 2001): twice what was consumed within a
 * round trip, and more while that grows, as the peer may be in slow start. The round trip is the least that our own sender has measured, in the handshake at the latest: with one that
 * includes queues, a window would feed the queues that justify it, and leave the caches.
 *
 * Windows are promises of memory: all together are to be no more than half of the budget. Each
 * connection may have its share of that half, and more while others leave it: half of what is
 * unclaimed. When too much is claimed, or taken, whoever has more than its share gets credit for half
 * of what it consumes, until it has its share. So a right edge that was announced never moves back
 * (RFC 9293, section 3.8.6).
 */
#include "inside.h"

#include "base/time.h"

#include "lwip/priv/tcp_priv.h"

enum {
	WINDOW_START = 65535, /* what a SYN can say without scaling (RFC 7323, section 2.2) */
	WINDOW_MIN = 8192,
	WINDOW_EASY = 1 << 20,
	WINDOW_UPDATE_MAX = 65536,
};

static uint32_t now_us(void)
{
	return (uint32_t)(clock_now_ns() / NS_PER_US);
}

/* What all windows together may promise. */
static size_t promise_max(const struct stack *stack)
{
	return stack->config.budget->limit / 2;
}

static size_t share_of(const struct stack *stack)
{
	return LWIP_MAX(promise_max(stack) / stack->stats.conns, WINDOW_MIN);
}

static bool is_crowded(const struct stack *stack)
{
	return stack->config.budget->used > promise_max(stack);
}

static void set_window(struct stack_conn *conn, uint32_t window)
{
	conn->stack->promised += window;
	conn->stack->promised -= conn->window;
	conn->window = window;
}

/*
 * With window scaling agreed on, lwIP offers all of TCP_WND: take back what nobody has seen yet. With
 * many connections for the memory that there is, what a peer may send unasked is less than usual.
 */
void window_begin(struct stack_conn *conn)
{
	const struct stack *stack = conn->stack;
	struct tcp_pcb *pcb = conn->pcb;
	size_t share = stack->config.budget->limit / 8 / stack->stats.conns;

	set_window(conn, (uint32_t)LWIP_MIN(WINDOW_START, LWIP_MAX(share, WINDOW_MIN)));
	conn->round_us = now_us();
	pcb->rcv_wnd = LWIP_MIN(pcb->rcv_wnd, conn->window);
	pcb->rcv_ann_wnd = LWIP_MIN(pcb->rcv_ann_wnd, conn->window);
	pcb->rcv_ann_right_edge = pcb->rcv_nxt + pcb->rcv_ann_wnd;
}

void window_end(struct stack_conn *conn)
{
	set_window(conn, 0);
}

static uint32_t most_for(const struct stack_conn *conn)
{
	const struct stack *stack = conn->stack;
	size_t use = promise_max(stack) / 4 * 3;
	size_t unclaimed = use - LWIP_MIN(use, stack->promised);
	size_t most = LWIP_MAX(share_of(stack), conn->window + unclaimed / 2);

	return (uint32_t)LWIP_MIN(most, TCP_WND_MAX(conn->pcb));
}

/*
 * A round trip is over: twice what it has brought. In slow start the next one brings twice as much,
 * and is half over when this is heard of: up to four times more, in proportion to the growth.
 */
static uint32_t wanted_by_path(struct stack_conn *conn, uint32_t rtt_us, uint32_t spent_us)
{
	uint64_t brought = (uint64_t)conn->round_bytes * rtt_us / spent_us;
	uint64_t before = conn->brought, more = 0;

	if (brought > before)
		more = before > 0 ? brought * (brought - before) / before : brought;
	conn->brought = (uint32_t)LWIP_MIN(brought, UINT32_MAX);
	conn->round_bytes = 0;
	conn->round_us += spent_us;
	return (uint32_t)LWIP_MIN(2 * brought + 4 * LWIP_MIN(more, brought), UINT32_MAX);
}

/* The window that this connection could use; never less than it has. */
static uint32_t wanted(struct stack_conn *conn)
{
	uint32_t rtt_us = conn->pcb->sender.min_rtt_us;
	uint32_t spent_us = now_us() - conn->round_us;
	uint32_t window = conn->window, by_path = 0;

	if (conn->credited >= window && (window < WINDOW_EASY || rtt_us == 0)) {
		window = rtt_us == 0 ? 2 * window : LWIP_MIN(2 * window, WINDOW_EASY);
		conn->credited = 0;
	}
	if (rtt_us != 0 && spent_us >= rtt_us)
		by_path = wanted_by_path(conn, rtt_us, spent_us);
	return LWIP_MAX(window, by_path);
}

/* Bytes that the window shrinks by, now that `len` of it could be offered anew. */
static uint32_t give_back(const struct stack_conn *conn, size_t len)
{
	const struct stack *stack = conn->stack;
	size_t share = share_of(stack);

	if (conn->window <= share ||
	    (!is_crowded(stack) && stack->promised <= promise_max(stack) / 8 * 7))
		return 0;
	return (uint32_t)LWIP_MIN(len / 2, conn->window - share);
}

/*
 * The peer is told at once of an eighth of its window, for it may wait for that (RFC 9293, section
 * 3.8.6.2.2). Of less it hears with the next segment.
 */
static void credit(struct stack_conn *conn, size_t len)
{
	struct tcp_pcb *pcb = conn->pcb;
	size_t most = TCP_WND_MAX(pcb) - pcb->rcv_wnd;
	uint32_t threshold = LWIP_MIN(conn->window / 8, WINDOW_UPDATE_MAX);

	pcb->rcv_wnd += (uint32_t)LWIP_MIN(len, most);
	if (tcp_update_rcv_ann_wnd(pcb) < threshold)
		return;
	tcp_ack_now(pcb);
	tcp_output(pcb);
}

void window_consumed(struct stack_conn *conn, size_t len)
{
	uint32_t less = give_back(conn, len), window, most;

	conn->credited += (uint32_t)len;
	conn->round_bytes += (uint32_t)len;
	window = wanted(conn);
	if (less > 0) {
		set_window(conn, conn->window - less);
		credit(conn, len - less);
		return;
	}
	most = is_crowded(conn->stack) ? conn->window : most_for(conn);
	window = LWIP_MAX(LWIP_MIN(window, most), conn->window);
	len += window - conn->window;
	set_window(conn, window);
	credit(conn, len);
}
