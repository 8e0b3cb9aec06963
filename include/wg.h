/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "base/dgram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * WireGuard with one peer, sans I/O: bytes and time in, bytes and a deadline out. No socket, no
 * clock, no allocator, no Diffie-Hellman outside wg_poll(). The reference is the WireGuard paper
 * (Donenfeld, NDSS 2017) and, for what it leaves open, the Linux kernel's behaviour.
 *
 * Time: `now_ns` is any clock that never goes backwards (it may stand still); `wall_ns` is
 * nanoseconds since 1970, used for the handshake's TAI64N timestamp alone, and may jump.
 *
 * One turn of the caller: wg_open() what has arrived; wg_poll() while it returns true, sending
 * each message; wg_seal() what is to go out; sleep no longer than wg_deadline().
 */
enum {
	WG_KEY_LEN = 32,
	WG_HEADER_LEN = 16,   /* before the inner packet in a data message */
	WG_OVERHEAD_MAX = 47, /* header, tag, and up to 15 bytes of padding */
	WG_CONTROL_MAX = 148, /* the longest message of wg_poll(): an initiation */
	WG_ALLOWED_MAX = 64,
	WG_MTU_MAX = 9000,
};

struct wg;

struct wg_config {
	uint8_t private_key[WG_KEY_LEN];
	uint8_t peer_public_key[WG_KEY_LEN];
	uint8_t preshared_key[WG_KEY_LEN]; /* all zero: none */
	struct cidr allowed[WG_ALLOWED_MAX];
	size_t allowed_count;
	struct addr endpoint; /* ADDR_NONE: not known yet */
	uint16_t keepalive_s; /* PersistentKeepalive; 0: off */
	uint16_t mtu;	      /* inner: padding never goes beyond it */
};

struct wg_env {
	void (*random)(void *ctx, void *out, size_t len); /* unpredictable bytes; never fails */
	void *ctx;
};

/* What became of a datagram. All but the first three are drops. */
enum wg_verdict {
	WG_DATA,      /* data, len: the inner packet, from an allowed source */
	WG_KEEPALIVE, /* authenticated, empty */
	WG_CONTROL,   /* a handshake message or cookie reply, queued for or used by wg_poll() */
	WG_DROP_LENGTH,
	WG_DROP_TYPE,
	WG_DROP_INDEX,	 /* no such session */
	WG_DROP_EXPIRED, /* key too old, or its counter at the limit */
	WG_DROP_AUTH,	 /* forged */
	WG_DROP_REPLAY,
	WG_DROP_INNER,	   /* inner version or length is wrong */
	WG_DROP_SOURCE,	   /* inner source outside the allowed IPs */
	WG_DROP_MAC,	   /* handshake: mac1 is wrong */
	WG_DROP_HANDSHAKE, /* forged, replayed, flooding, from a stranger, or not asked for */
	WG_DROP_LOAD,	   /* the handshake queue is full, or this source sends too many */
	WG_VERDICTS,
};

/* "replay", "auth", ... for metrics and logs. */
const char *wg_verdict_name(enum wg_verdict verdict);

enum wg_tx_result {
	WG_TX_SEALED,
	WG_TX_NO_SESSION,  /* dropped; a handshake has been asked for */
	WG_TX_NOT_ALLOWED, /* inner destination outside the allowed IPs, or not IP */
};

/*
 * Bytes of the message that carries an inner packet of `len` bytes: padded to a multiple of 16, but
 * never beyond the MTU.
 */
size_t wg_message_len(const struct wg *wg, size_t len);

/* An inner packet on its way out. It lies at message + WG_HEADER_LEN, with room for
 * wg_message_len() bytes in all: the message is built where the packet was gathered. */
struct wg_tx {
	uint8_t *message; /* borrowed until wg_seal() returns */
	uint32_t len;	  /* in: of the inner packet; out, when sealed: of the whole message */
	uint32_t result;  /* enum wg_tx_result */
};

