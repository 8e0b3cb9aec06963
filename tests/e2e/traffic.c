/* SPDX-License-Identifier: MIT */
#include "flow.h"
#include "listen.h"

#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/time.h>

/*
 *	traffic serve  ADDRESS PORT              serves all shapes; prints "ready PORT"
 *	traffic silent ADDRESS PORT              listens and never answers a SYN
 *	traffic SHAPE  ADDRESS PORT [NAME=NUMBER...]  opens connections of that shape and judges
 * them
 *
 * Exit status 0 and one line "ok SHAPE: ..." when every connection went as its shape says, seen
 * from both ends: at the end the client opens one more connection and asks the server how the
 * others ended there. A FIN that became a reset, or a reset that became a FIN, shows only so.
 */
struct shape {
	const char *name;
	enum start start;
	enum end end;
	enum start server_start;
	enum end server_end;
};

static const struct shape shapes[] = {
	{"bulk", AT_ONCE, FIN, AT_ONCE, FIN},
	{"ping", IN_STEP, FIN, IN_STEP, FIN},
	{"client-fin-first", AT_ONCE, FIN, AFTER_EOF, FIN},
	{"server-fin-first", AFTER_EOF, FIN, AT_ONCE, FIN},
	{"client-reset", AT_ONCE, RESET, AFTER_RX, AWAIT_RESET},
	{"server-reset", AFTER_RX, AWAIT_RESET, AT_ONCE, RESET},
	/* The connection comes to nothing: refused, or accepted and reset. There is no server. */
	{"refused", AT_ONCE, AWAIT_RESET, AT_ONCE, FIN},
};

struct options {
	struct addrinfo *to;
	const struct shape *shape;
	uint64_t conns;
	uint64_t up, down, random;	    /* bytes of each connection; random: at most so many */
	uint64_t rate;			    /* bytes per second of each direction; 0: no limit */
	uint64_t pause_ms, server_pause_ms; /* before the first read */
	uint64_t stalled_max;		    /* bytes that may leave us in the server's pause */
	uint64_t timeout_ms, at_least_ms;   /* of the whole run */
	uint64_t report;		    /* ask the server */
	uint64_t expect_reset;		    /* in mid-stream */
};

enum { FLOWS_MAX = 1024, OUTCOMES_MAX = 4096, FLOW_IDLE_MS = 300 * 1000 };

/* A process is server or client: both keep their flows here. */
static struct flow flows[FLOWS_MAX];
static struct pollfd polled[FLOWS_MAX + 1];

/* --- the server -------------------------------------------------------------------------------- */

static size_t served_count;

static struct {
	uint64_t id;
	enum verdict verdict;
} outcomes[OUTCOMES_MAX]; /* of the latest flows, a ring */
static size_t outcome_next;

static void serve_plan(struct flow *flow, uint64_t now)
{
	const struct plan *plan = &flow->plan;

	flow->start = plan->start;
	flow->end = plan->end;
	flow->rx = (struct stream){.seed = plan->id, .length = plan->up};
	flow->tx = (struct stream){.seed = ~plan->id, .length = plan->down};
	flow->rate = plan->rate;
	flow->born_ms = now;
	flow->read_from_ms = now + plan->pause_ms;
}

/* Connections that end without a plan are health probes: nobody asks for them. */
static void receive_plan(struct flow *flow, uint64_t now)
{
	ssize_t n = recv(flow->fd, (uint8_t *)&flow->plan + flow->plan_len,
			 sizeof(flow->plan) - flow->plan_len, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		flow_end(flow, UNKNOWN);
		return;
	}
	flow->plan_len += (size_t)n;
	flow->moved_ms = now;
	if (flow->plan_len < sizeof(flow->plan))
		return;
	if (flow->plan.magic != PLAN_MAGIC)
		flow_end(flow, UNKNOWN);
	else
		serve_plan(flow, now);
}

/* OK when all flows of the range ended so; RUNNING while some still do; else what went wrong. */
static enum verdict outcome_of(uint64_t id, uint64_t count)
{
	uint64_t ended = 0;

