// SPDX-License-Identifier: MIT
/*
 * How large packets may be that arrive at the other end. WG_MTU says what the tunnel is to carry, and
 * each connection's segments begin at that, or at what the peer wants if that is less. Two things may
 * show that it is too much.
 *
 * A router behind the tunnel says so (ICMP "fragmentation needed", ICMPv6 "packet too big"). Anybody
 * can claim that. It is believed when it quotes a segment of ours that is under way, and larger than
 * what it says would pass (RFC 5927); and if segments as large as that have arrived before, only after
 * the next timeout, because then one is lost indeed. Nobody makes packets smaller than RFC 791 and RFC
 * 8200 promise to carry.
 *
 * Or nobody says anything: what is too large vanishes (a black hole), while handshakes and requests pass,
 * and each large answer hangs. When the same large segment has timed out twice, or four times where as
 * large ones had arrived before, it is cut to the next smaller of a few usual sizes, as are all behind
 * it (the idea of RFC 4821 and RFC 8899). When that arrives, the path is too narrow for what went before.
 * Not so when the whole original had arrived after all, nor for a connection that had got as large ones
 * through: the path may have been down for a while. There the next ones are large again, and if they
 * do not arrive either, that is that.
 *
 * What one connection found out holds for the stack, so that the next ones need not: in both
 * directions, as the MSS that we announce shrinks with it. Unless a connection is there that has got
 * larger ones through: then it was loss. After ten minutes, and longer each time, new connections try
 * the full size again (RFC 8899, section 5.1.1: PMTU_RAISE_TIMER).
 */
#include "inside.h"

#include "base/log.h"
#include "base/time.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/icmp.h"
#include "lwip/prot/icmp6.h"
#include "lwip/prot/ip.h"
#include "lwip/prot/ip6.h"

enum {
	TIMEOUTS = 2,	    /* for the same segment, before it is cut */
	TIMEOUTS_DOUBT = 4, /* where as large ones had arrived */
	MTU_MIN_V4 = 576,   /* RFC 791: what each host can receive */
	MTU_MIN_V6 = 1280,  /* RFC 8200, section 5 */
	RAISE_S = 600,
	RAISE_DOUBLED_MAX = 4,
	ICMP_LEN = 8,	/* type, code, checksum; unused, next hop's MTU; then what is quoted */
	QUOTED_MIN = 8, /* of TCP: ports and sequence number (RFC 792) */
};

/* Jumbo frames in halves, WireGuard's default over Ethernet, what IPv6 and IPv4 promise. */
static const uint16_t steps[] = {4352, 1420, 1280, 1024, 576};

/* Of each segment of a connection. */
static uint16_t headers_len(const struct tcp_pcb *pcb)
{
	uint16_t ip_len = IP_IS_V6(&pcb->remote_ip) ? IP6_HLEN : IP_HLEN;

	return (uint16_t)(ip_len + TCP_HLEN + TCP_TIMESTAMP_LEN(pcb));
}

/* The next smaller MTU; 0: there is none. */
static uint16_t step_below(uint32_t packet_len)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (steps[i] < packet_len)
			return steps[i];
	}
	return 0;
}

/* --- segments of another size -------------------------------------------------------------------- */

/* What waits is cut to the new size. False: no memory, the size stays. */
static bool set_mss(struct tcp_pcb *pcb, uint16_t mss)
{
	for (struct tcp_seg *seg = pcb->unsent; seg != NULL; seg = seg->next) {
		if (tcp_split_seg(pcb, seg, mss) != ERR_OK)
			return false;
	}
	pcb->mss = mss;
	return true;
}

/* What is under way, too: all of it is sent again. */
static bool shrink(struct tcp_pcb *pcb, uint16_t mss)
{
	tcp_requeue_unacked(pcb);
	pcb->sender.may_undo = false; /* what arrives twice was cut differently */
	if (!set_mss(pcb, mss))
		return false;
	pcb->cwnd = LWIP_MIN(pcb->cwnd, LWIP_TCP_CALC_INITIAL_CWND(mss));
	pcb->pmtu_passed = pcb->pmtu_failed = pcb->pmtu_claim = 0;
	pcb->pmtu_doubt = false;
	return true;
}

/* Not believed until the segment that it quotes is lost. */
static bool takes_claim(struct tcp_pcb *pcb)
{
	uint16_t claim = pcb->pmtu_claim;

	pcb->pmtu_claim = 0;
	if (claim == 0 || claim >= pcb->mss || TCP_SEQ_LT(pcb->pmtu_claim_seq, pcb->lastack) ||
	    !shrink(pcb, claim))
		return false;
	stack_of(pcb)->stats.pmtu_told++;
	return true;
}

