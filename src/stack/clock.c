// SPDX-License-Identifier: MIT
/*
 * lwIP's clock. lwIP counts time in ticks: tcp_tmr() is one fast tick (TCP_TMR_INTERVAL), every
 * second one also a slow tick, which all of TCP's own times are measured in (tcp_ticks).
 *
 * Ticking while nothing waits for time would wake an idle process twenty times a second. So after
 * each tick all connections are looked at: as long as one has something under way, the next tick is
 * due in an interval; when all are quiet, the next one is due when the first keep-alive or the end
 * of a TIME_WAIT is. Ticks that were slept through are made up for by setting tcp_ticks forward
 * before the next one: quiet connections measure nothing else. Whoever gives lwIP something to do
 * calls clock_touch(), which brings the next tick back to an interval from now.
 */
#include "inside.h"

#include "base/time.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/sys.h"

static const uint64_t tick_ns = TCP_TMR_INTERVAL * NS_PER_MS;
static const uint64_t slow_tick_ns = TCP_SLOW_INTERVAL * NS_PER_MS;

enum { TICKS_PER_SLOW_TICK = TCP_SLOW_INTERVAL / TCP_TMR_INTERVAL };
#define OVERSLEEP_NS NS_PER_S

static uint64_t last_tick_ns; /* on a grid of tick_ns */
static uint64_t next_tick_ns = UINT64_MAX;
static uint64_t now_latest_ns;

u32_t sys_now(void)
{
	return (u32_t)(now_latest_ns / NS_PER_MS);
}

/* lwIP has something to do with this connection other than to wait for its peer. */
static bool is_busy(const struct tcp_pcb *pcb)
{
	return pcb->unacked != NULL || pcb->unsent != NULL || pcb->ooseq != NULL ||
	       pcb->refused_data != NULL || pcb->rtime >= 0 || pcb->persist_backoff > 0 ||
	       (pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW | TF_CLOSEPEND | TF_NAGLEMEMERR)) != 0 ||
	       (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT && pcb->state != FIN_WAIT_2);
}

/* Slow ticks until a quiet connection wants a keep-alive sent (or is given up). */
static uint32_t quiet_ticks(const struct tcp_pcb *pcb)
{
	uint32_t idle = tcp_ticks - pcb->tmr;
	uint32_t due = (pcb->keep_idle + (uint32_t)pcb->keep_cnt_sent * pcb->keep_intvl) /
			       TCP_SLOW_INTERVAL +
		       1;

	return due > idle ? due - idle : 1;
}

/* Slow ticks until something has to be done, 0 for within a fast tick, UINT32_MAX for never. */
static uint32_t ticks_to_sleep(void)
{
	uint32_t sleep = UINT32_MAX;

	for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
		if (is_busy(pcb))
			return 0;
		sleep = LWIP_MIN(sleep, quiet_ticks(pcb));
	}
	for (const struct tcp_pcb *pcb = tcp_tw_pcbs; pcb != NULL; pcb = pcb->next) {
		uint32_t age = tcp_ticks - pcb->tmr;
		uint32_t due = 2 * TCP_MSL / TCP_SLOW_INTERVAL + 1;

		sleep = LWIP_MIN(sleep, due > age ? due - age : 1);
	}
	return sleep;
}

static void plan_next_tick(void)
{
	uint32_t sleep = ticks_to_sleep();

	if (sleep == UINT32_MAX)
		next_tick_ns = UINT64_MAX;
	else
		next_tick_ns = last_tick_ns + LWIP_MAX(tick_ns, sleep * slow_tick_ns);
}

/* All ticks but the last were slept through, or came too late to be run one by one. */
static void skip_ticks(uint64_t ticks)
{
	static uint64_t skipped; /* fast ticks that are no whole slow tick yet */

	skipped += ticks;
	tcp_ticks += (uint32_t)(skipped / TICKS_PER_SLOW_TICK);
	skipped %= TICKS_PER_SLOW_TICK;
}

/*
 * Time in which the process was stopped, or the machine asleep, beyond what was planned: nobody was
 * idle in it. Packets of that time are still to be read, and must find their connections.
 */
static void forgive_oversleep(uint64_t now_ns)
{
	uint32_t ticks;

	if (now_ns < next_tick_ns + OVERSLEEP_NS)
		return;
	ticks = (uint32_t)((now_ns - next_tick_ns) / slow_tick_ns);
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next)
		pcb->tmr += ticks;
}

void clock_advance(uint64_t now_ns)
{
	uint64_t ticks = (now_ns - last_tick_ns) / tick_ns;

	now_latest_ns = now_ns;
	if (ticks == 0)
		return;
	skip_ticks(ticks - 1);
	if (next_tick_ns != UINT64_MAX)
		forgive_oversleep(now_ns);
	last_tick_ns += ticks * tick_ns;
	tcp_tmr();
	plan_next_tick();
}

void clock_touch(void)
{
	next_tick_ns = LWIP_MIN(next_tick_ns, now_latest_ns + tick_ns);
}

/* lwIP calls this whenever a connection comes into being. */
void tcp_timer_needed(void)
{
	clock_touch();
}

uint64_t clock_deadline(void)
{
	return next_tick_ns;
}
