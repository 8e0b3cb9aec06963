/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/check.h"

#include <stdint.h>

/*
 * A counted buffer whose bytes several packets share: a datagram that the kernel merged is received
 * into one, and each packet inside it that somebody keeps beyond the turn holds one reference.
 */
struct buf {
	uint32_t refs;
	/* Called when the last reference is dropped: the buffer goes back to where it came from. */
	void (*release)(struct buf *buf);
};

static inline void buf_hold(struct buf *buf)
{
	CHECK(buf->refs > 0);
	buf->refs++;
}

static inline void buf_drop(struct buf *buf)
{
	CHECK(buf->refs > 0);
	if (--buf->refs == 0)
		buf->release(buf);
}
