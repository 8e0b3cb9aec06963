/* SPDX-License-Identifier: MIT */
#pragma once

#include "aead.h"
#include "base/list.h"

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/*
 * The parts of the limit program: its ring (limit_ring.c), the tunnel (limit_tunnel.c) and the
 * connections of the host (limit_conn.c). limit.c tells what they are for. There is one of each
 * per process, and what should not fail ends it.
 */
__attribute__((noreturn)) void fail(const char *what, int error);

/* --- the ring ---------------------------------------------------------------------------------- */

/* Embedded in its owner; done() is called for each of its completions. */
struct op {
	void (*done)(struct op *op, const struct io_uring_cqe *cqe);
};

/* Buffers of `len` bytes that the kernel fills, in the order in which they were given back. */
struct pool {
	struct io_uring_buf_ring *ring;
	uint8_t *memory;
	size_t len;
	unsigned count; /* a power of two */
	unsigned free;	/* with the kernel */
	uint16_t group; /* a number of its own */
};

void ring_open(void);

/* Hands over what was asked for, waits for a completion and calls done() for all there are. */
void ring_turn(void);

/* To be prepared by the caller. What it points at must stay as it is until the next ring_turn(). */
struct io_uring_sqe *ring_ask(struct op *op);

void pool_open(struct pool *pool);
uint8_t *pool_buf(const struct pool *pool, uint16_t id);
void pool_put(struct pool *pool, uint16_t id);

/* The buffer of a completion that has IORING_CQE_F_BUFFER, until pool_put(). */
uint16_t pool_take(struct pool *pool, const struct io_uring_cqe *cqe);

/* --- the tunnel -------------------------------------------------------------------------------- */

enum {
	MTU = 1420,		    /* of the proxy's inner packets, by default */
	INNER_HEADER_LEN = 20 + 20, /* IPv4 and TCP without options */
	PAYLOAD_MAX = MTU - INNER_HEADER_LEN,
	HEADER_LEN = 16, /* of a sealed packet: WireGuard's paper, section 5.4.6 */
	WIRE_MAX = HEADER_LEN + MTU + AEAD_TAG_LEN,
	TRAIN_PACKETS = 65507 / WIRE_MAX, /* RFC 768 over IPv4: 65535 less 20 and 8 bytes */
	TRAIN_PAYLOAD = TRAIN_PACKETS * PAYLOAD_MAX,
	SEGMENTS_MAX = 64, /* merged into one buffer: UDP_GRO_CNT_MAX of Linux */
	UDP_BUFS = 8,
};

/* What a received buffer holds for one connection: pieces of its stream, in place. */
struct arrival {
	struct list link;
	uint32_t conn;
	uint32_t count;
	struct iovec pieces[SEGMENTS_MAX];
};

enum kind { DATA, BEGIN, END, CREDIT };

/* `fd` is bound; `peer` is borrowed for ever. One of the two ends is the egress. */
void tunnel_open(int fd, struct sockaddr *peer, socklen_t peer_len, bool is_egress);

/* May a whole train of data leave? */
bool tunnel_has_room(void);

/* `len` bytes, 1..TRAIN_PAYLOAD, copied into a train. Only when tunnel_has_room(). */
void tunnel_send(uint32_t conn, const uint8_t *bytes, size_t len);

/* A packet without payload. False: not in this turn. */
bool tunnel_tell(enum kind kind, uint32_t conn);

/* The arrival's bytes have been used. */
void tunnel_release(struct arrival *arrival);

/* Once per turn, behind conns_turn(): tells the peer what was taken, and receives on. */
void tunnel_turn(void);

/* --- connections of the host ------------------------------------------------------------------- */

/* Clients come to `listener`; or, where that is -1, the peer's are dialled on to `target`. */
void conns_open(int listener, const struct sockaddr *target, socklen_t target_len);

/* What the peer says of a connection. The arrival is lent until tunnel_release(). */
void conns_begin(uint32_t id);
void conns_data(struct arrival *arrival);
void conns_end(uint32_t id);

/* Once per turn: moves all that can be moved. */
void conns_turn(void);
