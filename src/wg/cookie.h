/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/dgram.h"
#include "limits.h"
#include "message.h"
#include "queue.h"
#include "symmetric.h"
#include "wg.h"

/* The MACs at the end of handshake messages, from both sides; theory of operation in cookie.c. */
enum { COOKIE_SOURCES_MAX = 128 };

/* One source's token bucket: it is empty until `busy_ns`, or full when that has passed. */
struct cookie_source {
	uint8_t prefix[8]; /* IPv4 address, or the first half of an IPv6 one */
	uint8_t family;
	uint64_t busy_ns;
};

/* For messages that we receive. */
struct cookie_checker {
	uint8_t mac1_key[CRYPTO_KEY_LEN];
	uint8_t cookie_key[CRYPTO_KEY_LEN];
	uint8_t secret[CRYPTO_KEY_LEN];
	uint64_t secret_until_ns;
	struct wg_env env;
	struct cookie_source peer; /* kept for wherever the peer is */
	struct cookie_source sources[COOKIE_SOURCES_MAX];
};

/* For messages that we send. */
struct cookie_jar {
	uint8_t mac1_key[CRYPTO_KEY_LEN];
	uint8_t cookie_key[CRYPTO_KEY_LEN];
	uint8_t cookie[CRYPTO_MAC_LEN];
	uint64_t cookie_until_ns; /* 0: none */
	uint8_t mac1[CRYPTO_MAC_LEN];
	uint32_t index;	   /* the sender index beside that mac1 */
	bool awaits_reply; /* that message was sent and has had no cookie reply */
};

void cookie_checker_init(struct cookie_checker *checker, const struct wg_env *env,
			 const uint8_t our_public_key[static CRYPTO_KEY_LEN]);
void cookie_jar_init(struct cookie_jar *jar, const uint8_t peer_public_key[static CRYPTO_KEY_LEN]);

/* `message` is a handshake message of exact length: struct message_macs is at its end. */
bool cookie_check_mac1(const struct cookie_checker *checker, const struct dgram *message);
bool cookie_check_mac2(struct cookie_checker *checker, const struct dgram *message,
		       uint64_t now_ns);

/*
 * May this source, which mac2 has proven, have one more handshake? `peer` is where the peer was last
 * seen, ADDR_NONE when it was not: there is always a bucket for a source there.
 */
bool cookie_allow_source(struct cookie_checker *checker, const struct addr *from,
			 const struct addr *peer, uint64_t now_ns);

/* A cookie for the sender of a message whose mac1 was right. */
void cookie_reply(struct cookie_checker *checker, struct message_cookie_reply *reply,
		  const struct queue_entry *message, uint64_t now_ns);

/* Fills in both MACs of our message, the last thing before it is sent. */
void cookie_jar_sign(struct cookie_jar *jar, uint8_t *message, size_t len, uint64_t now_ns);

/* False: not for the last message that we signed. */
bool cookie_jar_accept(struct cookie_jar *jar, const struct message_cookie_reply *reply,
		       uint64_t now_ns);
