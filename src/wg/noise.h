/* SPDX-License-Identifier: MIT */
#pragma once

#include "aead.h"
#include "limits.h"
#include "message.h"
#include "symmetric.h"
#include "wg.h"

/* One side of the handshake Noise_IKpsk2 with one peer; theory of operation in noise.c. */
struct noise {
	uint8_t private_key[CRYPTO_KEY_LEN];
	uint8_t public_key[CRYPTO_KEY_LEN];
	uint8_t peer_public_key[CRYPTO_KEY_LEN];
	uint8_t preshared_key[CRYPTO_KEY_LEN];
	uint8_t static_static[CRYPTO_KEY_LEN]; /* DH of both static keys: token ss */
	struct symmetric to_peer, to_us;       /* the start of a handshake, by its direction */

	struct {
		struct symmetric state;
		uint8_t ephemeral_private[CRYPTO_KEY_LEN];
		uint32_t index; /* our sender index */
		bool waiting;
	} initiation; /* the last one that we sent, until it is answered */

	uint64_t timestamp_ns; /* of that initiation: wall time, only ever forward */
	uint8_t peer_timestamp[TIMESTAMP_LEN];
	uint64_t peer_initiation_from_ns; /* before that, another one is a flood */
};

/* An initiation that was consumed and waits, on the stack, for its response. */
struct noise_consumed {
	struct symmetric state;
	uint8_t peer_ephemeral[CRYPTO_KEY_LEN];
	uint32_t peer_index;
};

/* What a handshake is for. Secret: wipe it. */
struct noise_keys {
	struct aead_key send, receive;
	uint32_t local_index, peer_index;
};

/* False: one of the keys cannot work (ours all zero, the peer's a low-order point). */
bool noise_init(struct noise *noise, const struct wg_config *config);

/* Our initiation; one that was still waiting is forgotten. The MACs are the caller's to add. */
void noise_create_initiation(struct noise *noise, struct message_initiation *message,
			     uint32_t sender_index, uint64_t wall_ns, const struct wg_env *env);

/*
 * False, and nothing has changed: forged, replayed, older than the last, sooner than
 * INITIATION_INTERVAL after it, or not from our peer. True: create the response next.
 */
bool noise_consume_initiation(struct noise *noise, const struct message_initiation *message,
			      uint64_t now_ns, struct noise_consumed *consumed);

/* Uses up `consumed`, whose secrets it wipes. `keys->local_index` says which index is ours. */
bool noise_create_response(const struct noise *noise, struct noise_consumed *consumed,
			   struct message_response *message, struct noise_keys *keys,
			   const struct wg_env *env);

/* The answer to our waiting initiation? False, and it goes on waiting: forged or stale. */
bool noise_consume_response(struct noise *noise, const struct message_response *message,
			    struct noise_keys *keys);

/* Forgets our initiation: no answer to it will be taken. */
void noise_forget_initiation(struct noise *noise);

static inline bool noise_expects(const struct noise *noise, uint32_t receiver_index)
{
	return noise->initiation.waiting && noise->initiation.index == receiver_index;
}
