// SPDX-License-Identifier: MIT
/*
 * Generic receive offload in front of lwIP. What the peer sent as one run of segments arrives as
 * one batch of packets; lwIP would look up the connection, take the window apart and acknowledge for
 * each of them. So consecutive packets that carry on where the last one ended are chained to one
 * large segment before lwIP sees them, with the newest acknowledgement and window among them; of
 * consecutive pure acknowledgements that move forward only the last one is kept.
 *
 * Timestamps (RFC 7323) may be there: those of a chain were sent at one time, and it has the latest
 * echo, which belongs to its acknowledgement.
 *
 * Anything that says more than "here are the next bytes" - another flag, another option, an
 * acknowledgement that repeats or goes back - passes alone, in its place: duplicate
 * acknowledgements, SACK blocks and the order of things are as they were on the wire.
 */
#include "inside.h"

#include "lwip/ip.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"
#include "lwip/prot/tcp.h"

#include <string.h>

/* RFC 791, 8200 and 9293: offsets of what makes a flow, in bytes; the ports follow the addresses. */
enum {
	FLOW4_AT = 12,
	FLOW4_LEN = 12,
	FLOW6_AT = 8,
	FLOW6_LEN = 36,
	TCP_PLAIN_LEN = 20, /* a header without options */
	TCP_TIMED_LEN = 32, /* with timestamps as everybody places them: RFC 7323, appendix A */
};

/* No operation, twice; timestamps, ten bytes; when it was sent; an echo. */
struct timestamps {
	uint32_t head, sent, echo;
} __attribute__((packed));
#define TIMESTAMPS_HEAD PP_HTONL(0x0101080a)

/* An IP packet as large as its length field can say. */
enum { MERGED_MAX = UINT16_MAX };

static struct tcp_hdr *tcp_of(uint8_t *packet)
{
	return (struct tcp_hdr *)(void *)(packet + (packet[0] >> 4 == 4 ? IP_HLEN : IP6_HLEN));
}

static struct timestamps *timestamps_of(struct tcp_hdr *tcp)
{
	return (struct timestamps *)(void *)(tcp + 1);
}

/*
 * A TCP segment that says nothing but its bytes, its acknowledgement, its window and the time. The
 * filter has seen an IP header without options.
 */
static bool parse_plain(struct segment *segment, uint8_t *packet, size_t len)
{
	bool v4 = packet[0] >> 4 == 4;
	size_t header_len = v4 ? IP_HLEN : IP6_HLEN;
	uint8_t protocol = v4 ? IPH_PROTO((struct ip_hdr *)(void *)packet)
			      : IP6H_NEXTH((struct ip6_hdr *)(void *)packet);
	struct tcp_hdr *tcp = tcp_of(packet);
	uint8_t tcp_len;

	if (protocol != IP_PROTO_TCP || len < header_len + TCP_PLAIN_LEN ||
	    (lwip_ntohs(tcp->_hdrlen_rsvd_flags) & 0xfff & ~TCP_PSH) != TCP_ACK)
		return false;
	tcp_len = TCPH_HDRLEN_BYTES(tcp);
	header_len += tcp_len;
	if (len < header_len)
		return false;
	segment->sent = 0;
	if (tcp_len == TCP_TIMED_LEN && timestamps_of(tcp)->head == TIMESTAMPS_HEAD)
		segment->sent = lwip_ntohl(timestamps_of(tcp)->sent);
	else if (tcp_len != TCP_PLAIN_LEN)
		return false;
	segment->packet = packet;
	segment->header_len = (uint16_t)header_len;
	segment->bytes = (uint16_t)(len - header_len);
	segment->seq = lwip_ntohl(tcp->seqno);
	segment->ack = lwip_ntohl(tcp->ackno);
	return true;
}

bool merge_same_flow(const uint8_t *a, const uint8_t *b)
{
	if (a[0] != b[0])
		return false;
	return a[0] >> 4 == 4 ? memcmp(a + FLOW4_AT, b + FLOW4_AT, FLOW4_LEN) == 0
			      : memcmp(a + FLOW6_AT, b + FLOW6_AT, FLOW6_LEN) == 0;
}

