// SPDX-License-Identifier: MIT
/*
 * One turn: everything that has arrived goes as far as it can, in batches.
 *
 *	udp_received -> wg_open -> stack_input     datagrams, opened in place, into the stack
 *	wg_poll                                    handshakes and timers, a few steps
 *	relay_turn                                 bytes between the stack and host sockets
 *	stack_turn -> turn_room / turn_push        segments, gathered into the trains
 *	wg_seal -> udp_push -> udp_flush           sealed there, and off
 *
 * Handshakes come before the stack's turn: a session that has just come about carries what had to
 * wait for it in the same turn. While there is none, turn_room() says NULL: the stack keeps its
 * segments and nothing is lost or timed out for want of a handshake.
 */
#include "inside.h"

#include "base/time.h"

#include <time.h>

static uint64_t wall_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- outward ----------------------------------------------------------------------------------- */

/* Seals what was gathered, and puts it on the trains. */
static void seal_gathered(struct proxy *proxy)
{
	struct addr to = wg_status(proxy->wg, proxy->now_ns).endpoint;

	wg_seal(proxy->wg, proxy->tx, proxy->tx_count, proxy->now_ns);
	for (size_t i = 0; i < proxy->tx_count; i++) {
		const struct wg_tx *tx = &proxy->tx[i];

		if (tx->result == WG_TX_SEALED)
			udp_push(proxy->udp, tx->message, tx->len, &to);
	}
	proxy->tx_count = 0;
}

uint8_t *turn_room(void *ctx, size_t len)
{
	struct proxy *proxy = ctx;
	uint8_t *message;

	if (!proxy->session) {
		wg_want_session(proxy->wg, proxy->now_ns);
		return NULL;
	}
	if (proxy->tx_count == PROXY_TX_MAX)
		seal_gathered(proxy);
	message = udp_room(proxy->udp, wg_message_len(proxy->wg, len));
	return message == NULL ? NULL : message + WG_HEADER_LEN;
}

void turn_push(void *ctx, uint8_t *packet, size_t len)
{
	struct proxy *proxy = ctx;

	proxy->tx[proxy->tx_count++] = (struct wg_tx){
		.message = packet - WG_HEADER_LEN,
		.len = (uint32_t)len,
	};
}

/* --- inward ------------------------------------------------------------------------------------ */

/* Moves the inner packets to the front; returns how many they are. */
static size_t keep_data(struct dgram *dgrams, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (dgrams[i].verdict != WG_DATA)
			continue;
		if (kept != i)
			dgrams[kept] = dgrams[i];
		kept++;
	}
	return kept;
}

static void receive(struct proxy *proxy)
{
	struct dgram *dgrams;
	size_t count;

	while ((count = udp_received(proxy->udp, &dgrams)) > 0) {
		bool may_lend = udp_may_lend(proxy->udp);

		wg_open(proxy->wg, dgrams, count, proxy->now_ns);
		count = keep_data(dgrams, count);
		stack_input(proxy->stack, dgrams, count, may_lend);
	}
}

static void send_message(struct proxy *proxy, const struct wg_message *message)
{
	uint8_t *room = message->len == 0 ? NULL : udp_room(proxy->udp, message->len);

	if (room == NULL)
		return; /* nothing to send, or all trains are under way: the peer asks again */
	memcpy(room, message->data, message->len);
	udp_push(proxy->udp, room, message->len, &message->to);
}

static void control(struct proxy *proxy)
{
	uint64_t wall_ns = wall_clock_ns();
	struct wg_message message;

	for (int i = 0; i < PROXY_CONTROL_MAX; i++) {
		if (!wg_poll(proxy->wg, proxy->now_ns, wall_ns, &message))
			break;
		send_message(proxy, &message);
	}
	report_events(proxy);
	proxy->session = wg_status(proxy->wg, proxy->now_ns).session;
}

/* --- the turn ----------------------------------------------------------------------------- */

void turn_run(struct proxy *proxy)
{
	stack_advance(proxy->stack, proxy->now_ns);
	receive(proxy);
	/* What lwIP has answered at once, before the trains take other messages. */
	seal_gathered(proxy);
	control(proxy);
	if (proxy->resolve != NULL)
		resolve_turn(proxy->resolve, proxy->now_ns);
	if (proxy->accept_again_ns <= proxy->now_ns)
		host_accept_again(proxy);
	relay_turn(proxy->relay, proxy->now_ns);
	stack_turn(proxy->stack);
	seal_gathered(proxy);
	if (proxy->health != NULL)
		health_turn(proxy->health, proxy->now_ns);
	udp_flush(proxy->udp);
	memory_turn(proxy);
	histogram_add(&proxy->turn_time, io_now() - proxy->now_ns);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t turn_deadline(const struct proxy *proxy)
{
	uint64_t deadline = earlier(wg_deadline(proxy->wg), stack_deadline(proxy->stack));

	deadline = earlier(deadline, relay_deadline(proxy->relay));
	deadline = earlier(deadline, proxy->accept_again_ns);
	deadline = earlier(deadline, proxy->state_deadline_ns);
	deadline = earlier(deadline, proxy->trim_at_ns);
	if (proxy->resolve != NULL)
		deadline = earlier(deadline, resolve_deadline(proxy->resolve));
	if (proxy->health != NULL)
		deadline = earlier(deadline, health_deadline(proxy->health));
	return deadline;
}
