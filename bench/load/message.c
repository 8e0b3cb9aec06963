/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A chunk can begin anywhere within the period and is contiguous. */
static uint8_t pattern[PERIOD + CHUNK];

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void message_init(void)
{
	uint64_t state = 0;

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = i < PERIOD ? (uint8_t)random_next(&state) : pattern[i - PERIOD];
}

__attribute__((format(printf, 2, 3))) static void set_head(struct message *message,
							   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message->head_len = (size_t)vsnprintf(message->head, sizeof(message->head), format, args);
	va_end(args);
	message->done = 0;
}

void message_body(struct message *message, uint64_t seed, uint64_t len)
{
	message->head_len = 0;
	message->done = 0;
	message->seed = seed;
	message->body_len = len;
}

void message_get(struct message *message, uint64_t seed, uint64_t len)
{
	message_body(message, 0, 0);
	set_head(message,
		 "GET /%llu/%llu HTTP/1.1\r\nHost: target\r\nUser-Agent: wg-tinyproxy-bench\r\n"
		 "Accept: */*\r\n\r\n",
		 (unsigned long long)seed, (unsigned long long)len);
}

void message_put(struct message *message, uint64_t seed, uint64_t len)
{
	message_body(message, seed, len);
	set_head(message, "PUT /%llu HTTP/1.1\r\nHost: target\r\nContent-Length: %llu\r\n\r\n",
		 (unsigned long long)seed, (unsigned long long)len);
}

void message_ok(struct message *message, uint64_t seed, uint64_t len)
{
	message_body(message, seed, len);
	set_head(message,
		 "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
		 "Content-Length: %llu\r\n\r\n",
		 (unsigned long long)len);
}

void message_no_content(struct message *message)
{
	message_body(message, 0, 0);
	set_head(message, "HTTP/1.1 204 No Content\r\n\r\n");
}

/* Fixed width, so that the length can be said before. */
void message_ends(struct message *message, size_t open_count, size_t fault_count)
{
	message_body(message, 0, 0);
	set_head(message, "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n%10zu %10zu\n", open_count,
		 fault_count);
}

/* The contiguous bytes that follow the first `done` ones; borrowed. */
static struct iovec part_at(const struct message *message, uint64_t done)
{
	uint64_t at = done - message->head_len, left = message->body_len - at;

	if (done < message->head_len)
		return (struct iovec){.iov_base = (void *)(uintptr_t)(message->head + done),
				      .iov_len = message->head_len - done};
	return (struct iovec){.iov_base = pattern + (message->seed + at) % PERIOD,
			      .iov_len = left < CHUNK ? (size_t)left : CHUNK};
}

/* A small message leaves in one segment: its head and the first of its body together. */
static ssize_t send_parts(const struct message *message, int fd)
{
	struct iovec parts[2] = {part_at(message, message->done)};
	struct msghdr header = {.msg_iov = parts, .msg_iovlen = 1};

	if (message->done < message->head_len && message->body_len > 0)
		parts[header.msg_iovlen++] = part_at(message, message->head_len);
	return sendmsg(fd, &header, MSG_NOSIGNAL);
}

int message_send(struct message *message, int fd)
{
	while (message_left(message) > 0) {
		ssize_t n = send_parts(message, fd);

		if (n < 0)
			return -errno;
		message->done += (uint64_t)n;
	}
	return 0;
}

ssize_t message_compare(struct message *message, const uint8_t *bytes, size_t len)
{
	size_t used = 0;

	while (used < len && message_left(message) > 0) {
		struct iovec part = part_at(message, message->done);
		size_t count = part.iov_len < len - used ? part.iov_len : len - used;

		if (memcmp(bytes + used, part.iov_base, count) != 0)
			return -1;
		used += count;
		message->done += count;
	}
	return (ssize_t)used;
}
