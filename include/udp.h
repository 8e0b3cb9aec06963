/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "base/dgram.h"
#include "io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The WireGuard socket: one unconnected UDP socket for both address families. Inward, datagrams
 * (split where the kernel merged them, GRO) are collected for the turn; outward, messages of one
 * length to one address are laid end to end into a train that leaves in one sendmsg (GSO).
 */
enum {
	UDP_RX_BUFS = 16,    /* buffers of 64 KiB */
	UDP_TRAINS = 16,     /* trains of 64 KiB that can be under way */
	UDP_BATCH_MAX = 256, /* datagrams in one udp_received() batch */
};

struct udp_config {
	uint16_t port; /* host byte order; 0: any */
};

struct udp_stats {
	uint64_t rx_datagrams, rx_merged; /* merged: completions that held more than one */
	uint64_t rx_errors, rx_enobufs;
	uint64_t tx_datagrams, tx_trains;
	uint64_t tx_errors;  /* sendmsg failed for good: what it carried is lost */
	uint64_t tx_no_room; /* udp_room() said NULL */
	uint64_t gso_fallbacks;
};

struct udp;

/*
 * 0 and `*udp`, or a negative errno (-EADDRINUSE for a fixed port that is taken). Owned by the
 * caller until udp_close(). Receiving starts at once.
 */
int udp_open(struct udp **udp, struct io *io, const struct udp_config *config);

/* Cancels, and drops what has not left; udp_free() when udp_closed() is true after further
 * io_turn()s and nobody holds a received buffer any more. */
void udp_close(struct udp *udp);
bool udp_closed(const struct udp *udp);
void udp_free(struct udp *udp);

uint16_t udp_port(const struct udp *udp); /* the local port, host byte order */
int udp_fd(const struct udp *udp);

/*
 * The next batch of received datagrams, at most UDP_BATCH_MAX, 0 when there is none; borrowed until
 * the next call, which drops the references. Call until it returns 0, once per turn. A datagram may
 * be empty.
 */
size_t udp_received(struct udp *udp, struct dgram **dgrams);

/* Receive buffers not under a quarter: the stack may keep packets in them (lend); else it copies.
 */
bool udp_may_lend(const struct udp *udp);

/*
 * Room for a message of up to `len` bytes, right behind the last one pushed; NULL when all trains
 * are under way or `len` is over 65,507. The room stays the caller's until udp_flush(): fill it in
 * place, then push it with its final length.
 */
uint8_t *udp_room(struct udp *udp, size_t len);

/* So many messages of this length, more than 0, leave in one train. */
uint32_t udp_train(size_t len);

/* Room, in bytes, that udp_room() can still give before the next io_turn(): back-pressure. */
size_t udp_room_left(const struct udp *udp);

/*
 * Sends `len` bytes at `message`, which udp_room() gave since the last flush, to `to`. Pushed in
 * the order of the rooms. A room that is never pushed is dropped.
 */
void udp_push(struct udp *udp, uint8_t *message, size_t len, const struct addr *to);

/*
 * Hands all trains to the loop; they leave at the next io_turn(). Once per turn, also when nothing
 * was pushed: receiving starts again here after it has run out of buffers.
 */
void udp_flush(struct udp *udp);

const struct udp_stats *udp_stats(const struct udp *udp);
