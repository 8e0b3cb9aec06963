/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/budget.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * Bytes on their way, in order: a chain of chunks that the budget pays for. The front part may be
 * lent to whoever is sending it; it stays in place until it is returned.
 *
 *	| lent ........ | waiting ........ |
 *	^ queue_return  ^ queue_peek       ^ queue_push
 *	                  queue_lend
 */
struct chunk {
	struct chunk *next;
	uint32_t begin, end; /* the bytes in it */
	uint32_t size;
	uint8_t bytes[];
};

struct queue {
	struct chunk *head, *tail;
	struct chunk *mark; /* where the waiting part begins; NULL: in the chunk that comes next */
	uint32_t mark_at;   /* offset in it */
	size_t len;	    /* bytes, lent and waiting */
	size_t lent;
};

/* What a push of `len` bytes takes from the budget at most. */
size_t queue_cost(size_t len);

/* Copies the bytes in; all of them, or none and false when the budget has no room. */
bool queue_push(struct queue *queue, struct budget *budget, const struct iovec *iov, int count);

/* The waiting bytes, up to `max` pieces; returns how many. */
int queue_peek(const struct queue *queue, struct iovec *iov, int max);

/* The first `len` waiting bytes are lent. */
void queue_lend(struct queue *queue, size_t len);

/* The first `len` lent bytes are over: their memory goes back to the budget. */
void queue_return(struct queue *queue, struct budget *budget, size_t len);

/* What is lent waits again: a send took only a part of it. */
void queue_take_back(struct queue *queue);

/* Gives everything back; nothing may be looking at it any more. */
void queue_clear(struct queue *queue, struct budget *budget);
