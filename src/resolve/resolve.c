// SPDX-License-Identifier: MIT
#include "resolve.h"

#include "base/log.h"
#include "base/time.h"
#include "question.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Each watched name goes round between two states:
 *
 *	waiting		until due_ns: for the TTL of what is known, or for the pause after a failure
 *	asking		a question is under way; its deadline comes from the library
 *
 * resolve_watch() makes the first question due at once, resolve_refresh() the next.
 *
 * Questions are c-ares's (question.c). The library is given a new channel for each question and
 * that is thrown away with the answer. It costs some microseconds where the question costs
 * milliseconds, and brings three things: a resolv.conf that was not yet there at start, or has
 * changed since, is honoured; each question leaves from another port, which makes answers harder
 * to forge; and a close is the same as the end of any question.
 *
 * The library owns its sockets and closes them when it likes, while an operation of the loop may
 * not lose its descriptor. So what is polled is a duplicate: closing it is ours, after done().
 *
 * c-ares orders the answer by what can be reached from here (RFC 6724). That order is kept, except
 * that families take turns: an owner that goes from one address to the next must not have to go
 * through all of a family that does not get through. Servers like to rotate their answers, so a set
 * that is merely in another order is no change: the owner's first choice stays its first choice
 * until the set is another one.
 *
 * Nothing here blocks except reading /etc/hosts and /etc/resolv.conf. Callbacks of the library only
 * take note; changed() is called from resolve_turn() alone, so an owner may watch and refresh in
 * it.
 */
struct resolve {
	struct io *io;	   /* borrowed for life */
	struct list names; /* owned */
	bool closing;
};

struct resolve_name {
	struct list node;
	struct question question;
	resolve_fn *changed;
	void *ctx;
	uint64_t due_ns;  /* waiting: the next question; asking: the library's next time-out */
	uint32_t pause_s; /* before the next attempt; 0: the last question was answered */
	uint16_t port;
	struct addr addrs[RESOLVE_ADDRS_MAX];
	size_t count; /* 0: nothing is known yet */
	char text[];
};

static uint64_t seconds(uint32_t s)
{
	return s * NS_PER_S;
}

int resolve_open(struct resolve **resolve, struct io *io)
{
	struct resolve *new = calloc(1, sizeof(*new));

	if (new == NULL)
		return -ENOMEM;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(new);
		return -EIO;
	}
	new->io = io;
	list_init(&new->names);
	*resolve = new;
	return 0;
}

void resolve_close(struct resolve *resolve)
{
	resolve->closing = true;
	list_for_each (node, &resolve->names)
		question_end(&list_entry(node, struct resolve_name, node)->question);
}

bool resolve_closed(const struct resolve *resolve)
{
	list_for_each (node, &resolve->names) {
		if (!question_idle(&list_entry(node, struct resolve_name, node)->question))
			return false;
	}
	return resolve->closing;
}

void resolve_free(struct resolve *resolve)
{
	struct list *node;

	while ((node = list_pop(&resolve->names)) != NULL)
		free(list_entry(node, struct resolve_name, node));
	ares_library_cleanup();
	free(resolve);
}

struct resolve_name *resolve_watch(struct resolve *resolve, const char *name, uint16_t port,
				   resolve_fn *changed, void *ctx)
{
	size_t size = strlen(name) + 1;
	struct resolve_name *new = calloc(1, sizeof(*new) + size);

	if (new == NULL)
		return NULL;
	memcpy(new->text, name, size);
	new->port = port;
	new->changed = changed;
	new->ctx = ctx;
	question_init(&new->question, resolve->io);
	list_append(&resolve->names, &new->node);
	return new;
}

static bool is_asking(const struct resolve_name *name)
{
	return name->question.channel != NULL;
}

void resolve_refresh(struct resolve_name *name)
{
	if (!is_asking(name))
		name->due_ns = 0;
}

/* Same addresses, in whatever order; neither side has one twice. */
static bool same_set(const struct resolve_name *name, const struct addr *addrs, size_t count)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < name->count; j++)
			found += addr_equal(&addrs[i], &name->addrs[j]);
	}
	return found == count && count == name->count;
}

/* The next one of the other family comes forward, for as long as there is one (RFC 8305, section 4). */
static void take_turns(struct addr *addrs, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct addr other;
		size_t from = i;

		while (from < count && addrs[from].family == addrs[i - 1].family)
			from++;
		if (from == count)
			return;
		other = addrs[from];
		memmove(&addrs[i + 1], &addrs[i], (from - i) * sizeof(addrs[0]));
		addrs[i] = other;
	}
}

static void set_addrs(struct resolve_name *name, struct addr *addrs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		addrs[i].port = name->port;
	if (same_set(name, addrs, count))
		return;
	take_turns(addrs, count);
	memcpy(name->addrs, addrs, count * sizeof(addrs[0]));
	name->count = count;
	log_debug("%s has %zu addresses", name->text, count);
	name->changed(name->ctx, name->addrs, count);
}

static void answer_success(struct resolve_name *name, uint64_t now_ns)
{
	uint32_t ttl_s = name->question.ttl_s;

	if (name->pause_s != 0)
		log_info("%s resolves again", name->text);
	name->pause_s = 0;
	if (ttl_s < RESOLVE_TTL_MIN_S)
		ttl_s = RESOLVE_TTL_MIN_S;
	if (ttl_s > RESOLVE_TTL_MAX_S)
		ttl_s = RESOLVE_TTL_MAX_S;
	name->due_ns = now_ns + seconds(ttl_s);
	set_addrs(name, name->question.addrs, name->question.count);
}

static void answer_failure(struct resolve_name *name, uint64_t now_ns)
{
	if (name->pause_s == 0)
		log_warn("%s does not resolve: %s; trying again%s", name->text,
			 ares_strerror(name->question.status),
			 name->count > 0 ? ", its last addresses stay in use" : "");
	name->pause_s = name->pause_s == 0 ? RESOLVE_RETRY_MIN_S : name->pause_s * 2;
	if (name->pause_s > RESOLVE_RETRY_MAX_S)
		name->pause_s = RESOLVE_RETRY_MAX_S;
	name->due_ns = now_ns + seconds(name->pause_s);
}

static void name_turn(struct resolve_name *name, uint64_t now_ns)
{
	struct question *question = &name->question;

	if (!question->answered && name->due_ns > now_ns)
		return;
	if (!is_asking(name))
		question_ask(question, name->text);
	if (!question->answered)
		name->due_ns = now_ns + question_turn(question);
	if (!question->answered)
		return;
	/* Ended before changed() is called, in which the owner may ask for the next one. */
	question_end(question);
	if (question->status == ARES_SUCCESS)
		answer_success(name, now_ns);
	else
		answer_failure(name, now_ns);
}

void resolve_turn(struct resolve *resolve, uint64_t now_ns)
{
	if (resolve->closing)
		return;
	list_for_each (node, &resolve->names)
		name_turn(list_entry(node, struct resolve_name, node), now_ns);
}

uint64_t resolve_deadline(const struct resolve *resolve)
{
	uint64_t least_ns = UINT64_MAX;

	if (resolve->closing)
		return least_ns;
	list_for_each (node, &resolve->names) {
		const struct resolve_name *name = list_entry(node, struct resolve_name, node);

		if (name->due_ns < least_ns)
			least_ns = name->due_ns;
	}
	return least_ns;
}
