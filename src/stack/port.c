// SPDX-License-Identifier: MIT
/*
 * What lwIP asks of its platform: memory, random numbers, local ports.
 *
 * Memory comes from malloc(), and every byte of it is counted in the proxy's budget first: a size
 * word in front of each block says how much to give back. At the ceiling lwIP sees a failed
 * allocation, which it treats like a lost packet.
 *
 * Local ports are a bitmap over 1024..65535, taken at random. One that lwIP is done with does not
 * come back before all others have had their turn, oldest first: the peer may be in TIME_WAIT with
 * it, and would not take a SYN for a new connection.
 */
#include "inside.h"

#include <stdlib.h>
#include <string.h>

enum {
	PORT_FIRST = 1024, /* RFC 6056, section 3.2 */
	PORT_COUNT = 65536 - PORT_FIRST,
};

/* In front of each block; keeps malloc()'s alignment of 16. */
struct block {
	size_t size;
	size_t unused;
};

static struct budget *memory;
static void (*random_source)(void *ctx, void *out, size_t len);
static void *random_ctx;
static uint8_t port_taken[65536 / 8]; /* used once, or in use */
static uint32_t ports_taken;
static uint16_t resting[65536]; /* a ring of those that are not in use any more */
static uint16_t resting_first, resting_end;

void port_bind(struct budget *budget, void (*random)(void *ctx, void *out, size_t len), void *ctx)
{
	memory = budget;
	random_source = random;
	random_ctx = ctx;
}

uint32_t stack_port_random(void)
{
	uint32_t value;

	random_source(random_ctx, &value, sizeof(value));
	return value;
}

void *stack_port_malloc(size_t size)
{
	size_t whole = size + sizeof(struct block);
	struct block *block;

	if (!budget_take(memory, whole))
		return NULL;
	block = malloc(whole);
	if (block == NULL) {
		budget_give(memory, whole);
		return NULL;
	}
	block->size = whole;
	return block + 1;
}

void *stack_port_calloc(size_t count, size_t size)
{
	void *bytes = stack_port_malloc(count * size);

	if (bytes != NULL)
		memset(bytes, 0, count * size);
	return bytes;
}

void stack_port_free(void *bytes)
{
	struct block *block = (struct block *)bytes - 1;

	budget_give(memory, block->size);
	free(block);
}

static bool is_taken(uint32_t port)
{
	return (port_taken[port / 8] >> (port % 8)) & 1;
}

uint16_t port_take(void)
{
	uint32_t start = stack_port_random() % PORT_COUNT;

	if (ports_taken == PORT_COUNT)
		return resting_first == resting_end ? 0 : resting[resting_first++];
	for (uint32_t i = 0;; i++) {
		uint32_t port = PORT_FIRST + (start + i) % PORT_COUNT;

		if (!is_taken(port)) {
			port_taken[port / 8] |= (uint8_t)(1u << (port % 8));
			ports_taken++;
			return (uint16_t)port;
		}
	}
}

void port_give(uint16_t port)
{
	CHECK(is_taken(port));
	resting[resting_end++] = port;
}
