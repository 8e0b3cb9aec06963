/* SPDX-License-Identifier: MIT */
#pragma once

#include "fake_io.h"
#include "relay.h"
#include "stack_pair.h"

/*
 * The whole way, simulated: a client on a fake host, an ingress relay, a stack, a seeded wire,
 * another stack, an egress relay, a target on a fake host. There is one world at a time; side 0 is
 * the client's, side 1 the target's.
 */
enum { PORT = 80, CALLS_MAX = 48 };

/* How an end of a connection behaves. A test may change its mind until the end has ended. */
enum manner { WRITES_THEN_ENDS, ENDS_AFTER_PEER, RESETS_HALFWAY, STAYS_OPEN };

struct end {
	int fd;
	uint64_t to_write, written, read; /* to_write may grow, too */
	enum manner manner;
	uint8_t key;
	bool shut, over, was_reset, saw_end;
};

struct call {
	struct end client, target;
	bool connected;
};

struct world {
	struct stack_pair pair;
	struct io io;
	struct relay *relay[2]; /* 0 dials through the tunnel, 1 dials the host */
	struct addr host_target;
	struct target target[2]; /* of each relay; that of 1 has host_target alone */
	struct call call[CALLS_MAX];
	size_t calls;
	uint64_t seed;
};

extern struct world world;

/* Of the target's side, from the next world_init() on; 0: none. */
extern uint64_t world_idle_timeout_ns, world_half_closed_timeout_ns;

/* `budget`: the limit of each side, in bytes. */
void world_init(uint64_t seed, size_t budget);

/* The target's addresses on the host from now on. */
void world_resolve(const struct addr *addrs, size_t count);

/* Lets all connections end, then checks that nothing is left of them. */
void world_fini(void);

/* One turn of everything; virtual time is the fake loop's, on the pair's clock. */
void world_turn(uint64_t sleep_ns);

/* The head of such a turn alone: completions and timers. Returns the relays' time. */
uint64_t world_wake(uint64_t sleep_ns);

/* A client's connection to the target; each end is to write up to `bytes_max` bytes. */
void call_begin(enum manner client, enum manner target, uint64_t bytes_max);

/* Calls are begun one at a time, so that the next connection at the target is this one. */
void connect_call(struct call *call);

/* A connection that nobody has written to yet, and that stays open. */
struct call *call_open(void);

/* Reads and checks what has come, writes what there is room for, ends in the end's manner. */
void end_work(struct end *end, const struct end *peer);
void end_write(struct end *end);

/* All ends work, then a turn of a millisecond at most. */
void calls_turn(void);

/* Such turns for so long. */
void calls_work_for(uint64_t ns);

/* Such turns until all calls are over. */
void calls_finish(void);

/* Each end has read what the other one wrote, to the last byte. */
void check_whole(const struct call *call);
