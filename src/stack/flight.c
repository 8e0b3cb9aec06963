// SPDX-License-Identifier: MIT
/*
 * Where each segment stands that has left and is not acknowledged: under way, lost, or at the
 * receiver, out of order (SACKed, RFC 2018).
 *
 * lwIP's queue `unacked` holds them by sequence number, whatever they are; none moves when it is sent
 * again. Two lists run through them beside it: those under way in the order in which they were last
 * sent, which is the order in which RACK judges them, and those that are lost, by sequence number,
 * in which they are repaired. So what an ACK costs depends on what it tells, not on how much is
 * under way.
 *
 * A SACK block mostly is one that was seen before, a little longer. The last few are remembered with
 * the last segment in each: what was known before is passed over at one step. A receiver that reports
 * others makes nobody walk through all of a large window for each ACK: after WALK_MAX the next one goes
 * on from there.
 */
#include "sender.h"

#include <string.h>

enum { WALK_MAX = 1024 }; /* segments for all blocks of an ACK */

/* What the ACK that is being processed has delivered so far. */
static struct {
	uint32_t delivered;
	uint32_t first_us, last_us; /* sent; of those sent once */
	bool timed;
	/* The one that was sent last: a sample of the delivery rate counts from there. */
	struct tcp_flight newest;
	bool any;
} news;

/* --- lists ---------------------------------------------------------------------------------------- */

static void list_add_behind(struct tcp_flight_list *list, struct tcp_seg *seg, struct tcp_seg *prev)
{
	struct tcp_seg *next = prev == NULL ? list->first : prev->flight.next;

	seg->flight.prev = prev;
	seg->flight.next = next;
	*(prev == NULL ? &list->first : &prev->flight.next) = seg;
	*(next == NULL ? &list->last : &next->flight.prev) = seg;
}

static void list_add_last(struct tcp_flight_list *list, struct tcp_seg *seg)
{
	seg->flight.prev = list->last;
	seg->flight.next = NULL;
	*(list->last == NULL ? &list->first : &list->last->flight.next) = seg;
	list->last = seg;
}

static void list_take(struct tcp_flight_list *list, struct tcp_seg *seg)
{
	struct tcp_flight *flight = &seg->flight;

	*(flight->prev == NULL ? &list->first : &flight->prev->flight.next) = flight->next;
	*(flight->next == NULL ? &list->last : &flight->next->flight.prev) = flight->prev;
}

/* Off its list, out of the counts. */
static void take_off(struct tcp_sender *sender, struct tcp_seg *seg)
{
	switch (seg->flight.state) {
	case FLIGHT_UNDER:
		list_take(&sender->under, seg);
		sender->pipe -= TCP_TCPLEN(seg);
		break;
	case FLIGHT_LOST:
		list_take(&sender->lost, seg);
		break;
	case FLIGHT_SACKED:
		sender->sacked -= TCP_TCPLEN(seg);
		break;
	default:
		break;
	}
	seg->flight.state = FLIGHT_NONE;
}

void flight_sent(struct tcp_pcb *pcb, struct tcp_seg *seg, bool again)
{
	struct tcp_sender *sender = &pcb->sender;
	struct tcp_flight *flight = &seg->flight;
	uint32_t now_us = clock_now_us;

	if (sender->under.first == NULL)
		sender->first_sent_us = sender->delivered_us = now_us;
	if (flight->state != FLIGHT_NONE)
		take_off(sender, seg);
	flight->again = again;
	flight->sent_us = now_us;
	flight->serial = ++sender->serial;
	flight->delivered = sender->delivered;
	flight->delivered_us = sender->delivered_us;
	flight->first_sent_us = sender->first_sent_us;
	flight->app_limited = sender->app_limited != 0;
	flight->state = FLIGHT_UNDER;
	list_add_last(&sender->under, seg);
	sender->pipe += TCP_TCPLEN(seg);
}

/* By sequence number. Mostly it belongs behind all others, or behind the one that was lost just before. */
void flight_lost(struct tcp_pcb *pcb, struct tcp_seg *seg, struct tcp_seg *near)
{
	struct tcp_flight_list *lost = &pcb->sender.lost;
	struct tcp_seg *prev = lost->last;

	take_off(&pcb->sender, seg);
	if (prev != NULL && TCP_SEQ_GT(seg_seq(prev), seg_seq(seg))) {
		struct tcp_seg *next;

		prev = near != NULL && TCP_SEQ_LT(seg_seq(near), seg_seq(seg)) ? near : NULL;
		next = prev != NULL ? prev->flight.next : lost->first;
		for (; TCP_SEQ_LT(seg_seq(next), seg_seq(seg)); next = next->flight.next)
			prev = next;
	}
	seg->flight.state = FLIGHT_LOST;
	list_add_behind(lost, seg, prev);
}

