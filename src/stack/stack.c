// SPDX-License-Identifier: MIT
/*
 * The interface between lwIP and the tunnel, and the turn of the stack.
 *
 * Inward, a packet that lies in a receive buffer is given to lwIP as a custom pbuf that points at
 * it: lwIP usually is done with it before stack_input() returns. Only what arrives out of order
 * stays, and then pins its buffer (buf_hold) - or is copied, when buffers are scarce, so that one
 * gap in one connection cannot stop the tunnel.
 *
 * Outward, lwIP's segments are chains: a header of its own and bytes that their owner lends. They
 * are gathered into the room that the caller gives, once, and lwIP keeps its chain for a
 * retransmission. When there is no room, lwIP is told ERR_MEM: the segment stays on its queue, and
 * the next turn tries again (tcp_txnow). Nothing is lost and no timer is waited for.
 *
 * lwIP is global state: its list of connections, its clock, its memory. Several stacks in one
 * process (the tests have two that face each other) share it, and tell their packets apart by
 * binding each connection to its interface.
 */
#include "receiver.h"
#include "sender.h"

#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A pbuf that points into a receive buffer. */
struct lent_pbuf {
	struct pbuf_custom custom;
	struct buf *home;
};

static void lent_pbuf_free(struct pbuf *pbuf)
{
	struct lent_pbuf *lent = (struct lent_pbuf *)(void *)pbuf;

	buf_drop(lent->home);
	mem_free(lent);
}

static struct pbuf *wrap_packet(const struct dgram *packet)
{
	struct lent_pbuf *lent = mem_malloc(sizeof(*lent));

	if (lent == NULL)
		return NULL;
	lent->custom.custom_free_function = lent_pbuf_free;
	lent->home = packet->home;
	buf_hold(packet->home);
	return pbuf_alloced_custom(PBUF_RAW, (u16_t)packet->len, PBUF_REF, &lent->custom,
				   packet->data, (u16_t)packet->len);
}

static struct pbuf *copy_packet(const struct dgram *packet)
{
	struct pbuf *pbuf = pbuf_alloc(PBUF_RAW, (u16_t)packet->len, PBUF_RAM);

	if (pbuf != NULL)
		memcpy(pbuf->payload, packet->data, packet->len);
	return pbuf;
}

static void take_packet(struct stack *stack, const struct dgram *packet, bool may_lend)
{
	enum filter_kind kind = packet->len > UINT16_MAX ? FILTER_OUT : filter(packet);
	struct pbuf *pbuf;

	stack->stats.rx_packets++;
	if (kind == FILTER_OUT) {
		stack->stats.rx_dropped++;
		return;
	}
	if (kind == FILTER_ICMP && pmtu_takes(stack, packet))
		return;
	if (!has_room(stack) && filter_wants_memory(packet)) {
		stack->stats.rx_no_memory++;
		return;
	}
	pbuf = may_lend ? wrap_packet(packet) : copy_packet(packet);
	if (pbuf == NULL) {
		stack->stats.rx_no_memory++;
		return;
	}
	merge_input(stack, pbuf);
}

void stack_input(struct stack *stack, const struct dgram *packets, size_t count, bool may_lend)
{
	CHECK(!stack->in_event);
	if (count == 0)
		return;
	clock_touch();
	for (size_t i = 0; i < count; i++)
		take_packet(stack, &packets[i], may_lend);
	merge_flush(stack);
}

/* Of the segment that comes to send_packet() next. */
static bool had_left_before;

/* Keep-alives and probes of a closed window repeat old numbers, too, but are of one piece. */
void stack_port_segment(const struct pbuf *segment, const struct tcp_hdr *header,
			const struct tcp_pcb *pcb)
{
	had_left_before = false;
	if (pcb == NULL)
		return;
	if (segment->next != NULL || (TCPH_FLAGS(header) & (TCP_SYN | TCP_FIN)) != 0)
		had_left_before = sender_had_left(pcb, header);
}

static err_t send_packet(struct netif *netif, struct pbuf *chain)
{
	struct stack *stack = netif->state;
	uint8_t *room = stack->config.room(stack->config.out_ctx, chain->tot_len);
	bool again = had_left_before;

	had_left_before = false;
	if (room == NULL) {
		stack->blocked = true;
		return ERR_MEM;
	}
	pbuf_copy_partial(chain, room, chain->tot_len, 0);
	stack->stats.tx_packets++;
	stack->stats.tx_retransmitted += again;
	stack->config.push(stack->config.out_ctx, room, chain->tot_len);
	return ERR_OK;
}

static err_t send_packet4(struct netif *netif, struct pbuf *chain, const ip4_addr_t *to)
{
	(void)to;
	return send_packet(netif, chain);
}

static err_t send_packet6(struct netif *netif, struct pbuf *chain, const ip6_addr_t *to)
{
	(void)to;
	return send_packet(netif, chain);
}

static err_t setup_interface(struct netif *netif)
{
	struct stack *stack = netif->state;

	netif->name[0] = 'w';
	netif->name[1] = 'g';
	netif->mtu = stack->config.mtu;
	netif->output = send_packet4;
	netif->output_ip6 = send_packet6;
	return ERR_OK;
}

