// SPDX-License-Identifier: MIT
#include "impair.h"

#include <string.h>
#include <sys/mman.h>

/* A train: UDP_MAX_SEGMENTS of Linux, and what fits into one IP packet. */
enum { TRAIN_MAX = 64, TRAIN_BYTES = 65000 };

/* The smallest WireGuard message with a payload is some 80 bytes. */
enum { BYTES_PER_ITEM = 64 };

static void *map(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

bool queue_init(struct queue *queue, size_t size)
{
	size_t items = 1024;

	while (items < size / BYTES_PER_ITEM)
		items *= 2;
	*queue = (struct queue){.size = size, .items_mask = items - 1};
	queue->bytes = map(size);
	queue->items = map(items * sizeof(queue->items[0]));
	return queue->bytes != NULL && queue->items != NULL;
}

/* Where `len` bytes in a row are free: false when nowhere. */
static bool find_room(struct queue *queue, size_t len)
{
	const struct waiting *first = queue_first(queue);

	if (queue->next - queue->first > queue->items_mask)
		return false;
	if (first == NULL)
		queue->tail = 0;
	if (first != NULL && queue->tail <= first->at)
		return queue->tail + len < first->at;
	if (queue->tail + len <= queue->size)
		return true;
	queue->tail = 0;
	return first != NULL && len < first->at;
}

bool queue_add(struct queue *queue, const uint8_t *packet, size_t len, uint64_t at_ns)
{
	if (!find_room(queue, len))
		return false;
	memcpy(queue->bytes + queue->tail, packet, len);
	queue->items[queue->next++ & queue->items_mask] = (struct waiting){
		at_ns, (uint32_t)queue->tail, (uint32_t)len};
	queue->tail += len;
	return true;
}

size_t queue_train(const struct queue *queue, uint64_t until_ns)
{
	const struct waiting *first = queue_first(queue), *last = first;
	size_t count = 1, bytes = first->len;

	while (count < TRAIN_MAX && queue->first + count < queue->next) {
		const struct waiting
			*item = &queue->items[(queue->first + count) & queue->items_mask];

		/* Only the last one of a train may be shorter. */
		if (item->at_ns > until_ns || item->at != last->at + last->len ||
		    last->len < first->len || item->len > first->len || item->len == 0 ||
		    bytes + item->len > TRAIN_BYTES)
			break;
		bytes += item->len;
		last = item;
		count++;
	}
	return count;
}
