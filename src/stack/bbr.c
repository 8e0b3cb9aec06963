// SPDX-License-Identifier: MIT
/*
 * BBR, version 1 (Cardwell et al., "BBR: Congestion-Based Congestion Control", CACM 60(2), 2017;
 * draft-cardwell-iccrg-bbr-congestion-control-00): the window follows from what the path is measured
 * to carry, not from what it loses.
 *
 * Two measurements make the model: the greatest delivery rate of the last rounds, and the least round
 * trip of the last ten seconds. Their product is what fits into the path without a queue. STARTUP
 * doubles until the rate no longer grows, DRAIN lets the queue go that this has built, PROBE_BW sends
 * at the rate that was found, a quarter more for one round trip of eight and a quarter less for the
 * next, and PROBE_RTT leaves the path nearly empty for a moment to see its round trip anew.
 *
 * Segments leave at the rate of the model (sender.c paces them). After a loss the window conserves for
 * one round: as much leaves as arrives; then it is what it was.
 */
#include "sender.h"

#include <string.h>

enum bbr_mode { STARTUP, DRAIN, PROBE_BW, PROBE_RTT };

enum {
	PHASES = 8,
	FULL_ROUNDS = 3,
	MIN_RTT_AGE_US = 10 * 1000 * 1000,
	PROBE_RTT_US = 200 * 1000,
	WINDOW_MIN = 4, /* segments */
};

/* Draft, sections 4.1.1.3 and 4.3.3.3. */
static const double high_gain = 2.885, drain_gain = 1 / 2.885, window_gain = 2, full_growth = 1.25;
static const double phase_gain[PHASES] = {1.25, 0.75, 1, 1, 1, 1, 1, 1};

static uint32_t window_min(const struct tcp_pcb *pcb)
{
	return WINDOW_MIN * pcb->mss;
}

/* --- the model --------------------------------------------------------------------------------------- */

static uint32_t bandwidth(const struct tcp_bbr *bbr)
{
	uint32_t most = 0;

	for (size_t i = 0; i < BBR_ROUNDS; i++)
		most = LWIP_MAX(most, bbr->bw[i]);
	return most;
}

/* A rate that the path did not limit says nothing, unless it is greater than any: nor does it age
 * what is known. */
static void measure_bandwidth(struct tcp_bbr *bbr, const struct ack *ack)
{
	if (ack->round && !ack->app_limited) {
		memmove(bbr->bw + 1, bbr->bw, sizeof(bbr->bw) - sizeof(bbr->bw[0]));
		bbr->bw[0] = 0;
	}
	if (ack->rate > bbr->bw[0] && (!ack->app_limited || ack->rate > bandwidth(bbr)))
		bbr->bw[0] = ack->rate;
}

/* Bytes that the path holds, `gain` times. */
static uint32_t inflight(const struct tcp_pcb *pcb, double gain)
{
	const struct tcp_bbr *bbr = &pcb->sender.bbr;
	double bytes = gain * bandwidth(bbr) * bbr->min_rtt_us / 1e6;

	return (uint32_t)LWIP_MIN(bytes, TCP_SND_BUF);
}

static bool is_past(uint32_t now_us, uint32_t since_us, uint32_t span_us)
{
	return now_us - since_us > span_us;
}

/* --- modes ----------------------------------------------------------------------------------------- */

static void enter_probe_bw(struct tcp_bbr *bbr, uint32_t now_us)
{
	bbr->mode = PROBE_BW;
	/* Anywhere but in the phase that drains: connections that begin together differ. */
	bbr->phase = (uint8_t)((stack_port_random() % (PHASES - 1) + 2) % PHASES);
	bbr->phase_at_us = now_us;
}

static void check_full(struct tcp_bbr *bbr, const struct ack *ack)
{
	uint32_t bw = bandwidth(bbr);

	if (bbr->full || !ack->round || ack->app_limited)
		return;
	if (bw >= full_growth * bbr->full_bw) {
		bbr->full_bw = bw;
		bbr->full_rounds = 0;
	} else if (++bbr->full_rounds >= FULL_ROUNDS) {
		bbr->full = true;
	}
}

static void go_on_in_cycle(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_bbr *bbr = &pcb->sender.bbr;
	bool over = is_past(ack->now_us, bbr->phase_at_us, bbr->min_rtt_us);

	if (bbr->phase == 0)
		over = over && (ack->newly_lost > 0 || ack->pipe_before >= inflight(pcb, 1.25));
	else if (bbr->phase == 1)
		over = over || ack->pipe_before <= inflight(pcb, 1);
	if (!over)
		return;
	bbr->phase = (uint8_t)((bbr->phase + 1) % PHASES);
	bbr->phase_at_us = ack->now_us;
}

/* The window is at its least from when the pipe is, for 200 ms and a round trip. */
static void stay_low(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_bbr *bbr = &pcb->sender.bbr;

	/* What is measured meanwhile says nothing of the path. */
	pcb->sender.app_limited = (pcb->sender.delivered + pcb->sender.pipe) | 1;
	if (!bbr->probe_round) {
		if (pcb->sender.pipe > window_min(pcb))
			return;
		bbr->probe_round = true;
		bbr->probe_until_us = ack->now_us +
				      LWIP_MAX((uint32_t)PROBE_RTT_US, bbr->min_rtt_us);
		return;
	}
	if (is_later(bbr->probe_until_us, ack->now_us))
		return;
	bbr->min_rtt_at_us = ack->now_us;
	pcb->cwnd = LWIP_MAX(pcb->cwnd, bbr->prior_cwnd);
	if (bbr->full)
		enter_probe_bw(bbr, ack->now_us);
	else
		bbr->mode = STARTUP;
}

