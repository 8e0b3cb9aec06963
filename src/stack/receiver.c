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
};

#define PAUSE_NS (200 * NS_PER_MS) /* a sender may have timed out, and begins anew */

/* In that millisecond, not behind it. */
static void acknowledge_in(struct tcp_pcb *pcb, uint32_t ms)
{
	pcb->receiver.ack_us = clock_now_us + ms * 1000 - 999;
	tcp_set_flags(pcb, TF_ACK_DELAY);
	pcb_clock_set(pcb);
}

void receiver_timer(struct tcp_pcb *pcb)
{
	pcb->receiver.exchanges = 0;
	tcp_ack_now(pcb);
	tcp_output(pcb);
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
	acknowledge_in(pcb, LWIP_MIN(2u * receiver->answer_ms + DELAY_MIN_MS, DELAY_MAX_MS));
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
