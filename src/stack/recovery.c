// SPDX-License-Identifier: MIT
/*
 * What is lost, and what follows from it.
 *
 * RACK (RFC 8985): a segment is lost when one that was sent after it has arrived, and it has not
 * within a round trip and some patience. The patience is none until the path is seen to reorder;
 * then a quarter of the least round trip, and more with each segment that turns out to have been
 * sent twice in vain (D-SACK). What is merely late so far has a timer. When nothing comes behind a
 * lost segment to tell, a probe is sent after two round trips (TLP), and a retransmission timeout
 * (RFC 6298) is the last resort.
 *
 * A loss is repaired in RECOVERY: the window comes down to ssthresh over a round trip, by as many
 * bytes as are delivered (RFC 6937), until all is acknowledged that was under way when it began.
 * After a timeout it is LOSS: all that was under way counts as lost, and the window starts over.
 * When every byte that was sent again is reported to have arrived twice, there was no loss, and the
 * window is what it was before. With timestamps that is known at once: the echo is of the original.
 */
#include "sender.h"

enum {
	DUP_THRESH = 3, /* RFC 5681 */
	REO_MULT_MAX = 20,
	REO_PERSIST = 16, /* recoveries */
	PROBE_MIN_US = 10 * 1000,
	DELAYED_ACK_US = 200 * 1000,   /* RFC 8985, section 7.2: WCDelAckT */
	RTO_MAX_US = 60 * 1000 * 1000, /* RFC 6298, (2.5) */
	BACKOFF_MAX = 8,
};

/* --- RACK ------------------------------------------------------------------------------------------- */

void rack_delivered(struct tcp_sender *sender, const struct tcp_flight *newest, uint32_t now_us)
{
	uint32_t rtt_us = now_us - newest->sent_us;

	/* Faster than the path is: the answer to an earlier transmission. */
	if (newest->again && rtt_us < sender->min_rtt_us)
		return;
	sender->rack_rtt_us = rtt_us;
	if (is_later(newest->serial, sender->rack_serial))
		sender->rack_serial = newest->serial;
}

/* Section 6.2, step 4. */
static uint32_t patience_us(const struct tcp_pcb *pcb)
{
	const struct tcp_sender *sender = &pcb->sender;
	uint32_t wait_us;

	if (!sender->reordering &&
	    (sender->state != SENDER_OPEN || sender->sacked >= (uint32_t)DUP_THRESH * pcb->mss))
		return 0;
	wait_us = (uint32_t)((uint64_t)sender->min_rtt_us * sender->reo_mult / 4);
	return LWIP_MIN(wait_us, sender->srtt_us);
}

/* Step 5. Bytes that are lost from now on. */
static uint32_t detect_losses(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;
	uint32_t now_us = clock_now_us, lost = 0;
	uint32_t limit_us = sender->rack_rtt_us + patience_us(pcb);
	struct tcp_seg *seg, *near = NULL;

	sender->reorder_wait_us = 0;
	while ((seg = sender->under.first) != NULL) {
		uint32_t since_us = now_us - seg->flight.sent_us;

		if (!is_later(sender->rack_serial, seg->flight.serial))
			break;
		if (since_us < limit_us) {
			sender->reorder_wait_us = limit_us - since_us;
			break;
		}
		lost += TCP_TCPLEN(seg);
		flight_lost(pcb, seg, near);
		near = seg;
	}
	return lost;
}

/* More patience, once a round trip, with a path that proves it necessary. */
static void adapt_patience(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;

	if (ack->dsack_bytes == 0 || TCP_SEQ_LT(pcb->lastack, sender->dsack_round_end))
		return;
	sender->dsack_round_end = pcb->snd_nxt;
	sender->reordering = true;
	if (sender->reo_mult < REO_MULT_MAX)
		sender->reo_mult++;
	sender->reo_persist = REO_PERSIST;
}

static void relax_patience(struct tcp_sender *sender)
{
	if (sender->reo_persist > 0 && --sender->reo_persist == 0)
		sender->reo_mult = 1;
}

/* --- the state -------------------------------------------------------------------------------------- */

static void remember_window(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;

	sender->prior_cwnd = pcb->cwnd;
	sender->prior_ssthresh = pcb->ssthresh;
	sender->undo_bytes = 0;
	sender->may_undo = true;
	sender->prr_delivered = sender->prr_out = 0;
}