/* Facts since the last wg_events(), for logs, health and the resolver; bits. */
enum wg_event {
	WG_EVENT_HANDSHAKE = 1 << 0,  /* a session is new: ours answered, or theirs confirmed */
	WG_EVENT_REKEY = 1 << 1,      /* with HANDSHAKE: it follows one that was still valid */
	WG_EVENT_LOST = 1 << 2,	      /* the last session has expired */
	WG_EVENT_UNANSWERED = 1 << 3, /* an initiation went unanswered for REKEY_TIMEOUT */
	WG_EVENT_GAVE_UP = 1 << 4,    /* initiations went unanswered for REKEY_ATTEMPT_TIME */
	WG_EVENT_ROAMED = 1 << 5,     /* the endpoint has moved */
};

struct wg_stats {
	uint64_t rx_bytes, tx_bytes; /* whole messages, handshakes included: as `wg show` counts */
	uint64_t rx_packets, tx_packets; /* data with an inner packet */
	uint64_t verdicts[WG_VERDICTS];	 /* WG_DROP_HANDSHAKE: wg_poll() counts there, too */
	uint64_t tx_no_session, tx_not_allowed;
	uint64_t handshakes_initiated;	/* initiations that we sent, repeats included */
	uint64_t handshakes_unanswered; /* of these, for REKEY_TIMEOUT */
	uint64_t handshakes_completed, handshakes_given_up;
	uint64_t rekeys; /* of the completed: while there was a session */
	uint64_t cookies_sent, cookies_received;
};

struct wg_status {
	bool session;		    /* data can be sent now */
	uint64_t last_handshake_ns; /* 0: never; the caller's clock */
	struct addr endpoint;
};

/* Bytes to allocate for a struct wg: memory for secrets (crypto.h), aligned to 64. */
size_t wg_size(void);

/*
 * Borrows `config`: wipe it afterwards. 0, or -EINVAL for a key that cannot work (ours all zero,
 * the peer's a low-order point) or too many allowed IPs. The first handshake is asked for at once
 * when keepalive is on.
 */
int wg_init(struct wg *wg, const struct wg_config *config, const struct wg_env *env,
	    uint64_t now_ns);
void wg_wipe(struct wg *wg);

/*
 * A (newly resolved) endpoint; the session, if any, goes on there. A handshake that was asked for
 * while none was known begins at once: wg_deadline() is due.
 */
void wg_set_endpoint(struct wg *wg, const struct addr *endpoint);

/* Our public key, for the log. */
const uint8_t *wg_public_key(const struct wg *wg);

/*
 * Authenticates a batch in place and sets every verdict; for WG_DATA data and len become the inner
 * packet's. Handshake messages are copied into a queue of fixed length; nothing is kept otherwise.
 * Returns how many are WG_DATA. Any bytes, any length, in any order.
 */
size_t wg_open(struct wg *wg, struct dgram *dgrams, size_t count, uint64_t now_ns);

/* Seals a batch in place, for wg_status().endpoint. Returns how many were sealed. */
size_t wg_seal(struct wg *wg, struct wg_tx *packets, size_t count, uint64_t now_ns);

/* There is something to send, but no session: asks for a handshake. Harmless with a session. */
void wg_want_session(struct wg *wg, uint64_t now_ns);

/* A handshake message, cookie reply or keepalive that wants to be sent. */
struct wg_message {
	uint8_t data[WG_CONTROL_MAX];
	uint32_t len; /* 0: the step taken produced nothing to send */
	struct addr to;
};

/*
 * Takes one step: one waiting handshake message, or one due timer. False: nothing is left to do
 * now, and wg_deadline() > now_ns. Diffie-Hellman happens here and nowhere else, so the caller
 * bounds the handshake work of a turn by the number of calls; when it stops early, wg_deadline() is
 * not in the future and the next turn goes on.
 */
bool wg_poll(struct wg *wg, uint64_t now_ns, uint64_t wall_ns, struct wg_message *out);

/* When wg_poll() next has something to do; UINT64_MAX: only after new input. */
uint64_t wg_deadline(const struct wg *wg);

/* Returns the bits of enum wg_event and clears them. */
unsigned wg_events(struct wg *wg);
const struct wg_stats *wg_stats(const struct wg *wg);
struct wg_status wg_status(const struct wg *wg, uint64_t now_ns);
