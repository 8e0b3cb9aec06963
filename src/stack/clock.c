// SPDX-License-Identifier: MIT
/*
 * lwIP's clock. lwIP counts time in ticks: a fast one each TCP_TMR_INTERVAL, with every second one
 * also a slow tick, which all of TCP's own times are measured in (tcp_ticks). Each walks the list of
 * active connections.
 *
 * Most connections have nothing to time most of the while: nothing under way, nothing owed, and only
 * a keep-alive to be sent some day. After each tick those go to sleep: they move from lwIP's list to
 * a timing wheel, a ring of lists of which each is for one slow tick (Varghese and Lauck, "Hashed
 * and hierarchical timing wheels", scheme 6 without its rounds). So do those in TIME_WAIT. When the
 * wheel gets to its list, a connection that is due goes back to lwIP's, or ends, if that is what it
 * waited for; one whose time has been put off meanwhile goes on to another list. What lwIP does with
 * a connection earlier wakes it at once (patch 0009).
 *
 * Ticking while nobody is awake would wake an idle process twenty times a second: then the next tick
 * is when the wheel's next list is due. Ticks that were slept through are made up for by setting
 * tcp_ticks forward. Whoever gives lwIP something to do calls clock_touch(), which brings the next
 * tick back to an interval from now.
 */
#include "inside.h"

#include "base/time.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/sys.h"

static const uint64_t tick_ns = TCP_TMR_INTERVAL * NS_PER_MS;

enum {
	TICKS_PER_SLOW_TICK = TCP_SLOW_INTERVAL / TCP_TMR_INTERVAL,
	TIME_WAIT_TICKS = 2 * TCP_MSL / TCP_SLOW_INTERVAL,
	/* As long as keep-alives wait in other states (conn.c); RFC 9293, 3.8.3: at least 100 s. */
	SILENCE_TICKS = 120000 / TCP_SLOW_INTERVAL,
	WHEEL_SIZE = 1024, /* 102 s: longer than anybody sleeps */
	/* The end of 10,000 connections a second that take 400 ms for it. */
	ORPHANS_MAX = 4096,
	ORPHANS_CROWDED = 256,
};
#define OVERSLEEP_NS NS_PER_S

static uint64_t last_tick_ns; /* on a grid of tick_ns */
static uint64_t next_tick_ns = UINT64_MAX;
static uint64_t now_latest_ns;
uint32_t clock_now_us;
static uint64_t fast_ticks;		  /* since the last slow tick */
static struct tcp_pcb *wheel[WHEEL_SIZE]; /* by slow tick; looked through up to tcp_ticks */

u32_t sys_now(void)
{
	return (u32_t)(now_latest_ns / NS_PER_MS);
}

uint64_t clock_now_ns(void)
{
	return now_latest_ns;
}

/* --- who sleeps ---------------------------------------------------------------------------------- */

/* lwIP has something to do with this connection other than to wait for its peer. */
static bool is_busy(const struct tcp_pcb *pcb)
{
	return pcb->unacked != NULL || pcb->unsent != NULL || pcb->receiver.runs != NULL ||
	       pcb->refused_data != NULL || pcb->persist_backoff > 0 ||
	       (pcb->flags & (TF_ACK_NOW | TF_CLOSEPEND | TF_NAGLEMEMERR | TF_RXCLOSED)) != 0 ||
	       (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT && pcb->state != FIN_WAIT_2);
}

/* The slow tick in which the end of TIME_WAIT, a keep-alive, or giving up is due. */
static uint32_t due_tick(const struct tcp_pcb *pcb)
{
	uint32_t wait = TIME_WAIT_TICKS;

	if (pcb->state != TIME_WAIT)
		wait = (pcb->keep_idle + (uint32_t)pcb->keep_cnt_sent * pcb->keep_intvl) /
		       TCP_SLOW_INTERVAL;
	return pcb->tmr + wait + 1;
}

static void move(struct tcp_pcb *pcb, struct tcp_pcb **list)
{
	TCP_RMV(pcb->pprev, pcb);
	TCP_REG(list, pcb);
}

/* What is overdue, because a keep-alive could not leave, is tried again with the next slow tick. */
static void put_on_wheel(struct tcp_pcb *pcb, uint32_t tick)
{
	int32_t wait = (int32_t)(due_tick(pcb) - tick);

	wait = LWIP_MAX(1, LWIP_MIN(wait, WHEEL_SIZE - 1));
	move(pcb, &wheel[(tick + (uint32_t)wait) % WHEEL_SIZE]);
}

/*
 * An orphan has no owner any more and waits for nothing but its FIN's acknowledgement, which a hostile
 * peer never sends. Those that came last are kept, for 2 MSL; the list begins with them.
 */
static bool ends_orphan(struct tcp_pcb *pcb, uint32_t *orphans)
{
	if ((pcb->flags & TF_RXCLOSED) == 0)
		return false;
	(*orphans)++;
	if (*orphans <= (port_is_crowded() ? ORPHANS_CROWDED : ORPHANS_MAX) &&
	    tcp_ticks - pcb->tmr <= TIME_WAIT_TICKS)
		return false;
	tcp_abort(pcb);
	return true;
}

