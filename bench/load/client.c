/* SPDX-License-Identifier: MIT */
#include "ask.h"
#include "base/time.h"
#include "latency.h"
#include "load.h"
#include "message.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/*
 * A lane is a place for one connection at a time. It is started, keeps up to `depth` exchanges under
 * way, and comes to rest when it may begin no more and all are answered; with connections to spare
 * (per_conn) it first closes and opens again. The seed of an exchange follows from its lane and
 * number, so nothing has to be remembered about those under way but when they began.
 */
enum { EVENTS_MAX = 64, WAIT_MS = 100 };

struct lane {
	int fd; /* 0: none */
	uint32_t events;
	uint64_t begun, answered; /* exchanges, over all of this lane's connections */
	uint64_t quota;		  /* `begun` may not exceed it on this connection */
	struct message request, answer;
	uint64_t begun_ns[DEPTH_MAX];
};

static struct {
	const struct addrinfo *to;
	struct load load;
	struct lane *lanes;
	bool reopens;		  /* a connection that has carried per_conn exchanges makes room */
	uint64_t busy, exchanges; /* lanes not at rest; exchanges begun */
	uint64_t now_ns, last_begin_ns, up, down;
} run;

static struct latency latency;
static uint8_t chunk[CHUNK];
static int epoll;

static _Noreturn void fail_lane(const struct lane *lane, const char *what)
{
	fail("connection %zu: %s, in exchange %llu at byte %llu of its answer",
	     (size_t)(lane - run.lanes), what, (unsigned long long)lane->answered,
	     (unsigned long long)lane->answer.done);
}

/* --- exchanges --------------------------------------------------------------------------------- */

/* Odd factors that are no multiples of each other: neighbours have different seeds. */
static uint64_t seed_of(const struct lane *lane, uint64_t number)
{
	return ((uint64_t)(lane - run.lanes) * 40503 + number * 9973) % PERIOD;
}

static void expect_answer(struct lane *lane)
{
	if (run.load.up > 0)
		message_no_content(&lane->answer);
	else
		message_ok(&lane->answer, seed_of(lane, lane->answered), run.load.down);
}

static bool may_begin(const struct lane *lane)
{
	return lane->begun < lane->quota && lane->begun - lane->answered < run.load.depth &&
	       run.exchanges < run.load.exchanges && run.now_ns < run.last_begin_ns;
}

static void begin_exchange(struct lane *lane)
{
	uint64_t seed = seed_of(lane, lane->begun);

	if (run.load.up > 0)
		message_put(&lane->request, seed, run.load.up);
	else
		message_get(&lane->request, seed, run.load.down);
	lane->begun_ns[lane->begun % DEPTH_MAX] = run.now_ns;
	if (lane->begun++ == lane->answered)
		expect_answer(lane);
	run.exchanges++;
}

static void end_exchange(struct lane *lane)
{
	latency_add(&latency, run.now_ns - lane->begun_ns[lane->answered % DEPTH_MAX]);
	run.up += run.load.up;
	run.down += lane->answer.body_len;
	if (++lane->answered < lane->begun)
		expect_answer(lane);
}

/* --- lanes ------------------------------------------------------------------------------------- */

static void await(struct lane *lane, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = lane};

	if (lane->events == events)
		return;
	epoll_ctl(epoll, lane->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, lane->fd, &event);
	lane->events = events;
}

