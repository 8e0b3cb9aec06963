// SPDX-License-Identifier: MIT
/*
 * Which connection a packet is for: those that lwIP holds, in TIME_WAIT or not, by addresses and
 * ports, in chains of a hash table that has about as many chains as there may be connections.
 *
 * Most of what is hashed is chosen by peers, and must not let them choose that all of theirs share
 * a chain. So the hash is strongly universal: a sum of products of its words and random keys,
 * modulo 2^64, of which the upper half is taken (Lemire and Kaser, "Strongly universal string
 * hashing is fast", section 2). Two given connections collide with a probability of one in
 * CHAINS, whichever they are, for everybody who does not know the keys.
 *
 * With many connections, most of a packet's time goes into waiting for its connection's memory. It
 * is told of ahead, while the packet before it is worked on (demux_expect).
 */
#include "inside.h"

#include "lwip/priv/tcp_priv.h"

#include <string.h>

enum {
	CHAIN_BITS = 14,
	CHAINS = 1 << CHAIN_BITS,
	IP_WORDS_MAX = 4,
	KEYS = 2 + 2 * IP_WORDS_MAX,
	CACHE_LINE = 64,
};

/* RFC 791 and 8200: where the source address is; destination and ports follow, without options. */
enum { IP4_FROM_AT = 12, IP6_FROM_AT = 8 };

static struct tcp_pcb *chains[CHAINS];
static uint64_t keys[KEYS];

static void draw_keys(void)
{
	for (size_t i = 0; i < KEYS; i++)
		keys[i] = (uint64_t)stack_port_random() << 32 | stack_port_random();
}

/* Addresses of so many words, as they are in a packet; ports as lwIP has them. */
static uint64_t hash_of(const uint32_t *local, const uint32_t *remote, size_t words, uint32_t ports)
{
	uint64_t hash = keys[0] + keys[1] * ports;

	for (size_t i = 0; i < words; i++)
		hash += keys[2 + 2 * i] * local[i] + keys[3 + 2 * i] * remote[i];
	return hash;
}

static struct tcp_pcb **chain_at(uint64_t hash)
{
	return &chains[hash >> (64 - CHAIN_BITS)];
}

static uint32_t both_ports(uint16_t local, uint16_t remote)
{
	return (uint32_t)local << 16 | remote;
}

static struct tcp_pcb **chain_for(const ip_addr_t *local, const ip_addr_t *remote, uint32_t ports)
{
	size_t words = IP_IS_V6(local) ? IP_WORDS_MAX : 1;

	return chain_at(hash_of(ip_2_ip6(local)->addr, ip_2_ip6(remote)->addr, words, ports));
}

void tcp_demux_add(struct tcp_pcb *pcb)
{
	struct tcp_pcb **chain;

	if (keys[0] == 0)
		draw_keys();
	chain = chain_for(&pcb->local_ip, &pcb->remote_ip,
			  both_ports(pcb->local_port, pcb->remote_port));
	pcb->demux_next = *chain;
	pcb->demux_pprev = chain;
	if (*chain != NULL)
		(*chain)->demux_pprev = &pcb->demux_next;
	*chain = pcb;
}

void tcp_demux_remove(struct tcp_pcb *pcb)
{
	if (pcb->demux_pprev == NULL)
		return;
	*pcb->demux_pprev = pcb->demux_next;
	if (pcb->demux_next != NULL)
		pcb->demux_next->demux_pprev = pcb->demux_pprev;
	pcb->demux_pprev = NULL;
}

static void prefetch(const void *memory, size_t len)
{
	const uint8_t *bytes = memory;

	for (size_t i = 0; i < len; i += CACHE_LINE)
		__builtin_prefetch(bytes + i);
	__builtin_prefetch(bytes + len - 1);
}

struct tcp_pcb *tcp_demux_find(const ip_addr_t *local_ip, const ip_addr_t *remote_ip,
			       u16_t local_port, u16_t remote_port, u8_t netif_idx)
{
	struct tcp_pcb *pcb = *chain_for(local_ip, remote_ip, both_ports(local_port, remote_port));

	while (pcb != NULL &&
	       (pcb->remote_port != remote_port || pcb->local_port != local_port ||
		pcb->netif_idx != netif_idx || !ip_addr_eq(&pcb->remote_ip, remote_ip) ||
		!ip_addr_eq(&pcb->local_ip, local_ip)))
		pcb = pcb->demux_next;
	if (pcb != NULL && pcb->callback_arg != NULL)
		prefetch(pcb->callback_arg, sizeof(struct stack_conn));
	return pcb;
}

void demux_flow(struct flow *flow, const uint8_t *packet)
{
	bool v4 = packet[0] >> 4 == 4;
	size_t ip_len = v4 ? sizeof(uint32_t) : IP_WORDS_MAX * sizeof(uint32_t);
	const uint8_t *from = packet + (v4 ? IP4_FROM_AT : IP6_FROM_AT);
	uint8_t type = v4 ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6;
	uint16_t ports[2];

	memset(flow, 0, sizeof(*flow));
	memcpy(&flow->remote, from, ip_len);
	memcpy(&flow->local, from + ip_len, ip_len);
	IP_SET_TYPE_VAL(flow->remote, type);
	IP_SET_TYPE_VAL(flow->local, type);
	memcpy(ports, from + 2 * ip_len, sizeof(ports));
	flow->remote_port = lwip_ntohs(ports[0]);
	flow->local_port = lwip_ntohs(ports[1]);
}

/* Of a TCP packet on its way in. */
static uint64_t hash_packet(const uint8_t *packet)
{
	bool v4 = packet[0] >> 4 == 4;
	size_t words = v4 ? 1 : IP_WORDS_MAX, ip_len = words * sizeof(uint32_t);
	const uint8_t *from = packet + (v4 ? IP4_FROM_AT : IP6_FROM_AT);
	uint32_t remote[IP_WORDS_MAX], local[IP_WORDS_MAX];
	uint16_t ports[2];

	memcpy(remote, from, ip_len);
	memcpy(local, from + ip_len, ip_len);
	memcpy(ports, from + 2 * ip_len, sizeof(ports));
	return hash_of(local, remote, words,
		       both_ports(lwip_ntohs(ports[1]), lwip_ntohs(ports[0])));
}

void demux_expect(const uint8_t *packet)
{
	struct tcp_pcb *pcb = *chain_at(hash_packet(packet));

	if (pcb != NULL)
		prefetch(pcb, sizeof(*pcb));
}

uint32_t demux_hash(const uint8_t *packet)
{
	if (keys[0] == 0)
		draw_keys();
	return (uint32_t)(hash_packet(packet) >> 32);
}

void demux_drop(const struct netif *netif)
{
	uint8_t index = netif_get_index(netif);

	for (size_t i = 0; i < CHAINS; i++) {
		struct tcp_pcb *next;

		for (struct tcp_pcb *pcb = chains[i]; pcb != NULL; pcb = next) {
			next = pcb->demux_next;
			if (pcb->netif_idx == index)
				tcp_abandon(pcb, 0);
		}
	}
}
