// SPDX-License-Identifier: MIT
/*
 * Timers of connections, to the millisecond: a ring of lists, one for each millisecond to come (a timing
 * wheel, as in clock.c). Each connection is on it once, for whatever is due first: the sender's timer, a
 * segment that is paced, or an acknowledgement that was delayed.
 *
 * A deadline mostly moves away: each ACK puts the retransmission timeout off. So a connection stays
 * where it is on the wheel, no later than its deadline, and is moved only when it is found not to be
 * due. Deadlines beyond the wheel wait at its end.
 *
 * Timers run at the end of a turn, behind the packets that came with it and the output of what was
 * written: an ACK that is there is heard before anybody gives up waiting for it, and one that is owed
 * goes with an answer.
 */
#include "receiver.h"
#include "sender.h"

#include "base/time.h"

enum {
	SLOTS = 512, /* milliseconds */
	WORD_BITS = 64,
	SLOT_US = 1000,
};

static struct tcp_pcb *wheel[SLOTS];
static uint64_t filled[SLOTS / WORD_BITS]; /* a bit for each slot that may have somebody */
static uint64_t run_ms;			   /* all slots up to this one have been run */
static size_t waiting;			   /* connections on the wheel */

static void put_off(struct tcp_pcb *pcb, uint64_t at_ms)
{
	struct tcp_sender *sender = &pcb->sender;
	size_t slot;

	if (waiting++ == 0)
		run_ms = LWIP_MAX(run_ms, clock_now_ns() / NS_PER_MS);
	at_ms = LWIP_MAX(at_ms, run_ms + 1);
	at_ms = LWIP_MIN(at_ms, run_ms + SLOTS - 1);
	slot = at_ms % SLOTS;
	sender->wheel_us = (uint32_t)(at_ms * SLOT_US);
	sender->wheel_next = wheel[slot];
	sender->wheel_pprev = &wheel[slot];
	if (wheel[slot] != NULL)
		wheel[slot]->sender.wheel_pprev = &sender->wheel_next;
	wheel[slot] = pcb;
	filled[slot / WORD_BITS] |= 1ull << (slot % WORD_BITS);
}

void pcb_clock_drop(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;

	if (sender->wheel_pprev == NULL)
		return;
	waiting--;
	*sender->wheel_pprev = sender->wheel_next;
	if (sender->wheel_next != NULL)
		sender->wheel_next->sender.wheel_pprev = sender->wheel_pprev;
	sender->wheel_pprev = NULL;
}

/* Microseconds until something is due; false: nothing will be. */
static bool time_left(const struct tcp_pcb *pcb, uint32_t now_us, int32_t *left_us)
{
	const struct tcp_sender *sender = &pcb->sender;
	int32_t left = INT32_MAX;

	if (sender->timer != TIMER_NONE)
		left = (int32_t)(sender->deadline_us - now_us);
	if (sender->paced_out)
		left = LWIP_MIN(left, (int32_t)(sender->pace_ns / NS_PER_US - SLOT_US - now_us));
	if ((pcb->flags & TF_ACK_DELAY) != 0)
		left = LWIP_MIN(left, (int32_t)(pcb->receiver.ack_us - now_us));
	*left_us = LWIP_MAX(left, 0);
	return left != INT32_MAX;
}

void pcb_clock_set(struct tcp_pcb *pcb)
{
	struct tcp_sender *sender = &pcb->sender;
	uint64_t now_us = clock_now_ns() / NS_PER_US;
	int32_t left_us;

	if (!time_left(pcb, (uint32_t)now_us, &left_us))
		return; /* it is found out when its time comes */
	if (sender->wheel_pprev != NULL &&
	    !is_later(sender->wheel_us, (uint32_t)now_us + (uint32_t)left_us + SLOT_US - 1))
		return;
	pcb_clock_drop(pcb);
	put_off(pcb, (now_us + (uint32_t)left_us + SLOT_US - 1) / SLOT_US);
}

static void run_one(struct tcp_pcb *pcb, uint32_t now_us)
{
	struct tcp_sender *sender = &pcb->sender;
	int32_t left_us;

	pcb_clock_drop(pcb);
	if (sender->paced_out && sender->pace_ns <= clock_now_ns() + NS_PER_MS) {
		sender->paced_out = false;
		tcp_output(pcb);
	}
	if (sender->timer != TIMER_NONE && !is_later(sender->deadline_us, now_us))
		recovery_timer(pcb);
	if ((pcb->flags & TF_ACK_DELAY) != 0 && !is_later(pcb->receiver.ack_us, now_us))
		receiver_timer(pcb);
	if (time_left(pcb, now_us, &left_us))
		pcb_clock_set(pcb);
}

/* Off the wheel first: who comes back may get the same slot, a turn of the wheel later. */
static void run_slot(size_t slot, uint32_t now_us)
{
	struct tcp_pcb *due = wheel[slot];

	filled[slot / WORD_BITS] &= ~(1ull << (slot % WORD_BITS));
	wheel[slot] = NULL;
	if (due != NULL)
		due->sender.wheel_pprev = &due;
	while (due != NULL)
		run_one(due, now_us);
}

void pcb_clock_run(uint64_t now_ns)
{
	uint64_t now_ms = now_ns / NS_PER_MS;
	uint64_t ms = LWIP_MAX(run_ms, now_ms - LWIP_MIN(now_ms, SLOTS));

	run_ms = now_ms;
	while (waiting > 0 && ms++ < now_ms) {
		size_t slot = ms % SLOTS;

		if ((filled[slot / WORD_BITS] >> (slot % WORD_BITS) & 1) != 0)
			run_slot(slot, (uint32_t)(now_ns / NS_PER_US));
	}
}

uint64_t pcb_clock_deadline(void)
{
	for (uint64_t ms = run_ms + 1; waiting > 0 && ms < run_ms + SLOTS;) {
		size_t slot = ms % SLOTS;
		uint64_t word = filled[slot / WORD_BITS] >> (slot % WORD_BITS);

		if (word == 0) {
			ms += WORD_BITS - slot % WORD_BITS;
			continue;
		}
		ms += (uint64_t)__builtin_ctzll(word);
		if (wheel[ms % SLOTS] != NULL)
			return ms * NS_PER_MS;
		filled[(ms % SLOTS) / WORD_BITS] &= ~(1ull << (ms % SLOTS % WORD_BITS));
	}
	return UINT64_MAX;
}