static void measure_round_trip(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_bbr *bbr = &pcb->sender.bbr;
	bool old = is_past(ack->now_us, bbr->min_rtt_at_us, MIN_RTT_AGE_US);

	if (ack->rtt_us > 0 && (ack->rtt_us <= bbr->min_rtt_us || bbr->min_rtt_us == 0 || old)) {
		bbr->min_rtt_us = ack->rtt_us;
		bbr->min_rtt_at_us = ack->now_us;
	}
	/* A path that was idle for a while was as empty as it can be made. */
	if (!old || bbr->mode == PROBE_RTT || ack->app_limited)
		return;
	bbr->mode = PROBE_RTT;
	bbr->probe_round = false;
	bbr->prior_cwnd = pcb->cwnd;
}

static void choose_mode(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_bbr *bbr = &pcb->sender.bbr;

	check_full(bbr, ack);
	if (bbr->mode == STARTUP && bbr->full)
		bbr->mode = DRAIN;
	if (bbr->mode == DRAIN && pcb->sender.pipe <= inflight(pcb, 1))
		enter_probe_bw(bbr, ack->now_us);
	if (bbr->mode == PROBE_BW)
		go_on_in_cycle(pcb, ack);
	measure_round_trip(pcb, ack);
	if (bbr->mode == PROBE_RTT)
		stay_low(pcb, ack);
}

/* --- what follows from it ---------------------------------------------------------------------------- */

static double pacing_gain(const struct tcp_bbr *bbr)
{
	switch (bbr->mode) {
	case STARTUP:
		return high_gain;
	case DRAIN:
		return drain_gain;
	case PROBE_BW:
		return phase_gain[bbr->phase];
	default:
		return 1;
	}
}

/* Until the path is full the rate only grows. */
static void set_rate(struct tcp_pcb *pcb)
{
	struct tcp_bbr *bbr = &pcb->sender.bbr;
	double rate = LWIP_MIN(pacing_gain(bbr) * bandwidth(bbr), UINT32_MAX);

	if (rate > 0 && (bbr->full || rate > pcb->sender.pacing_rate))
		pcb->sender.pacing_rate = (uint32_t)rate;
}

/* What acknowledgements come for at once, and what leaves in a tick of the timer, comes on top. */
static uint32_t target(const struct tcp_pcb *pcb)
{
	const struct tcp_bbr *bbr = &pcb->sender.bbr;
	uint32_t quantum = LWIP_MAX(pcb->sender.pacing_rate / 1000, 2u * pcb->mss);

	return inflight(pcb, bbr->full ? window_gain : high_gain) + 3 * quantum;
}

static void set_window(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_sender *sender = &pcb->sender;
	struct tcp_bbr *bbr = &sender->bbr;
	uint32_t most = target(pcb);

	if (bbr->recovers && sender->state == SENDER_OPEN) {
		bbr->recovers = bbr->conserves = false;
		pcb->cwnd = LWIP_MAX(pcb->cwnd, bbr->prior_cwnd);
	}
	if (ack->round)
		bbr->conserves = false;
	/* Others must not take the place of what is lost at once. */
	pcb->cwnd -= LWIP_MIN(ack->newly_lost, pcb->cwnd);
	if (bbr->conserves)
		pcb->cwnd = LWIP_MAX(pcb->cwnd, sender->pipe + ack->delivered);
	else if (bbr->full)
		pcb->cwnd = LWIP_MIN(pcb->cwnd + ack->delivered, most);
	else if (pcb->cwnd < most)
		pcb->cwnd += ack->delivered;
	pcb->cwnd = LWIP_MAX(pcb->cwnd, window_min(pcb));
	if (bbr->mode == PROBE_RTT)
		pcb->cwnd = LWIP_MIN(pcb->cwnd, window_min(pcb));
}

/* Before anything is measured, a window a round trip; once the round trip is known. */
static void set_first_rate(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;
	bool known = sender->srtt_us > 0 && !sender->syn_only;
	uint32_t rtt_us = known ? sender->srtt_us : NS_PER_MS / NS_PER_US;

	sender->pacing_rate = (uint32_t)LWIP_MIN(high_gain * pcb->cwnd * 1e6 / rtt_us, UINT32_MAX);
	sender->bbr.knows_rtt = known;
}

static void begin(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;

	sender->bbr = (struct tcp_bbr){.min_rtt_us = sender->srtt_us,
				       .min_rtt_at_us = clock_now_us};
	set_first_rate(pcb);
}

static void acked(struct tcp_pcb *pcb, const struct ack *ack)
{
	if (!pcb->sender.bbr.knows_rtt)
		set_first_rate(pcb);
	measure_bandwidth(&pcb->sender.bbr, ack);
	choose_mode(pcb, ack);
	set_rate(pcb);
	set_window(pcb, ack);
}

/* Conserves for the round that begins now. There is no ssthresh. */
static uint32_t lost(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;
	struct tcp_bbr *bbr = &sender->bbr;

	if (!bbr->recovers && bbr->mode != PROBE_RTT)
		bbr->prior_cwnd = pcb->cwnd;
	bbr->recovers = bbr->conserves = true;
	sender->round_end = sender->delivered;
	pcb->cwnd = LWIP_MAX(sender->pipe + pcb->mss, window_min(pcb));
	return UINT32_MAX;
}

static void undone(struct tcp_pcb *pcb)
{
	pcb->sender.bbr.recovers = pcb->sender.bbr.conserves = false;
}

const struct congestion congestion_bbr = {
	.begin = begin,
	.acked = acked,
	.lost = lost,
	.undone = undone,
	.own_window = true,
};
