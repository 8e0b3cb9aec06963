// SPDX-License-Identifier: MIT
#include "core.h"

#include "base/check.h"

#include <errno.h>
#include <string.h>

/*
 * Theory of operation.
 *
 * The core is one struct without pointers to anything outside but the random source. Three doors
 * lead into it, each of which takes the time as an argument:
 *
 *	open.c	datagrams -> inner packets. Data is authenticated in batches; handshake messages
 *		that pass the cheap checks are queued.
 *	seal.c	inner packets -> data messages, in batches.
 *	poll.c	one step at a time: a queued handshake message, or a timer. The only place where
 *		Diffie-Hellman is done, and the only source of messages that carry no packet.
 *
 * Behind them is one file per noun of the paper: noise (with symmetric), session, replay, timers,
 * cookie, queue, allowed; inner reads IP headers. None of them knows another's rules; the doors
 * tell each what has happened.
 *
 * Nothing here trusts a byte that has not been authenticated for more than finding the key, and
 * nothing moves because of it: not the endpoint, not a timer, not the replay window. A datagram
 * ends as one verdict, which is counted; there is no other sign of it.
 */

_Static_assert(WG_CONTROL_MAX == sizeof(struct message_initiation), "the longest control message");
_Static_assert(WG_HEADER_LEN == sizeof(struct message_data), "before the inner packet");
_Static_assert(WG_OVERHEAD_MAX == WG_HEADER_LEN + AEAD_TAG_LEN + 15, "padding to 16");

enum { CACHE_LINE = 64 };

const char *wg_verdict_name(enum wg_verdict verdict)
{
	static const char *const names[WG_VERDICTS] = {
		[WG_DATA] = "data",
		[WG_KEEPALIVE] = "keepalive",
		[WG_CONTROL] = "control",
		[WG_DROP_LENGTH] = "length",
		[WG_DROP_TYPE] = "type",
		[WG_DROP_INDEX] = "index",
		[WG_DROP_EXPIRED] = "expired",
		[WG_DROP_AUTH] = "auth",
		[WG_DROP_REPLAY] = "replay",
		[WG_DROP_INNER] = "inner",
		[WG_DROP_SOURCE] = "source",
		[WG_DROP_MAC] = "mac",
		[WG_DROP_HANDSHAKE] = "handshake",
		[WG_DROP_LOAD] = "load",
	};

	CHECK(verdict < WG_VERDICTS);
	return names[verdict];
}

size_t wg_size(void)
{
	return (sizeof(struct wg) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

int wg_init(struct wg *wg, const struct wg_config *config, const struct wg_env *env,
	    uint64_t now_ns)
{
	memset(wg, 0, sizeof(*wg));
	if (config->allowed_count > WG_ALLOWED_MAX || !noise_init(&wg->noise, config)) {
		wg_wipe(wg);
		return -EINVAL;
	}
	wg->env = *env;
	wg->endpoint = config->endpoint;
	wg->mtu = config->mtu;
	allowed_init(&wg->allowed, config->allowed, config->allowed_count);
	cookie_checker_init(&wg->checker, env, wg->noise.public_key);
	cookie_jar_init(&wg->jar, wg->noise.peer_public_key);
	timers_init(&wg->timers, env, config->keepalive_s, now_ns);
	return 0;
}

void wg_wipe(struct wg *wg)
{
	crypto_wipe(wg, sizeof(*wg));
}

void wg_set_endpoint(struct wg *wg, const struct addr *endpoint)
{
	if (endpoint->family == ADDR_NONE || addr_equal(endpoint, &wg->endpoint))
		return;
	wg->endpoint = *endpoint;
	timers_endpoint_changed(&wg->timers);
}

const uint8_t *wg_public_key(const struct wg *wg)
{
	return wg->noise.public_key;
}

void wg_note_received(struct wg *wg, const struct addr *from, size_t len, uint64_t now_ns)
{
	if (!addr_equal(from, &wg->endpoint)) {
		if (wg->endpoint.family != ADDR_NONE)
			wg->events |= WG_EVENT_ROAMED;
		wg_set_endpoint(wg, from);
	}
	wg->stats.rx_bytes += len;
	timers_packet_received(&wg->timers, now_ns);
}

void wg_note_complete(struct wg *wg, bool rekey, uint64_t now_ns)
{
	wg->stats.handshakes_completed++;
	wg->stats.rekeys += rekey;
	wg->last_handshake_ns = now_ns;
	wg->events |= WG_EVENT_HANDSHAKE | (rekey ? WG_EVENT_REKEY : 0);
	timers_handshake_complete(&wg->timers, wg->sessions.current->reject_ns);
}

uint64_t wg_deadline(const struct wg *wg)
{
	if (wg->handshakes.count + wg->unproven.count > 0)
		return 0;
	return timers_deadline(&wg->timers);
}

unsigned wg_events(struct wg *wg)
{
	unsigned events = wg->events;

	wg->events = 0;
	return events;
}

const struct wg_stats *wg_stats(const struct wg *wg)
{
	return &wg->stats;
}

struct wg_status wg_status(const struct wg *wg, uint64_t now_ns)
{
	return (struct wg_status){
		.session = sessions_sending(&wg->sessions, now_ns) != NULL,
		.last_handshake_ns = wg->last_handshake_ns,
		.endpoint = wg->endpoint,
	};
}
