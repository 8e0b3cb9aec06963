// SPDX-License-Identifier: MIT
/*
 * The sender: what may leave, when, and what happens when it does not arrive. Written for paths that
 * lwIP was not made for: long, fast, lossy, reordering.
 *
 *	flight.c	where each segment stands: under way, lost, SACKed (RFC 2018)
 *	recovery.c	what is lost: RACK-TLP (RFC 8985), timeouts (RFC 6298); how fast it is repaired:
 *			proportional rate reduction (RFC 6937); what was no loss after all (D-SACK)
 *	cubic.c		the congestion window: CUBIC (RFC 9438), HyStart++ (RFC 9406)
 *	bbr.c		... or what the path is measured to carry
 *	pcb_clock.c	timers to the millisecond
 *
 * lwIP keeps its two queues: `unsent`, and `unacked` by sequence number. tcp_output() asks here before
 * a segment leaves `unsent`, and lost ones are repaired first, where they stand in `unacked`. The ACK
 * half of tcp_receive() takes acknowledged segments off and hands the rest of the matter over
 * (patch 0030): all of lwIP's own recovery, its round trip estimate and its congestion control are
 * gone.
 *
 * Two windows bound what is under way: the peer's is lwIP's business, by sequence number; the
 * congestion window is compared here with `pipe`, the bytes that are believed to be in the network
 * (RFC 6675): those SACKed or lost are not in it.
 *
 * Time is that of the turn, in microseconds modulo 2^32.
 */
#include "sender.h"

enum { PACE_QUANTUM_NS = NS_PER_MS }; /* a timer's grain: so much may leave ahead of time */

static const struct congestion *congestion = &congestion_cubic;

void sender_use(enum stack_congestion wanted)
{
	congestion = wanted == STACK_BBR ? &congestion_bbr : &congestion_cubic;
}

const struct congestion *sender_congestion(void)
{
	return congestion;
}

static bool is_paced_out(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;

	if (sender->pacing_rate == 0 || sender->pace_ns <= clock_now_ns() + PACE_QUANTUM_NS)
		return false;
	sender->paced_out = true;
	pcb_clock_set(pcb);
	return true;
}

static void pace(struct tcp_sender *sender, uint32_t len)
{
	if (sender->pacing_rate == 0)
		return;
	sender->pace_ns = LWIP_MAX(sender->pace_ns, clock_now_ns());
	sender->pace_ns += len * NS_PER_S / sender->pacing_rate;
}

static bool has_window(struct tcp_pcb *pcb, uint32_t len)
{
	uint32_t pipe = sender_pipe(pcb);

	if (pipe + len <= pcb->cwnd || pipe == 0)
		return true;
	pcb->sender.limited = true;
	return false;
}

bool tcp_sender_may_send(struct tcp_pcb *pcb, const struct tcp_seg *seg)
{
	if (pcb->state < ESTABLISHED || pcb->sender.tlp_pass) {
		pcb->sender.tlp_pass = false; /* one */
		return true;
	}
	return pcb->sender.lost.first == NULL && has_window(pcb, seg->len) && !is_paced_out(pcb);
}

/* RFC 5681, section 4.1: after a pause the window may be too large for the path. */
static void restart_after_idle(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;
	uint32_t start = LWIP_TCP_CALC_INITIAL_CWND(pcb->mss);
	uint32_t idle_us = clock_now_us - sender->sent_us;

	if (sender->under.first != NULL || sender->lost.first != NULL || sender->srtt_us == 0 ||
	    sender_congestion()->own_window)
		return;
	for (; idle_us > sender->rto_us && pcb->cwnd > start; idle_us -= sender->rto_us)
		pcb->cwnd = LWIP_MAX(pcb->cwnd / 2, start);
}

/* What leaves next says how fast the source is, not the path. */
void sender_waited(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;

	if (pcb->unsent == NULL && sender->lost.first == NULL && sender->pipe < pcb->cwnd)
		sender->app_limited = (sender->delivered + sender->pipe) | 1;
}

static void note_sent(struct tcp_pcb *pcb, struct tcp_seg *seg, bool again)
{
	struct tcp_sender *sender = &pcb->sender;

	flight_sent(pcb, seg, again);
	sender->stuck = false;
	sender->sent_us = clock_now_us;
	if (sender->state == SENDER_RECOVERY)
		sender->prr_out += TCP_TCPLEN(seg);
	pace(sender, seg->len);
}