/* What to try when this segment, no larger than the others, does not arrive; 0: the same. */
static uint16_t mss_to_try(const struct tcp_pcb *pcb, uint16_t len)
{
	int patience = pcb->pmtu_passed >= len ? TIMEOUTS_DOUBT : TIMEOUTS;
	uint16_t headers = headers_len(pcb);
	uint16_t mtu = step_below((uint32_t)len + headers);

	if (mtu == 0 || pcb->nrtx < patience || pcb->nrtx % TIMEOUTS != 0)
		return 0;
	return (uint16_t)(mtu - headers);
}

/* One segment of the new size alone: its ACK tells whether it or the original arrived. */
void pmtu_timeout(struct tcp_pcb *pcb)
{
	const struct tcp_seg *head = pcb->unacked;
	uint16_t before = LWIP_MAX(pcb->mss, pcb->pmtu_failed), mss;
	bool doubt;

	/* Who has closed the window drops what comes, however small. */
	if (pcb->state < ESTABLISHED || head == NULL || pcb->snd_wnd == 0 || takes_claim(pcb))
		return;
	doubt = pcb->pmtu_doubt || pcb->pmtu_passed >= head->len;
	mss = head->len > pcb->mss ? pcb->mss : mss_to_try(pcb, head->len);
	if (mss == 0 || !shrink(pcb, mss))
		return;
	pcb->pmtu_failed = before;
	pcb->pmtu_doubt = doubt;
	pcb->cwnd = LWIP_MIN(pcb->cwnd, mss);
}

/* --- what the stack remembers --------------------------------------------------------------------- */

static void set_mtu(struct stack *stack, uint16_t mtu)
{
	stack->stats.mtu = mtu;
	stack->netif.mtu = mtu;
}

/* A connection has got a larger packet through. */
static bool is_contradicted(struct stack *stack, uint16_t mtu)
{
	for (struct list *node = stack->conns.next; node != &stack->conns; node = node->next) {
		const struct tcp_pcb *pcb = list_entry(node, struct stack_conn, all)->pcb;

		if (pcb != NULL && pcb->pmtu_passed + headers_len(pcb) > mtu)
			return true;
	}
	return false;
}

/* Those that are open begin with what they send next. */
static void shrink_others(struct stack *stack, uint16_t mtu)
{
	for (struct list *node = stack->conns.next; node != &stack->conns; node = node->next) {
		struct tcp_pcb *pcb = list_entry(node, struct stack_conn, all)->pcb;

		if (pcb != NULL && pcb->state >= ESTABLISHED && pcb->mss + headers_len(pcb) > mtu)
			set_mss(pcb, (uint16_t)(mtu - headers_len(pcb)));
	}
}

static void remember(struct stack *stack, uint16_t mtu)
{
	uint16_t before = stack->stats.mtu;

	if (mtu >= before || is_contradicted(stack, mtu))
		return;
	set_mtu(stack, mtu);
	shrink_others(stack, mtu);
	stack->mtu_raise_ns = clock_now_ns() + ((uint64_t)RAISE_S * NS_PER_S
						<< LWIP_MIN(stack->mtu_lowered, RAISE_DOUBLED_MAX));
	stack->mtu_lowered++;
	log_event(
		LOG_WARN, LOG_FIELDS({"event", "mtu_lowered"}),
		"packets of %u bytes are lost on the way, those of %u arrive: WG_MTU is too large",
		before, mtu);
}

void pmtu_advance(struct stack *stack)
{
	if (stack->stats.mtu == stack->config.mtu || clock_now_ns() < stack->mtu_raise_ns)
		return;
	set_mtu(stack, stack->config.mtu);
	log_event(LOG_INFO, LOG_FIELDS({"event", "mtu_raised"}),
		  "new connections try packets of %u bytes again", stack->config.mtu);
}

void tcp_pmtu_passed(struct tcp_pcb *pcb, const struct tcp_seg *seg)
{
	uint16_t failed = pcb->pmtu_failed;
	struct stack *stack;

	pcb->pmtu_passed = seg->len;
	if (failed == 0)
		return;
	pcb->pmtu_failed = 0;
	stack = stack_of(pcb);
	/* More than the one segment that was out: the original was late, not lost. */
	if (pcb->pmtu_doubt || pcb->lastack - lwip_ntohl(seg->tcphdr->seqno) > pcb->mss) {
		pcb->pmtu_doubt = false;
		pcb->mss = LWIP_MIN(failed, stack->stats.mtu - headers_len(pcb));
		return;
	}
	stack->stats.pmtu_found++;
	remember(stack, (uint16_t)(pcb->mss + headers_len(pcb)));
}

