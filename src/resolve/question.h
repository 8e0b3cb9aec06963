/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/list.h"
#include "io.h"
#include "resolve.h"

#include <ares.h>

/*
 * One question to the resolver library: from question_ask() until `answered`. The owner then takes
 * the answer and calls question_end(); the structure may be asked again at once, even while polls
 * of the question before are still coming back.
 */
struct question {
	struct io *io;	      /* borrowed for life */
	ares_channel channel; /* NULL: no question is under way */
	const char *name;     /* borrowed while one is */
	bool whole;	      /* asked for as it stands, after a search that failed */
	struct list watches;  /* of sockets, those that are closed already included */
	bool answered;
	/* The answer. */
	int status; /* ARES_SUCCESS with at least one address, or why there is none */
	struct addr addrs[RESOLVE_ADDRS_MAX];
	size_t count;
	uint32_t ttl_s; /* the least of all records, aliases included; 0 from /etc/hosts */
};

void question_init(struct question *question, struct io *io);

/* None may be under way; borrows `name` until question_end(). May be answered at once: by
 * /etc/hosts, or because nothing works. */
void question_ask(struct question *question, const char *name);

/* Sends again what has timed out. Returns nanoseconds until it should be called again. */
uint64_t question_turn(struct question *question);

/* Gives up a question, answered or not. */
void question_end(struct question *question);

/* No poll is under way: the structure may be freed. */
bool question_idle(const struct question *question);
