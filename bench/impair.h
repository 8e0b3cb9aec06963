/* SPDX-License-Identifier: MIT */
#pragma once

#include "path.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * The parts of bench/impair: what is asked for, and packets that wait for their time. The path itself
 * is tests/util/path.h.
 */
enum way { UP, DOWN, WAYS }; /* from the client, and back */

struct settings {
	struct path_config path[WAYS];
	uint64_t queue_ns[WAYS]; /* the queue's bound as a time at that rate; 0: as bytes */
	uint64_t seed;
	uint64_t memory;   /* bytes that may be under way, each way */
	uint64_t batch_ns; /* packets may leave early by so much, to leave together */
};

/* NAME=VALUE words up to NULL, later ones winning. False, with a message: one is none. */
bool settings_read(struct settings *settings, char **words);

void settings_help(void);

/*
 * Packets that wait, in order of their times. Their bytes lie one behind the other in a ring, so that
 * those of one train still form one when they leave, less the lost ones.
 */
struct waiting {
	uint64_t at_ns;
	uint32_t at; /* in `bytes` */
	uint32_t len;
};

struct queue {
	uint8_t *bytes;
	size_t size;
	size_t tail; /* where the next packet's bytes go */
	struct waiting *items;
	size_t items_mask;
	size_t first, next; /* of the items; they only grow */
};

/* Takes `size` bytes of address space; what of it is used is used again. False: no memory. */
bool queue_init(struct queue *queue, size_t size);

/* Copies the packet. False: no room. */
bool queue_add(struct queue *queue, const uint8_t *packet, size_t len, uint64_t at_ns);

/* NULL: empty. */
static inline const struct waiting *queue_first(const struct queue *queue)
{
	return queue->first == queue->next ? NULL : &queue->items[queue->first & queue->items_mask];
}

/* How many from the first on make one train: end to end, one length, and all due at `until_ns`. */
size_t queue_train(const struct queue *queue, uint64_t until_ns);

/* They may be overwritten by queue_add() then. */
static inline void queue_drop(struct queue *queue, size_t count)
{
	queue->first += count;
}