/* --- what routers say ------------------------------------------------------------------------------ */

/* The claim, and the segment of ours that it quotes. */
struct claim {
	const uint8_t *quoted;
	uint32_t len; /* of what is quoted */
	uint32_t mtu; /* 0: the router does not know (before RFC 1191) */
};

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* The filter has let it in: an IP header without options, and one byte of ICMPv6 at least. */
static bool is_claim(const struct dgram *packet, struct claim *claim)
{
	bool v4 = packet->data[0] >> 4 == 4;
	uint32_t ip_len = v4 ? IP_HLEN : IP6_HLEN;
	const uint8_t *icmp = packet->data + ip_len;

	if (packet->len < ip_len + ICMP_LEN)
		return false;
	if (v4 ? icmp[0] != ICMP_DUR || icmp[1] != ICMP_DUR_FRAG : icmp[0] != ICMP6_TYPE_PTB)
		return false;
	claim->quoted = icmp + ICMP_LEN;
	claim->len = packet->len - ip_len - ICMP_LEN;
	claim->mtu = v4 ? get16(icmp + 6) : get32(icmp + 4);
	return true;
}

static const uint8_t *quoted_tcp(const struct claim *claim)
{
	return claim->quoted + (claim->quoted[0] >> 4 == 4 ? IP_HLEN : IP6_HLEN);
}

static uint32_t quoted_seq(const struct claim *claim)
{
	return get32(quoted_tcp(claim) + 4);
}

/* Whose segment is quoted; NULL: none that is under way. */
static struct tcp_pcb *find_quoted(struct stack *stack, const struct claim *claim)
{
	const uint8_t *ip = claim->quoted;
	struct tcp_pcb *pcb;
	struct flow flow;
	bool v4;
	uint32_t ip_len;

	if (claim->len < IP_HLEN)
		return NULL;
	v4 = ip[0] == 0x45;
	ip_len = v4 ? IP_HLEN : IP6_HLEN;
	if (claim->len < ip_len + QUOTED_MIN || (!v4 && ip[0] >> 4 != 6) ||
	    ip[v4 ? 9 : 6] != IP_PROTO_TCP)
		return NULL;
	demux_flow(&flow, ip);
	pcb = tcp_demux_find(&flow.remote, &flow.local, flow.remote_port, flow.local_port,
			     netif_get_index(&stack->netif));
	if (pcb == NULL || pcb->state < ESTABLISHED || pcb->state == TIME_WAIT ||
	    TCP_SEQ_LT(quoted_seq(claim), pcb->lastack) ||
	    TCP_SEQ_GEQ(quoted_seq(claim), pcb->snd_nxt))
		return NULL;
	return pcb;
}

/* What the quoted packet should have been no longer than; 0: it was not. */
static uint16_t believable_mtu(const struct claim *claim)
{
	bool v4 = claim->quoted[0] >> 4 == 4;
	uint32_t quoted_len = v4 ? get16(claim->quoted + 2) : get16(claim->quoted + 4) + IP6_HLEN;
	uint32_t mtu = claim->mtu != 0 ? claim->mtu : step_below(quoted_len);

	mtu = LWIP_MAX(mtu, v4 ? (uint32_t)MTU_MIN_V4 : (uint32_t)MTU_MIN_V6);
	return mtu < quoted_len ? (uint16_t)mtu : 0;
}

/* Cutting costs: after the first time it must become much smaller, so that it happens a few times. */
static bool is_worth_it(const struct tcp_pcb *pcb, uint16_t mtu)
{
	uint32_t now = pcb->mss + headers_len(pcb);

	return now < stack_of(pcb)->config.mtu ? mtu <= now / 4 * 3 : mtu < now;
}

bool pmtu_takes(struct stack *stack, const struct dgram *packet)
{
	struct claim claim;
	struct tcp_pcb *pcb;
	uint16_t mtu, mss;

	if (!is_claim(packet, &claim))
		return false;
	pcb = find_quoted(stack, &claim);
	mtu = pcb == NULL ? 0 : believable_mtu(&claim);
	if (mtu == 0 || !is_worth_it(pcb, mtu)) {
		stack->stats.pmtu_false++;
		return true;
	}
	mss = (uint16_t)(mtu - headers_len(pcb));
	if (pcb->pmtu_passed > mss) {
		pcb->pmtu_claim = mss;
		pcb->pmtu_claim_seq = quoted_seq(&claim);
	} else if (shrink(pcb, mss)) {
		stack->stats.pmtu_told++;
		tcp_output(pcb);
	}
	return true;
}