static void add_interface(struct stack *stack)
{
	ip4_addr_t ip = {0}, mask, gateway = {0};
	ip6_addr_t ip6;
	const struct addr *v6 = NULL;

	for (size_t i = 0; i < stack->config.addrs_count; i++) {
		if (stack->config.addrs[i].family == ADDR_V4)
			memcpy(&ip, stack->config.addrs[i].ip, sizeof(ip));
		else
			v6 = &stack->config.addrs[i];
	}
	ip4_addr_set_u32(&mask, IPADDR_BROADCAST); /* a /32: no neighbours, no broadcast */
	netif_add(&stack->netif, &ip, &mask, &gateway, stack, setup_interface, ip_input);
	if (v6 != NULL) {
		memset(&ip6, 0, sizeof(ip6));
		memcpy(ip6.addr, v6->ip, sizeof(ip6.addr));
		netif_ip6_addr_set(&stack->netif, 0, &ip6);
		netif_ip6_addr_set_state(&stack->netif, 0, IP6_ADDR_PREFERRED);
	}
	netif_set_default(&stack->netif);
	netif_set_up(&stack->netif);
	netif_set_link_up(&stack->netif);
}

struct stack *stack_of(const struct tcp_pcb *pcb)
{
	return netif_get_by_index(pcb->netif_idx)->state;
}

struct stack *stack_new(const struct stack_config *config, uint64_t now_ns)
{
	static bool lwip_ready;
	struct stack *stack = calloc(1, sizeof(*stack));

	if (stack == NULL)
		return NULL;
	stack->config = *config;
	stack->stats.mtu = config->mtu;
	list_init(&stack->conns);
	list_init(&stack->dirty);
	list_init(&stack->ending);
	port_bind(config->budget, config->random, config->out_ctx);
	if (!lwip_ready) {
		lwip_init();
		identity_init(config->random, config->out_ctx);
	}
	lwip_ready = true;
	clock_advance(now_ns);
	sender_use(config->congestion);
	add_interface(stack);
	return stack;
}

static void close_listeners(struct stack *stack)
{
	for (size_t i = 0; i < STACK_ADDRS_MAX; i++) {
		if (stack->listeners[i] != NULL)
			tcp_close(stack->listeners[i]);
		stack->listeners[i] = NULL;
	}
}

void stack_free(struct stack *stack)
{
	CHECK(!stack->in_event);
	close_listeners(stack);
	while (!list_empty(&stack->conns))
		conn_drop(list_entry(stack->conns.next, struct stack_conn, all));
	demux_drop(&stack->netif);
	netif_remove(&stack->netif);
	port_trim(true);
	free(stack);
}

static struct tcp_pcb *listen_on(struct stack *stack, const struct addr *addr, uint16_t port)
{
	struct tcp_pcb *pcb, *listener;
	ip_addr_t ip;

	addr_to_lwip(addr, &ip);
	pcb = tcp_new_ip_type(IP_GET_TYPE(&ip));
	if (pcb == NULL)
		return NULL;
	if (tcp_bind(pcb, &ip, port) != ERR_OK) {
		tcp_abort(pcb);
		return NULL;
	}
	tcp_bind_netif(pcb, &stack->netif);
	listener = tcp_listen_with_backlog(pcb,
					   (u16_t)LWIP_MIN(stack->config.conns_max, UINT16_MAX));
	if (listener == NULL) {
		tcp_abort(pcb);
		return NULL;
	}
	tcp_arg(listener, stack);
	tcp_accept(listener, conn_accept);
	return listener;
}

int stack_listen(struct stack *stack, uint16_t port)
{
	CHECK(stack->listeners[0] == NULL);
	for (size_t i = 0; i < stack->config.addrs_count; i++) {
		stack->listeners[i] = listen_on(stack, &stack->config.addrs[i], port);
		if (stack->listeners[i] == NULL) {
			stack_unlisten(stack);
			return -ENOMEM;
		}
	}
	return 0;
}

void stack_unlisten(struct stack *stack)
{
	CHECK(!stack->in_event);
	close_listeners(stack);
	hold_refuse_all(stack);
}

void stack_advance(struct stack *stack, uint64_t now_ns)
{
	CHECK(!stack->in_event);
	clock_advance(now_ns);
	pmtu_advance(stack);
}

void stack_turn(struct stack *stack)
{
	CHECK(!stack->in_event);
	if (stack->blocked) {
		stack->blocked = false;
		tcp_txnow();
	}
	conn_output(stack);
	pcb_clock_run(clock_now_ns());
	conn_reap(stack);
}

uint64_t stack_deadline(const struct stack *stack)
{
	if (!list_empty(&stack->ending) || !list_empty(&stack->dirty))
		return 0;
	return LWIP_MIN(clock_deadline(), pcb_clock_deadline());
}

const struct stack_stats *stack_stats(const struct stack *stack)
{
	return &stack->stats;
}
