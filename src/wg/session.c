// SPDX-License-Identifier: MIT
#include "session.h"

#include "base/check.h"

#include <string.h>

/*
 * Theory of operation (paper, section 6.3; Linux, noise.c).
 *
 * Three sessions live at most, so that no packet is lost while one takes over from another:
 *
 *	current		we seal with it
 *	previous	what the peer sealed before it learned of current is still opened
 *	next		we have answered an initiation but cannot know whether the answer arrived;
 *			the first data message under its key says so, and it becomes current
 *
 * The initiator needs no next: the response itself is the confirmation. What each event does:
 *
 *	initiated	current -> previous, new -> current; an unconfirmed next -> previous
 *			instead, since its initiator may use it already (both began at once)
 *	responded	new -> next; previous ends
 *	confirmed	current -> previous, next -> current
 *
 * So previous and next never live at once, and a confirmation ends no session. One more slot is
 * reserved while an initiation of ours waits, because its index is in the message, and the fourth
 * is free for whatever begins.
 *
 * Times are deadlines fixed at the beginning of a session, and the role is in them: only the
 * initiator has rekey deadlines, so that not both ends begin at once.
 */

static bool in_use(const struct sessions *sessions, const struct session *session)
{
	return session == sessions->current || session == sessions->previous ||
	       session == sessions->next || session == sessions->reserved;
}

static void end(struct session **role)
{
	if (*role != NULL)
		crypto_wipe(*role, sizeof(**role));
	*role = NULL;
}

static uint32_t random_index(size_t slot, const struct wg_env *env)
{
	uint32_t index;

	env->random(env->ctx, &index, sizeof(index));
	return (index & ~(uint32_t)SESSION_SLOT_MASK) | (uint32_t)slot;
}

uint32_t sessions_offer(const struct sessions *sessions, const struct wg_env *env)
{
	size_t slot = 0;

	while (in_use(sessions, &sessions->slots[slot]))
		slot++;
	CHECK(slot < SESSION_SLOTS);
	return random_index(slot, env);
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

	CHECK(!in_use(sessions, session));
	memset(session, 0, sizeof(*session));
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
	end(&sessions->previous);
	if (sessions->next != NULL) {
		end(&sessions->current);
		sessions->previous = sessions->next;
		sessions->next = NULL;
	} else {
		sessions->previous = sessions->current;
	}
	sessions->current = session;
}

void sessions_responded(struct sessions *sessions, const struct noise_keys *keys, uint64_t now_ns)
{
	end(&sessions->next);
	end(&sessions->previous);
	sessions->next = begin(sessions, keys, now_ns);
}

void sessions_confirmed(struct sessions *sessions)
{
	CHECK(sessions->next != NULL && sessions->previous == NULL);
	sessions->previous = sessions->current;
	sessions->current = sessions->next;
	sessions->next = NULL;
}

void sessions_clear(struct sessions *sessions)
{
	crypto_wipe(sessions, sizeof(*sessions));
}
