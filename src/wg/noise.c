// SPDX-License-Identifier: MIT
#include "noise.h"

#include "base/check.h"

#include <string.h>

/*
 * Theory of operation (paper, section 5.4).
 *
 * A handshake is two messages. The initiation carries the initiator's ephemeral key, its static key
 * sealed for the responder alone, and a sealed timestamp; the response carries the responder's
 * ephemeral key and proves that it could follow. Each side mixes the same tokens in the same order
 * into a struct symmetric, and where all of them agree both end with the same pair of keys:
 *
 *	initiation	e, es, s, ss, {timestamp}
 *	response	e, ee, se, psk, {}
 *
 * Four functions, two per message: create at its sender, consume at its receiver. A consume works
 * on a copy on the stack and writes to the peer's state in its last lines, after everything has
 * verified; so a forged, stale or replayed message costs time and changes nothing. In particular a
 * false response leaves our initiation waiting for the true one. Every copy is wiped on every path.
 *
 * As the responder we keep nothing between the messages: consuming and responding happen in one
 * step. As the initiator we keep one initiation. The two roles share no state, so when both sides
 * begin at once both handshakes complete and session.c sorts them out.
 *
 * The timestamp is what protects an initiation from being replayed, since it comes before anything
 * of the responder's could: it must be greater than the last one seen. Our own clock may jump back;
 * then our timestamps creep forward from the last one used. They are rounded, as Linux does it, so
 * that they tell nothing about our clock that a timing attack could use.
 */

/* Linux: a power of two just below INITIATION_INTERVAL. */
#define TIMESTAMP_GRAIN (UINT64_C(1) << 24)

/* TAI64 label of 1970-01-01 (cr.yp.to/libtai/tai64.html): 2^62, and the ten seconds of 1970. */
#define TAI64_EPOCH UINT64_C(0x400000000000000a)

static void put_big_endian(uint8_t *bytes, size_t len, uint64_t value)
{
	while (len-- > 0) {
		bytes[len] = (uint8_t)value;
		value >>= 8;
	}
}

/* TAI64N: seconds and nanoseconds, so that memcmp() orders them. */
static void next_timestamp(struct noise *noise, uint8_t tai64n[static TIMESTAMP_LEN],
			   uint64_t wall_ns)
{
	uint64_t rounded_ns = wall_ns & ~(TIMESTAMP_GRAIN - 1);

	if (rounded_ns <= noise->timestamp_ns)
		rounded_ns = noise->timestamp_ns + TIMESTAMP_GRAIN;
	noise->timestamp_ns = rounded_ns;
	put_big_endian(tai64n, 8, TAI64_EPOCH + rounded_ns / NS_PER_S);
	put_big_endian(tai64n + 8, 4, rounded_ns % NS_PER_S);
}

static void new_ephemeral(uint8_t private_key[static CRYPTO_KEY_LEN],
			  uint8_t public_key[static CRYPTO_KEY_LEN], const struct wg_env *env)
{
	env->random(env->ctx, private_key, CRYPTO_KEY_LEN);
	crypto_clamp(private_key);
	crypto_public_key(public_key, private_key);
}

bool noise_init(struct noise *noise, const struct wg_config *config)
{
	static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

	if (crypto_is_zero(config->private_key, sizeof(config->private_key)))
		return false;
	memcpy(noise->private_key, config->private_key, sizeof(noise->private_key));
	memcpy(noise->peer_public_key, config->peer_public_key, sizeof(noise->peer_public_key));
	memcpy(noise->preshared_key, config->preshared_key, sizeof(noise->preshared_key));
	crypto_clamp(noise->private_key);
	crypto_public_key(noise->public_key, noise->private_key);
	symmetric_init(&noise->to_peer, identifier, sizeof(identifier) - 1, noise->peer_public_key);
	symmetric_init(&noise->to_us, identifier, sizeof(identifier) - 1, noise->public_key);
	return crypto_dh(noise->static_static, noise->private_key, noise->peer_public_key);
}

void noise_create_initiation(struct noise *noise, struct message_initiation *message,
			     uint32_t sender_index, uint64_t wall_ns, const struct wg_env *env)
{
	struct symmetric *state = &noise->initiation.state;
	uint8_t *ephemeral = noise->initiation.ephemeral_private;
	uint8_t key[CRYPTO_KEY_LEN];
	uint8_t timestamp[TIMESTAMP_LEN];

	*state = noise->to_peer;
	le32_put(message->type, MESSAGE_INITIATION);
	le32_put(message->sender, sender_index);
	new_ephemeral(ephemeral, message->ephemeral, env);
	symmetric_mix_ephemeral(state, message->ephemeral);
	/* noise_init() has refused the points for which this fails. */
	CHECK(symmetric_mix_dh(state, key, ephemeral, noise->peer_public_key));
	symmetric_seal(state, key, message->sealed_static, noise->public_key, CRYPTO_KEY_LEN);
	symmetric_mix_key(state, key, noise->static_static);
	next_timestamp(noise, timestamp, wall_ns);
	symmetric_seal(state, key, message->sealed_timestamp, timestamp, sizeof(timestamp));
	noise->initiation.index = sender_index;
	noise->initiation.waiting = true;
	crypto_wipe(key, sizeof(key));
}

