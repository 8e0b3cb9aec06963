// SPDX-License-Identifier: MIT
/*
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406).
 *
 * After a loss the window grows along a cubic function of the time since: fast at first, flat around
 * the window at which the loss happened, then fast again. What Reno would have by then is the least.
 * Slow start ends before it fills the queue of the bottleneck: when round trips get longer, growth
 * becomes a quarter, and ends if that lasts. That is for the first one: after a pause it only goes back to where
 * it was (RFC 9406, section 4.3).
 *
 * The window grows only while it is what limits the sender: one that was never filled proves nothing.
 */
#include "sender.h"

static const double beta = 0.7, c = 0.4;	       /* RFC 9438, sections 4.6 and 5 */
static const double alpha = 3 * (1 - 0.7) / (1 + 0.7); /* section 4.3 */

enum {
	/* RFC 9406, section 4.3 */
	RTT_SAMPLES = 8,
	THRESH_MIN_US = 4000,
	THRESH_MAX_US = 16000,
	CSS_DIVISOR = 4,
	CSS_ROUNDS = 5,
};

/* How much is enough: the first slow start finds out. */
enum search {
	SEARCH_FAST,
	SEARCH_CAREFULLY, /* conservative slow start (RFC 9406) */
	SEARCH_DONE,
};

static void begin(struct tcp_pcb *pcb)
{
	struct tcp_cubic *cubic = &pcb->sender.cubic;

	*cubic = (struct tcp_cubic){.round_min_us = UINT32_MAX, .last_min_us = UINT32_MAX};
}

static bool in_slow_start(const struct tcp_pcb *pcb)
{
	return pcb->cwnd < pcb->ssthresh;
}

/* --- HyStart++ --------------------------------------------------------------------------------------- */

static void new_round(struct tcp_pcb *pcb)
{
	struct tcp_cubic *cubic = &pcb->sender.cubic;

	if (cubic->search == SEARCH_CAREFULLY && ++cubic->css_rounds >= CSS_ROUNDS) {
		pcb->ssthresh = pcb->cwnd;
		cubic->search = SEARCH_DONE;
	}
	cubic->last_min_us = cubic->round_min_us;
	cubic->round_min_us = UINT32_MAX;
	cubic->samples = 0;
}

static void watch_delay(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_cubic *cubic = &pcb->sender.cubic;
	uint32_t thresh_us = cubic->last_min_us / 8;

	if (ack->round)
		new_round(pcb);
	if (ack->rtt_us == 0)
		return;
	cubic->round_min_us = LWIP_MIN(cubic->round_min_us, ack->rtt_us);
	if (++cubic->samples < RTT_SAMPLES)
		return;
	cubic->samples = RTT_SAMPLES;
	thresh_us = LWIP_MAX(THRESH_MIN_US, LWIP_MIN(thresh_us, THRESH_MAX_US));
	if (cubic->search == SEARCH_CAREFULLY) {
		if (cubic->round_min_us < cubic->base_min_us)
			cubic->search = SEARCH_FAST; /* it had another cause */
	} else if (cubic->last_min_us != UINT32_MAX &&
		   cubic->round_min_us >= cubic->last_min_us + thresh_us) {
		cubic->search = SEARCH_CAREFULLY;
		cubic->css_rounds = 0;
		cubic->base_min_us = cubic->round_min_us;
	}
}

/* In slow start, by what was delivered. */
static void grow(struct tcp_pcb *pcb, uint32_t delivered)
{
	if (pcb->sender.cubic.search == SEARCH_CAREFULLY)
		delivered /= CSS_DIVISOR;
	if (in_slow_start(pcb))
		pcb->cwnd = LWIP_MIN(pcb->cwnd + delivered, pcb->ssthresh);
}

/* --- congestion avoidance ---------------------------------------------------------------------------- */

static double cube_root(double a)
{
	double x = a > 1 ? a : 1;

	for (int i = 0; i < 64; i++)
		x = (2 * x + a / (x * x)) / 3; /* Newton */
	return x;
}

static void begin_epoch(struct tcp_pcb *pcb, uint32_t now_us)
{
	struct tcp_cubic *cubic = &pcb->sender.cubic;

	cubic->in_epoch = true;
	cubic->epoch_us = now_us;
	cubic->w_est = pcb->cwnd;
	cubic->k_s = 0;
	if (cubic->w_max > pcb->cwnd)
		cubic->k_s = cube_root((cubic->w_max - pcb->cwnd) / pcb->mss / c);
	else
		cubic->w_max = pcb->cwnd;
}

static void avoid_congestion(struct tcp_pcb *pcb, const struct ack *ack)
{
	struct tcp_cubic *cubic = &pcb->sender.cubic;
	double cwnd = pcb->cwnd, t, target;

	if (!cubic->in_epoch)
		begin_epoch(pcb, ack->now_us);
	t = (ack->now_us - cubic->epoch_us + pcb->sender.srtt_us) / 1e6 - cubic->k_s;
	target = cubic->w_max + c * t * t * t * pcb->mss;
	if (target > 1.5 * cwnd)
		target = 1.5 * cwnd;
	if (target > cwnd)
		cwnd += (target - cwnd) * ack->delivered / cwnd;
	cubic->w_est += (cubic->w_est < cubic->w_max ? alpha : 1) * pcb->mss * ack->delivered /
			cwnd;
	if (cwnd < cubic->w_est)
		cwnd = cubic->w_est;
	pcb->cwnd = (tcpwnd_size_t)cwnd;
}

static void acked(struct tcp_pcb *pcb, const struct ack *ack)
{
	const struct tcp_sender *sender = &pcb->sender;
	bool limited = sender->limited || sender->was_limited;

	if (pcb->cwnd > TCP_SND_BUF)
		return;
	if (in_slow_start(pcb)) {
		pcb->sender.cubic.in_epoch = false; /* after a pause: what follows is another one */
		/* Half of it in use is enough: it doubles in a round trip. */
		if (limited ||
		    pcb->cwnd < 2 * LWIP_MAX(sender->round_pipe, sender->last_round_pipe)) {
			if (pcb->sender.cubic.search != SEARCH_DONE)
				watch_delay(pcb, ack);
			grow(pcb, ack->delivered);
		}
	} else if (limited) {
		avoid_congestion(pcb, ack);
	} else {
		pcb->sender.cubic.in_epoch = false; /* time without need of it does not count */
	}
}

/* Section 4.6; 4.7: whoever lost before it got back gives way to others. */
static uint32_t lost(struct tcp_pcb *pcb)
{
	struct tcp_cubic *cubic = &pcb->sender.cubic;
	double cwnd = pcb->cwnd;

	if (pcb->sender.undo_bytes == 0) { /* not a second time in what may be undone as a whole */
		cubic->before_w_max = cubic->w_max;
		cubic->before_search = cubic->search;
	}
	cubic->w_max = cwnd < cubic->w_max ? cwnd * (1 + beta) / 2 : cwnd;
	cubic->in_epoch = false;
	cubic->search = SEARCH_DONE;
	return (uint32_t)LWIP_MAX(cwnd * beta, 2.0 * pcb->mss);
}

/* Slow start goes on as if nothing had happened, with what was delivered meanwhile. */
static void undone(struct tcp_pcb *pcb)
{
	struct tcp_cubic *cubic = &pcb->sender.cubic;

	cubic->w_max = cubic->before_w_max;
	cubic->search = cubic->before_search;
	cubic->in_epoch = false;
	grow(pcb, pcb->sender.prr_delivered);
}

const struct congestion congestion_cubic = {
	.begin = begin,
	.acked = acked,
	.lost = lost,
	.undone = undone,
};
