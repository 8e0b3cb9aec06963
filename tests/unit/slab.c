// SPDX-License-Identifier: MIT
/* The slab: blocks that do not overlap, a budget that is kept, pages that go back. */
#include "../../src/stack/slab.h"
#include "stack_pair.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { BLOCKS = 2000, ROUNDS = 50000, MANY = 100000, PER_PAGE = (SLAB_PAGE - 32) / 96 };

static struct budget budget = {.limit = 64 << 20};
static struct slab slab;
static uint8_t *block[MANY];
static size_t size[MANY];

static void finish(void)
{
	slab_trim(&slab, true);
	cr_assert_eq(budget.used, 0);
	cr_assert_eq(slab.pages, 0);
}

static void fill(size_t i)
{
	memset(block[i], (int)i, size[i]);
}

static void check(size_t i)
{
	for (size_t k = 0; k < size[i]; k++)
		cr_assert_eq(block[i][k], (uint8_t)i);
}

Test(slab, blocks_of_all_sizes_do_not_overlap)
{
	uint64_t seed = 7;

	slab_init(&slab, &budget);
	for (size_t i = 0; i < ROUNDS; i++) {
		size_t k = pair_random(&seed) % BLOCKS;

		if (block[k] != NULL) {
			check(k);
			slab_free(&slab, block[k], size[k]);
			block[k] = NULL;
			continue;
		}
		size[k] = 1 + pair_random(&seed) % SLAB_BLOCK_MAX;
		block[k] = slab_alloc(&slab, size[k]);
		cr_assert_not_null(block[k]);
		cr_assert_eq((uintptr_t)block[k] % SLAB_STEP, 0);
		fill(k);
	}
	for (size_t k = 0; k < BLOCKS; k++) {
		if (block[k] == NULL)
			continue;
		check(k);
		slab_free(&slab, block[k], size[k]);
	}
	finish();
}

static size_t alloc_all(size_t each)
{
	size_t count = 0;

	while (count < MANY && (block[count] = slab_alloc(&slab, each)) != NULL)
		count++;
	return count;
}

Test(slab, the_budget_is_kept)
{
	size_t count;

	budget.limit = 10 * SLAB_PAGE + 100;
	slab_init(&slab, &budget);
	count = alloc_all(100);
	cr_assert_eq(count, 10 * ((SLAB_PAGE - 32) / 112));
	cr_assert_eq(budget.used, 10 * SLAB_PAGE);
	cr_assert_null(slab_alloc(&slab, 200), "another size finds no page");
	for (size_t i = 0; i < count; i++)
		slab_free(&slab, block[i], 100);
	cr_assert_eq(alloc_all(200), 10 * ((SLAB_PAGE - 32) / 208));
	cr_assert_eq(budget.used, 10 * SLAB_PAGE);
}

static size_t resident_pages(void)
{
	unsigned long total, resident;
	FILE *file = fopen("/proc/self/statm", "r");

	cr_assert_not_null(file);
	cr_assert_eq(fscanf(file, "%lu %lu", &total, &resident), 2);
	fclose(file);
	return resident;
}

/* In any order: here each page's first blocks, then each page's second ones, and so on. */
Test(slab, pages_go_back)
{
	size_t before = resident_pages(), pages;

	slab_init(&slab, &budget);
	cr_assert_eq(alloc_all(96), MANY);
	pages = slab.pages;
	for (size_t i = 0; i < MANY; i++)
		block[i][0] = 1;
	cr_assert_geq(resident_pages(), before + pages);
	for (size_t first = 0; first < PER_PAGE; first++) {
		for (size_t i = first; i < MANY; i += PER_PAGE)
			slab_free(&slab, block[i], 96);
	}
	cr_assert_eq(slab.pages, pages, "they were needed a moment ago");
	for (size_t i = 0; i < 1 + pages / 100; i++)
		slab_age(&slab);
	cr_assert_eq(slab.pages, 1);
	cr_assert_eq(budget.used, SLAB_PAGE);
	cr_assert_lt(resident_pages(), before + pages / 10);
	finish();
}

/* Where a number swings, no page is mapped or unmapped each time. */
Test(slab, numbers_that_swing_cost_nothing)
{
	size_t pages;

	slab_init(&slab, &budget);
	cr_assert_eq(alloc_all(96), MANY);
	pages = slab.pages;
	for (size_t round = 0; round < 10; round++) {
		for (size_t i = 0; i < MANY / 2; i++)
			slab_free(&slab, block[i], 96);
		cr_assert_eq(slab.spare_count, MANY / 2 / PER_PAGE);
		slab_age(&slab);
		for (size_t i = 0; i < MANY / 2; i++)
			block[i] = slab_alloc(&slab, 96);
		slab_age(&slab);
		cr_assert_eq(slab.pages, pages);
	}
	for (size_t i = 0; i < MANY; i++)
		slab_free(&slab, block[i], 96);
	finish();
}
