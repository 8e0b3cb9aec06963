// SPDX-License-Identifier: MIT
/*
 * SYNs that are held. Whether a connection can be had is known only when its owner has reached the
 * other side; until then the peer gets no answer, as from any host that takes its time. A copy of
 * the SYN, headers and options, is kept, and given to lwIP by stack_answer() as if it came just
 * then, or answered with RST by stack_abort().
 *
 *	SYN --offered()--> HELD --stack_answer()--> ANSWERED --the peer's ACK, connected()--> OPEN
 *
 * The peer sends its SYN again and again meanwhile: the copy is always of the latest, whose sequence
 * number and options are those that the peer goes by. What lwIP has a connection for goes to lwIP,
 * but for a new SYN on an old one in TIME_WAIT (RFC 9293, section 3.10.7.4, the MAY), which waits
 * like any other.
 *
 * Strangers fill this table: what is in it counts as a connection, is paid for from the budget, and
 * its owner gives up on it in time. Of all connections some are kept from those that are half open.
 * A SYN that finds no room is dropped without a word: TCP sends it again.
 */
#include "inside.h"

#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"

#include <string.h>

/* RFC 791, 8200 and 9293: the filter lets no IP options in. */
enum {
	IP4_LEN = 20,
	IP4_LEN_AT = 2,
	IP6_LEN = 40,
	IP6_LEN_AT = 4,
	TCP_LEN_MIN = 20,
	TCP_LEN_MAX = 60,
	HELD_MAX = IP6_LEN + TCP_LEN_MAX,
};

struct held {
	struct stack_conn *conn;
	struct held *next;   /* in its chain */
	uint32_t seq, end;   /* its sequence number, and the one behind it and its bytes */
	uint8_t headers_len; /* IP and TCP */
	uint8_t packet[HELD_MAX];
};

/* A TCP packet as far as this file looks at it. */
struct seen {
	const uint8_t *packet;
	uint8_t ip_len, headers_len;
	uint8_t flags;
	uint32_t seq, end;
};

static bool is_v4(const uint8_t *packet)
{
	return packet[0] >> 4 == 4;
}

/* False: nothing that begins or ends what is held, or malformed. */
static bool see(struct seen *seen, const struct pbuf *pbuf)
{
	const uint8_t *packet = pbuf->payload;
	bool v4 = is_v4(packet);
	struct tcp_hdr tcp;

	seen->packet = packet;
	seen->ip_len = v4 ? IP4_LEN : IP6_LEN;
	if ((v4 ? packet[9] : packet[6]) != IP_PROTO_TCP || pbuf->len < seen->ip_len + TCP_LEN_MIN)
		return false;
	memcpy(&tcp, packet + seen->ip_len, sizeof(tcp));
	seen->flags = TCPH_FLAGS(&tcp);
	if ((seen->flags & (TCP_SYN | TCP_RST)) == 0 || TCPH_HDRLEN_BYTES(&tcp) < TCP_LEN_MIN)
		return false;
	seen->headers_len = (uint8_t)(seen->ip_len + TCPH_HDRLEN_BYTES(&tcp));
	if (pbuf->len < seen->headers_len)
		return false;
	seen->seq = lwip_ntohl(tcp.seqno);
	seen->end = seen->seq + pbuf->len - seen->headers_len + 1 + (seen->flags & TCP_FIN);
	return true;
}

static struct tcp_pcb *pcb_of(const struct stack *stack, const struct flow *flow)
{
	return tcp_demux_find(&flow->local, &flow->remote, flow->local_port, flow->remote_port,
			      netif_get_index(&stack->netif));
}

/* --- the table -------------------------------------------------------------------------------- */

static struct held **chain_of(struct stack *stack, const uint8_t *packet)
{
	return &stack->hold.chains[demux_hash(packet) % HOLD_CHAINS];
}

static struct held *find(struct stack *stack, const uint8_t *packet)
{
	struct held *held = *chain_of(stack, packet);

	while (held != NULL && !merge_same_flow(held->packet, packet))
		held = held->next;
	return held;
}

/* Without its bytes: a SYN's need not be taken, and come again (RFC 9293, section 3.10.7.2). */
static void save(struct held *held, const struct seen *seen)
{
	uint16_t ip_len = lwip_htons(seen->headers_len);
	uint16_t ip6_payload = lwip_htons((uint16_t)(seen->headers_len - IP6_LEN));

	memcpy(held->packet, seen->packet, seen->headers_len);
	held->headers_len = seen->headers_len;
	held->seq = seen->seq;
	held->end = seen->end;
	if (is_v4(held->packet))
		memcpy(held->packet + IP4_LEN_AT, &ip_len, sizeof(ip_len));
	else
		memcpy(held->packet + IP6_LEN_AT, &ip6_payload, sizeof(ip6_payload));
}

static void drop_copy(struct stack_conn *conn)
{
	struct held *held = conn->held;
	struct held **at;

	if (held == NULL)
		return;
	for (at = chain_of(conn->stack, held->packet); *at != held;)
		at = &(*at)->next;
	*at = held->next;
	conn->held = NULL;
	budget_free(conn->stack->config.budget, held, sizeof(*held));
}

void hold_end(struct stack_conn *conn)
{
	if (conn->state != STACK_CONN_HELD && conn->state != STACK_CONN_ANSWERED)
		return;
	drop_copy(conn);
	conn->stack->hold.half_open--;
}

