/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What the process goes on to do; all else is taken from it. */
struct sandbox_needs {
	bool uring;	   /* the backend of the loop: io_uring, otherwise epoll */
	bool names;	   /* something is resolved: files of /etc, DNS */
	uint16_t tcp_port; /* to which the host's connections go, 0: none do */
};

/*
 * For good, and for whatever the process becomes. Call when everything is bound and opened, and
 * before the first turn. What the kernel does not offer is left out; logs once what there is.
 */
void sandbox_enter(const struct sandbox_needs *needs);

/*
 * The seccomp profile for container runtimes (OCI, JSON) on stdout: what the sandbox allows, the
 * start of the program, and what a runtime does between loading a profile and starting a program.
 */
void sandbox_print_profile(void);