	for (size_t i = 0; i < OUTCOMES_MAX; i++) {
		if (outcomes[i].verdict == RUNNING || outcomes[i].id - id >= count)
			continue;
		if (outcomes[i].verdict != OK)
			return outcomes[i].verdict;
		ended++;
	}
	return ended == count ? OK : RUNNING;
}

static void serve_report(struct flow *flow)
{
	uint8_t verdict = (uint8_t)outcome_of(flow->plan.id, flow->plan.up);

	if (verdict == RUNNING)
		return;
	if (send(flow->fd, &verdict, 1, MSG_NOSIGNAL) == 1)
		flow_end(flow, UNKNOWN);
}

static void serve_flow(struct flow *flow, short revents, uint64_t now)
{
	if (flow->plan_len < sizeof(flow->plan)) {
		if (revents)
			receive_plan(flow, now);
	} else if (flow->plan.report) {
		serve_report(flow);
	} else {
		flow_step(flow, revents, now);
	}
	if (flow->verdict == RUNNING && now - flow->moved_ms > FLOW_IDLE_MS)
		flow_end(flow, TIMED_OUT);
}

/* Takes ended flows off the table and notes how they ended. */
static void serve_sweep(void)
{
	for (size_t i = served_count; i-- > 0;) {
		struct flow *flow = &flows[i];

		if (flow->verdict == RUNNING)
			continue;
		if (flow->verdict != UNKNOWN) {
			outcomes[outcome_next].id = flow->plan.id;
			outcomes[outcome_next].verdict = flow->verdict;
			outcome_next = (outcome_next + 1) % OUTCOMES_MAX;
		}
		*flow = flows[--served_count];
	}
}

static void serve_accept(int listener, uint64_t now)
{
	while (served_count < FLOWS_MAX) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		flows[served_count++] = (struct flow){.fd = fd, .born_ms = now, .moved_ms = now};
	}
}

static _Noreturn void serve(const struct addrinfo *to)
{
	int listener = listen_on(to, SOCK_NONBLOCK, FLOWS_MAX);

	announce(listener);
	for (;;) {
		uint64_t now = now_ms();
		size_t count = served_count;

		polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
		for (size_t i = 0; i < count; i++)
			polled[i + 1] = (struct pollfd){
				.fd = flows[i].fd,
				.events = flows[i].plan_len < sizeof(struct plan) ? POLLIN
					  : flows[i].plan.report		  ? 0
								 : flow_events(&flows[i], now),
			};
		poll(polled, count + 1, TICK_MS);
		now = now_ms();
		for (size_t i = 0; i < count; i++)
			serve_flow(&flows[i], polled[i + 1].revents, now);
		serve_sweep();
		serve_accept(listener, now);
	}
}

/*
 * A listener whose backlog is full drops further SYNs (tcp_conn_request() in Linux): to a client,
 * a target that never answers. It fills the backlog itself.
 */
static _Noreturn void be_silent(const struct addrinfo *to)
{
	int listener = listen_on(to, 0, 0);
	struct sockaddr_storage self;
	socklen_t len = sizeof(self);
	struct pollfd pending = {.events = POLLOUT};

	getsockname(listener, (struct sockaddr *)&self, &len);
	do {
		pending.fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(pending.fd, (struct sockaddr *)&self, len);
	} while (poll(&pending, 1, 200) == 1);
	announce(listener);
	for (;;)
		pause();
}

/* --- the client -------------------------------------------------------------------------------- */