/* Who sent it, and when? The static key inside is compared before its token ss is mixed. */
static bool open_initiation(const struct noise *noise, const struct message_initiation *message,
			    struct symmetric *state, uint8_t timestamp[static TIMESTAMP_LEN])
{
	uint8_t key[CRYPTO_KEY_LEN];
	uint8_t peer[CRYPTO_KEY_LEN];
	bool ok;

	symmetric_mix_ephemeral(state, message->ephemeral);
	ok = symmetric_mix_dh(state, key, noise->private_key, message->ephemeral) &&
	     symmetric_open(state, key, peer, message->sealed_static,
			    sizeof(message->sealed_static)) &&
	     crypto_equal(peer, noise->peer_public_key, sizeof(peer));
	if (ok) {
		symmetric_mix_key(state, key, noise->static_static);
		ok = symmetric_open(state, key, timestamp, message->sealed_timestamp,
				    sizeof(message->sealed_timestamp));
	}
	crypto_wipe(key, sizeof(key));
	crypto_wipe(peer, sizeof(peer));
	return ok;
}

bool noise_consume_initiation(struct noise *noise, const struct message_initiation *message,
			      uint64_t now_ns, struct noise_consumed *consumed)
{
	uint8_t timestamp[TIMESTAMP_LEN];

	consumed->state = noise->to_us;
	if (!open_initiation(noise, message, &consumed->state, timestamp) ||
	    memcmp(timestamp, noise->peer_timestamp, sizeof(timestamp)) <= 0 ||
	    now_ns < noise->peer_initiation_from_ns) {
		crypto_wipe(consumed, sizeof(*consumed));
		return false;
	}
	memcpy(noise->peer_timestamp, timestamp, sizeof(timestamp));
	noise->peer_initiation_from_ns = now_ns + INITIATION_INTERVAL;
	memcpy(consumed->peer_ephemeral, message->ephemeral, sizeof(message->ephemeral));
	consumed->peer_index = le32_get(message->sender);
	return true;
}

bool noise_create_response(const struct noise *noise, struct noise_consumed *consumed,
			   struct message_response *message, struct noise_keys *keys,
			   const struct wg_env *env)
{
	struct symmetric *state = &consumed->state;
	uint8_t ephemeral[CRYPTO_KEY_LEN];
	uint8_t key[CRYPTO_KEY_LEN];
	bool ok;

	le32_put(message->type, MESSAGE_RESPONSE);
	le32_put(message->sender, keys->local_index);
	le32_put(message->receiver, consumed->peer_index);
	keys->peer_index = consumed->peer_index;
	new_ephemeral(ephemeral, message->ephemeral, env);
	symmetric_mix_ephemeral(state, message->ephemeral);
	ok = symmetric_mix_dh(state, NULL, ephemeral, consumed->peer_ephemeral) &&
	     symmetric_mix_dh(state, NULL, ephemeral, noise->peer_public_key);
	if (ok) {
		symmetric_mix_psk(state, key, noise->preshared_key);
		symmetric_seal(state, key, message->sealed_nothing, NULL, 0);
		symmetric_split(state, keys->receive.bytes, keys->send.bytes);
	}
	crypto_wipe(ephemeral, sizeof(ephemeral));
	crypto_wipe(key, sizeof(key));
	crypto_wipe(consumed, sizeof(*consumed));
	return ok;
}

static bool open_response(const struct noise *noise, const struct message_response *message,
			  struct symmetric *state)
{
	uint8_t key[CRYPTO_KEY_LEN];
	uint8_t nothing[1];
	bool ok;

	symmetric_mix_ephemeral(state, message->ephemeral);
	ok = symmetric_mix_dh(state, NULL, noise->initiation.ephemeral_private,
			      message->ephemeral) &&
	     symmetric_mix_dh(state, NULL, noise->private_key, message->ephemeral);
	if (ok) {
		symmetric_mix_psk(state, key, noise->preshared_key);
		ok = symmetric_open(state, key, nothing, message->sealed_nothing,
				    sizeof(message->sealed_nothing));
	}
	crypto_wipe(key, sizeof(key));
	return ok;
}

bool noise_consume_response(struct noise *noise, const struct message_response *message,
			    struct noise_keys *keys)
{
	struct symmetric state;
	bool ok;

	if (!noise_expects(noise, le32_get(message->receiver)))
		return false;
	state = noise->initiation.state;
	ok = open_response(noise, message, &state);
	if (ok) {
		symmetric_split(&state, keys->send.bytes, keys->receive.bytes);
		keys->local_index = noise->initiation.index;
		keys->peer_index = le32_get(message->sender);
		noise_forget_initiation(noise);
	}
	crypto_wipe(&state, sizeof(state));
	return ok;
}

void noise_forget_initiation(struct noise *noise)
{
	crypto_wipe(&noise->initiation, sizeof(noise->initiation));
}
