// SPDX-License-Identifier: MIT
/*
 * How much a peer may send unasked.
 *
 * A connection begins with WINDOW_START, less when there are many for the memory. Up to WINDOW_EASY its
 * window doubles each time that as much was consumed: that fills a local path, and little is lost if it
 * was not needed. Beyond, it follows what the path carries (dynamic right-sizing: Fisk and Feng, 2001):
 * twice what was consumed within a round trip, and more while that grows, as the peer may be in slow
 * start. The round trip is the least that our own sender has measured, in the handshake at the latest:
 * with one that includes queues, a window would feed the queues that justify it, and leave the caches.
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

/* What all windows together may promise. */
static size_t promise_max(const struct stack *stack)
{
	return stack->config.budget->limit / 2;
}

/* A window is announced in steps of a segment: of two it opens again. */
static size_t least(const struct stack *stack)
{
	return LWIP_MAX(WINDOW_MIN, 2 * (size_t)stack->config.mtu);
}

static size_t share_of(const struct stack *stack)
{
	return LWIP_MAX(promise_max(stack) / stack->stats.conns, least(stack));
}

static bool is_crowded(const struct stack *stack)
{
	return stack->config.budget->used > promise_max(stack);
}

static size_t unclaimed(const struct stack *stack, size_t most)
{
	return most - LWIP_MIN(most, stack->promised);
}

/* What the next connection may begin with. */
static uint32_t next_start = WINDOW_START;

uint32_t tcp_receiver_window(void)
{
	return next_start;
}

static void set_window(struct stack_conn *conn, uint32_t window)
{
	struct stack *stack = conn->stack;
	size_t share = stack->config.budget->limit / 8 / (stack->stats.conns + 1);

	stack->promised += window;
	stack->promised -= conn->window;
	conn->window = window;
	share = LWIP_MIN(share, unclaimed(stack, promise_max(stack)) / 4);
	next_start = (uint32_t)LWIP_MIN(WINDOW_START, LWIP_MAX(share, least(stack)));
}

void window_begin(struct stack_conn *conn)
{
	set_window(conn, conn->pcb->rcv_wnd); /* what the SYN has said */
	conn->round_ns = clock_now_ns();
}

void window_end(struct stack_conn *conn)
{
	set_window(conn, 0);
}

static uint32_t most_for(const struct stack_conn *conn)
{
	const struct stack *stack = conn->stack;
	size_t free_part = unclaimed(stack, promise_max(stack) / 4 * 3) / 2;
	size_t most = LWIP_MAX(share_of(stack), conn->window + free_part);

	return (uint32_t)LWIP_MIN(most, TCP_WND_MAX(conn->pcb));
}

/*
 * A round trip is over: twice what it has brought. In slow start the next one brings twice as much,
 * and is half over when this is heard of: up to four times more, in proportion to the growth.
 */
static uint32_t wanted_by_path(struct stack_conn *conn, uint64_t rtt_ns, uint64_t spent_ns)
{
	uint64_t brought = conn->round_bytes * rtt_ns / spent_ns;
	uint64_t before = conn->brought, more = 0;

	if (brought > before)
		more = before > 0 ? brought * (brought - before) / before : brought;
	conn->brought = (uint32_t)brought;
	conn->round_bytes = 0;
	conn->round_ns += spent_ns;
	return (uint32_t)LWIP_MIN(2 * brought + 4 * LWIP_MIN(more, brought), UINT32_MAX);
}

/* The window that this connection could use; never less than it has. */
static uint32_t wanted(struct stack_conn *conn)
{
	uint64_t rtt_ns = conn->pcb->sender.min_rtt_us * NS_PER_US;
	uint64_t spent_ns = clock_now_ns() - conn->round_ns;
	uint32_t window = conn->window, by_path = 0;

	if (conn->credited >= window && (window < WINDOW_EASY || rtt_ns == 0)) {
		window = rtt_ns == 0 ? 2 * window : LWIP_MIN(2 * window, WINDOW_EASY);
		conn->credited = 0;
	}
	if (rtt_ns != 0 && spent_ns >= rtt_ns)
		by_path = wanted_by_path(conn, rtt_ns, spent_ns);
	return LWIP_MAX(window, by_path);
}

/* Bytes that the window shrinks by, now that `len` of it could be offered anew. */
static uint32_t give_back(const struct stack_conn *conn, size_t len)
{
	const struct stack *stack = conn->stack;
	size_t share;

	if (!is_crowded(stack) && stack->promised <= promise_max(stack) / 8 * 7)
		return 0;
	share = share_of(stack);
	return conn->window <= share ? 0 : (uint32_t)LWIP_MIN(len / 2, conn->window - share);
}

/* What it wants more, as far as there is memory. */
static uint32_t grow(const struct stack_conn *conn, uint32_t want)
{
	uint32_t most;

	if (want <= conn->window || is_crowded(conn->stack))
		return 0;
	most = most_for(conn);
	want = LWIP_MIN(want, most);
	return want - LWIP_MIN(want, conn->window);
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
	uint32_t less = give_back(conn, len), more;

	conn->credited += (uint32_t)len;
	conn->round_bytes += (uint32_t)len;
	more = grow(conn, wanted(conn));
	if (less > 0)
		more = 0;
	if (less > 0 || more > 0)
		set_window(conn, conn->window + more - less);
	credit(conn, len + more - less);
}