static void enter_recovery(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;

	remember_window(pcb);
	sender->state = SENDER_RECOVERY;
	sender->recover = pcb->snd_nxt;
	sender->recover_pipe = LWIP_MAX(ack->pipe_before, pcb->mss);
	sender->tlp_out = false;
	pcb->ssthresh = sender_congestion()->lost(pcb);
}

static void leave_recovery(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;

	if (sender->state == SENDER_RECOVERY) {
		relax_patience(sender);
		if (!sender_congestion()->own_window)
			pcb->cwnd = pcb->ssthresh;
	}
	sender->state = SENDER_OPEN;
	sender->dup_acks = 0;
}

/* All that was sent again had arrived. */
static void undo(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;

	sender->may_undo = false;
	pcb->cwnd = LWIP_MAX(pcb->cwnd, sender->prior_cwnd);
	pcb->ssthresh = LWIP_MAX(pcb->ssthresh, sender->prior_ssthresh);
	sender->state = SENDER_OPEN;
	sender_congestion()->undone(pcb);
}

static void count_duplicates(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;

	if (ack->dsack_bytes == 0 || !sender->may_undo || sender->undo_bytes <= 0)
		return;
	sender->undo_bytes -= (int32_t)LWIP_MIN(ack->dsack_bytes, (uint32_t)sender->undo_bytes);
	if (sender->undo_bytes == 0)
		undo(pcb);
}

/*
 * RFC 3522: what closed the gap was sent before anything was sent again. It was late, not lost, and so was
 * all that was sent again, if there is no other gap.
 */
static void notice_late(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;

	if (ack->acked == 0 || sender->state == SENDER_OPEN || sender->undo_bytes == 0 ||
	    !sender->may_undo || ack->echo == 0 || !TCP_SEQ_LT(ack->echo, sender->again_at))
		return;
	sender->reordering = true;
	if (sender->lost.first == NULL && TCP_SEQ_GEQ(pcb->lastack, sender->again_end))
		undo(pcb);
}

/* RFC 6937: the window falls to ssthresh as bytes are delivered, and does not burst. */
static void reduce_window(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;
	uint32_t pipe = sender_pipe(pcb);
	uint64_t may_send;

	sender->prr_delivered += ack->delivered;
	if (pipe > pcb->ssthresh) {
		may_send = ((uint64_t)sender->prr_delivered * pcb->ssthresh + sender->recover_pipe -
			    1) /
			   sender->recover_pipe;
		may_send -= LWIP_MIN(may_send, sender->prr_out);
	} else {
		uint64_t owed = sender->prr_delivered -
				LWIP_MIN(sender->prr_delivered, sender->prr_out);

		may_send = LWIP_MAX(owed, ack->delivered);
		if (ack->acked > 0 && ack->newly_lost == 0)
			may_send += pcb->mss;
		may_send = LWIP_MIN(may_send, pcb->ssthresh - pipe);
	}
	if (sender->prr_out == 0) /* the first repair does not wait */
		may_send = LWIP_MAX(may_send, pcb->mss);
	pcb->cwnd = (tcpwnd_size_t)(pipe + may_send);
}

/* --- peers without SACK (RFC 6582) ------------------------------------------------------------------ */

static void head_is_lost(struct tcp_pcb *pcb, struct ack *ack)
{
	if (pcb->unacked == NULL || pcb->unacked->flight.state != FLIGHT_UNDER)
		return;
	ack->newly_lost += TCP_TCPLEN(pcb->unacked);
	flight_lost(pcb, pcb->unacked, NULL);
}

/* Of what a partial ACK is for, all but the head had been told of by duplicate ACKs. */
static void take_back_duplicates(struct tcp_pcb *pcb, struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;
	uint32_t told = LWIP_MIN(ack->acked / pcb->mss, sender->dup_acks + 1u);

	if (told < 2)
		return;
	sender->dup_acks -= (uint16_t)(told - 1);
	ack->delivered -= LWIP_MIN(ack->delivered, (told - 1) * pcb->mss);
}