bool sender_had_left(const struct tcp_pcb *pcb, const struct tcp_hdr *header)
{
	/* A SYN's number lies before snd_nxt from the start. */
	if ((TCPH_FLAGS(header) & TCP_SYN) != 0)
		return pcb->nrtx > 0;
	return TCP_SEQ_LT(lwip_ntohl(header->seqno), pcb->snd_nxt);
}

void tcp_sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg)
{
	struct tcp_sender *sender = &pcb->sender;
	bool again = sender_had_left(pcb, seg->tcphdr);

	if (pcb->state == SYN_SENT)
		sender->syn_only = true;
	restart_after_idle(pcb);
	note_sent(pcb, seg, again);
	if (sender->pipe > sender->round_pipe)
		sender->round_pipe = sender->pipe;
	if (pcb->snd_lbb - seg_end(seg) < sender->low_water)
		conn_drained(pcb);
	/* A probe waits for less when more than one is under way, see probe_us(). */
	if (sender->timer == TIMER_NONE ||
	    (sender->timer == TIMER_PROBE && sender->under.first->flight.next == seg))
		recovery_arm(pcb, true);
}

/* What lies beyond a window that has shrunk goes alone, to hear of it. */
static bool may_repair(struct tcp_pcb *pcb, const struct tcp_seg *seg)
{
	if (seg_seq(seg) - pcb->lastack + seg->len > pcb->snd_wnd && pcb->sender.pipe > 0)
		return false;
	return has_window(pcb, seg->len) && !is_paced_out(pcb);
}

int sender_send_again(struct tcp_pcb *pcb, struct tcp_seg *seg)
{
	struct tcp_sender *sender = &pcb->sender;
	err_t err = tcp_resend(pcb, seg);

	if (err != ERR_OK)
		return err;
	if (sender->undo_bytes == 0)
		sender->again_at = tcp_timestamp_now(pcb);
	if (sender->undo_bytes == 0 || TCP_SEQ_GT(seg_end(seg), sender->again_end))
		sender->again_end = seg_end(seg);
	note_sent(pcb, seg, true);
	sender->undo_bytes += (int32_t)TCP_TCPLEN(seg);
	return ERR_OK;
}