static int dial(const struct addrinfo *to, int flags)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	/* What connect() says now, the first send or receive says again. */
	if (connect(fd, to->ai_addr, to->ai_addrlen) != 0 && !(flags & SOCK_NONBLOCK)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void open_flow(struct flow *flow, const struct options *options, uint64_t id)
{
	const struct shape *shape = options->shape;
	bool without_server = !options->report && options->up + options->down == 0;
	uint64_t up = options->up, down = options->down;

	if (options->random) {
		up = random_word(id, 0) % (up + 1);
		down = random_word(id, 1) % (down + 1);
	}
	*flow = (struct flow){
		.start = shape->start,
		.end = shape->end,
		.tx = {.seed = id, .length = up},
		.rx = {.seed = ~id, .length = down},
		.ahead = PING_LEN,
		.rate = options->rate,
		.plan = {.magic = PLAN_MAGIC,
			 .start = (uint8_t)shape->server_start,
			 .end = (uint8_t)shape->server_end,
			 .id = id,
			 .up = up,
			 .down = down,
			 .rate = options->rate,
			 .pause_ms = options->server_pause_ms},
		.plan_len = without_server ? sizeof(struct plan) : 0,
		.born_ms = now_ms(),
	};
	flow->read_from_ms = flow->born_ms + options->pause_ms;
	flow->fd = dial(options->to, SOCK_NONBLOCK);
}

static void send_plan(struct flow *flow)
{
	ssize_t n = send(flow->fd, (const uint8_t *)&flow->plan + flow->plan_len,
			 sizeof(flow->plan) - flow->plan_len, MSG_NOSIGNAL);

	if (n < 0)
		flow_failed(flow, errno);
	else
		flow->plan_len += (size_t)n;
}

/* One round over all flows. Returns how many still run. */
static size_t step_flows(size_t count)
{
	uint64_t now = now_ms();
	bool slow = false;
	size_t running = 0;

	for (size_t i = 0; i < count; i++) {
		struct flow *flow = &flows[i];
		bool planned = flow->plan_len == sizeof(flow->plan);

		polled[i] = (struct pollfd){.fd = -1};
		if (flow->verdict != RUNNING)
			continue;
		polled[i].fd = flow->fd;
		polled[i].events = planned ? flow_events(flow, now) : POLLOUT;
		slow |= flow_is_slow(flow, now);
		running++;
	}
	if (running > 0)
		poll(polled, count, slow ? TICK_MS : 100);
	now = now_ms();
	for (size_t i = 0; i < count; i++) {
		if (flows[i].plan_len == sizeof(flows[i].plan))
			flow_step(&flows[i], polled[i].revents, now);
		else if (polled[i].revents != 0)
			send_plan(&flows[i]);
	}
	return running;
}

static uint64_t bytes_sent(size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += flows[i].tx.done;
	return sum;
}

/* Runs all flows to their ends. Returns how much left them while the server did not read. */
static uint64_t run_flows(const struct options *options, uint64_t id)
{
	uint64_t started_ms = now_ms(), stalled = 0;

	for (size_t i = 0; i < options->conns; i++)
		open_flow(&flows[i], options, id + i);
	while (step_flows(options->conns) > 0 && now_ms() - started_ms < options->timeout_ms) {
		if (now_ms() - started_ms < options->server_pause_ms)
			stalled = bytes_sent(options->conns);
	}
	for (size_t i = 0; i < options->conns; i++)
		flow_end(&flows[i], TIMED_OUT);
	return stalled;
}

/* Asks the server how the flows ended there. */
static enum verdict ask_report(const struct options *options, uint64_t id)
{
	struct timeval limit = {.tv_sec = 10};
	struct plan plan = {.magic = PLAN_MAGIC, .report = 1, .id = id, .up = options->conns};
	uint8_t verdict = UNKNOWN;
	int fd = dial(options->to, 0);

	if (fd < 0)
		return UNKNOWN;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (send(fd, &plan, sizeof(plan), MSG_NOSIGNAL) != sizeof(plan) ||
	    recv(fd, &verdict, 1, 0) != 1 || verdict > UNKNOWN)
		verdict = UNKNOWN;
	close(fd);
	return verdict;
}

/* A reset may also come as a refusal: it depends on when the proxy knows. */
static bool as_expected(const struct options *options, const struct flow *flow)
{
	bool comes_to_nothing = flow->end == AWAIT_RESET && !options->report;

	if (options->expect_reset)
		return flow->verdict == WAS_RESET;
	return flow->verdict == OK || (comes_to_nothing && flow->verdict == REFUSED);
}

static int fail(const struct options *options, const char *what, uint64_t value)
{
	printf("failed %s: %s %llu\n", options->shape->name, what, (unsigned long long)value);
	return 1;
}

static int judge_flows(const struct options *options)
{
	for (size_t i = 0; i < options->conns; i++) {
		const struct flow *flow = &flows[i];

		if (as_expected(options, flow))
			continue;
		printf("failed %s: connection %zu of %llu: %s, %llu of %llu bytes up, "
		       "%llu of %llu down\n",
		       options->shape->name, i, (unsigned long long)options->conns,
		       verdict_name[flow->verdict], (unsigned long long)flow->tx.done,
		       (unsigned long long)flow->tx.length, (unsigned long long)flow->rx.done,
		       (unsigned long long)flow->rx.length);
		return 1;
	}
	return 0;
}

static int run_client(const struct options *options)
{
	uint64_t id, started_ms = now_ms(), stalled, took_ms, down = 0;
	enum verdict theirs;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return 1;
	stalled = run_flows(options, id);
	took_ms = now_ms() - started_ms;
	if (judge_flows(options) != 0)
		return 1;
	if (took_ms < options->at_least_ms)
		return fail(options, "too early, after ms", took_ms);
	if (stalled > options->stalled_max)
		return fail(options,
			    "no back-pressure, bytes sent to a server that did not read:", stalled);
	theirs = options->report ? ask_report(options, id) : OK;
	if (theirs != OK) {
		printf("failed %s: seen from the server: %s\n", options->shape->name,
		       verdict_name[theirs]);
		return 1;
	}
	for (size_t i = 0; i < options->conns; i++)
		down += flows[i].rx.done;
	printf("ok %s: %llu connections, %llu bytes up, %llu down, %llu ms\n", options->shape->name,
	       (unsigned long long)options->conns, (unsigned long long)bytes_sent(options->conns),
	       (unsigned long long)down, (unsigned long long)took_ms);
	return 0;
}

/* --- the command line -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	size_t offset;
} settings[] = {
	{"conns", offsetof(struct options, conns)},
	{"up", offsetof(struct options, up)},
	{"down", offsetof(struct options, down)},
	{"random", offsetof(struct options, random)},
	{"rate", offsetof(struct options, rate)},
	{"pause_ms", offsetof(struct options, pause_ms)},
	{"server_pause_ms", offsetof(struct options, server_pause_ms)},
	{"stalled_max", offsetof(struct options, stalled_max)},
	{"timeout_ms", offsetof(struct options, timeout_ms)},
	{"at_least_ms", offsetof(struct options, at_least_ms)},
	{"report", offsetof(struct options, report)},
	{"expect_reset", offsetof(struct options, expect_reset)},
};

static bool read_setting(struct options *options, const char *word)
{
	size_t len = strcspn(word, "=");

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (word[len] != '=' || strlen(settings[i].name) != len ||
		    strncmp(settings[i].name, word, len) != 0)
			continue;
		*(uint64_t *)(void *)((char *)options +
				      settings[i].offset) = strtoull(word + len + 1, NULL, 10);
		return true;
	}
	fprintf(stderr, "traffic: %s is no setting\n", word);
	return false;
}

static const struct shape *shape_named(const char *name)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (strcmp(shapes[i].name, name) == 0)
			return &shapes[i];
	return NULL;
}

int main(int argc, char **argv)
{
	struct options options = {
		.conns = 1, .timeout_ms = 60000, .stalled_max = UINT64_MAX, .report = 1};

	if (argc < 4) {
		fprintf(stderr,
			"usage: traffic serve|silent|SHAPE ADDRESS PORT [NAME=NUMBER...]\n");
		return 2;
	}
	options.to = address_of(argv[2], argv[3]);
	if (strcmp(argv[1], "serve") == 0)
		serve(options.to);
	if (strcmp(argv[1], "silent") == 0)
		be_silent(options.to);
	options.shape = shape_named(argv[1]);
	if (options.shape == NULL) {
		fprintf(stderr, "traffic: no shape %s\n", argv[1]);
		return 2;
	}
	for (int i = 4; i < argc; i++)
		if (!read_setting(&options, argv[i]))
			return 2;
	if (options.conns > FLOWS_MAX) {
		fprintf(stderr, "traffic: at most %d connections\n", FLOWS_MAX);
		return 2;
	}
	return run_client(&options);
}
