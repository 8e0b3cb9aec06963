/* SPDX-License-Identifier: MIT */
#pragma once

#include "limits.h"
#include "noise.h"
#include "replay.h"

/*
 * The sessions of one peer; theory of operation in session.c. A session's index, which the peer
 * writes into each data message, has the slot's number in its low bits and is random above: it is
 * found by a mask and a comparison, and unique among the living.
 */
enum { SESSION_SLOTS = 8, SESSION_SLOT_MASK = SESSION_SLOTS - 1 };

struct session {
	uint32_t local_index;
	uint32_t peer_index;
	bool keyed; /* false: the slot is free */
	uint64_t send_counter;
	uint64_t reject_ns; /* from then on it neither seals nor opens; 0: free */
	/* When traffic asks for the next session; NEVER where that is the peer's to do. */
	uint64_t rekey_on_send_ns, rekey_on_receive_ns;
	struct aead_key send_key, receive_key;
	struct replay replay;
};

struct sessions {
	struct session *current, *next;	     /* each NULL or one of the slots */
	struct session *reserved;	     /* its index is in our waiting initiation */
	struct session slots[SESSION_SLOTS]; /* keyed, but none of the above: retired */
};

/* The session that a data message is for; NULL: none. */
static inline struct session *sessions_find(struct sessions *sessions, uint32_t index)
{
	struct session *session = &sessions->slots[index & SESSION_SLOT_MASK];

	return session->keyed && session->local_index == index ? session : NULL;
}

/* The session that may seal one more message now; NULL: none. */
static inline struct session *sessions_sending(const struct sessions *sessions, uint64_t now_ns)
{
	struct session *session = sessions->current;

	return session != NULL && now_ns < session->reject_ns &&
			       session->send_counter < REJECT_AFTER_MESSAGES
		       ? session
		       : NULL;
}

/* An index for our next initiation; the one reserved before is given up. */
uint32_t sessions_reserve(struct sessions *sessions, const struct wg_env *env);

/* An index for our next response. Nothing has changed yet: the peer may turn out to be false. */
uint32_t sessions_offer(const struct sessions *sessions, const struct wg_env *env);

/* Our initiation was answered: its session is current at once. */
void sessions_initiated(struct sessions *sessions, const struct noise_keys *keys, uint64_t now_ns);

/* We answer: the session is next, with the index that sessions_offer() gave just before. */
void sessions_responded(struct sessions *sessions, const struct noise_keys *keys, uint64_t now_ns);

/* The first authenticated data message of next: it is current now. Ends no session. */
void sessions_confirmed(struct sessions *sessions);

/* Wipes all of them. */
void sessions_clear(struct sessions *sessions);
