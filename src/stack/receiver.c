// SPDX-License-Identifier: MIT
/*
 * When what has arrived is acknowledged (RFC 9293, section 3.8.6.3; RFC 5681, section 4.2).
 *
 * In bulk, every second segment, and each run of them that was merged. What lies behind a gap, closes
 * one or comes twice, at once. That leaves a lone segment: the end of a request, most of the time.
 * Nobody must wait for its acknowledgement, as a sender with Nagle's algorithm does that has written
 * a head and then a body; and it should not cost a packet when an answer follows that says the same.
 *
 * So it is acknowledged at once unless the connection has shown that it exchanges one message for
 * one, several times in a row. Then it waits for the answer, but not for longer than answers have
 * taken, and 40 ms at most. If that was in vain, the connection has to show it anew. And it waits for
 * a second one if the peer was seen to send small segments without waiting for anything.
 *
 * The first segments of a connection, or after a pause, are acknowledged one by one: the sender's
 * congestion window is small, and grows with acknowledgements.
 */
#include "receiver.h"

#include "base/time.h"

#include "lwip/priv/tcp_priv.h"

enum {
	DELAY_MAX_MS = 40,
	DELAY_MIN_MS = 2,
	QUICK = 16, /* segments, as Linux has it */
	EXCHANGES_ENOUGH = 3,
	SLOTS = 64, /* milliseconds; more than the longest delay, and a bit for each in a word */
};

#define PAUSE_NS (200 * NS_PER_MS) /* a sender may have timed out, and begins anew */

static uint64_t now_ms(void)
{
	return clock_now_ns() / NS_PER_MS;
}

/* --- the delayed ones ------------------------------------------------------------------------------- */

static struct tcp_pcb *waiting[SLOTS]; /* by the millisecond in which they are due */
static uint64_t filled;		       /* a bit for each that may have somebody */
static uint64_t run_ms;		       /* all up to this one have been run */

static void stop_waiting(struct tcp_pcb *pcb)
{
	struct tcp_receiver *receiver = &pcb->receiver;

	if (receiver->ack_pprev == NULL)
		return;
	*receiver->ack_pprev = receiver->ack_next;
	if (receiver->ack_next != NULL)
		receiver->ack_next->receiver.ack_pprev = receiver->ack_pprev;
	receiver->ack_pprev = NULL;
}

/* Who waits already is found too early, and then put off: most of them have been heard by then. */
static void wait_until(struct tcp_pcb *pcb, uint64_t at_ms)
{
	struct tcp_receiver *receiver = &pcb->receiver;
	struct tcp_pcb **slot = &waiting[at_ms % SLOTS];

	receiver->ack_ms = (uint32_t)at_ms;
	if (receiver->ack_pprev != NULL)
		return;
	if (filled == 0)
		run_ms = now_ms();
	receiver->ack_next = *slot;
	receiver->ack_pprev = slot;
	if (*slot != NULL)
		(*slot)->receiver.ack_pprev = &receiver->ack_next;
	*slot = pcb;
	filled |= 1ull << (at_ms % SLOTS);
}

static void acknowledge_late(struct tcp_pcb *pcb, uint64_t ms)
{
	int32_t left_ms = (int32_t)(pcb->receiver.ack_ms - (uint32_t)ms);

	if ((pcb->flags & TF_ACK_DELAY) == 0)
		return; /* what has left since has said it */
	if (left_ms > 0) {
		wait_until(pcb, ms + (uint32_t)left_ms);
		return;
	}
	pcb->receiver.exchanges = 0;
	tcp_ack_now(pcb);
	tcp_output(pcb);
}

/* Taken off as a whole: who is put off may get the same slot, a turn of the wheel later. */
static void run_slot(size_t slot, uint64_t ms)
{
	struct tcp_pcb *due = waiting[slot];

	filled &= ~(1ull << slot);
	waiting[slot] = NULL;
	if (due != NULL)
		due->receiver.ack_pprev = &due;
	while (due != NULL) {
		struct tcp_pcb *pcb = due;

		stop_waiting(pcb);
		acknowledge_late(pcb, ms);
	}
}

void receiver_clock_run(uint64_t now_ns)
{
	uint64_t until_ms = now_ns / NS_PER_MS;

	while (filled != 0 && run_ms < until_ms)
		run_slot(++run_ms % SLOTS, until_ms);
}

uint64_t receiver_clock_deadline(void)
{
	size_t next = (run_ms + 1) % SLOTS;
	uint64_t ahead;

	if (filled == 0)
		return UINT64_MAX;
	ahead = next == 0 ? filled : filled >> next | filled << (SLOTS - next);
	return (run_ms + 1 + (uint64_t)__builtin_ctzll(ahead)) * NS_PER_MS;
}

void receiver_forget(struct tcp_pcb *pcb)
{
	stop_waiting(pcb);
}

/* --- now or later -------------------------------------------------------------------------------------- */

static bool is_due_now(struct tcp_pcb *pcb, uint32_t len, bool push)
{
	struct tcp_receiver *receiver = &pcb->receiver;

	if ((pcb->flags & TF_ACK_DELAY) != 0 || len >= 2 * (uint32_t)pcb->mss)
		return true;
	if (receiver->exchanges >= EXCHANGES_ENOUGH)
		return false;
	if (receiver->quick > 0) {
		receiver->quick--;
		return true;
	}
	if (receiver->eager)
		return false;
	return push || len < pcb->mss; /* nothing follows it by itself */
}

/* In one turn: the second was sent without an answer to the first. */
static void watch_for_eager(struct tcp_pcb *pcb, uint32_t len, uint64_t now_ns)
{
	struct tcp_receiver *receiver = &pcb->receiver;
	bool small = len < pcb->mss;

	if (small && receiver->was_small && receiver->arrived_ns == now_ns)
		receiver->eager = true;
	receiver->was_small = small;
}

void tcp_receiver_arrived(struct tcp_pcb *pcb, uint32_t len, bool push)
{
	struct tcp_receiver *receiver = &pcb->receiver;
	uint64_t now_ns = clock_now_ns();

	if (now_ns - receiver->arrived_ns > PAUSE_NS)
		receiver->quick = QUICK;
	watch_for_eager(pcb, len, now_ns);
	receiver->arrived_ns = now_ns;
	receiver->arrivals = (uint8_t)LWIP_MIN(receiver->arrivals + 1, 2);
	if (is_due_now(pcb, len, push)) {
		tcp_ack_now(pcb);
		return;
	}
	tcp_set_flags(pcb, TF_ACK_DELAY);
	wait_until(pcb, now_ns / NS_PER_MS +
				LWIP_MIN(2u * receiver->answer_ms + DELAY_MIN_MS, DELAY_MAX_MS));
}

void receiver_answered(struct tcp_pcb *pcb)
{
	struct tcp_receiver *receiver = &pcb->receiver;
	uint64_t took_ms;

	if (receiver->arrivals == 0)
		return;
	took_ms = (clock_now_ns() - receiver->arrived_ns) / NS_PER_MS;
	if (receiver->arrivals == 1 && took_ms <= DELAY_MAX_MS) {
		uint8_t less = (uint8_t)(receiver->answer_ms - (receiver->answer_ms + 7) / 8);

		receiver->answer_ms = (uint8_t)LWIP_MAX(took_ms, less);
		if (receiver->exchanges < EXCHANGES_ENOUGH)
			receiver->exchanges++;
	} else {
		receiver->exchanges = 0;
	}
	receiver->arrivals = 0;
}
