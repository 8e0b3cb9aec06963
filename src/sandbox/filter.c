// SPDX-License-Identifier: MIT
/* The list as a filter of this process. */
#include "inside.h"

#include <errno.h>
#include <seccomp.h>
#include <unistd.h>

static int allow(scmp_filter_ctx filter, const struct call *call)
{
	struct scmp_arg_cmp compare[CALL_CONDITIONS_MAX];
	unsigned count = (unsigned)call_conditions(call);
	int number = seccomp_syscall_resolve_name(call->name);

	for (unsigned i = 0; i < count; i++) {
		const struct condition *condition = &call->conditions[i];
		uint64_t value = condition->value == CONDITION_OWN_PID ? (uint64_t)getpid()
								       : condition->value;

		compare[i] = SCMP_CMP64(condition->arg, SCMP_CMP_MASKED_EQ, condition->mask, value);
	}
	/* A libseccomp that does not know it is older than any kernel that would use it. */
	if (number == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, compare);
}

static int build(scmp_filter_ctx filter, unsigned callers)
{
	/* Another architecture's numbers are another list. */
	int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	/* Wishes: a search by halves, and no speculation barriers, which Linux before 5.16 gives to
	 * whoever has a filter: they are for those who run the code of others. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	for (size_t i = 0; i < calls_count && error == 0; i++) {
		if ((calls[i].callers & callers) != 0)
			error = allow(filter, &calls[i]);
	}
	return error;
}

int filter_enter(unsigned callers)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error;

	if (filter == NULL)
		return -ENOMEM;
	error = build(filter, callers);
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}
