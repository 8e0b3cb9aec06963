// SPDX-License-Identifier: MIT
#include "queue.h"

#include <stdlib.h>
#include <string.h>

/*
 * A chunk is as large as what is pushed or, in a queue that already holds something, as all of that
 * together: a lone request costs little, and under bulk the chunks double up to CHUNK_MAX, so that
 * few pieces make a large send.
 */
enum { CHUNK_MIN = 1024, CHUNK_MAX = 65536 };

static size_t chunk_cost(size_t size)
{
	return sizeof(struct chunk) + size;
}

size_t queue_cost(size_t len)
{
	return chunk_cost(len < CHUNK_MIN ? CHUNK_MIN : len);
}

static size_t tail_room(const struct queue *queue)
{
	return queue->tail == NULL ? 0 : queue->tail->size - queue->tail->end;
}

static struct chunk *chunk_new(struct budget *budget, size_t size)
{
	struct chunk *chunk;

	if (!budget_take(budget, chunk_cost(size)))
		return NULL;
	chunk = malloc(chunk_cost(size));
	if (chunk == NULL) {
		budget_give(budget, chunk_cost(size));
		return NULL;
	}
	chunk->next = NULL;
	chunk->begin = chunk->end = 0;
	chunk->size = (uint32_t)size;
	return chunk;
}

/* Room for `len` bytes behind the tail's; false: no memory, nothing changed. */
static bool make_room(struct queue *queue, struct budget *budget, size_t len)
{
	size_t least = len < CHUNK_MIN ? CHUNK_MIN : len;
	size_t size = queue->len > CHUNK_MAX ? CHUNK_MAX : queue->len;
	struct chunk *chunk;

	if (len == 0)
		return true;
	chunk = chunk_new(budget, size < least ? least : size);
	if (chunk == NULL && size > least)
		chunk = chunk_new(budget, least);
	if (chunk == NULL)
		return false;
	if (queue->tail == NULL)
		queue->head = chunk;
	else
		queue->tail->next = chunk;
	/* The tail still has room for the first part: it stays the tail until that is used up. */
	if (queue->tail == NULL)
		queue->tail = chunk;
	return true;
}

static void append(struct queue *queue, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		size_t room = tail_room(queue);
		size_t part = len < room ? len : room;

		if (part == 0) {
			queue->tail = queue->tail->next;
			continue;
		}
		memcpy(queue->tail->bytes + queue->tail->end, bytes, part);
		queue->tail->end += (uint32_t)part;
		queue->len += part;
		bytes += part;
		len -= part;
	}
}

bool queue_push(struct queue *queue, struct budget *budget, const struct iovec *iov, int count)
{
	size_t len = 0;
	size_t room = tail_room(queue);

	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	if (!make_room(queue, budget, len > room ? len - room : 0))
		return false;
	for (int i = 0; i < count; i++)
		append(queue, iov[i].iov_base, iov[i].iov_len);
	if (queue->mark == NULL)
		queue_take_back(queue); /* it was empty: all of it waits */
	return true;
}

int queue_peek(const struct queue *queue, struct iovec *iov, int max)
{
	uint32_t at = queue->mark_at;
	int count = 0;

	for (struct chunk *chunk = queue->mark; chunk != NULL && count < max; chunk = chunk->next) {
		if (chunk->end > at)
			iov[count++] = (struct iovec){chunk->bytes + at, chunk->end - at};
		at = chunk->next == NULL ? 0 : chunk->next->begin;
	}
	return count;
}

void queue_lend(struct queue *queue, size_t len)
{
	CHECK(len <= queue->len - queue->lent);
	queue->lent += len;
	while (len > 0) {
		size_t part = queue->mark->end - queue->mark_at;

		if (part > len)
			part = len;
		queue->mark_at += (uint32_t)part;
		len -= part;
		if (len > 0) {
			queue->mark = queue->mark->next;
			queue->mark_at = queue->mark->begin;
		}
	}
}

static void drop_head(struct queue *queue, struct budget *budget)
{
	struct chunk *head = queue->head;

	if (queue->mark == head) {
		queue->mark = head->next;
		queue->mark_at = head->next == NULL ? 0 : head->next->begin;
	}
	queue->head = head->next;
	if (queue->tail == head)
		queue->tail = queue->head;
	budget_give(budget, chunk_cost(head->size));
	free(head);
}

void queue_return(struct queue *queue, struct budget *budget, size_t len)
{
	CHECK(len <= queue->lent);
	queue->lent -= len;
	queue->len -= len;
	while (len > 0) {
		struct chunk *head = queue->head;
		size_t part = head->end - head->begin;

		if (part > len)
			part = len;
		head->begin += (uint32_t)part;
		len -= part;
		if (head->begin == head->end)
			drop_head(queue, budget);
	}
}

void queue_take_back(struct queue *queue)
{
	queue->lent = 0;
	queue->mark = queue->head;
	queue->mark_at = queue->head == NULL ? 0 : queue->head->begin;
}

void queue_clear(struct queue *queue, struct budget *budget)
{
	while (queue->head != NULL)
		drop_head(queue, budget);
	queue->len = queue->lent = 0;
}
