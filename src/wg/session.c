// SPDX-License-Identifier: MIT
#include "session.h"

#include "base/check.h"

/*
 * Theory of operation (paper, section 6.3; Linux, noise.c).
 *
 * Sessions overlap, so that no packet is lost while one takes over from another:
 *
 *	current		we seal with it
 *	next		we have answered an initiation but cannot know whether the answer arrived;
 *			the first data message under its key says so, and it becomes current
 *	retired		what the peer sealed before it learned of current is still opened
 *
 * The initiator needs no next: the response itself is the confirmation. What each event does:
 *
 *	initiated	new -> current; current retires, and so does an unconfirmed next, since
 *			its initiator may use it already (both began at once)
 *	responded	new -> next; an unconfirmed next ends
 *	confirmed	next -> current; current retires
 *
 * The paper retires one session, its previous. That is too few between two ends that began at once:
 * each may settle on the session that it asked for, and then seals, until a later handshake is
 * complete, under one that the other has retired; so the answer to that handshake must not end it,
 * nor must its completion while data is on the way. A retired session therefore opens for the rest
 * of its REJECT_AFTER_TIME. The first session to begin after that wipes it; that is no later than
 * previous would be wiped, when rekeys come in their time. Where they come faster, the oldest
 * retired session gives up its slot. Three slots are for the roles, the reserved one among them,
 * and one for whatever begins; so four can be retired, two rounds of beginning at once.
 *
 * Only a beginning ends sessions, and only wg_poll() lets one begin: wg_open() may hold on to a
 * session throughout a batch, even though a confirmation comes in its middle.
 *
 * Times are deadlines fixed at the beginning of a session, and the role is in them: only the
 * initiator has rekey deadlines, so that not both ends begin at once.
 */

static bool has_role(const struct sessions *sessions, const struct session *session)
{
	return session == sessions->current || session == sessions->next ||
	       session == sessions->reserved;
}

/* A free slot, or else that of the retired session with the least time left. */
static size_t spare_slot(const struct sessions *sessions)
{
	size_t spare = SESSION_SLOTS;

	for (size_t i = 0; i < SESSION_SLOTS; i++) {
		if (has_role(sessions, &sessions->slots[i]))
			continue;
		if (spare == SESSION_SLOTS ||
		    sessions->slots[i].reject_ns < sessions->slots[spare].reject_ns)
			spare = i;
	}
	CHECK(spare < SESSION_SLOTS);
	return spare;
}

static void end(struct session *session)
{
	crypto_wipe(session, sizeof(*session));
}

static void end_expired(struct sessions *sessions, uint64_t now_ns)
{
	for (size_t i = 0; i < SESSION_SLOTS; i++) {
		struct session *session = &sessions->slots[i];

		if (session->keyed && now_ns >= session->reject_ns && !has_role(sessions, session))
			end(session);
	}
}

static uint32_t random_index(size_t slot, const struct wg_env *env)
{
	uint32_t index;

	env->random(env->ctx, &index, sizeof(index));
	return (index & ~(uint32_t)SESSION_SLOT_MASK) | (uint32_t)slot;
}

uint32_t sessions_offer(const struct sessions *sessions, const struct wg_env *env)
{
	return random_index(spare_slot(sessions), env);
}

uint32_t sessions_reserve(struct sessions *sessions, const struct wg_env *env)
{
	uint32_t index = sessions_offer(sessions, env);

	sessions->reserved = &sessions->slots[index & SESSION_SLOT_MASK];
	return index;
}

static struct session *begin(struct sessions *sessions, const struct noise_keys *keys,
			     uint64_t now_ns)
{
	struct session *session = &sessions->slots[keys->local_index & SESSION_SLOT_MASK];

	CHECK(!has_role(sessions, session));
	end(session);
	end_expired(sessions, now_ns);
	session->local_index = keys->local_index;
	session->peer_index = keys->peer_index;
	session->send_key = keys->send;
	session->receive_key = keys->receive;
	session->reject_ns = now_ns + REJECT_AFTER_TIME;
	session->rekey_on_send_ns = NEVER;
	session->rekey_on_receive_ns = NEVER;
	session->keyed = true;
	return session;
}

void sessions_initiated(struct sessions *sessions, const struct noise_keys *keys, uint64_t now_ns)
{
	struct session *session;

	sessions->reserved = NULL;
	session = begin(sessions, keys, now_ns);
	session->rekey_on_send_ns = now_ns + REKEY_AFTER_TIME;
	session->rekey_on_receive_ns = session->reject_ns - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
	sessions->current = session;
	sessions->next = NULL;
}

void sessions_responded(struct sessions *sessions, const struct noise_keys *keys, uint64_t now_ns)
{
	if (sessions->next != NULL)
		end(sessions->next);
	sessions->next = begin(sessions, keys, now_ns);
}

void sessions_confirmed(struct sessions *sessions)
{
	CHECK(sessions->next != NULL);
	sessions->current = sessions->next;
	sessions->next = NULL;
}

void sessions_clear(struct sessions *sessions)
{
	crypto_wipe(sessions, sizeof(*sessions));
}
