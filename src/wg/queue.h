/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/dgram.h"
#include "wg.h"

#include <stdbool.h>

/*
 * Handshake messages that wait for wg_poll(): a copy each, since the datagram's buffer is borrowed.
 * A ring of fixed length; its depth is what "under load" means (paper, section 5.3).
 */
enum { QUEUE_MAX = 16 };

struct queue_entry {
	struct addr from;
	uint32_t len;
	uint8_t message[WG_CONTROL_MAX];
};

struct queue {
	struct queue_entry entries[QUEUE_MAX];
	uint32_t first, count;
};

/* False: full. The datagram is at most WG_CONTROL_MAX bytes. */
static inline bool queue_push(struct queue *queue, const struct dgram *dgram)
{
	struct queue_entry *entry = &queue->entries[(queue->first + queue->count) % QUEUE_MAX];

	if (queue->count == QUEUE_MAX)
		return false;
	queue->count++;
	entry->from = *dgram->from;
	entry->len = dgram->len;
	memcpy(entry->message, dgram->data, dgram->len);
	return true;
}

/* The oldest, valid until the next push; NULL: empty. */
static inline const struct queue_entry *queue_pop(struct queue *queue)
{
	const struct queue_entry *entry = &queue->entries[queue->first];

	if (queue->count == 0)
		return NULL;
	queue->first = (queue->first + 1) % QUEUE_MAX;
	queue->count--;
	return entry;
}
