// SPDX-License-Identifier: MIT
#include "cookie.h"

#include <string.h>

/*
 * Theory of operation (paper, sections 5.3, 5.4.4 and 5.4.7).
 *
 * mac1 is keyed by the receiver's public key: whoever does not know us gets no answer and costs us
 * one BLAKE2s. It does not prove where a message comes from. Under load a message must prove that
 * too: it is answered with a cookie, a MAC over its source address *and* port under a secret of
 * ours, and taken when it comes again with mac2, a MAC under that cookie. We remember nothing of
 * those we sent cookies to. The secret is replaced when it is COOKIE_LIFE old; a cookie from before
 * is met with a new one.
 *
 * Only a source that has proven its address is rate limited, so that nobody can use up the rate of
 * another, and each for itself: an IPv4 address, or a /64, since who has one IPv6 address has the
 * whole network. A bucket is a single time: each message costs SOURCE_COST, time gives it back, and
 * a source is refused while it owes more than SOURCE_BURST. What owes nothing needs no entry, so
 * the table is searched for the source or for anyone's that is no longer needed; while none is,
 * strangers are refused. It is searched from end to end, but only under load and after two MACs
 * that cost more. The peer is no stranger: where it was last seen has a bucket outside the table,
 * or as many proven sources as the table holds would lock it out. And a response that we wait for
 * is not limited at all, wherever it comes from: the limit is on what others can make us begin.
 *
 * The reply is sealed with XChaCha20-Poly1305, with the mac1 that it answers as associated data: no
 * one can give us a cookie who has not seen our message, and each message takes one reply.
 */

/* Linux, ratelimiter.c: 20 a second, 5 at once. */
#define SOURCE_COST  (NS_PER_S / 20)
#define SOURCE_BURST (5 * SOURCE_COST)

static void derive_keys(uint8_t mac1_key[static CRYPTO_KEY_LEN],
			uint8_t cookie_key[static CRYPTO_KEY_LEN],
			const uint8_t public_key[static CRYPTO_KEY_LEN])
{
	crypto_hash2(mac1_key, "mac1----", 8, public_key, CRYPTO_KEY_LEN);
	crypto_hash2(cookie_key, "cookie--", 8, public_key, CRYPTO_KEY_LEN);
}

void cookie_checker_init(struct cookie_checker *checker, const struct wg_env *env,
			 const uint8_t our_public_key[static CRYPTO_KEY_LEN])
{
	derive_keys(checker->mac1_key, checker->cookie_key, our_public_key);
	checker->env = *env;
}

void cookie_jar_init(struct cookie_jar *jar, const uint8_t peer_public_key[static CRYPTO_KEY_LEN])
{
	derive_keys(jar->mac1_key, jar->cookie_key, peer_public_key);
}

static size_t macs_at(size_t len)
{
	return len - sizeof(struct message_macs);
}

bool cookie_check_mac1(const struct cookie_checker *checker, const struct dgram *message)
{
	const uint8_t *sent = message->data + macs_at(message->len);
	uint8_t mac1[CRYPTO_MAC_LEN];

	crypto_mac(mac1, checker->mac1_key, sizeof(checker->mac1_key), message->data,
		   macs_at(message->len));
	return crypto_equal(mac1, sent, sizeof(mac1));
}

static void make_cookie(struct cookie_checker *checker, uint8_t cookie[static CRYPTO_MAC_LEN],
			const struct addr *from, uint64_t now_ns)
{
	size_t ip_len = addr_ip_len(from->family);
	uint8_t source[sizeof(from->ip) + 2];

	if (now_ns >= checker->secret_until_ns) {
		checker->env.random(checker->env.ctx, checker->secret, sizeof(checker->secret));
		checker->secret_until_ns = now_ns + COOKIE_LIFE;
	}
	memcpy(source, from->ip, ip_len);
	source[ip_len] = (uint8_t)(from->port >> 8);
	source[ip_len + 1] = (uint8_t)from->port;
	crypto_mac(cookie, checker->secret, sizeof(checker->secret), source, ip_len + 2);
}

static void make_mac2(uint8_t mac2[static CRYPTO_MAC_LEN],
		      const uint8_t cookie[static CRYPTO_MAC_LEN], const uint8_t *message,
		      size_t len)
{
	crypto_mac(mac2, cookie, CRYPTO_MAC_LEN, message,
		   macs_at(len) + offsetof(struct message_macs, mac2));
}

