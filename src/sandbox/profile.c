// SPDX-License-Identifier: MIT
/*
 * The list as a profile of the OCI runtime specification (seccomp), for k8s/seccomp. A runtime loads
 * it before it starts the program, so it holds all callers. What it refuses answers ENOSYS, as from
 * a kernel without the call: libraries then have another way.
 */
#include "inside.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool was_before(size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(calls[i].name, calls[index].name) == 0)
			return true;
	}
	return false;
}

/* A runtime's alone are narrowed here; all others are narrowed by the program itself, later. */
static bool is_narrowed(const struct call *call)
{
	return call->callers == CALLER_RUNTIME && call_conditions(call) > 0;
}

static void print_names(void)
{
	const char *separator = "";

	printf("\t\t{\n\t\t\t\"action\": \"SCMP_ACT_ALLOW\",\n\t\t\t\"names\": [\n");
	for (size_t i = 0; i < calls_count; i++) {
		if (is_narrowed(&calls[i]) || was_before(i))
			continue;
		printf("%s\t\t\t\t\"%s\"", separator, calls[i].name);
		separator = ",\n";
	}
	printf("\n\t\t\t]\n\t\t}");
}

static void print_narrowed(const struct call *call)
{
	printf(",\n\t\t{\n\t\t\t\"action\": \"SCMP_ACT_ALLOW\",\n\t\t\t\"names\": [\"%s\"],\n"
	       "\t\t\t\"args\": [",
	       call->name);
	for (size_t i = 0; i < call_conditions(call); i++) {
		const struct condition *condition = &call->conditions[i];

		printf("%s\n\t\t\t\t{\"index\": %u, \"op\": \"SCMP_CMP_MASKED_EQ\", "
		       "\"value\": %" PRIu64 ", \"valueTwo\": %" PRIu64 "}",
		       i == 0 ? "" : ",", condition->arg, condition->mask, condition->value);
	}
	printf("\n\t\t\t]\n\t\t}");
}

void sandbox_print_profile(void)
{
	printf("{\n\t\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\t\"defaultErrnoRet\": %d,\n"
	       "\t\"architectures\": [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_AARCH64\"],\n"
	       "\t\"syscalls\": [\n",
	       ENOSYS);
	print_names();
	for (size_t i = 0; i < calls_count; i++) {
		if (is_narrowed(&calls[i]))
			print_narrowed(&calls[i]);
	}
	printf("\n\t]\n}\n");
}
