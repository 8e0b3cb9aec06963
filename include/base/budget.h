/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The memory that all buffers together may take. Whoever allocates takes from the budget first and
 * gives back after freeing: the ceiling holds because nobody asks malloc() before asking here.
 */
struct budget {
	size_t limit; /* bytes */
	size_t used;
	size_t high; /* the most that was ever used */
};

static inline bool budget_take(struct budget *budget, size_t bytes)
{
	if (bytes > budget->limit - budget->used)
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
