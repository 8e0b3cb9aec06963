// SPDX-License-Identifier: MIT
#include "wg_stack.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_LEN = 1 << 20, PAGE_LEN = 4096 };

bool wg_stack_keeps(const void *secret, size_t len, void *(*run)(void *ctx), void *ctx)
{
	void *stack = aligned_alloc(PAGE_LEN, STACK_LEN);
	pthread_attr_t attr;
	pthread_t thread;
	bool found;

	run(ctx);
	cr_assert(stack);
	memset(stack, 0, STACK_LEN);
	cr_assert_eq(pthread_attr_init(&attr), 0);
	cr_assert_eq(pthread_attr_setstack(&attr, stack, STACK_LEN), 0);
	cr_assert_eq(pthread_create(&thread, &attr, run, ctx), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	found = memmem(stack, STACK_LEN, secret, len) != NULL;
	pthread_attr_destroy(&attr);
	free(stack);
	return found;
}
