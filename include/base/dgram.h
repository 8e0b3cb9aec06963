/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "base/buf.h"

#include <stdint.h>

/*
 * A received datagram on its way inward: udp fills it, wg opens it in place and leaves the inner
 * packet, stack takes that. One shape for all three, so that a batch is never copied.
 */
struct dgram {
	uint8_t *data; /* the datagram; after wg_open() the inner packet within it */
	uint32_t len;
	uint32_t verdict;	 /* set by wg_open(): enum wg_verdict */
	const struct addr *from; /* borrowed: lives as long as `home` does */
	struct buf *home;	 /* borrowed: holds the bytes; buf_hold() to keep them */
};
