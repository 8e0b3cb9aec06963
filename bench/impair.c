// SPDX-License-Identifier: MIT
#include "impair.h"

#include "base/time.h"
#include "listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

/*
 *	impair ADDRESS PORT TO_ADDRESS TO_PORT [NAME=VALUE...]		(impair --help)
 *
 * One thread and two sockets: one that the client sends to, one that faces the target. What was
 * received is split into its datagrams (GRO), each of them meets its own fate (path.h), and those
 * that arrive wait in one of two queues: in order, or held back. Both are in order of time, so the
 * next packet is always a first one. Whatever is due leaves in trains (GSO) as long as possible.
 *
 * A packet's time begins when it is read here, which is late by what the machine takes to wake us;
 * it leaves up to `batch` early or late by as much as that takes: the counts tell. We ask for real
 * time scheduling, which root gets.
 */
enum { RECEIVES = 16, RECEIVE_LEN = 65536, SENDS = 64, ROUNDS_MAX = 4, SOCKET_BUFFER = 64 << 20 };

struct lane {
	int from, to; /* sockets */
	struct sockaddr_storage *to_addr;
	socklen_t *to_len;
	struct path path;
	struct queue in_order, held_back;
	uint64_t no_room, unsent; /* packets: no memory here, refused by the kernel */
	uint64_t sent, sends;
	uint64_t late_ns, late_ns_max; /* sum over packets, most */
};

static struct lane lanes[WAYS];
static struct sockaddr_storage client, target;
static socklen_t client_len, target_len; /* client_len 0: not heard of yet */
static uint64_t batch_ns;
static volatile sig_atomic_t ending, reseeding;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void on_signal(int number)
{
	*(number == SIGUSR1 ? &reseeding : &ending) = 1;
}

/* --- in --------------------------------------------------------------------------------------- */

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int))];
};

static struct {
	uint8_t bytes[RECEIVES][RECEIVE_LEN];
	struct sockaddr_storage from[RECEIVES];
	union control control[RECEIVES];
	struct iovec iov[RECEIVES];
	struct mmsghdr msgs[RECEIVES];
} in;

static void prepare_receives(void)
{
	for (size_t i = 0; i < RECEIVES; i++) {
		in.iov[i] = (struct iovec){in.bytes[i], RECEIVE_LEN};
		in.msgs[i].msg_hdr = (struct msghdr){.msg_name = &in.from[i],
						     .msg_namelen = sizeof(in.from[i]),
						     .msg_iov = &in.iov[i],
						     .msg_iovlen = 1,
						     .msg_control = &in.control[i],
						     .msg_controllen = sizeof(in.control[i])};
	}
}

/* The length of each of the merged datagrams but the last; that of all when it is only one. */
static size_t segment_len(struct msghdr *msg, size_t len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		int segment;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&segment, CMSG_DATA(c), sizeof(segment));
		return segment > 0 ? (size_t)segment : len;
	}
	return len;
}

static void take(struct lane *lane, const uint8_t *packet, size_t len, uint64_t now_ns)
{
	struct path_fate fate = path_send(&lane->path, now_ns, len);
	struct queue *queue = fate.held_back ? &lane->held_back : &lane->in_order;

	for (; fate.copies > 0; fate.copies--)
		lane->no_room += !queue_add(queue, packet, len, fate.at_ns);
}

static void take_all(struct lane *lane, size_t i, uint64_t now_ns)
{
	size_t len = in.msgs[i].msg_len;
	size_t segment = segment_len(&in.msgs[i].msg_hdr, len), part;

	if (len == 0)
		take(lane, in.bytes[i], 0, now_ns);
	for (size_t at = 0; at < len; at += part) {
		part = len - at < segment ? len - at : segment;
		take(lane, in.bytes[i] + at, part, now_ns);
	}
}

/* The client is who has sent last: it may have moved to another port. */
static void receive(enum way way)
{
	struct lane *lane = &lanes[way];

	for (int round = 0, count = RECEIVES; round < ROUNDS_MAX && count == RECEIVES; round++) {
		uint64_t now_ns;

		prepare_receives();
		count = recvmmsg(lane->from, in.msgs, RECEIVES, MSG_DONTWAIT, NULL);
		now_ns = clock_ns();
		for (int i = 0; i < count; i++)
			take_all(lane, (size_t)i, now_ns);
		if (way == UP && count > 0) {
			client = in.from[count - 1];
			client_len = in.msgs[count - 1].msg_hdr.msg_namelen;
		}
	}
}

/* --- out -------------------------------------------------------------------------------------- */