static void judge_without_sack(struct tcp_pcb *pcb, struct ack *ack, bool duplicate)
{
	struct tcp_sender *sender = &pcb->sender;

	if (duplicate && sender->dup_acks < UINT16_MAX) {
		ack->delivered += pcb->mss;
		if (++sender->dup_acks == DUP_THRESH && sender->state == SENDER_OPEN)
			head_is_lost(pcb, ack);
	} else if (ack->acked > 0 && sender->state == SENDER_RECOVERY) {
		take_back_duplicates(pcb, ack);
		if (TCP_SEQ_LT(pcb->lastack, sender->recover))
			head_is_lost(pcb, ack);
	} else if (ack->acked > 0) {
		sender->dup_acks = 0;
	}
}

/* --- how long a timer waits ------------------------------------------------------------------------ */

static uint32_t timeout_us(const struct tcp_pcb *pcb)
{
	uint32_t rto_us = pcb->sender.rto_us;
	int backoff = LWIP_MIN(pcb->nrtx, BACKOFF_MAX);

	/* A SYN that took longer may have waited for a dial: once, that is not believed. */
	if (rto_us == 0 || (pcb->sender.syn_only && rto_us > LWIP_TCP_RTO_TIME * 1000))
		rto_us = LWIP_TCP_RTO_TIME * 1000;
	if (pcb->state == SYN_SENT) /* a SYN a second: whoever waits has a time-out of its own */
		backoff = 0;
	return (uint32_t)LWIP_MIN((uint64_t)rto_us << backoff, RTO_MAX_US);
}

/* --- tail loss probe (RFC 8985, section 7) ------------------------------------------------------------ */

static bool may_probe(const struct tcp_pcb *pcb)
{
	const struct tcp_sender *sender = &pcb->sender;

	return (pcb->flags & TF_SACK) != 0 && sender->state == SENDER_OPEN && sender->sacked == 0 &&
	       sender->lost.first == NULL && !sender->tlp_out && sender->srtt_us > 0 &&
	       pcb->state >= ESTABLISHED;
}

static uint32_t probe_us(const struct tcp_pcb *pcb)
{
	const struct tcp_sender *sender = &pcb->sender;
	uint32_t wait_us = 2 * sender->srtt_us;

	if (sender->under.first == sender->under.last)
		wait_us += DELAYED_ACK_US;
	wait_us = LWIP_MAX(wait_us, PROBE_MIN_US);
	return LWIP_MIN(wait_us, timeout_us(pcb));
}

/* Something new if there is and may be, else the last segment again. */
static void probe(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;
	uint32_t snd_nxt = pcb->snd_nxt;

	sender->tlp_out = true;
	sender->tlp_again = false;
	sender->syn_only = false; /* the path may be as slow as that */
	sender->tlp_pass = true;
	tcp_output(pcb);
	sender->tlp_pass = false;
	if (pcb->snd_nxt == snd_nxt && sender->under.last != NULL) {
		sender->tlp_again = true;
		sender_send_again(pcb, pcb->unacked_tail);
	}
	sender->tlp_end = pcb->snd_nxt;
}

/* The probe was answered: if it was needed, there was a loss, though nothing is left to repair. */
static void probe_acked(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;

	if (!sender->tlp_out || TCP_SEQ_LT(pcb->lastack, sender->tlp_end))
		return;
	sender->tlp_out = false;
	if (sender->tlp_again && ack->dsack_bytes == 0 && sender->state == SENDER_OPEN) {
		remember_window(pcb);
		pcb->ssthresh = sender_congestion()->lost(pcb);
		if (!sender_congestion()->own_window)
			pcb->cwnd = pcb->ssthresh;
	}
}

/* --- an ACK ------------------------------------------------------------------------------------------ */

void recovery_acked(struct tcp_pcb *pcb, struct ack *ack, bool duplicate)
{
	struct tcp_sender *sender = &pcb->sender;
	const struct congestion *congestion = sender_congestion();

	adapt_patience(pcb, ack);
	count_duplicates(pcb, ack);
	notice_late(pcb, ack);
	probe_acked(pcb, ack);
	if ((pcb->flags & TF_SACK) == 0)
		judge_without_sack(pcb, ack, duplicate);
	else if (sender->sacked > 0 || sender->state != SENDER_OPEN)
		ack->newly_lost += detect_losses(pcb);
	else
		sender->reorder_wait_us = 0;
	if (sender->state != SENDER_OPEN && TCP_SEQ_GEQ(pcb->lastack, sender->recover))
		leave_recovery(pcb);
	if (sender->state == SENDER_OPEN && ack->newly_lost > 0)
		enter_recovery(pcb, ack);
	if (ack->delivered > 0 && sender->state == SENDER_RECOVERY && !congestion->own_window)
		reduce_window(pcb, ack);
	else if (ack->delivered > 0)
		congestion->acked(pcb, ack);
	recovery_arm(pcb, ack->delivered > 0);
}