static void send_requests(struct lane *lane)
{
	int error;

	while ((error = message_send(&lane->request, lane->fd)) == 0 && may_begin(lane))
		begin_exchange(lane);
	if (error != 0 && error != -EAGAIN)
		fail_lane(lane, strerror(-error));
	await(lane, error == 0 ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

static void receive_answers(struct lane *lane)
{
	ssize_t n = recv(lane->fd, chunk, sizeof(chunk), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail_lane(lane, n == 0 ? "ended early" : strerror(errno));
	run.now_ns = clock_ns(CLOCK_MONOTONIC);
	for (ssize_t at = 0; at < n;) {
		ssize_t used = message_compare(&lane->answer, chunk + at, (size_t)(n - at));

		if (used <= 0)
			fail_lane(lane, "a wrong byte");
		at += used;
		if (message_left(&lane->answer) == 0)
			end_exchange(lane);
	}
}

/* Opens a connection, or goes on with the one that was held. */
static void start_lane(struct lane *lane)
{
	run.now_ns = clock_ns(CLOCK_MONOTONIC);
	lane->quota = run.load.per_conn > 0 ? lane->begun + run.load.per_conn : UINT64_MAX;
	if (!may_begin(lane))
		return;
	run.busy++;
	begin_exchange(lane);
	if (lane->fd == 0) {
		lane->fd = open_socket(run.to, SOCK_NONBLOCK);
		lane->events = 0;
		/* What connect() says now, the first send says again. */
		connect(lane->fd, run.to->ai_addr, run.to->ai_addrlen);
	}
	send_requests(lane);
}

/* All that was begun is answered, and no more may be: the connection ends, or waits. */
static void rest_lane(struct lane *lane)
{
	run.busy--;
	if (run.load.hold)
		return;
	close(lane->fd);
	lane->fd = 0;
	if (run.reopens)
		start_lane(lane);
}

static void step_lane(struct lane *lane, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive_answers(lane);
	if (message_left(&lane->request) > 0 || may_begin(lane))
		send_requests(lane);
	if (lane->answered == lane->begun)
		rest_lane(lane);
}

/* All lanes, `together` of them at a time, until each has come to rest. */
static void run_lanes(uint64_t end_ns)
{
	struct epoll_event events[EVENTS_MAX];

	for (uint64_t next = 0; next < run.load.conns || run.busy > 0;) {
		int count;

		while (next < run.load.conns && run.busy < run.load.together)
			start_lane(&run.lanes[next++]);
		count = epoll_wait(epoll, events, EVENTS_MAX, run.busy > 0 ? WAIT_MS : 0);
		run.now_ns = clock_ns(CLOCK_MONOTONIC);
		for (int i = 0; i < count; i++)
			step_lane(events[i].data.ptr, events[i].events);
		if (run.now_ns > end_ns)
			fail("timed out: %llu connections busy, %llu exchanges answered",
			     (unsigned long long)run.busy, (unsigned long long)latency.count);
	}
}

/* --- a run ------------------------------------------------------------------------------------- */

static void report(uint64_t took_ns)
{
	printf("exchanges=%llu up=%llu down=%llu ns=%llu cpu_ns=%llu",
	       (unsigned long long)latency.count, (unsigned long long)run.up,
	       (unsigned long long)run.down, (unsigned long long)took_ns,
	       (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID));
	printf(" p50_ns=%llu p99_ns=%llu p999_ns=%llu max_ns=%llu\n",
	       (unsigned long long)latency_permille_ns(&latency, 500),
	       (unsigned long long)latency_permille_ns(&latency, 990),
	       (unsigned long long)latency_permille_ns(&latency, 999),
	       (unsigned long long)latency.max_ns);
}

/* Says that the connections are open and idle, and waits for SIGUSR1. */
static void wait_for_signal(void)
{
	struct timespec limit = {.tv_sec = (time_t)(run.load.timeout_ms / 1000)};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	puts("idle");
	fflush(stdout);
	if (sigtimedwait(&set, NULL, &limit) < 0)
		fail("waited in vain for SIGUSR1");
}

int run_load(const struct addrinfo *to, const struct load *load)
{
	uint64_t started_ns = clock_ns(CLOCK_MONOTONIC), took_ns;

	run.to = to;
	run.load = *load;
	run.load.together = load->together > 0 ? load->together : load->conns;
	run.reopens = load->per_conn > 0 && !load->hold;
	run.lanes = calloc(load->conns, sizeof(*run.lanes));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.lanes == NULL || epoll < 0)
		fail("no memory");
	run.last_begin_ns = load->ms > 0 ? started_ns + load->ms * NS_PER_MS : UINT64_MAX;
	run_lanes(started_ns + load->timeout_ms * NS_PER_MS);
	if (load->hold) {
		wait_for_signal();
		run.load.hold = 0;
		run_lanes(clock_ns(CLOCK_MONOTONIC) + load->timeout_ms * NS_PER_MS);
	}
	took_ns = run.now_ns - started_ns;
	check_ends(to);
	report(took_ns);
	return 0;
}