static void forget_blocks(struct tcp_sender *sender)
{
	memset(sender->seen, 0, sizeof(sender->seen));
	sender->walked = NULL;
}

void flight_all_lost(struct tcp_pcb *pcb, bool renege)
{
	struct tcp_seg *near = NULL;

	for (struct tcp_seg *seg = pcb->unacked; seg != NULL; seg = seg->next) {
		if (seg->flight.state == FLIGHT_UNDER ||
		    (renege && seg->flight.state == FLIGHT_SACKED))
			flight_lost(pcb, seg, near);
		if (seg->flight.state == FLIGHT_LOST)
			near = seg;
	}
	if (renege)
		forget_blocks(&pcb->sender);
}

/* --- what is delivered ------------------------------------------------------------------------- */

static void note_delivered(struct tcp_pcb *pcb, const struct tcp_seg *seg)
{
	const struct tcp_flight *flight = &seg->flight;
	uint32_t end = seg_end(seg);

	if (!flight->again) {
		if (!news.timed || is_later(news.first_us, flight->sent_us))
			news.first_us = flight->sent_us;
		if (!news.timed || is_later(flight->sent_us, news.last_us))
			news.last_us = flight->sent_us;
		news.timed = true;
	}
	if (!news.any || is_later(flight->serial, news.newest.serial))
		news.newest = *flight;
	news.any = true;
	news.delivered += TCP_TCPLEN(seg);
	if (TCP_SEQ_GT(end, pcb->sender.fack))
		pcb->sender.fack = end;
	else if (!flight->again)
		pcb->sender.reordering = true; /* RFC 8985, section 6.2, step 3 */
}

void tcp_sender_left(struct tcp_pcb *pcb, struct tcp_seg *seg, bool acked)
{
	if (acked && seg->flight.state != FLIGHT_SACKED && seg->flight.state != FLIGHT_NONE)
		note_delivered(pcb, seg);
	take_off(&pcb->sender, seg);
	if (!acked)
		forget_blocks(&pcb->sender);
	else if (seg == pcb->sender.walked)
		pcb->sender.walked = NULL;
}

/* draft-cheng-iccrg-delivery-rate-estimation: the slower of what was sent and what arrived. */
static void sample_rate(struct tcp_sender *sender, struct ack *ack)
{
	uint32_t sent_us = news.newest.sent_us - news.newest.first_sent_us;
	uint32_t arrived_us = ack->now_us - news.newest.delivered_us;
	uint32_t span_us = LWIP_MAX(sent_us, arrived_us);
	uint32_t bytes = sender->delivered - news.newest.delivered;

	sender->first_sent_us = news.newest.sent_us;
	ack->app_limited = news.newest.app_limited;
	ack->prior_delivered = news.newest.delivered;
	ack->any = true;
	if (span_us >= sender->min_rtt_us && span_us > 0)
		ack->rate = (uint32_t)LWIP_MIN((uint64_t)bytes * 1000000 / span_us, UINT32_MAX);
}

void flight_take_ack(struct tcp_pcb *pcb, struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;

	ack->now_us = clock_now_us;
	ack->delivered = news.delivered;
	if (news.timed) {
		/* A round trip within one turn of the loop is a short one, but not none. */
		ack->rtt_us = LWIP_MAX(ack->now_us - news.last_us, 1);
		ack->rtt_most_us = LWIP_MAX(ack->now_us - news.first_us, 1);
	}
	if (news.any) {
		sender->delivered += news.delivered;
		sender->delivered_us = ack->now_us;
		sample_rate(sender, ack);
		rack_delivered(sender, &news.newest, ack->now_us);
		if (sender->app_limited != 0 && is_later(sender->delivered, sender->app_limited))
			sender->app_limited = 0;
	}
	news.delivered = 0;
	news.timed = news.any = false;
}

/* --- SACK blocks ---------------------------------------------------------------------------------- */

/* A remembered block is of use as long as its last segment is on the queue, and not longer. */
void flight_forget(struct tcp_pcb *pcb)
{
	for (int i = 0; i < TCP_SACKS_MAX; i++) {
		if (TCP_SEQ_LEQ(pcb->sender.seen[i].right, pcb->lastack))
			pcb->sender.seen[i].last = NULL;
	}
}

/* The remembered block that spares most of the way to `left`; NULL: none. */
static const struct tcp_sack_seen *start_for(const struct tcp_pcb *pcb, uint32_t left)
{
	const struct tcp_sack_seen *best = NULL;

	for (int i = 0; i < TCP_SACKS_MAX; i++) {
		const struct tcp_sack_seen *seen = &pcb->sender.seen[i];

		if (seen->last != NULL && TCP_SEQ_LEQ(seen->left, left) &&
		    (best == NULL || TCP_SEQ_GT(seen->right, best->right)))
			best = seen;
	}
	return best;
}