/*
 * Our end is sent, and the peer has said nothing since: it is gone. One with a closed window answers
 * probes, and is waited for.
 */
static bool is_silent(const struct tcp_pcb *pcb)
{
	return (pcb->state == FIN_WAIT_1 || pcb->state == CLOSING || pcb->state == LAST_ACK) &&
	       tcp_ticks - pcb->tmr > SILENCE_TICKS;
}

static void fall_asleep(struct tcp_pcb *pcb)
{
	put_on_wheel(pcb, tcp_ticks);
	tcp_set_flags(pcb, TF_ASLEEP);
}

static void put_idle_to_sleep(void)
{
	struct tcp_pcb *next;
	uint32_t orphans = 0;

	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = next) {
		next = pcb->next;
		if (is_silent(pcb))
			tcp_abandon(pcb, 1);
		else if (!ends_orphan(pcb, &orphans) && !is_busy(pcb))
			fall_asleep(pcb);
	}
	/* Memory is for connections that live: when it is short, TIME_WAIT ends at once. */
	while (tcp_tw_pcbs != NULL) {
		if (port_is_crowded())
			tcp_abandon(tcp_tw_pcbs, 0);
		else
			put_on_wheel(tcp_tw_pcbs, tcp_ticks);
	}
}

void tcp_timer_wake(struct tcp_pcb *pcb)
{
	tcp_clear_flags(pcb, TF_ASLEEP);
	move(pcb, &tcp_active_pcbs);
}

/* --- the wheel ----------------------------------------------------------------------------------- */

static void turn_list(struct tcp_pcb *pcb, uint32_t tick)
{
	struct tcp_pcb *next;

	for (; pcb != NULL; pcb = next) {
		next = pcb->next;
		if ((int32_t)(due_tick(pcb) - tick) > 0)
			put_on_wheel(pcb, tick);
		else if (pcb->state == TIME_WAIT)
			tcp_abandon(pcb, 0);
		else
			tcp_timer_wake(pcb);
	}
}

/* What is due within the next slow ticks: before lwIP counts them, so that it finds who is awake. */
static void turn_wheel(uint32_t slow_ticks)
{
	uint32_t tick = tcp_ticks + slow_ticks;

	for (uint32_t i = 0; i < LWIP_MIN(slow_ticks, WHEEL_SIZE); i++)
		turn_list(wheel[(tick - i) % WHEEL_SIZE], tick);
}

/* --- ticks --------------------------------------------------------------------------------------- */

/* All but the last were slept through, or come too late to be run one by one. */
static void run_ticks(uint64_t ticks)
{
	uint32_t slow_ticks = (uint32_t)((fast_ticks + ticks) / TICKS_PER_SLOW_TICK);

	fast_ticks = (fast_ticks + ticks) % TICKS_PER_SLOW_TICK;
	tcp_fasttmr();
	if (slow_ticks == 0)
		return;
	turn_wheel(slow_ticks);
	tcp_ticks += slow_ticks - 1;
	tcp_slowtmr();
}

static void plan_next_tick(void)
{
	uint64_t wait = 1;

	next_tick_ns = last_tick_ns + tick_ns;
	if (tcp_active_pcbs != NULL)
		return;
	port_trim(false);
	while (wait < WHEEL_SIZE && wheel[(tcp_ticks + wait) % WHEEL_SIZE] == NULL)
		wait++;
	if (wait == WHEEL_SIZE)
		next_tick_ns = UINT64_MAX;
	else
		next_tick_ns = last_tick_ns + (wait * TICKS_PER_SLOW_TICK - fast_ticks) * tick_ns;
}

static void forgive(struct tcp_pcb *pcb, uint32_t slow_ticks)
{
	for (; pcb != NULL; pcb = pcb->next) {
		if (pcb->state != TIME_WAIT)
			pcb->tmr += slow_ticks;
	}
}

/*
 * Time in which the process was stopped, or the machine asleep, beyond what was planned: nobody was
 * idle in it. Packets of that time are still to be read, and must find their connections.
 */
static void forgive_oversleep(uint64_t now_ns)
{
	uint32_t slow_ticks;

	if (next_tick_ns == UINT64_MAX || now_ns < next_tick_ns + OVERSLEEP_NS)
		return;
	slow_ticks = (uint32_t)((now_ns - next_tick_ns) / (tick_ns * TICKS_PER_SLOW_TICK));
	forgive(tcp_active_pcbs, slow_ticks);
	for (size_t i = 0; i < WHEEL_SIZE; i++)
		forgive(wheel[i], slow_ticks);
}

void clock_advance(uint64_t now_ns)
{
	uint64_t ticks = (now_ns - last_tick_ns) / tick_ns;

	now_latest_ns = now_ns;
	clock_now_us = (uint32_t)(now_ns / NS_PER_US);
	if (ticks == 0)
		return;
	forgive_oversleep(now_ns);
	last_tick_ns += ticks * tick_ns;
	run_ticks(ticks);
	port_relieve();
	put_idle_to_sleep();
	port_age();
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
