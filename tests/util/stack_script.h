/* SPDX-License-Identifier: MIT */
#pragma once

#include "stack_peer.h"

/*
 * Conversations of one connection, written down as tables: what the peer says, what the stack answers,
 * what the stack's owner does, and when (in the manner of Cardwell et al., "packetdrill", 2013).
 *
 * Numbers are relative: 0 is the SYN of whoever the number belongs to, 1 its first byte. A segment of
 * the stack's that the script does not expect ends it, as does one that it waits for in vain.
 */
enum script_verb {
	SCRIPT_PEER,	/* the peer says `tcp` */
	SCRIPT_STACK,	/* the stack says `tcp`, next, after `after_ms` to `by_ms` */
	SCRIPT_NOTHING, /* the stack says nothing until now, nor for `by_ms` */
	SCRIPT_CONNECT, /* the owner does: */
	SCRIPT_WRITE,	/* `bytes` */
	SCRIPT_CONSUME, /* `bytes` */
	SCRIPT_SHUTDOWN,
	SCRIPT_ABORT,
	SCRIPT_HAS,	 /* it has received `bytes` by now */
	SCRIPT_GOT_BACK, /* so many that it wrote */
	SCRIPT_FIN,	 /* it has been told of the peer's */
	SCRIPT_ENDED,	 /* `how` */
	SCRIPT_OPEN,	 /* not ended */
};

enum { SCRIPT_SACKS = 4, SCRIPT_CLOSED = UINT16_MAX + 1 };

struct script_tcp {
	uint8_t flags;
	uint32_t seq, ack; /* ack: only with PEER_ACK */
	uint32_t len;
	uint32_t window; /* as in the header; SCRIPT_CLOSED: 0; 0: 65,535 or, of the stack, any */
	uint32_t sacks[SCRIPT_SACKS][2]; /* {0, 0}: none */
	uint8_t options[PEER_OPTIONS_MAX];
	size_t options_len; /* but for those below and SACK; of the stack's: 0 compares none */
	/* Timestamps: `sent` is the peer's; `echo` what the stack has to echo, or, of the peer's, how
	 * long before the stack's last one. */
	bool timed;
	uint32_t sent, echo;
	/* Of the stack's: its timestamp is a multiple of `step`, and so much more than the one before;
	 * 0: any. */
	uint32_t step, moved;
};

struct script_step {
	enum script_verb verb;
	struct script_tcp tcp;
	uint32_t after_ms, by_ms;
	uint32_t bytes;
	enum stack_end how;
	int line;
};

#define SCRIPT_STEP(does, ...)                                                                     \
	{                                                                                          \
		.verb = SCRIPT_##does, .line = __LINE__, ##__VA_ARGS__                             \
	}

/* PEER(flags, seq, ack, ...), STACK(...): the rest are further members of struct script_tcp. */
#define PEER(f, s, a, ...)                                                                         \
	SCRIPT_STEP(PEER, .tcp = {.flags = (f), .seq = (s), .ack = (a), ##__VA_ARGS__})
#define STACK(f, s, a, ...)                                                                        \
	SCRIPT_STEP(STACK, .tcp = {.flags = (f), .seq = (s), .ack = (a), ##__VA_ARGS__})
/* The same, not before `after` and no later than `by` milliseconds from now. */
#define STACK_IN(after, by, f, s, a, ...)                                                          \
	SCRIPT_STEP(STACK, .after_ms = (after), .by_ms = (by),                                     \
		    .tcp = {.flags = (f), .seq = (s), .ack = (a), ##__VA_ARGS__})
#define NOTHING(ms)	SCRIPT_STEP(NOTHING, .by_ms = (ms))
#define CONNECT()	SCRIPT_STEP(CONNECT)
#define WRITE(count)	SCRIPT_STEP(WRITE, .bytes = (count))
#define CONSUME(count)	SCRIPT_STEP(CONSUME, .bytes = (count))
#define SHUTDOWN()	SCRIPT_STEP(SHUTDOWN)
#define ABORT()		SCRIPT_STEP(ABORT)
#define HAS(count)	SCRIPT_STEP(HAS, .bytes = (count))
#define GOT_BACK(count) SCRIPT_STEP(GOT_BACK, .bytes = (count))
#define HAS_FIN()	SCRIPT_STEP(FIN)
#define ENDED(why)	SCRIPT_STEP(ENDED, .how = (why))
#define OPEN()		SCRIPT_STEP(OPEN)

/* Plays it on a peer of its own; nothing may go wrong, and nothing be left. */
void script_check(const struct script_step *steps, size_t count);
#define PLAY(...)                                                                                  \
	script_check((const struct script_step[]){__VA_ARGS__},                                    \
		     sizeof((const struct script_step[]){__VA_ARGS__}) /                           \
			     sizeof(struct script_step))
