// SPDX-License-Identifier: MIT
#include "slab.h"

#include <stdint.h>
#include <sys/mman.h>

/* To unmap so many takes a fifth of a millisecond. */
enum { AGED_MAX = 128 };

/* A block that has been given back. */
struct block {
	struct block *next;
};

/* At the beginning of each page. */
struct page {
	struct list node;    /* of `with_room` or `spare`; a full page is on no list */
	struct block *freed; /* blocks that have been given back */
	uint32_t used;	     /* blocks that have not */
	uint32_t cut;	     /* bytes from here on have never been in use */
};

static size_t class_of(size_t size)
{
	CHECK(size > 0 && size <= SLAB_BLOCK_MAX);
	return (size - 1) / SLAB_STEP;
}

static size_t size_of(size_t class)
{
	return (class + 1) * SLAB_STEP;
}

static bool is_full(const struct page *page, size_t class)
{
	return page->freed == NULL && page->cut + size_of(class) > SLAB_PAGE;
}

/* At the front, where the next one is taken from: it may still be in the cache. */
static void make_spare(struct slab *slab, struct page *page)
{
	list_append(slab->spare.next, &page->node);
	slab->spare_count++;
}

static struct page *take_spare(struct slab *slab, struct list *node)
{
	list_remove(node);
	slab->spare_count--;
	slab->spare_least = slab->spare_count < slab->spare_least ? slab->spare_count
								  : slab->spare_least;
	return list_entry(node, struct page, node);
}

/* Those that a size keeps though none of their blocks is in use. */
static void make_kept_spare(struct slab *slab)
{
	for (size_t i = 0; i < SLAB_CLASSES; i++) {
		struct list *first = slab->with_room[i].next;
		struct page *page = list_entry(first, struct page, node);

		if (first == &slab->with_room[i] || page->used > 0)
			continue;
		list_remove(first);
		make_spare(slab, page);
	}
}

static bool map_spare(struct slab *slab)
{
	void *page;

	if (!budget_take(slab->budget, SLAB_PAGE))
		return false;
	page = mmap(NULL, SLAB_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		budget_give(slab->budget, SLAB_PAGE);
		return false;
	}
	slab->pages++;
	make_spare(slab, page);
	return true;
}

/* Stops when the system would have to split a mapping, and cannot. */
static void unmap_spare(struct slab *slab, size_t keep)
{
	while (slab->spare_count > keep) {
		struct page *page = take_spare(slab, slab->spare.prev);

		if (munmap(page, SLAB_PAGE) < 0) {
			make_spare(slab, page);
			return;
		}
		budget_give(slab->budget, SLAB_PAGE);
		slab->pages--;
	}
}

static struct page *new_page(struct slab *slab, size_t class)
{
	struct page *page;

	if (list_empty(&slab->spare) && !map_spare(slab))
		make_kept_spare(slab);
	if (list_empty(&slab->spare))
		return NULL;
	page = take_spare(slab, slab->spare.next);
	*page = (struct page){.cut = sizeof(*page)};
	list_append(&slab->with_room[class], &page->node);
	return page;
}

void slab_init(struct slab *slab, struct budget *budget)
{
	*slab = (struct slab){.budget = budget};
	list_init(&slab->spare);
	for (size_t i = 0; i < SLAB_CLASSES; i++)
		list_init(&slab->with_room[i]);
}

static void *take_block(struct page *page, size_t class)
{
	struct block *block = page->freed;

	page->used++;
	if (block != NULL) {
		page->freed = block->next;
		return block;
	}
	page->cut += (uint32_t)size_of(class);
	return (uint8_t *)page + page->cut - size_of(class);
}

void *slab_alloc(struct slab *slab, size_t size)
{
	size_t class = class_of(size);
	struct list *pages = &slab->with_room[class];
	struct page *page = list_empty(pages) ? new_page(slab, class)
					      : list_entry(pages->next, struct page, node);
	void *block;

	if (page == NULL)
		return NULL;
	block = take_block(page, class);
	if (is_full(page, class))
		list_remove(&page->node);
	return block;
}

void slab_free(struct slab *slab, void *bytes, size_t size)
{
	size_t class = class_of(size);
	struct page *page = (struct page *)((uintptr_t)bytes & ~(uintptr_t)(SLAB_PAGE - 1));
	struct block *block = bytes;

	CHECK(page->used > 0);
	if (is_full(page, class))
		list_append(&slab->with_room[class], &page->node);
	block->next = page->freed;
	page->freed = block;
	/* The last one with room stays: where one block comes and goes, nothing else is to be done. */
	if (--page->used > 0 || slab->with_room[class].next == slab->with_room[class].prev)
		return;
	list_remove(&page->node);
	make_spare(slab, page);
}

void slab_age(struct slab *slab)
{
	size_t aged = slab->spare_least < AGED_MAX ? slab->spare_least : AGED_MAX;

	unmap_spare(slab, slab->spare_count - aged);
	slab->spare_least = slab->spare_count;
}

void slab_trim(struct slab *slab, bool all)
{
	if (all)
		make_kept_spare(slab);
	unmap_spare(slab, 0);
}