/* Of one flow, both with timestamps or both without. */
static bool same_kind(const struct segment *a, const struct segment *b)
{
	return a->header_len == b->header_len && merge_same_flow(a->packet, b->packet);
}

/* The next bytes of the flow that is held, sent at the same time: lwIP judges all by the first. */
static bool carries_on(const struct merge *merge, const struct segment *next)
{
	const struct segment *held = &merge->segment;

	return held->bytes > 0 && next->bytes > 0 && next->seq == held->seq + held->bytes &&
	       (int32_t)(next->ack - held->ack) >= 0 &&
	       held->header_len + held->bytes + next->bytes <= MERGED_MAX &&
	       next->sent == held->sent && same_kind(held, next);
}

/* A pure acknowledgement that says all that the held one does, and more. */
static bool supersedes(const struct merge *merge, const struct segment *next)
{
	const struct segment *held = &merge->segment;

	return held->bytes == 0 && next->bytes == 0 && next->seq == held->seq &&
	       (int32_t)(next->ack - held->ack) > 0 && (int32_t)(next->sent - held->sent) >= 0 &&
	       same_kind(held, next);
}

static void hold(struct merge *merge, const struct segment *segment, struct pbuf *pbuf)
{
	merge->segment = *segment;
	merge->head = merge->tail = pbuf;
}

static void append(struct merge *merge, const struct segment *next, struct pbuf *pbuf)
{
	struct segment *held = &merge->segment;
	struct tcp_hdr *tcp = tcp_of(held->packet), *newer = tcp_of(next->packet);

	if (TCPH_HDRLEN_BYTES(tcp) == TCP_TIMED_LEN)
		timestamps_of(tcp)->echo = timestamps_of(newer)->echo;
	tcp->ackno = newer->ackno;
	tcp->wnd = newer->wnd;
	tcp->_hdrlen_rsvd_flags |= newer->_hdrlen_rsvd_flags; /* PSH may be added */
	held->ack = next->ack;
	held->bytes = (uint16_t)(held->bytes + next->bytes);
	pbuf_remove_header(pbuf, next->header_len);
	merge->tail->next = pbuf;
	merge->tail = pbuf;
}

/* Lengths that a chain and its IP header tell lwIP. */
static void set_lengths(struct merge *merge)
{
	const struct segment *held = &merge->segment;
	uint16_t len = (uint16_t)(held->header_len + held->bytes);

	if (held->packet[0] >> 4 == 4)
		IPH_LEN_SET((struct ip_hdr *)(void *)held->packet, lwip_htons(len));
	else
		IP6H_PLEN_SET((struct ip6_hdr *)(void *)held->packet, len - IP6_HLEN);
	for (struct pbuf *part = merge->head; part != NULL; part = part->next) {
		part->tot_len = len;
		len = (uint16_t)(len - part->len);
	}
}

void merge_flush(struct stack *stack)
{
	struct merge *merge = &stack->merge;
	struct pbuf *head = merge->head;

	if (head == NULL)
		return;
	if (merge->tail != head)
		set_lengths(merge);
	merge->head = merge->tail = NULL;
	ip_input(head, &stack->netif);
}

void merge_input(struct stack *stack, struct pbuf *pbuf)
{
	struct merge *merge = &stack->merge;
	struct segment segment;

	if (!parse_plain(&segment, pbuf->payload, pbuf->len)) {
		merge_flush(stack);
		if (hold_takes(stack, pbuf))
			pbuf_free(pbuf);
		else
			ip_input(pbuf, &stack->netif);
	} else if (merge->head != NULL && carries_on(merge, &segment)) {
		append(merge, &segment, pbuf);
		stack->stats.rx_merged++;
	} else if (merge->head != NULL && supersedes(merge, &segment)) {
		pbuf_free(merge->head);
		hold(merge, &segment, pbuf);
		stack->stats.rx_merged++;
	} else {
		demux_expect(segment.packet);
		merge_flush(stack);
		hold(merge, &segment, pbuf);
	}
}
