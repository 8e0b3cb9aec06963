/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * An HTTP message of which every byte is known in advance: a head and a piece of the pattern. The
 * same thing is sent by one end and compared by the other.
 *
 * The pattern repeats after PERIOD bytes. That is a prime, so bytes that went missing or were moved
 * by some number of segments, pages or buffers do not meet themselves again: only a displacement by
 * a multiple of 65,521 bytes would.
 */
enum { HEAD_MAX = 256, CHUNK = 64 * 1024, PERIOD = 65521 };

struct message {
	char head[HEAD_MAX];
	size_t head_len;
	uint64_t seed, body_len;
	uint64_t done; /* bytes of head and body that were sent, or seen, so far */
};

/* Before anything else here. */
void message_init(void);

void message_get(struct message *message, uint64_t seed, uint64_t len);
void message_put(struct message *message, uint64_t seed, uint64_t len);
void message_ok(struct message *message, uint64_t seed, uint64_t len);
void message_no_content(struct message *message);
void message_ends(struct message *message, size_t open_count, size_t fault_count);

/* A body of which the head is known already. */
void message_body(struct message *message, uint64_t seed, uint64_t len);

static inline uint64_t message_left(const struct message *message)
{
	return message->head_len + message->body_len - message->done;
}

/* Sends what the socket takes: 0 when the message is complete, else -EAGAIN or another errno. */
int message_send(struct message *message, int fd);

/* How many of the bytes belong to the message, -1 when one of them is not what it should be. */
ssize_t message_compare(struct message *message, const uint8_t *bytes, size_t len);
