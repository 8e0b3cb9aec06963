/* SPDX-License-Identifier: MIT */
#pragma once

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * One end of a test connection. Both ends know the same two pseudo-random streams, one for each
 * direction: each sends its own and compares what arrives with the other's, byte for byte. A plan,
 * sent by the client as the first bytes of the connection, tells the server its part.
 *
 * A flow is described by three independent things: how its sending starts, how it ends when both
 * streams are complete, and whether it reads or sends slowly. Every shape of connection that the
 * tests know is a combination of these for the client and for the server; see shapes[].
 */
enum start {
	AT_ONCE,   /* sends while it receives */
	IN_STEP,   /* sends no more than `ahead` bytes beyond what it has received: ping-pong */
	AFTER_RX,  /* sends when it has received everything */
	AFTER_EOF, /* sends when the other end has ended its direction */
};

enum end {
	FIN,	     /* ends its direction after its last byte, and expects the same */
	RESET,	     /* resets when all is sent and received */
	AWAIT_RESET, /* expects the other end to do so; an orderly end is a fault */
};

enum verdict {
	RUNNING,
	OK,
	CORRUPT,   /* a byte differs, or there was one too many */
	TRUNCATED, /* the stream ended before its length */
	WAS_RESET,
	NOT_RESET, /* an end where a reset was due */
	REFUSED,
	TIMED_OUT,
	UNKNOWN, /* the other end has never heard of this flow */
};

static const char *const verdict_name[] = {
	"running",   "ok",	"corrupt",   "truncated",     "reset",
	"not reset", "refused", "timed out", "never arrived",
};

enum {
	CHUNK = 64 * 1024,
	PLAN_MAGIC = 0x77677470,
	PING_LEN = 64,
	TICK_MS = 10, /* how often slow flows are looked at */
};

struct stream {
	uint64_t seed, length, done;
};

/* What the client asks of the server; both are this program on this machine. */
struct plan {
	uint32_t magic;
	uint8_t start, end; /* the server's */
	uint8_t report;	    /* tell how the flows [id, id + up) ended, as one verdict */
	uint8_t pad;
	uint64_t id, up, down;
	uint64_t rate; /* bytes per second of each direction, 0: no limit */
	uint64_t pause_ms;
};
static_assert(sizeof(struct plan) == 48, "no padding goes over the wire");

struct flow {
	int fd;
	enum start start;
	enum end end;
	enum verdict verdict;
	bool fin_sent, eof_seen;
	struct stream tx, rx;
	uint64_t ahead; /* bytes, IN_STEP */
	uint64_t rate;
	uint64_t born_ms, read_from_ms, moved_ms;
	struct plan plan;
	size_t plan_len; /* bytes of it that were sent or received so far */
};

static inline uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static inline uint64_t random_word(uint64_t seed, uint64_t index)
{
	uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* The stream's next `len` bytes, at most CHUNK; borrowed until the next call. */
static inline const uint8_t *stream_bytes(const struct stream *stream, size_t len)
{
	static uint64_t words[CHUNK / 8 + 2];

	for (size_t i = 0; i * 8 < len + 8; i++)
		words[i] = random_word(stream->seed, stream->done / 8 + i);
	return (const uint8_t *)words + stream->done % 8;
}

static inline void flow_end(struct flow *flow, enum verdict verdict)
{
	struct linger at_once = {.l_onoff = 1};

	if (flow->verdict != RUNNING)
		return;
	flow->verdict = verdict;
	if (verdict == OK && flow->end == RESET)
		setsockopt(flow->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(flow->fd);
}

/* EPIPE is how the kernel spells a reset that comes after the other end's FIN. */
static inline void flow_failed(struct flow *flow, int error)
{
	bool complete = flow->tx.done == flow->tx.length && flow->rx.done == flow->rx.length;

	if (error == EAGAIN || error == EINTR)
		return;
	if (error == ECONNREFUSED)
		flow_end(flow, REFUSED);
	else if (error == ECONNRESET || error == EPIPE)
		flow_end(flow, flow->end == AWAIT_RESET && complete ? OK : WAS_RESET);
	else
		flow_end(flow, TIMED_OUT);
}

/* How many bytes may be sent now. */
static inline uint64_t flow_allowance(const struct flow *flow, uint64_t now)
{
	uint64_t limit = flow->tx.length;
	uint64_t rated = flow->rate * (now - flow->born_ms) / 1000;

	if ((flow->start == AFTER_RX && flow->rx.done < flow->rx.length) ||
	    (flow->start == AFTER_EOF && !flow->eof_seen))
		return 0;
	if (flow->start == IN_STEP && flow->rx.done + flow->ahead < limit)
		limit = flow->rx.done + flow->ahead;
	if (flow->rate > 0 && rated < limit)
		limit = rated;
	return limit > flow->tx.done ? limit - flow->tx.done : 0;
}

static inline void flow_send(struct flow *flow, uint64_t now)
{
	uint64_t room = flow_allowance(flow, now);
	size_t len = room < CHUNK ? (size_t)room : CHUNK;
	ssize_t n;

	if (len == 0)
		return;
	n = send(flow->fd, stream_bytes(&flow->tx, len), len, MSG_NOSIGNAL);
	if (n < 0) {
		flow_failed(flow, errno);
		return;
	}
	flow->tx.done += (uint64_t)n;
	flow->moved_ms = now;
}

static inline void flow_eof(struct flow *flow)
{
	flow->eof_seen = true;
	if (flow->rx.done < flow->rx.length)
		flow_end(flow, TRUNCATED);
	else if (flow->end != FIN)
		flow_end(flow, NOT_RESET);
}

static inline void flow_receive(struct flow *flow, uint64_t now)
{
	static uint8_t bytes[CHUNK];
	ssize_t n = recv(flow->fd, bytes, sizeof(bytes), 0);

	if (n < 0) {
		flow_failed(flow, errno);
	} else if (n == 0) {
		flow_eof(flow);
	} else if ((uint64_t)n > flow->rx.length - flow->rx.done ||
		   memcmp(bytes, stream_bytes(&flow->rx, (size_t)n), (size_t)n) != 0) {
		flow_end(flow, CORRUPT);
	} else {
		flow->rx.done += (uint64_t)n;
		flow->moved_ms = now;
	}
}

/* The end that is due, if one is. */
static inline void flow_settle(struct flow *flow)
{
	if (flow->verdict != RUNNING || flow->tx.done < flow->tx.length)
		return;
	if (flow->end == FIN && !flow->fin_sent) {
		shutdown(flow->fd, SHUT_WR);
		flow->fin_sent = true;
	}
	if (flow->end == FIN && flow->eof_seen)
		flow_end(flow, OK);
	if (flow->end == RESET && flow->rx.done == flow->rx.length)
		flow_end(flow, OK);
}

/* Nothing to wait for but time: poll() would not wake for it. */
static inline bool flow_is_slow(const struct flow *flow, uint64_t now)
{
	return flow->rate > 0 || flow->read_from_ms > now;
}

static inline short flow_events(const struct flow *flow, uint64_t now)
{
	short events = 0;

	if (!flow->eof_seen && now >= flow->read_from_ms)
		events |= POLLIN;
	if (flow_allowance(flow, now) > 0)
		events |= POLLOUT;
	return events;
}

/* After poll(). */
static inline void flow_step(struct flow *flow, short revents, uint64_t now)
{
	if (revents & (POLLIN | POLLERR | POLLHUP) && !flow->eof_seen)
		flow_receive(flow, now);
	if (flow->verdict == RUNNING && revents & POLLOUT)
		flow_send(flow, now);
	flow_settle(flow);
}
