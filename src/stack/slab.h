/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/budget.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Memory for small things that come and go by the million: pages of the system's, each cut into
 * blocks of one size. A page is taken from the budget and mapped when there is no other with a block
 * of that size to give. When its last block is freed it becomes spare, for any size, and goes back
 * when it was not needed for a while: so numbers that swing cost nothing. Constant time for all.
 */
enum {
	SLAB_STEP = 16, /* sizes are rounded up to it, and blocks aligned to it */
	SLAB_BLOCK_MAX = 1024,
	SLAB_CLASSES = SLAB_BLOCK_MAX / SLAB_STEP,
	SLAB_PAGE = 4096,
};

struct slab {
	struct budget *budget; /* borrowed */
	/* By size: pages that have a block to give; one without any in use comes first. */
	struct list with_room[SLAB_CLASSES];
	struct list spare; /* pages without blocks, for any size */
	size_t pages, spare_count;
	size_t spare_least; /* since slab_age() */
};

void slab_init(struct slab *slab, struct budget *budget);

/* `size`: 1 to SLAB_BLOCK_MAX. NULL: the budget, or the system, has no page left. */
void *slab_alloc(struct slab *slab, size_t size);
/* `size`: as it was allocated. */
void slab_free(struct slab *slab, void *block, size_t size);

/* Now and then: gives pages back that have been spare since the last call, some of them. */
void slab_age(struct slab *slab);
/* Gives all spare pages back; with `all` also one without blocks that each size keeps. */
void slab_trim(struct slab *slab, bool all);
