// SPDX-License-Identifier: MIT
/*
 * What lwIP asks of its platform: memory, random numbers, local ports.
 *
 * Memory is counted in the proxy's budget before it is taken; at the ceiling lwIP sees a failed
 * allocation, which it treats like a lost packet. What is small - the headers of packets, segments,
 * connections - comes from a slab, the rest from malloc(). lwIP frees without saying how much, so
 * the size stands in front of each block.
 *
 * Local ports (RFC 6056) come from all of 1024..65535, in the order of a random permutation, another
 * one each time that it has been gone through: who has seen all of a cycle knows nothing of the next.
 * Passed over are those that a connection to the same target still has, in TIME_WAIT or not: the same
 * port may lead to several targets. And those that the peer may have in TIME_WAIT, because it closed
 * first: it may not take a SYN from there. Such a port rests until at least half of all ports have had
 * their turn.
 */
#include "receiver.h"
#include "slab.h"

#include "lwip/priv/tcp_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	PORT_FIRST = 1024, /* RFC 6056, section 3.2 */
	PORT_TRIES = 1024, /* of these one is free unless 99 % are not */
	PORTS_HALF = 65536 / 2,
	FEISTEL_ROUNDS = 4,
};

/* The sanitizer knows more about malloc()'s blocks, and would not see misuse within a page. */
#ifdef __SANITIZE_ADDRESS__
enum { SMALL_MAX = 0 };
#else
enum { SMALL_MAX = SLAB_BLOCK_MAX };
#endif

/* As lwIP sees it behind its size. */
struct block {
	size_t size; /* with this */
	uint8_t bytes[];
};
static_assert(MEM_ALIGNMENT <= sizeof(struct block), "aligned as lwIP wants it");

static struct slab small;
static void (*random_source)(void *ctx, void *out, size_t len);
static void *random_ctx;
static uint8_t round_functions[FEISTEL_ROUNDS][UINT8_MAX + 1];
static uint16_t ports_taken;	      /* modulo 2^16, those included that were passed over */
static uint8_t resting[2][65536 / 8]; /* bitmaps: for one half of a cycle each */

void port_bind(struct budget *budget, void (*random)(void *ctx, void *out, size_t len), void *ctx)
{
	if (random_source == NULL) {
		slab_init(&small, budget);
	}
	small.budget = budget;
	random_source = random;
	random_ctx = ctx;
}

bool port_is_crowded(void)
{
	return small.budget->used > small.budget->limit / 2;
}

void port_relieve(void)
{
	if (budget_room(small.budget) < small.budget->limit / 8)
		reorder_relieve(small.budget->limit);
}

void port_age(void)
{
	slab_age(&small);
}

void port_trim(bool all)
{
	slab_trim(&small, all);
}

uint32_t stack_port_random(void)
{
	uint32_t value;

	random_source(random_ctx, &value, sizeof(value));
	return value;
}

static void *alloc_large(size_t size)
{
	void *block;

	if (!budget_take(small.budget, size))
		return NULL;
	block = malloc(size);
	if (block == NULL)
		budget_give(small.budget, size);
	return block;
}

static void free_large(struct block *block)
{
	budget_give(small.budget, block->size);
	free(block);
}

void *stack_port_malloc(size_t size)
{
	size_t whole = sizeof(struct block) + size;
	struct block *block = whole <= SMALL_MAX ? slab_alloc(&small, whole) : alloc_large(whole);

	if (block == NULL)
		return NULL;
	block->size = whole;
	return block->bytes;
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
	struct block *block = (struct block *)((uint8_t *)bytes - sizeof(struct block));

	if (block->size <= SMALL_MAX)
		slab_free(&small, block, block->size);
	else
		free_large(block);
}

/* A permutation of the numbers of 16 bits: a Feistel network with random functions of one byte. */
static uint16_t permute(uint16_t number)
{
	uint8_t left = (uint8_t)(number >> 8), right = (uint8_t)number;

	for (size_t i = 0; i < FEISTEL_ROUNDS; i++) {
		uint8_t next = left ^ round_functions[i][right];

		left = right;
		right = next;
	}
	return (uint16_t)(left << 8 | right);
}

static uint8_t *resting_now(void)
{
	return resting[ports_taken / PORTS_HALF];
}

void port_rest(uint16_t port)
{
	resting_now()[port / 8] |= (uint8_t)(1u << (port % 8));
}

static bool is_resting(uint16_t port)
{
	return ((resting[0][port / 8] | resting[1][port / 8]) >> (port % 8)) & 1;
}

uint16_t port_choose(const struct tcp_pcb *pcb, const ip_addr_t *to, uint16_t to_port)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		uint16_t port;

		if (ports_taken == 0)
			random_source(random_ctx, round_functions, sizeof(round_functions));
		if (ports_taken % PORTS_HALF == 0)
			memset(resting_now(), 0, sizeof(resting[0]));
		port = permute(ports_taken++);
		if (port >= PORT_FIRST && !is_resting(port) &&
		    tcp_demux_find(&pcb->local_ip, to, port, to_port, pcb->netif_idx) == NULL)
			return port;
	}
	return 0;
}
