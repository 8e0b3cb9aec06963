/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What WireGuard itself reads of an inner packet. */
struct inner {
	uint8_t family;	       /* enum addr_family */
	uint32_t len;	       /* by the packet's own header; the rest is padding */
	const uint8_t *source; /* borrows from the packet */
	const uint8_t *destination;
};

/* False: not IP, or its header claims more than `len` bytes or less than the header itself. */
bool inner_parse(struct inner *inner, const uint8_t *packet, size_t len);