static struct {
	union control control[SENDS];
	struct iovec iov[SENDS];
	struct mmsghdr msgs[SENDS];
	size_t packets[SENDS], packet_len[SENDS]; /* of the first ones, where they differ */
	unsigned count;
} out;

/* One by one, what does not go as a train: longer than the device takes, for example. */
static void send_singly(struct lane *lane, const struct msghdr *msg, size_t packet_len)
{
	const uint8_t *bytes = msg->msg_iov->iov_base;
	size_t len = msg->msg_iov->iov_len, part;

	for (size_t at = 0; at < len; at += part) {
		part = len - at < packet_len ? len - at : packet_len;
		if (sendto(lane->to, bytes + at, part, 0, msg->msg_name, msg->msg_namelen) < 0)
			lane->unsent++;
		else
			lane->sent++;
	}
}

static void send_out(struct lane *lane)
{
	for (unsigned done = 0; done < out.count;) {
		int n = sendmmsg(lane->to, out.msgs + done, out.count - done, 0);
		const struct msghdr *msg = &out.msgs[done].msg_hdr;

		lane->sends++;
		for (int i = 0; i < n; i++)
			lane->sent += out.packets[done + (unsigned)i];
		if (n > 0) {
			done += (unsigned)n;
			continue;
		}
		if (out.packets[done] == 1)
			lane->unsent++;
		else
			send_singly(lane, msg, out.packet_len[done]);
		done++;
	}
	out.count = 0;
}

static void add_train(struct lane *lane, const struct queue *queue, size_t count)
{
	const struct waiting *first = queue_first(queue);
	const struct waiting *last = &queue->items[(queue->first + count - 1) & queue->items_mask];
	struct msghdr *msg = &out.msgs[out.count].msg_hdr;
	struct cmsghdr *c = &out.control[out.count].align;
	uint16_t segment = (uint16_t)first->len;

	out.iov[out.count] = (struct iovec){queue->bytes + first->at,
					    last->at + last->len - first->at};
	*msg = (struct msghdr){.msg_name = lane->to_addr,
			       .msg_namelen = *lane->to_len,
			       .msg_iov = &out.iov[out.count],
			       .msg_iovlen = 1};
	if (count > 1) {
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(segment));
		memcpy(CMSG_DATA(c), &segment, sizeof(segment));
		msg->msg_control = c;
		msg->msg_controllen = CMSG_SPACE(sizeof(segment));
	}
	out.packet_len[out.count] = first->len;
	out.packets[out.count++] = count;
}

static void note_lateness(struct lane *lane, const struct queue *queue, size_t count,
			  uint64_t now_ns)
{
	uint64_t at_ns = queue_first(queue)->at_ns;
	uint64_t late_ns = now_ns > at_ns ? now_ns - at_ns : 0;

	lane->late_ns += late_ns * count;
	if (late_ns > lane->late_ns_max)
		lane->late_ns_max = late_ns;
}

/* The one whose first packet leaves first; NULL: nothing waits. */
static struct queue *earliest(struct lane *lane, uint64_t *other_ns)
{
	const struct waiting *a = queue_first(&lane->in_order), *b = queue_first(&lane->held_back);
	bool is_a = a != NULL && (b == NULL || a->at_ns <= b->at_ns);

	*other_ns = UINT64_MAX;
	if (a != NULL && b != NULL)
		*other_ns = is_a ? b->at_ns : a->at_ns;
	if (is_a)
		return &lane->in_order;
	return b != NULL ? &lane->held_back : NULL;
}

/* Sends what is due. Returns when the next packet is, UINT64_MAX: nothing waits. */
static uint64_t flush(struct lane *lane)
{
	uint64_t now_ns = clock_ns(), until_ns = now_ns + batch_ns, other_ns;
	struct queue *queue;

	while ((queue = earliest(lane, &other_ns)) != NULL) {
		size_t count;

		if (queue_first(queue)->at_ns > until_ns)
			break;
		count = queue_train(queue, other_ns < until_ns ? other_ns : until_ns);
		note_lateness(lane, queue, count, now_ns);
		add_train(lane, queue, count);
		queue_drop(queue, count); /* nothing is added before it is sent */
		if (out.count == SENDS)
			send_out(lane);
	}
	send_out(lane);
	return queue != NULL ? queue_first(queue)->at_ns : UINT64_MAX;
}

/* --- set up, run, tell ------------------------------------------------------------------------- */

