/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/*
 * The memory that all buffers together may take. Whoever allocates takes from the budget first and
 * gives back after freeing: the ceiling holds because nobody asks malloc() before asking here.
 */
struct budget {
	size_t limit; /* bytes */
	size_t used;
	size_t high; /* the most that was ever used */
};

static inline size_t budget_room(const struct budget *budget)
{
	return budget->limit - budget->used;
}

static inline bool budget_take(struct budget *budget, size_t bytes)
{
	if (bytes > budget_room(budget))
		return false;
	budget->used += bytes;
	if (budget->used > budget->high)
		budget->high = budget->used;
	return true;
}

static inline void budget_give(struct budget *budget, size_t bytes)
{
	CHECK(bytes <= budget->used);
	budget->used -= bytes;
}

/* Zeroed memory that the budget pays for; NULL when either has none. */
static inline void *budget_alloc(struct budget *budget, size_t bytes)
{
	void *memory;

	if (!budget_take(budget, bytes))
		return NULL;
	memory = calloc(1, bytes);
	if (memory == NULL)
		budget_give(budget, bytes);
	return memory;
}

/* `bytes`: as it was allocated. */
static inline void budget_free(struct budget *budget, void *memory, size_t bytes)
{
	budget_give(budget, bytes);
	free(memory);
}
