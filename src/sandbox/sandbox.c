// SPDX-License-Identifier: MIT
/*
 * The sandbox: theory of operation
 *
 * Who finds a fault in what parses strangers' bytes shall not gain more by it than our tunnel. So the
 * process gives up, once it has opened all that it needs, what it will not do again. Three fences, of
 * which each holds without the others:
 *
 *	no_new_privs	no program that is executed gains a right
 *	Landlock	no file but those for names, no port but the target's and DNS (landlock.c)
 *	seccomp		no system call but those that the loop makes (filter.c, calls.c)
 *
 * In this order, for the later ones would forbid the earlier. What has been opened before stays
 * usable: listeners, the ring, the log, the service manager's socket.
 *
 * A call that is not on the list ends the process (SIGSYS) and does not fail. The binary is static,
 * so the list is complete or it has a fault that tests find; and an attacker who may try one call
 * after the other will find the one that works. The kernel's log has the number of the call.
 *
 * Core dumps and debuggers are forbidden earlier, by main, before there are keys in memory.
 */
#include "inside.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

static unsigned callers_of(const struct sandbox_needs *needs)
{
	return CALLER_LOOP | (needs->uring ? CALLER_URING : CALLER_EPOLL) |
	       (needs->names ? (unsigned)CALLER_NAMES : 0);
}

void sandbox_enter(const struct sandbox_needs *needs)
{
	char landlock[64], seccomp[64];
	int version, error;

	tzset(); /* libc reads a file for it, at the latest with the first line of the log */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	version = landlock_enter(needs);
	error = filter_enter(callers_of(needs));
	if (version < 0)
		snprintf(landlock, sizeof(landlock), "none (%s)", strerror(-version));
	else
		snprintf(landlock, sizeof(landlock), "version %d", version);
	snprintf(seccomp, sizeof(seccomp), error < 0 ? "none (%s)" : "on", strerror(-error));
	log_event(LOG_INFO,
		  LOG_FIELDS({"event", "sandbox"}, {"seccomp", seccomp}, {"landlock", landlock}),
		  "sandbox: seccomp %s, Landlock %s", seccomp, landlock);
}