bool cookie_check_mac2(struct cookie_checker *checker, const struct dgram *message, uint64_t now_ns)
{
	const uint8_t *sent = message->data + message->len - CRYPTO_MAC_LEN;
	uint8_t cookie[CRYPTO_MAC_LEN];
	uint8_t mac2[CRYPTO_MAC_LEN];
	bool equal;

	make_cookie(checker, cookie, message->from, now_ns);
	make_mac2(mac2, cookie, message->data, message->len);
	equal = crypto_equal(mac2, sent, sizeof(mac2));
	crypto_wipe(cookie, sizeof(cookie));
	crypto_wipe(mac2, sizeof(mac2));
	return equal;
}

static struct cookie_source full_bucket(const struct addr *addr, uint64_t now_ns)
{
	struct cookie_source source = {.family = addr->family, .busy_ns = now_ns};

	memcpy(source.prefix, addr->ip, sizeof(source.prefix));
	return source;
}

static bool same_source(const struct cookie_source *a, const struct cookie_source *b)
{
	return a->family == b->family && memcmp(a->prefix, b->prefix, sizeof(a->prefix)) == 0;
}

static struct cookie_source *find_source(struct cookie_checker *checker,
					 const struct cookie_source *wanted, uint64_t now_ns)
{
	struct cookie_source *unused = NULL;

	if (same_source(&checker->peer, wanted))
		return &checker->peer;
	for (size_t i = 0; i < COOKIE_SOURCES_MAX; i++) {
		struct cookie_source *source = &checker->sources[i];

		if (same_source(source, wanted))
			return source;
		if (source->busy_ns <= now_ns)
			unused = source;
	}
	if (unused != NULL)
		*unused = *wanted;
	return unused;
}

bool cookie_allow_source(struct cookie_checker *checker, const struct addr *from,
			 const struct addr *peer, uint64_t now_ns)
{
	struct cookie_source wanted = full_bucket(from, now_ns);
	struct cookie_source kept = full_bucket(peer, now_ns);
	struct cookie_source *source;

	if (!same_source(&checker->peer, &kept))
		checker->peer = kept;
	source = find_source(checker, &wanted, now_ns);
	if (source == NULL)
		return false;
	if (source->busy_ns < now_ns)
		source->busy_ns = now_ns;
	if (source->busy_ns - now_ns + SOURCE_COST > SOURCE_BURST)
		return false;
	source->busy_ns += SOURCE_COST;
	return true;
}

void cookie_reply(struct cookie_checker *checker, struct message_cookie_reply *reply,
		  const struct queue_entry *message, uint64_t now_ns)
{
	const uint8_t *mac1 = message->message + macs_at(message->len);
	uint8_t cookie[CRYPTO_MAC_LEN];

	make_cookie(checker, cookie, &message->from, now_ns);
	le32_put(reply->type, MESSAGE_COOKIE_REPLY);
	/* Both handshake messages have their sender index behind the type. */
	memcpy(reply->receiver, message->message + offsetof(struct message_response, sender),
	       sizeof(reply->receiver));
	checker->env.random(checker->env.ctx, reply->nonce, sizeof(reply->nonce));
	crypto_xseal(reply->sealed_cookie, checker->cookie_key, reply->nonce, cookie,
		     sizeof(cookie), mac1, CRYPTO_MAC_LEN);
	crypto_wipe(cookie, sizeof(cookie));
}

void cookie_jar_sign(struct cookie_jar *jar, uint8_t *message, size_t len, uint64_t now_ns)
{
	uint8_t *macs = message + macs_at(len);
	uint8_t *mac2 = macs + offsetof(struct message_macs, mac2);

	crypto_mac(macs, jar->mac1_key, sizeof(jar->mac1_key), message, macs_at(len));
	if (now_ns < jar->cookie_until_ns)
		make_mac2(mac2, jar->cookie, message, len);
	else
		memset(mac2, 0, CRYPTO_MAC_LEN);
	memcpy(jar->mac1, macs, sizeof(jar->mac1));
	jar->index = le32_get(message + offsetof(struct message_response, sender));
	jar->awaits_reply = true;
}

bool cookie_jar_accept(struct cookie_jar *jar, const struct message_cookie_reply *reply,
		       uint64_t now_ns)
{
	if (!jar->awaits_reply || le32_get(reply->receiver) != jar->index ||
	    !crypto_xopen(jar->cookie, jar->cookie_key, reply->nonce, reply->sealed_cookie,
			  sizeof(reply->sealed_cookie), jar->mac1, sizeof(jar->mac1)))
		return false;
	jar->awaits_reply = false;
	jar->cookie_until_ns = now_ns + COOKIE_LIFE;
	return true;
}
