// SPDX-License-Identifier: MIT
/* TCP options as nobody should send them: read within their bounds, or not at all. */
#include "stack_peer.h"

#include <criterion/criterion.h>
#include <string.h>

enum { PORT = PEER_FIRST_PORT, MSS_LEAST = 48, OPTIONS_MAX = PEER_OPTIONS_MAX };

/* RFC 9293, section 3.2; RFC 7323; RFC 2018. */
enum { END, NOP, MSS, SCALE, SACK_PERMITTED, SACK, TIMESTAMPS = 8 };

static struct stack_peer peer;

/* A SYN, and the rest of the handshake, with these options in it. */
static void dial(uint16_t port, const uint8_t *options, size_t len)
{
	struct peer_packet segment = {.port = port, .flags = PEER_SYN, .seq = 1, .window = 65535};

	memcpy(segment.options, options, len);
	segment.options_len = len;
	peer.conn[port] = (struct peer_conn){.seq = 2};
	peer_say(&peer, &segment);
	peer_send(&peer, port, PEER_ACK, 0);
}

/* How large the stack's segments are on this connection. */
static uint16_t segment_of(uint16_t port)
{
	static uint8_t bytes[4000];

	cr_assert_not_null(peer.end[port]);
	cr_assert_eq(stack_write(peer.end[port]->conn, bytes, sizeof(bytes)), sizeof(bytes));
	peer_turn(&peer, 1);
	for (uint64_t i = 0; i < 8; i++) {
		const struct peer_packet *heard = peer_heard(&peer, i);

		if (heard->port == port && heard->len > 0 && (heard->flags & PEER_PSH) == 0)
			return heard->len;
	}
	return 0;
}

static uint16_t segment_for(uint16_t port, const uint8_t *options, size_t len)
{
	dial(port, options, len);
	return segment_of(port);
}

/* The kind, then its length, at each place, whatever follows: the sanitizer sees what is read. */
Test(stack_options, no_length_leads_beyond_the_end)
{
	static const uint8_t kinds[] = {END, NOP, MSS, SCALE, SACK_PERMITTED, SACK, TIMESTAMPS,
					19,  28,  253, 255};
	struct peer_packet segment = {.port = PORT, .flags = PEER_ACK, .window = 65535};
	size_t said = 0;

	peer_init(&peer, 1);
	segment.seq = peer.conn[PORT].seq;
	segment.ack = peer.conn[PORT].ack;
	for (size_t kind = 0; kind < sizeof(kinds); kind++) {
		for (size_t len = 4; len <= OPTIONS_MAX; len += 4) {
			for (size_t at = 0; at < len; at++) {
				for (unsigned claim = 0; claim < 256;
				     claim += claim < 44 ? 1 : 53) {
					memset(segment.options, NOP, sizeof(segment.options));
					segment.options[at] = kinds[kind];
					if (at + 1 < len)
						segment.options[at + 1] = (uint8_t)claim;
					segment.options_len = len;
					peer_say(&peer, &segment);
					said++;
				}
			}
		}
	}
	cr_assert_gt(said, 100000);
	cr_assert_not(peer.end[PORT]->ended);
	peer_send(&peer, PORT, PEER_ACK, 100);
	cr_assert_eq(peer.end[PORT]->received, 100);
	peer_fini(&peer);
}

/* The same in SYNs, with any bytes: each is answered, whatever could be understood. */
Test(stack_options, a_syn_with_anything_is_answered)
{
	uint32_t state = 1;

	peer_init(&peer, 0);
	for (int i = 0; i < 20000; i++) {
		struct peer_packet segment = {
			.port = PORT, .flags = PEER_SYN, .seq = 1, .window = 65535};

		segment.options_len = (size_t)i % 11 * 4;
		for (size_t k = 0; k < segment.options_len; k++) {
			state = state * 1664525 + 1013904223;
			/* Often a kind or a length that means something. */
			segment.options[k] = (uint8_t)((state >> 24) % (i % 2 ? 12 : 255));
		}
		peer.conn[PORT] = (struct peer_conn){.seq = 2};
		peer_say(&peer, &segment);
		cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_SYN | PEER_ACK);
		peer_send(&peer, PORT, PEER_RST, 0);
	}
	peer_fini(&peer);
	cr_assert_eq(peer.budget.used, 0);
}

Test(stack_options, maximum_segment_size)
{
	peer_init(&peer, 0);
	cr_assert_eq(segment_for(2000, (uint8_t[]){NOP, NOP, NOP, NOP}, 4), 536, "RFC 9293, 3.7.1");
	cr_assert_eq(segment_for(2001, (uint8_t[]){MSS, 4, 1000 >> 8, 1000 & 255}, 4), 1000);
	cr_assert_eq(segment_for(2002, (uint8_t[]){MSS, 4, 0xff, 0xff}, 4), PEER_MSS);
	cr_assert_eq(segment_for(2003, (uint8_t[]){MSS, 4, 0, 1}, 4), MSS_LEAST);
	cr_assert_eq(segment_for(2004, (uint8_t[]){MSS, 4, 0, 0}, 4), MSS_LEAST);
	cr_assert_eq(segment_for(2005, (uint8_t[]){MSS, 3, 1, NOP}, 4), 536, "wrong length");
	cr_assert_eq(segment_for(2006, (uint8_t[]){NOP, MSS, 4, 1}, 4), 536, "cut off");
	cr_assert_eq(segment_for(2007, (uint8_t[]){NOP, NOP, NOP, MSS}, 4), 536, "cut off");
	cr_assert_eq(segment_for(2008, (uint8_t[]){99, 2, 0, 0, MSS, 4, 3, 0}, 8), 536,
		     "behind the end");
	cr_assert_eq(segment_for(2009, (uint8_t[]){99, 4, 0, 0, MSS, 4, 3, 0}, 8), 768,
		     "behind an unknown one");
	peer_fini(&peer);
}

/* What belongs to a SYN counts in the first one alone. */
Test(stack_options, segment_size_is_settled_once)
{
	struct peer_packet segment = {
		.port = PORT,
		.flags = PEER_ACK,
		.window = 65535,
		.options = {MSS, 4, 0x22, 0xc4},
		.options_len = 4,
	};

	peer_init(&peer, 1);
	segment.seq = peer.conn[PORT].seq;
	segment.ack = peer.conn[PORT].ack;
	peer_say(&peer, &segment);
	cr_assert_eq(segment_of(PORT), PEER_MSS);

	segment.port = 2000;
	segment.flags = PEER_SYN;
	segment.seq = 1;
	peer.conn[2000] = (struct peer_conn){.seq = 2};
	peer_say(&peer, &segment);
	peer_say(&peer, &segment); /* sent again */
	cr_assert_eq(peer_heard(&peer, 0)->flags, PEER_SYN | PEER_ACK);
	peer_send(&peer, 2000, PEER_ACK, 0);
	cr_assert_eq(segment_of(2000), PEER_MSS);
	peer_fini(&peer);
}
