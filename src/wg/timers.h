/* SPDX-License-Identifier: MIT */
#pragma once

#include "limits.h"
#include "wg.h"

/*
 * What must happen later, as data: one deadline per kind, NEVER where none is set; theory of
 * operation in timers.c. When several are due, they fire in this order.
 */
enum timer {
	TIMER_EXPIRY,	     /* the current session is REJECT_AFTER_TIME old */
	TIMER_ZERO_KEYS,     /* no new session for 3 x REJECT_AFTER_TIME */
	TIMER_HANDSHAKE,     /* send an initiation: the first, or again */
	TIMER_KEEPALIVE,     /* data was received and nothing sent since */
	TIMER_NEW_HANDSHAKE, /* data was sent and nothing heard since */
	TIMER_PERSISTENT,    /* PersistentKeepalive */
	TIMERS,
};

struct timers {
	uint64_t at_ns[TIMERS];
	uint64_t persistent_ns;	   /* the interval; NEVER: off */
	uint64_t initiate_from_ns; /* one handshake message per REKEY_TIMEOUT */
	bool wanted;		   /* a series of initiations is on */
	bool initiated;		   /* it has sent one */
	uint64_t give_up_ns;	   /* its end */
	uint64_t jitter_ns;	   /* drawn anew with each initiation */
};

void timers_init(struct timers *timers, const struct wg_env *env, uint16_t keepalive_s,
		 uint64_t now_ns);

uint64_t timers_deadline(const struct timers *timers);

/* The first kind that is due; TIMERS: none. The caller acts and calls what happened below. */
enum timer timers_due(const struct timers *timers, uint64_t now_ns);

/* A session is wanted, or a newer one. Each call puts off giving up. */
void timers_handshake_wanted(struct timers *timers, uint64_t now_ns);

/* TIMER_HANDSHAKE fired, and an initiation left. Without an endpoint: call nothing. */
void timers_initiated(struct timers *timers, const struct wg_env *env, uint64_t now_ns);

/* TIMER_HANDSHAKE fired, and give_up_ns is over. */
void timers_gave_up(struct timers *timers, uint64_t now_ns);

/* There is somewhere to send initiations to, or somewhere else. */
void timers_endpoint_changed(struct timers *timers);

/* Our response left; its session waits for confirmation. */
void timers_responded(struct timers *timers, uint64_t now_ns);

/* The session that ends at `reject_ns` became current. */
void timers_handshake_complete(struct timers *timers, uint64_t reject_ns);

/* Keys were derived, confirmed or not. */
void timers_session_derived(struct timers *timers, uint64_t now_ns);

/* Any authenticated message left or came, handshake or data. */
void timers_packet_sent(struct timers *timers, uint64_t now_ns);
void timers_packet_received(struct timers *timers, uint64_t now_ns);

/* In addition, a data message with an inner packet. */
void timers_data_sent(struct timers *timers, uint64_t now_ns);
void timers_data_received(struct timers *timers, uint64_t now_ns);

/* Both of the former do this; TIMER_PERSISTENT firing must, too. */
void timers_put_off_persistent(struct timers *timers, uint64_t now_ns);

static inline void timers_stop(struct timers *timers, enum timer kind)
{
	timers->at_ns[kind] = NEVER;
}
