/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/budget.h"
#include "stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One stack, 10.0.0.1, and a peer, 10.0.0.2, that is no stack: it says what it is told to, one
 * IPv4 segment at a time, and notes what it hears. So thousands of connections have one end in
 * lwIP, not two, and the peer can do what no stack would.
 *
 * Either side listens on PEER_PORT and dials it; the other side's port names the connection.
 */
enum {
	PEER_PORT = 80,
	PEER_FIRST_PORT = 1024, /* of those that peer_init() dials from */
	PEER_MSS = 1380,
	PEER_WINDOW_SCALE = 7,
	PEER_ENDS_MAX = 1 << 17,
	PEER_HEARD = 1024, /* so many of the stack's segments are kept: a power of two */
	PEER_OPTIONS_MAX = 40,
	PEER_SACKS_MAX = 4,
};

/* RFC 9293, section 3.1. */
enum { PEER_FIN = 1, PEER_SYN = 2, PEER_RST = 4, PEER_PSH = 8, PEER_ACK = 16 };

struct peer_conn {
	uint32_t seq;	 /* of the next byte that the peer sends */
	uint32_t ack;	 /* the next byte that it expects */
	uint32_t acked;	 /* what the stack acknowledged last */
	uint32_t window; /* bytes that the stack offers behind that */
	uint8_t window_scale;
	uint8_t heard; /* all flags that the stack has sent */
	bool dialled;  /* by the stack */
	/* The SACK blocks of its last packet: sequence numbers, the end excluded (RFC 2018). */
	struct peer_sack {
		uint32_t left, right;
	} sacks[PEER_SACKS_MAX];
	size_t sacks_count;
	bool is_full; /* the peer's window is closed */
};

/* A segment of the stack's, or one that the peer makes up as it likes. */
struct peer_packet {
	uint8_t flags;
	uint32_t seq, ack;
	uint16_t window, len;
	uint8_t options[PEER_OPTIONS_MAX];
	size_t options_len; /* a multiple of 4 */
	uint16_t port;	    /* the connection's */
};

/* What the owner of the stack's end has seen. It takes all bytes, and calls nothing by itself. */
struct peer_end {
	struct stack_conn *conn;
	const uint8_t *expect; /* the stream that it shall get; NULL: any */
	size_t received, acked;
	bool connected, fin, ended;
	bool wrong; /* it was not what it expected */
	enum stack_end how;
};

struct stack_peer {
	struct stack *stack;
	struct budget budget;
	uint64_t now_ns;
	uint64_t packets; /* from the stack */
	uint16_t port;	  /* the connection that the last one was for */
	bool no_room;	  /* room() says NULL */
	struct peer_packet heard[PEER_HEARD];
	bool sack; /* the peer's SYN permits SACK */
	struct peer_conn conn[65536];
	struct peer_end *end[65536];
	struct peer_end ends[PEER_ENDS_MAX];
	uint32_t ends_count;
	uint32_t offered;    /* SYNs that the owner was asked about */
	bool refuses_offers; /* by offered() itself */
	uint8_t room[65536];
};

/* Opens so many connections, from PEER_FIRST_PORT on. */
void peer_init(struct stack_peer *peer, size_t conns);
/* None is open, the stack holds SYNs, and `conns_max` is its limit. */
void peer_init_holding(struct stack_peer *peer, uint32_t conns_max);
void peer_fini(struct stack_peer *peer);

/* Builds the peer's next segment, `len` bytes of any content, in `room`; it is not sent. */
struct dgram peer_segment(struct stack_peer *peer, uint16_t port, uint8_t flags, size_t len,
			  uint8_t *room);
/* ... and lets it arrive. */
void peer_send(struct stack_peer *peer, uint16_t port, uint8_t flags, size_t len);

/* What the peer makes up arrives, whatever its numbers: those of the connection stay as they are. */
void peer_say(struct stack_peer *peer, const struct peer_packet *segment);
/* The stack's last segment, or one of the last PEER_HEARD: so many before it. */
const struct peer_packet *peer_heard(const struct stack_peer *peer, uint64_t before);

/* The three-way handshake, begun by the peer. */
void peer_dial(struct stack_peer *peer, uint16_t port);
/* The stack dials port `to_port` of the peer: `peer->port` is its own. 0 or a negative errno. */
int peer_connect(struct stack_peer *peer, uint16_t to_port);
/* The peer's part of that handshake. */
void peer_answer(struct stack_peer *peer, uint16_t port);

/* Closes a connection in order: the peer does first, or the stack, which is in TIME_WAIT then. */
void peer_close(struct stack_peer *peer, uint16_t port);
void peer_close_by_stack(struct stack_peer *peer, uint16_t port);

/* The next turn, `ns` later. */
void peer_turn(struct stack_peer *peer, uint64_t ns);
/* Turns whenever the stack has something to do; returns how often that was. */
size_t peer_sleep(struct stack_peer *peer, uint64_t until_ns);