/* --- timers ------------------------------------------------------------------------------------------ */

static void set_timer(struct tcp_pcb *pcb, enum sender_timer timer, uint32_t wait_us)
{
	pcb->sender.timer = (uint8_t)timer;
	pcb->sender.deadline_us = clock_now_us + wait_us;
	if (timer != TIMER_NONE)
		pcb_clock_set(pcb);
}

void recovery_arm(struct tcp_pcb *pcb, bool progress)
{
	struct tcp_sender *sender = &pcb->sender;

	if (sender->under.first == NULL && pcb->unacked == NULL)
		set_timer(pcb, TIMER_NONE, 0);
	else if (sender->reorder_wait_us > 0)
		set_timer(pcb, TIMER_REORDER, sender->reorder_wait_us);
	else if (may_probe(pcb))
		set_timer(pcb, TIMER_PROBE, probe_us(pcb));
	else if (progress || sender->timer != TIMER_RTO)
		set_timer(pcb, TIMER_RTO, timeout_us(pcb));
}

/* Who has closed the window over it is not gone, as keep-alives find out, and may open it again: some
 * tries are left for that. */
static void count_timeout(struct tcp_pcb *pcb)
{
	if (pcb->nrtx < (pcb->snd_wnd > 0 ? UINT8_MAX : BACKOFF_MAX))
		pcb->nrtx++;
	pmtu_timeout(pcb);
}

/* RFC 6298, (5.4) to (5.7). A receiver that SACKed the head without acknowledging it has reneged. */
static void time_out(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;
	bool renege = pcb->unacked != NULL && pcb->unacked->flight.state == FLIGHT_SACKED;
	uint32_t serial = sender->serial;

	if (pcb->state >= ESTABLISHED) {
		if (sender->state != SENDER_LOSS) {
			if (sender->state == SENDER_OPEN)
				remember_window(pcb);
			pcb->ssthresh = sender_congestion()->lost(pcb);
		}
		pcb->cwnd = pcb->mss;
	}
	flight_all_lost(pcb, renege);
	if (!sender->stuck)
		count_timeout(pcb);
	sender->state = SENDER_LOSS;
	sender->syn_only = false;
	sender->recover = pcb->snd_nxt;
	sender->dup_acks = 0;
	sender->tlp_out = false;
	sender->reorder_wait_us = 0;
	set_timer(pcb, TIMER_RTO, timeout_us(pcb));
	tcp_output(pcb);
	/* As long as there is no way out nothing is tried, and the next timeout says nothing. */
	sender->stuck = sender->serial == serial;
}

static void late_is_lost(struct tcp_pcb *pcb)
{
	struct ack nothing = {.pipe_before = pcb->sender.pipe};

	nothing.newly_lost = detect_losses(pcb);
	if (nothing.newly_lost > 0 && pcb->sender.state == SENDER_OPEN) {
		enter_recovery(pcb, &nothing);
		if (!sender_congestion()->own_window)
			reduce_window(pcb, &nothing);
	}
	recovery_arm(pcb, true);
	tcp_output(pcb);
}

/* What was sent since has put the probe off. */
static void probe_if_due(struct tcp_pcb *pcb)
{
	uint32_t due_us = pcb->sender.sent_us + probe_us(pcb);

	if (is_later(due_us, clock_now_us)) {
		set_timer(pcb, TIMER_PROBE, due_us - clock_now_us);
		return;
	}
	probe(pcb);
	recovery_arm(pcb, true);
}

void recovery_timer(struct tcp_pcb *pcb)
{
	switch (pcb->sender.timer) {
	case TIMER_PROBE:
		probe_if_due(pcb);
		break;
	case TIMER_REORDER:
		late_is_lost(pcb);
		break;
	case TIMER_RTO:
		time_out(pcb);
		break;
	default:
		break;
	}
}
