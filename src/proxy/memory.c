// SPDX-License-Identifier: MIT
/*
 * Memory that malloc() keeps for reuse. Queues come and go by the turn, and giving their pages back
 * each time would cost a page fault for every page; so the heap's end stays. What a burst has left
 * behind goes back to the system when the burst is over: when for a while the buffers have not come
 * near what they once were.
 */
#include "inside.h"

#include "base/time.h"

#include <malloc.h>

enum {
	HEAP_KEPT = 4 << 20, /* bytes at the heap's end that free() leaves there */
	HEAP_STEP = 1 << 20, /* bytes that the heap grows by at least */
	CALM_S = 1,
};

void memory_setup(struct proxy *proxy)
{
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
	mallopt(M_TOP_PAD, HEAP_STEP);
	proxy->trim_at_ns = UINT64_MAX;
}

/* The least part of what the heap has been grown to is in use. */
static bool is_calm(const struct proxy *proxy)
{
	return proxy->heap_peak >= HEAP_KEPT && proxy->budget.used < proxy->heap_peak / 4;
}

void memory_turn(struct proxy *proxy)
{
	size_t used = proxy->budget.used;

	if (used > proxy->heap_peak)
		proxy->heap_peak = used;
	if (!is_calm(proxy)) {
		proxy->trim_at_ns = UINT64_MAX;
	} else if (proxy->trim_at_ns == UINT64_MAX) {
		proxy->trim_at_ns = proxy->now_ns + CALM_S * NS_PER_S;
	} else if (proxy->trim_at_ns <= proxy->now_ns) {
		malloc_trim(0);
		proxy->heap_peak = used;
		proxy->trim_at_ns = UINT64_MAX;
	}
}
