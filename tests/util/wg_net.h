/* SPDX-License-Identifier: MIT */
#pragma once

#include "../../src/wg/core.h"

/*
 * Two cores and a network of one wire between them, on a virtual clock: nothing sleeps, and one
 * seed gives one run. Tests either take single steps (poll, give) or let the network run.
 */
enum { WG_NET_PACKET_MAX = 2048, WG_NET_WIRE_MAX = 512, WG_NET_IDS_MAX = 1 << 20 };

struct wg_net;

struct wg_side {
	struct wg_net *net;
	struct wg_side *other;
	struct wg *wg;
	struct addr addr; /* outer */
	uint8_t inner[4]; /* inner address */
	uint64_t random;
	int64_t wall_offset_ns;
	uint64_t sent[5];    /* messages put on the wire, by type; [0] counts keepalives, too */
	uint64_t data_count; /* inner packets delivered to this side */
	uint32_t data_id;    /* of the last one */
	uint32_t data_len;
	uint64_t sent_bytes;
};

struct wg_wire {
	struct wg_side *to;
	struct addr from;
	uint32_t len;
	uint8_t data[WG_NET_PACKET_MAX];
};

struct wg_net_options {
	uint8_t psk[2]; /* of a and b: one byte says it all; 0: none */
	uint16_t keepalive_s[2];
	bool a_lacks_endpoint, b_has_endpoint;
	uint64_t seed;
};

struct wg_net {
	uint64_t now_ns, wall_ns, random;
	struct wg_side a, b;
	unsigned loss_percent, copy_percent, reorder_percent;
	unsigned drop_types; /* bit N: messages of type N get lost */
	uint64_t seen_bits;  /* the verdicts since the test cleared it, as bits */
	bool check_data;     /* every delivered packet is compared with the one sent */
	bool check_once;     /* ids come from next_id, and none may be delivered twice */
	uint32_t next_id;
	bool seen_ids[WG_NET_IDS_MAX];
	size_t wire_count;
	struct wg_wire wire[WG_NET_WIRE_MAX];
};

/* A fresh network; a knows b's endpoint, b learns a's. Never returns NULL. */
struct wg_net *wg_net_new(const struct wg_net_options *options);
void wg_net_free(struct wg_net *net);

uint64_t wg_net_random(uint64_t *state);

/* An inner IPv4 packet from `side` to the other, of `len` bytes (28 or more), marked with `id`. */
void wg_net_packet(const struct wg_side *side, uint8_t *packet, uint32_t len, uint32_t id);

/* The first message that wg_poll() produces now; false: none, and the deadline is in the future. */
bool wg_net_step(struct wg_side *side, struct wg_message *out);

/* wg_poll() until it returns false; what it produces goes onto the wire. */
void wg_net_poll(struct wg_side *side);

/* Opens one datagram, of which `data` is left as it was. */
enum wg_verdict wg_net_give(struct wg_side *side, const void *data, size_t len,
			    const struct addr *from);

/* Seals one packet into `message` (WG_NET_PACKET_MAX bytes); returns its length, 0: not sealed. */
uint32_t wg_net_seal(struct wg_side *side, uint8_t *message, uint32_t len, uint32_t id);

/* Seals one packet and puts it onto the wire. */
enum wg_tx_result wg_net_send(struct wg_side *side, uint32_t len, uint32_t id);

/* Polls both sides, then delivers what is on the wire; false: nothing was. */
bool wg_net_round(struct wg_net *net);

/* Rounds until nothing is due and nothing is on the wire. */
void wg_net_settle(struct wg_net *net);

/* Time passes: from deadline to deadline, settling at each. */
void wg_net_sleep(struct wg_net *net, uint64_t ns);

/* Time passes at once: nobody is woken in between. */
void wg_net_jump(struct wg_net *net, uint64_t ns);

/* a initiates; both sides have a session when it returns. */
void wg_net_connect(struct wg_net *net);

/* A packet of `side` arrives at the other side now? Settles. */
bool wg_net_works(struct wg_side *side);
