/* SPDX-License-Identifier: MIT */
#pragma once

#include "allowed.h"
#include "cookie.h"
#include "noise.h"
#include "queue.h"
#include "session.h"
#include "timers.h"
#include "wg.h"

/* The core's whole state: what every packet touches first, the slow path's behind it. */
struct wg {
	struct sessions sessions;
	struct timers timers;
	struct addr endpoint;
	uint16_t mtu;
	unsigned events; /* enum wg_event bits */
	struct wg_stats stats;
	struct allowed allowed;

	struct noise noise;
	struct cookie_checker checker;
	struct cookie_jar jar;
	struct queue handshakes; /* mac1 was right; under load mac2, too */
	struct queue unproven;	 /* to be answered with a cookie */
	uint64_t load_until_ns;
	uint64_t last_handshake_ns;
	struct wg_env env;
};

/* An authenticated message of either kind came from `from`: the peer is there, and alive. */
void wg_note_received(struct wg *wg, const struct addr *from, size_t len, uint64_t now_ns);

/* A session has become current; `rekey`: while another one was still valid. */
void wg_note_complete(struct wg *wg, bool rekey, uint64_t now_ns);

/* An empty data message; without a session a handshake is asked for, and out->len stays 0. */
void wg_seal_keepalive(struct wg *wg, uint64_t now_ns, struct wg_message *out);
