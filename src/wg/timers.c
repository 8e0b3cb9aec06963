// SPDX-License-Identifier: MIT
#include "timers.h"

/*
 * Theory of operation (paper, sections 6.2 to 6.5; Linux, timers.c).
 *
 * WireGuard is silent unless there is something to say, and everything it does of its own accord
 * follows from six deadlines. Events of the core move them; nothing is queued, called back or
 * cancelled, and the earliest of the six is when the caller must wake.
 *
 * A series of initiations begins when a session is wanted: by data without a session, by traffic on
 * an old one, by silence of the peer, by a persistent keepalive. TIMER_HANDSHAKE is the next one's
 * time. Wanting again only puts off the end, so that the series lasts for REKEY_ATTEMPT_TIME after
 * the last wish, or after its first initiation. A completed handshake of either role ends it.
 *
 *	wanted --> initiation --REKEY_TIMEOUT + jitter--> initiation ... --> complete | give up
 *
 * While no endpoint is known the timer fires into the void, once, and the series waits without it:
 * nothing was sent, so nothing is unanswered or given up. The endpoint, whether resolved or learned
 * from the peer's own message, sets the timer again.
 *
 * At most one handshake message leaves per REKEY_TIMEOUT, our responses included: whoever was
 * answered is about to confirm, and two peers that begin together do not begin together again,
 * thanks to the jitter.
 *
 * The passive timers mirror each other. Whoever receives data and sends nothing for
 * KEEPALIVE_TIMEOUT sends an empty message; so whoever sends data and hears nothing for
 * REKEY_TIMEOUT longer than that knows that the session is dead. An empty message sets neither
 * timer, or the two ends would keep each other awake for ever.
 *
 * A fired timer is always moved into the future or stopped, so a clock that stands still, or leaps,
 * fires each at most once: wg_poll() comes to an end.
 */

/* Not in the per-packet functions: random bytes may cost a system call. */
static void draw_jitter(struct timers *timers, const struct wg_env *env)
{
	uint64_t random;

	env->random(env->ctx, &random, sizeof(random));
	timers->jitter_ns = random % REKEY_JITTER_MAX;
}

void timers_init(struct timers *timers, const struct wg_env *env, uint16_t keepalive_s,
		 uint64_t now_ns)
{
	for (size_t i = 0; i < TIMERS; i++)
		timers->at_ns[i] = NEVER;
	draw_jitter(timers, env);
	timers->initiate_from_ns = 0;
	timers->persistent_ns = NEVER;
	if (keepalive_s == 0)
		return;
	timers->persistent_ns = keepalive_s * NS_PER_S;
	timers->at_ns[TIMER_PERSISTENT] = now_ns + timers->persistent_ns;
	timers_handshake_wanted(timers, now_ns);
}

uint64_t timers_deadline(const struct timers *timers)
{
	uint64_t first = NEVER;

	for (size_t i = 0; i < TIMERS; i++) {
		if (timers->at_ns[i] < first)
			first = timers->at_ns[i];
	}
	return first;
}

enum timer timers_due(const struct timers *timers, uint64_t now_ns)
{
	enum timer kind = 0;

	while (kind < TIMERS && timers->at_ns[kind] > now_ns)
		kind++;
	return kind;
}

void timers_handshake_wanted(struct timers *timers, uint64_t now_ns)
{
	timers->give_up_ns = now_ns + REKEY_ATTEMPT_TIME;
	if (timers->wanted)
		return;
	timers->wanted = true;
	timers->initiated = false;
	timers->at_ns[TIMER_HANDSHAKE] = now_ns > timers->initiate_from_ns
						 ? now_ns
						 : timers->initiate_from_ns;
}

void timers_initiated(struct timers *timers, const struct wg_env *env, uint64_t now_ns)
{
	if (!timers->initiated)
		timers->give_up_ns = now_ns + REKEY_ATTEMPT_TIME;
	timers->initiated = true;
	draw_jitter(timers, env);
	timers->initiate_from_ns = now_ns + REKEY_TIMEOUT;
	timers->at_ns[TIMER_HANDSHAKE] = timers->initiate_from_ns + timers->jitter_ns;
}

static void end_series(struct timers *timers)
{
	timers->wanted = false;
	timers_stop(timers, TIMER_HANDSHAKE);
}

void timers_gave_up(struct timers *timers, uint64_t now_ns)
{
	end_series(timers);
	/* The unanswered initiation is key material too. */
	if (timers->at_ns[TIMER_ZERO_KEYS] == NEVER)
		timers_session_derived(timers, now_ns);
}

void timers_endpoint_changed(struct timers *timers)
{
	if (timers->wanted && timers->at_ns[TIMER_HANDSHAKE] > timers->initiate_from_ns)
		timers->at_ns[TIMER_HANDSHAKE] = timers->initiate_from_ns;
}

void timers_responded(struct timers *timers, uint64_t now_ns)
{
	timers->initiate_from_ns = now_ns + REKEY_TIMEOUT;
	if (timers->at_ns[TIMER_HANDSHAKE] < timers->initiate_from_ns)
		timers->at_ns[TIMER_HANDSHAKE] = timers->initiate_from_ns + timers->jitter_ns;
}

void timers_handshake_complete(struct timers *timers, uint64_t reject_ns)
{
	end_series(timers);
	timers->at_ns[TIMER_EXPIRY] = reject_ns;
}

void timers_session_derived(struct timers *timers, uint64_t now_ns)
{
	timers->at_ns[TIMER_ZERO_KEYS] = now_ns + 3 * REJECT_AFTER_TIME;
}

/* Any traffic keeps the path through a NAT open, so it puts the persistent keepalive off. */
void timers_put_off_persistent(struct timers *timers, uint64_t now_ns)
{
	if (timers->persistent_ns != NEVER)
		timers->at_ns[TIMER_PERSISTENT] = now_ns + timers->persistent_ns;
}

void timers_packet_sent(struct timers *timers, uint64_t now_ns)
{
	timers_stop(timers, TIMER_KEEPALIVE);
	timers_put_off_persistent(timers, now_ns);
}

void timers_packet_received(struct timers *timers, uint64_t now_ns)
{
	timers_stop(timers, TIMER_NEW_HANDSHAKE);
	timers_put_off_persistent(timers, now_ns);
}

void timers_data_sent(struct timers *timers, uint64_t now_ns)
{
	if (timers->at_ns[TIMER_NEW_HANDSHAKE] == NEVER)
		timers->at_ns[TIMER_NEW_HANDSHAKE] = now_ns + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT +
						     timers->jitter_ns;
}

void timers_data_received(struct timers *timers, uint64_t now_ns)
{
	if (timers->at_ns[TIMER_KEEPALIVE] == NEVER)
		timers->at_ns[TIMER_KEEPALIVE] = now_ns + KEEPALIVE_TIMEOUT;
}