static int open_udp(int family, const struct addrinfo *at)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int size = SOCKET_BUFFER;

	if (fd < 0 || (at != NULL && bind(fd, at->ai_addr, at->ai_addrlen) != 0)) {
		perror("impair");
		exit(1);
	}
	/* As much as we may have; without GRO it works, at more cost. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_UDP, UDP_GRO, &(int){1}, sizeof(int));
	return fd;
}

static uint64_t lane_seed(const struct settings *settings, enum way way)
{
	return settings->seed * WAYS + way;
}

static void open_lanes(char **words, const struct settings *settings)
{
	struct addrinfo *at = address_of(words[0], words[1]);
	struct addrinfo *to = address_of(words[2], words[3]);
	int near = open_udp(at->ai_family, at), far = open_udp(to->ai_family, NULL);

	memcpy(&target, to->ai_addr, to->ai_addrlen);
	target_len = to->ai_addrlen;
	lanes[UP] = (struct lane){
		.from = near, .to = far, .to_addr = &target, .to_len = &target_len};
	lanes[DOWN] = (struct lane){
		.from = far, .to = near, .to_addr = &client, .to_len = &client_len};
	for (enum way way = UP; way < WAYS; way++) {
		struct lane *lane = &lanes[way];

		path_init(&lane->path, &settings->path[way], lane_seed(settings, way));
		if (!queue_init(&lane->in_order, settings->memory) ||
		    !queue_init(&lane->held_back, settings->memory)) {
			perror("impair: memory");
			exit(1);
		}
	}
	announce(near);
}

static void be_punctual(void)
{
	struct sched_param param = {.sched_priority = 1};

	prctl(PR_SET_TIMERSLACK, 1UL);
	(void)sched_setscheduler(0, SCHED_RR, &param);
}

/* They come in ppoll() alone. */
static void take_signals(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t all;

	sigemptyset(&all);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaddset(&all, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &all, NULL);
}

static void reseed_if_asked(const struct settings *settings)
{
	if (!reseeding)
		return;
	reseeding = 0;
	for (enum way way = UP; way < WAYS; way++)
		path_reseed(&lanes[way].path, lane_seed(settings, way));
}

static void run(const struct settings *settings)
{
	struct pollfd polled[WAYS];
	sigset_t none;

	sigemptyset(&none);
	for (enum way way = UP; way < WAYS; way++)
		polled[way] = (struct pollfd){.fd = lanes[way].from, .events = POLLIN};
	while (!ending) {
		uint64_t up_ns = flush(&lanes[UP]), down_ns = flush(&lanes[DOWN]);
		uint64_t next_ns = up_ns < down_ns ? up_ns : down_ns, now_ns = clock_ns();
		uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
		struct timespec wait = {(time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S)};

		reseed_if_asked(settings);
		if (ppoll(polled, WAYS, next_ns == UINT64_MAX ? NULL : &wait, &none) <= 0)
			continue;
		for (enum way way = UP; way < WAYS; way++) {
			if (polled[way].revents != 0)
				receive(way);
		}
	}
}

static void tell(const char *name, const struct lane *lane)
{
	const struct path_counts *counts = &lane->path.counts;
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{"entered", counts->entered},
		{"sent", lane->sent},
		{"too_long", counts->too_long},
		{"queue_full", counts->queue_full},
		{"lost", counts->lost},
		{"burst_lost", counts->burst_lost},
		{"duplicated", counts->duplicated},
		{"reordered", counts->reordered},
		{"no_room", lane->no_room},
		{"unsent", lane->unsent},
		{"sends", lane->sends},
		{"queued_us_max", counts->waited_ns_max / NS_PER_US},
		{"late_us_mean", lane->sent > 0 ? lane->late_ns / lane->sent / NS_PER_US : 0},
		{"late_us_max", lane->late_ns_max / NS_PER_US},
	};

	printf("\"%s\":{", name);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		printf("%s\"%s\":%llu", i > 0 ? "," : "", figures[i].name,
		       (unsigned long long)figures[i].value);
	printf("}");
}

int main(int argc, char **argv)
{
	struct settings settings = {.seed = 1, .memory = 64 << 20, .batch_ns = 100 * NS_PER_US};

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		settings_help();
		return 0;
	}
	if (argc < 5) {
		fputs("usage: impair ADDRESS PORT TO_ADDRESS TO_PORT [NAME=VALUE...], or --help\n",
		      stderr);
		return 2;
	}
	if (!settings_read(&settings, argv + 5))
		return 2;
	batch_ns = settings.batch_ns;
	be_punctual();
	take_signals();
	open_lanes(argv + 1, &settings);
	run(&settings);
	printf("{");
	tell("up", &lanes[UP]);
	printf(",");
	tell("down", &lanes[DOWN]);
	printf("}\n");
	return 0;
}