static bool add(struct stack_conn *conn, const struct seen *seen)
{
	struct held *held = budget_alloc(conn->stack->config.budget, sizeof(*held));
	struct held **chain;

	if (held == NULL)
		return false;
	save(held, seen);
	chain = chain_of(conn->stack, held->packet);
	held->conn = conn;
	held->next = *chain;
	*chain = held;
	conn->held = held;
	conn->state = STACK_CONN_HELD;
	conn->stack->hold.half_open++;
	return true;
}

/* --- what comes in ---------------------------------------------------------------------------- */

static void refuse(struct stack *stack, const uint8_t *packet, uint32_t end)
{
	struct flow flow;

	/* RFC 9293, section 3.10.7.1. */
	demux_flow(&flow, packet);
	tcp_rst_netif(&stack->netif, 0, end, &flow.local, &flow.remote, flow.local_port,
		      flow.remote_port);
}

static bool offer(struct stack_conn *conn, const uint8_t *packet)
{
	struct stack *stack = conn->stack;
	struct flow flow;
	struct addr from = {.family = is_v4(packet) ? ADDR_V4 : ADDR_V6};

	demux_flow(&flow, packet);
	memcpy(from.ip, &flow.remote, addr_ip_len(from.family));
	from.port = flow.remote_port;
	stack->in_event = true;
	conn->user = stack->config.events->offered(stack->config.events_ctx, conn, &from);
	stack->in_event = false;
	return conn->user != NULL;
}

static void begin(struct stack *stack, const struct seen *seen)
{
	uint32_t conns_max = stack->config.conns_max;
	struct stack_conn *conn;

	if (stack->hold.half_open >= conns_max - conns_max / 4) {
		stack->stats.rx_syns_dropped++;
		return;
	}
	conn = conn_create(stack, NULL);
	if (conn != NULL && !add(conn, seen)) {
		conn_destroy(conn);
		stack->stats.rx_no_memory++;
		return;
	}
	if (conn != NULL && offer(conn, seen->packet))
		return;
	if (conn != NULL)
		conn_destroy(conn);
	stack->stats.refused++;
	refuse(stack, seen->packet, seen->end);
}

static bool is_for_listener(const struct stack *stack, const struct flow *flow)
{
	for (size_t i = 0; i < STACK_ADDRS_MAX; i++) {
		const struct tcp_pcb *listener = stack->listeners[i];

		if (listener != NULL && listener->local_port == flow->local_port &&
		    ip_addr_eq(&listener->local_ip, &flow->local))
			return true;
	}
	return false;
}

/* A connection that could begin: for the listener, and nothing of lwIP's. */
static bool is_new(const struct stack *stack, const struct seen *seen)
{
	const struct tcp_pcb *pcb;
	struct flow flow;

	demux_flow(&flow, seen->packet);
	if (!is_for_listener(stack, &flow) || ip_addr_ismulticast(&flow.remote) ||
	    ip_addr_isany(&flow.remote))
		return false;
	pcb = pcb_of(stack, &flow);
	return pcb == NULL || (pcb->state == TIME_WAIT && TCP_SEQ_GT(seen->seq, pcb->rcv_nxt));
}

/* The peer does not want it any more. A guess that misses is dropped. */
static void cancel(struct held *held, const struct seen *seen)
{
	struct stack_conn *conn = held->conn;

	if (TCP_SEQ_BETWEEN(seen->seq, held->seq + 1, held->end))
		conn_end_later(conn, STACK_END_RESET);
	else
		conn->stack->stats.rx_dropped++;
}

bool hold_takes(struct stack *stack, const struct pbuf *pbuf)
{
	struct held *held;
	struct seen seen;

	if (!stack->config.hold_syns || !see(&seen, pbuf))
		return false;
	held = find(stack, seen.packet);
	if (held != NULL && (seen.flags & TCP_RST) != 0)
		cancel(held, &seen);
	else if ((seen.flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return false;
	else if (held != NULL)
		save(held, &seen);
	else if (is_new(stack, &seen))
		begin(stack, &seen);
	else
		return false;
	return true;
}

/* --- the owner's answer ------------------------------------------------------------------------- */

void hold_refuse(struct stack_conn *conn)
{
	clock_touch();
	refuse(conn->stack, conn->held->packet, conn->held->end);
	conn_end_later(conn, STACK_END_RESET);
}

void hold_refuse_all(struct stack *stack)
{
	for (size_t i = 0; i < HOLD_CHAINS; i++) {
		while (stack->hold.chains[i] != NULL)
			hold_refuse(stack->hold.chains[i]->conn);
	}
}

/* lwIP's connection for the SYN, which it gets now; NULL: it would not have one. */
static struct tcp_pcb *let_in(struct stack *stack, const struct held *held)
{
	struct pbuf *pbuf;
	struct tcp_pcb *pcb;
	struct flow flow;

	if (!has_room(stack))
		return NULL; /* lwIP would make room by killing another connection */
	pbuf = pbuf_alloc(PBUF_RAW, held->headers_len, PBUF_RAM);
	if (pbuf == NULL)
		return NULL;
	memcpy(pbuf->payload, held->packet, held->headers_len);
	clock_touch();
	ip_input(pbuf, &stack->netif);
	demux_flow(&flow, held->packet);
	pcb = pcb_of(stack, &flow);
	return pcb != NULL && pcb->state == SYN_RCVD ? pcb : NULL;
}

bool stack_answer(struct stack_conn *conn)
{
	struct tcp_pcb *pcb;

	CHECK(!conn->stack->in_event);
	if (conn->state != STACK_CONN_HELD)
		return true; /* ended() is due */
	pcb = let_in(conn->stack, conn->held);
	if (pcb == NULL)
		return false;
	drop_copy(conn);
	conn->state = STACK_CONN_ANSWERED;
	conn_attach(conn, pcb);
	return true;
}