/* The last one of the remembered block that begins with this segment; else itself. */
static struct tcp_seg *skip_seen(const struct tcp_pcb *pcb, struct tcp_seg *seg)
{
	for (int i = 0; i < TCP_SACKS_MAX; i++) {
		const struct tcp_sack_seen *seen = &pcb->sender.seen[i];

		if (seen->last != NULL && seen->left == seg_seq(seg))
			return seen->last;
	}
	return seg;
}

/* In front; those that it covers are of no more use. */
static void remember(struct tcp_pcb *pcb, uint32_t left, uint32_t right, struct tcp_seg *last)
{
	struct tcp_sack_seen *seen = pcb->sender.seen;
	struct tcp_sack_seen kept[TCP_SACKS_MAX] = {{left, right, last}};
	int count = 1;

	for (int i = 0; i < TCP_SACKS_MAX && count < TCP_SACKS_MAX; i++) {
		if (seen[i].last != NULL &&
		    (TCP_SEQ_LT(seen[i].right, left) || TCP_SEQ_GT(seen[i].left, right)))
			kept[count++] = seen[i];
	}
	memcpy(seen, kept, sizeof(kept));
}

/* The segment behind which the search for `left` begins; NULL: the first of all. */
static struct tcp_seg *behind(const struct tcp_pcb *pcb, const struct tcp_sack_seen *start,
			      uint32_t left)
{
	struct tcp_seg *seen = start == NULL ? NULL : start->last, *walked = pcb->sender.walked;

	if (walked == NULL || TCP_SEQ_GT(seg_end(walked), left))
		return seen;
	return seen == NULL || TCP_SEQ_GT(seg_end(walked), seg_end(seen)) ? walked : seen;
}

static void mark_block(struct tcp_pcb *pcb, uint32_t left, uint32_t right, int *steps)
{
	const struct tcp_sack_seen *start = start_for(pcb, left);
	struct tcp_seg *begin = behind(pcb, start, left), *prev = begin, *last = NULL;
	struct tcp_seg *seg = begin == NULL ? pcb->unacked : begin->next;

	if (start != NULL && TCP_SEQ_GEQ(start->right, left)) {
		left = start->left;
		last = start->last;
	}
	for (; seg != NULL && TCP_SEQ_LEQ(seg_end(seg), right); prev = seg, seg = seg->next) {
		if (++*steps > WALK_MAX) {
			if (prev != begin)
				pcb->sender.walked = prev;
			break;
		}
		if (TCP_SEQ_LT(seg_seq(seg), left))
			continue;
		if (seg->flight.state == FLIGHT_SACKED) {
			seg = skip_seen(pcb, seg);
		} else if (seg->flight.state != FLIGHT_NONE) {
			note_delivered(pcb, seg);
			take_off(&pcb->sender, seg);
			seg->flight.state = FLIGHT_SACKED;
			pcb->sender.sacked += TCP_TCPLEN(seg);
		}
		last = seg;
	}
	if (last != NULL && TCP_SEQ_GT(seg_end(last), left))
		remember(pcb, left, seg_end(last), last);
}

/* RFC 2883: the first block lies below what is acknowledged, or within the second. */
static bool is_duplicate(const struct ack *ack, const uint32_t *sacks, int count)
{
	return TCP_SEQ_LEQ(sacks[1], ack->ackno) ||
	       (count > 2 && TCP_SEQ_GEQ(sacks[0], sacks[2]) && TCP_SEQ_LEQ(sacks[1], sacks[3]));
}

void flight_sacks(struct tcp_pcb *pcb, const uint32_t *sacks, int count, struct ack *ack)
{
	int first = 0, steps = 0;

	if (TCP_SEQ_LT(sacks[0], sacks[1]) && is_duplicate(ack, sacks, count)) {
		ack->dsack_bytes = sacks[1] - sacks[0];
		first = 2;
	}
	/* The first one is the newest: taken last, it stays in front. */
	for (int i = count - 2; i >= first; i -= 2) {
		uint32_t left = sacks[i], right = sacks[i + 1];

		if (!TCP_SEQ_LT(left, right) || TCP_SEQ_GT(right, pcb->snd_nxt) ||
		    TCP_SEQ_LEQ(right, pcb->lastack))
			continue;
		if (TCP_SEQ_LT(left, pcb->lastack))
			left = pcb->lastack;
		mark_block(pcb, left, right, &steps);
	}
}
