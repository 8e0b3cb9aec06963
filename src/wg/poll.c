// SPDX-License-Identifier: MIT
#include "core.h"

#include "base/check.h"

#include <string.h>

/* A handshake message of ours that is complete but for its MACs. */
static void send_handshake(struct wg *wg, size_t len, uint64_t now_ns, struct wg_message *out)
{
	cookie_jar_sign(&wg->jar, out->data, len, now_ns);
	out->len = (uint32_t)len;
	out->to = wg->endpoint;
	wg->stats.tx_bytes += len;
	timers_packet_sent(&wg->timers, now_ns);
}

static bool handle_initiation(struct wg *wg, const struct queue_entry *entry, uint64_t now_ns,
			      struct wg_message *out)
{
	const struct message_initiation *initiation = (const void *)entry->message;
	struct message_response *response = (void *)out->data;
	struct noise_consumed consumed;
	struct noise_keys keys = {0};
	bool ok = noise_consume_initiation(&wg->noise, initiation, now_ns, &consumed);

	if (ok) {
		keys.local_index = sessions_offer(&wg->sessions, &wg->env);
		ok = noise_create_response(&wg->noise, &consumed, response, &keys, &wg->env);
	}
	if (ok) {
		sessions_responded(&wg->sessions, &keys, now_ns);
		wg_note_received(wg, &entry->from, entry->len, now_ns);
		send_handshake(wg, sizeof(*response), now_ns, out);
		timers_session_derived(&wg->timers, now_ns);
		timers_responded(&wg->timers, now_ns);
	}
	crypto_wipe(&keys, sizeof(keys));
	return ok;
}

static bool handle_response(struct wg *wg, const struct queue_entry *entry, uint64_t now_ns,
			    struct wg_message *out)
{
	const struct message_response *response = (const void *)entry->message;
	bool rekey = sessions_sending(&wg->sessions, now_ns) != NULL;
	struct noise_keys keys;
	bool ok = noise_consume_response(&wg->noise, response, &keys);

	if (ok) {
		sessions_initiated(&wg->sessions, &keys, now_ns);
		wg_note_received(wg, &entry->from, entry->len, now_ns);
		timers_session_derived(&wg->timers, now_ns);
		wg_note_complete(wg, rekey, now_ns);
		/* The responder may not use the session until it has heard from us under it. */
		wg_seal_keepalive(wg, now_ns, out);
	}
	crypto_wipe(&keys, sizeof(keys));
	return ok;
}

static void handle(struct wg *wg, const struct queue_entry *entry, uint64_t now_ns,
		   struct wg_message *out)
{
	bool ok = le32_get(entry->message) == MESSAGE_INITIATION
			  ? handle_initiation(wg, entry, now_ns, out)
			  : handle_response(wg, entry, now_ns, out);

	if (!ok)
		wg->stats.verdicts[WG_DROP_HANDSHAKE]++;
}

static void send_cookie(struct wg *wg, const struct queue_entry *entry, uint64_t now_ns,
			struct wg_message *out)
{
	struct message_cookie_reply *reply = (void *)out->data;

	cookie_reply(&wg->checker, reply, entry, now_ns);
	out->len = sizeof(*reply);
	out->to = entry->from;
	wg->stats.cookies_sent++;
}

static void give_up(struct wg *wg, uint64_t now_ns)
{
	wg->events |= WG_EVENT_GAVE_UP;
	wg->stats.handshakes_given_up++;
	timers_gave_up(&wg->timers, now_ns);
}

static void initiate(struct wg *wg, uint64_t now_ns, uint64_t wall_ns, struct wg_message *out)
{
	struct message_initiation *initiation = (void *)out->data;

	/* The series waits, without a timer, for wg_set_endpoint(). */
	if (wg->endpoint.family == ADDR_NONE)
		return;
	if (wg->timers.initiated) {
		wg->events |= WG_EVENT_UNANSWERED;
		wg->stats.handshakes_unanswered++;
		if (now_ns >= wg->timers.give_up_ns) {
			give_up(wg, now_ns);
			return;
		}
	}
	noise_create_initiation(&wg->noise, initiation, sessions_reserve(&wg->sessions, &wg->env),
				wall_ns, &wg->env);
	send_handshake(wg, sizeof(*initiation), now_ns, out);
	wg->stats.handshakes_initiated++;
	timers_initiated(&wg->timers, &wg->env, now_ns);
}

static void fire(struct wg *wg, enum timer kind, uint64_t now_ns, uint64_t wall_ns,
		 struct wg_message *out)
{
	timers_stop(&wg->timers, kind);
	switch (kind) {
	case TIMER_EXPIRY:
		wg->events |= WG_EVENT_LOST;
		break;
	case TIMER_ZERO_KEYS:
		sessions_clear(&wg->sessions);
		noise_forget_initiation(&wg->noise);
		break;
	case TIMER_HANDSHAKE:
		initiate(wg, now_ns, wall_ns, out);
		break;
	case TIMER_NEW_HANDSHAKE:
		timers_handshake_wanted(&wg->timers, now_ns);
		break;
	case TIMER_PERSISTENT:
		timers_put_off_persistent(&wg->timers, now_ns);
		wg_seal_keepalive(wg, now_ns, out);
		break;
	case TIMER_KEEPALIVE:
		wg_seal_keepalive(wg, now_ns, out);
		break;
	case TIMERS:
		break;
	}
}

/*
 * Handshakes come before timers, since the response that waits makes the next initiation needless;
 * cookies come last, or a flood would keep the timers from ever firing.
 */
bool wg_poll(struct wg *wg, uint64_t now_ns, uint64_t wall_ns, struct wg_message *out)
{
	enum timer due = timers_due(&wg->timers, now_ns);

	out->len = 0;
	if (wg->handshakes.count > 0) {
		handle(wg, queue_pop(&wg->handshakes), now_ns, out);
	} else if (due != TIMERS) {
		fire(wg, due, now_ns, wall_ns, out);
	} else if (wg->unproven.count > 0) {
		send_cookie(wg, queue_pop(&wg->unproven), now_ns, out);
	} else {
		CHECK(wg_deadline(wg) > now_ns);
		return false;
	}
	return true;
}
