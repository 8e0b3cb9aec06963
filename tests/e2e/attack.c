/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/*
 *	attack SHAPE ADDRESS PORT SECONDS
 *
 * Clients that a responder of HTTP must bear. All connections are opened at once; where the shape
 * says so, what the responder closes is opened again, TIMES_MAX times in all. Each connection says
 * its first words, and more with every tick. The last line has the totals.
 */
enum { CONNS_MAX = 1000, TIMES_MAX = 5000, TICK_MS = 50, WORDS_MAX = 8192 };

struct shape {
	const char *name;
	int conns;
	bool again; /* opens anew what was closed */
	bool deaf;  /* never reads, and has hardly room for an answer */
	bool ends;  /* its side, behind the first words */
	const char *first, *more;
};

static const struct shape shapes[] = {
	{.name = "crowd", .conns = CONNS_MAX},
	{.name = "slowloris",
	 .conns = 200,
	 .again = true,
	 .first = "GET /livez HTTP/1.1\r\n",
	 .more = "X-Slow: loris\r\n"},
	{.name = "pipelining",
	 .conns = 50,
	 .again = true,
	 .first = "GET /livez HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
	 .more = "GET /metrics HTTP/1.1\r\n\r\n"},
	{.name = "half-closed",
	 .conns = 50,
	 .again = true,
	 .ends = true,
	 .first = "GET /metrics HTTP/1.1\r\n\r\n"},
	{.name = "deaf",
	 .conns = 100,
	 .again = true,
	 .deaf = true,
	 .first = "GET /metrics HTTP/1.1\r\n\r\n"},
	{.name = "long-line", .conns = 50, .again = true},
	{.name = "rubbish", .conns = 50, .again = true},
};

static const struct shape *shape;
static struct addrinfo *target;
static struct pollfd conns[CONNS_MAX];
static char noise[WORDS_MAX];
static unsigned opened, answered, closed;

static void words_of(const char **first, const char **more)
{
	*first = shape->first;
	*more = shape->more;
	if (strcmp(shape->name, "rubbish") != 0 && strcmp(shape->name, "long-line") != 0)
		return;
	for (size_t i = 0; i < sizeof(noise) - 1; i++)
		noise[i] = *shape->name == 'r' ? (char)(1 + random() % 255) : 'x';
	*first = *more = noise;
}

static void say(int fd, const char *words)
{
	if (words != NULL)
		(void)!send(fd, words, strlen(words), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void open_conn(struct pollfd *conn)
{
	const char *first, *more;
	int least = 1;

	conn->fd = socket(target->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	conn->events = shape->deaf ? 0 : POLLIN;
	if (shape->deaf)
		setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
	if (connect(conn->fd, target->ai_addr, target->ai_addrlen) < 0) {
		close(conn->fd);
		conn->fd = -1;
		return;
	}
	opened++;
	words_of(&first, &more);
	say(conn->fd, first);
	if (shape->ends)
		shutdown(conn->fd, SHUT_WR);
}

static void hear(struct pollfd *conn)
{
	char bytes[WORDS_MAX];
	ssize_t len = recv(conn->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (len > 0) {
		answered += strncmp(bytes, "HTTP/1.1 ", 9) == 0;
		return;
	}
	if (len < 0 && errno == EAGAIN)
		return;
	closed++;
	close(conn->fd);
	conn->fd = -1;
	if (shape->again && opened < TIMES_MAX)
		open_conn(conn);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void run(uint64_t end_ms)
{
	uint64_t tick_ms = now_ms();
	const char *first, *more;

	while (now_ms() < end_ms) {
		poll(conns, (nfds_t)shape->conns, TICK_MS);
		for (int i = 0; i < shape->conns; i++) {
			if (conns[i].fd >= 0 && conns[i].revents != 0)
				hear(&conns[i]);
		}
		if (now_ms() < tick_ms)
			continue;
		tick_ms = now_ms() + TICK_MS;
		words_of(&first, &more);
		for (int i = 0; i < shape->conns; i++) {
			if (conns[i].fd >= 0)
				say(conns[i].fd, more);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit files = {CONNS_MAX + 100, CONNS_MAX + 100};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (argc == 5 && strcmp(shapes[i].name, argv[1]) == 0)
			shape = &shapes[i];
	}
	if (shape == NULL) {
		fprintf(stderr, "usage: attack SHAPE ADDRESS PORT SECONDS\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setrlimit(RLIMIT_NOFILE, &files);
	target = address_of(argv[2], argv[3]);
	for (int i = 0; i < shape->conns; i++)
		open_conn(&conns[i]);
	printf("ready\n");
	fflush(stdout);
	run(now_ms() + strtoul(argv[4], NULL, 10) * 1000);
	printf("%s: opened %u, answered %u, closed on us %u\n", shape->name, opened, answered,
	       closed);
	freeaddrinfo(target);
	return 0;
}