int tcp_sender_repair(struct tcp_pcb *pcb)
{
	struct tcp_seg *seg;
	err_t err;

	while ((seg = pcb->sender.lost.first) != NULL && may_repair(pcb, seg)) {
		err = (err_t)sender_send_again(pcb, seg);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

/* --- round trips ---------------------------------------------------------------------------------- */

enum {
	RTO_VAR_MIN_US = 200 * 1000, /* as Linux has it: a delayed ACK is no loss */
	MIN_RTT_AGE_US = 10 * 1000 * 1000,
};

/*
 * A quarter to a half of the round trip: longer, and a segment had the timestamp of the one that it
 * repeats. 512 ms at most.
 */
static uint8_t clock_shift(uint32_t rtt_us)
{
	uint8_t shift = 0;

	while (shift < 9 && (uint32_t)4000 << shift <= rtt_us)
		shift++;
	return shift;
}

/* A clock with smaller steps does not go back; one with larger ones might: they begin with the handshake. */
static void note_least(struct tcp_sender *sender, const struct ack *ack)
{
	uint8_t shift = clock_shift(ack->rtt_us);

	sender->min_rtt_us = ack->rtt_us;
	sender->min_rtt_at_us = ack->now_us;
	if (shift < sender->clock_shift || sender->serial == 1)
		sender->clock_shift = shift;
}

/*
 * RFC 6298, section 2. Who answers our SYN may have dialled first, as our own egress does: what comes next is
 * believed instead, if it is less.
 */
static void smooth(struct tcp_sender *sender, uint32_t rtt_us)
{
	uint32_t error_us = rtt_us > sender->srtt_us ? rtt_us - sender->srtt_us
						     : sender->srtt_us - rtt_us;
	bool first = sender->srtt_us == 0;

	if (first || (sender->syn_only && rtt_us < sender->srtt_us)) {
		sender->srtt_us = rtt_us;
		sender->rttvar_us = rtt_us / 2;
	} else {
		sender->rttvar_us = (3 * sender->rttvar_us + error_us) / 4;
		sender->srtt_us = (uint32_t)((7 * (uint64_t)sender->srtt_us + rtt_us + 4) / 8);
	}
	sender->syn_only = sender->syn_only && first && sender->serial == 1;
	sender->rto_us = sender->srtt_us + LWIP_MAX(4 * sender->rttvar_us, RTO_VAR_MIN_US);
}

static void measure_round_trip(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;

	if (ack->rtt_most_us == 0)
		return;
	smooth(sender, ack->rtt_most_us);
	if (sender->min_rtt_us == 0 || ack->rtt_us <= sender->min_rtt_us ||
	    ack->now_us - sender->min_rtt_at_us > MIN_RTT_AGE_US)
		note_least(sender, ack);
	pcb->rto = (s16_t)LWIP_MIN(sender->rto_us / (TCP_SLOW_INTERVAL * 1000) + 1, INT16_MAX);
}

static void count_round(struct tcp_pcb *pcb, struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;

	ack->round = ack->any && !is_later(sender->round_end, ack->prior_delivered);
	if (!ack->round)
		return;
	sender->round_end = sender->delivered;
	sender->was_limited = sender->limited;
	sender->limited = false;
	sender->last_round_pipe = sender->round_pipe;
	sender->round_pipe = sender->pipe;
}

/* --- hooks ------------------------------------------------------------------------------------------ */

void tcp_sender_begin(struct tcp_pcb *pcb)
{
	struct ack ack = {0};

	flight_take_ack(pcb, &ack);
	measure_round_trip(pcb, &ack);
	pcb->cwnd = LWIP_TCP_CALC_INITIAL_CWND(pcb->mss);
	pcb->sender.state = SENDER_OPEN; /* whatever became of the SYN */
	pcb->sender.fack = pcb->sender.dsack_round_end = pcb->lastack;
	pcb->sender.reordering = false; /* of a SYN nothing is known to compare it with */
	pcb->sender.reo_mult = 1;
	sender_congestion()->begin(pcb);
	recovery_arm(pcb, true);
}

static void take_ack(struct tcp_pcb *pcb, struct ack *ack, bool duplicate, const uint32_t *sacks,
		     int count)
{
	if (ack->acked > 0)
		flight_forget(pcb);
	if ((pcb->flags & TF_SACK) != 0 && count > 0)
		flight_sacks(pcb, sacks, count, ack);
	flight_take_ack(pcb, ack);
	ack->pipe_before = pcb->sender.pipe + ack->delivered;
	if (ack->acked == 0 && !duplicate && ack->delivered == 0 && ack->dsack_bytes == 0)
		return; /* data, or a window */
	measure_round_trip(pcb, ack);
	count_round(pcb, ack);
	recovery_acked(pcb, ack, duplicate);
}

void tcp_sender_acked(struct tcp_pcb *pcb, uint32_t acked, bool duplicate, const uint32_t *sacks,
		      int count, uint32_t echo)
{
	struct ack ack = {.ackno = pcb->lastack, .acked = acked, .echo = echo};

	take_ack(pcb, &ack, duplicate, sacks, count);
}

void tcp_sender_late_ack(struct tcp_pcb *pcb, uint32_t ackno, const uint32_t *sacks, int count)
{
	struct ack ack = {.ackno = ackno};

	take_ack(pcb, &ack, false, sacks, count);
}

void tcp_sender_resend(struct tcp_pcb *pcb)
{
	if (pcb->state < ESTABLISHED && pcb->nrtx < UINT8_MAX)
		pcb->nrtx++; /* what makes us do so is bounded by that */
	if (pcb->unacked != NULL && pcb->unacked->flight.state == FLIGHT_UNDER)
		flight_lost(pcb, pcb->unacked, NULL);
}

void tcp_sender_end(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;

	pcb_clock_drop(pcb);
	sender->under = sender->lost = (struct tcp_flight_list){0};
	sender->pipe = sender->sacked = 0;
	sender->timer = TIMER_NONE;
	sender->paced_out = false;
}
