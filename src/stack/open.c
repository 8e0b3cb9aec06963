// SPDX-License-Identifier: MIT
/*
 * How connections come about: ours by stack_connect(), the peer's by the listener.
 */
#include "inside.h"

#include "lwip/priv/tcp_priv.h"

#include <errno.h>
#include <string.h>

void addr_to_lwip(const struct addr *addr, ip_addr_t *ip)
{
	memset(ip, 0, sizeof(*ip));
	if (addr->family == ADDR_V4) {
		IP_SET_TYPE_VAL(*ip, IPADDR_TYPE_V4);
		memcpy(&ip_2_ip4(ip)->addr, addr->ip, 4);
	} else {
		IP_SET_TYPE_VAL(*ip, IPADDR_TYPE_V6);
		memcpy(ip_2_ip6(ip)->addr, addr->ip, 16);
	}
}

static void addr_from_lwip(struct addr *addr, const ip_addr_t *ip, uint16_t port)
{
	memset(addr, 0, sizeof(*addr));
	addr->port = port;
	addr->family = IP_IS_V6(ip) ? ADDR_V6 : ADDR_V4;
	if (addr->family == ADDR_V6)
		memcpy(addr->ip, ip_2_ip6(ip)->addr, 16);
	else
		memcpy(addr->ip, &ip_2_ip4(ip)->addr, 4);
}

/* --- the peer's ------------------------------------------------------------------------------ */

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct stack_conn *conn = arg;

	(void)pcb;
	(void)err; /* always ERR_OK: failures come to on_error() */
	hold_end(conn);
	conn->state = STACK_CONN_OPEN;
	window_begin(conn);
	conn->stack->in_event = true;
	conn->stack->config.events->connected(conn->user);
	conn->stack->in_event = false;
	return ERR_OK;
}

err_t conn_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct stack *stack = arg;
	struct stack_conn *conn;
	struct addr from;

	if (err != ERR_OK || pcb == NULL) {
		stack->stats.rx_no_memory++;
		return ERR_VAL;
	}
	if (arg != pcb->listener->callback_arg)
		return on_connected(arg, pcb, err); /* it was held, and is known */
	conn = conn_create(stack, NULL);
	if (conn != NULL) {
		addr_from_lwip(&from, &pcb->remote_ip, pcb->remote_port);
		stack->in_event = true;
		conn->user = stack->config.events->accepted(stack->config.events_ctx, conn, &from);
		stack->in_event = false;
	}
	if (conn == NULL || conn->user == NULL) {
		stack->stats.refused++;
		if (conn != NULL)
			conn_destroy(conn);
		return ERR_MEM; /* lwIP answers with RST */
	}
	conn->state = STACK_CONN_OPEN;
	conn_attach(conn, pcb);
	window_begin(conn);
	return ERR_OK;
}

/* --- ours ------------------------------------------------------------------------------------ */

static const struct addr *own_addr(const struct stack *stack, uint8_t family)
{
	for (size_t i = 0; i < stack->config.addrs_count; i++) {
		if (stack->config.addrs[i].family == family)
			return &stack->config.addrs[i];
	}
	return NULL;
}

/* A pcb with our address and a port that leads to this target alone. */
static struct tcp_pcb *new_pcb(struct stack *stack, const struct addr *own, const ip_addr_t *to,
			       uint16_t to_port, int *error)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(own->family == ADDR_V6 ? IPADDR_TYPE_V6
								     : IPADDR_TYPE_V4);

	*error = -ENOBUFS;
	if (pcb == NULL)
		return NULL;
	/* Set, not bound: tcp_bind() would walk all connections to find what port_choose() knows. */
	addr_to_lwip(own, &pcb->local_ip);
	tcp_bind_netif(pcb, &stack->netif);
	pcb->local_port = port_choose(pcb, to, to_port);
	if (pcb->local_port == 0) {
		*error = -EADDRNOTAVAIL;
		tcp_abort(pcb);
		return NULL;
	}
	return pcb;
}

struct stack_conn *stack_connect(struct stack *stack, const struct addr *to, void *user, int *error)
{
	const struct addr *own = own_addr(stack, to->family);
	struct stack_conn *conn;
	struct tcp_pcb *pcb;
	ip_addr_t ip;

	CHECK(!stack->in_event);
	*error = -EAFNOSUPPORT;
	if (own == NULL)
		return NULL;
	*error = -ENOBUFS;
	if (!has_room(stack))
		return NULL; /* lwIP would make room by killing another connection */
	addr_to_lwip(to, &ip);
	pcb = new_pcb(stack, own, &ip, to->port, error);
	if (pcb == NULL)
		return NULL;
	*error = -ENOBUFS;
	conn = conn_create(stack, user);
	if (conn == NULL) {
		tcp_abort(pcb);
		return NULL;
	}
	conn_attach(conn, pcb);
	clock_touch();
	if (tcp_connect(pcb, &ip, to->port, on_connected) != ERR_OK) {
		conn_detach(conn);
		tcp_abort(pcb);
		conn_destroy(conn);
		return NULL;
	}
	return conn;
}
