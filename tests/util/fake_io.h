/* SPDX-License-Identifier: MIT */
#pragma once

#include "io.h"

/*
 * A seeded backend for simulations: virtual time, sockets in memory, and everything that a kernel
 * may do, in an order and with delays drawn from the seed. The same seed gives the same run.
 *
 * Product code sees fds (FAKE_FD_BASE and up) and uses io.h alone. The test holds the other ends of
 * its connections, by numbers of the same kind, and works them with the functions below, between
 * turns or in done(). Streams only: datagram operations end with -EOPNOTSUPP.
 *
 * Time passes in io_turn() alone: it jumps to whatever comes first, an operation's delay or the
 * deadline. A turn without either would sleep for ever: that is CHECKed.
 */
enum { FAKE_FD_BASE = 100000 };

extern const struct io_backend io_backend_fake;

/* For the next io_init(); without it the seed is 1. */
void fake_io_seed(uint64_t seed);

/* May be changed at any time. */
struct fake_faults {
	uint64_t delay_max_ns; /* each operation and each cancel takes 0..this; default 100 us */
	uint32_t chunk_max;    /* a transfer moves 1..this bytes at once, 0: all; default 64 KiB */
	uint32_t socket_room;  /* bytes that a socket holds for its reader; default 64 KiB */
	/* In 1000, per attempt; default 0. */
	uint32_t break_permille;       /* a transfer finds the connection reset */
	uint32_t short_permille;       /* a send ends with what has gone so far */
	uint32_t enobufs_permille;     /* a receive finds the pool empty */
	uint32_t accept_fail_permille; /* accepting ends with -EMFILE */
};
struct fake_faults *fake_io_faults(struct io *io);

uint64_t fake_io_now(const struct io *io);
uint64_t fake_io_random(struct io *io); /* for the test's own choices */

/* What the product has open, and has under way. Both are 0 after a clean end. */
uint32_t fake_io_fds(const struct io *io);
uint32_t fake_io_ops(const struct io *io);

/* The most that a receive has asked for. */
uint32_t fake_io_recv_limit(const struct io *io);

/* What IO_CONNECT to `to` meets; FAKE_REFUSES where nothing was said. */
enum fake_answer { FAKE_REFUSES, FAKE_ACCEPTS, FAKE_UNREACHABLE, FAKE_SILENT };
void fake_io_answer(struct io *io, const struct addr *to, enum fake_answer answer);

/* The test's end of the oldest connection to `to` not fetched yet; -1: none. */
int fake_io_accepted(struct io *io, const struct addr *to);

/* A listening socket for the product's IO_ACCEPT; dial() returns the test's end. */
int fake_io_listen(struct io *io);
int fake_io_dial(struct io *io, int listener);

/* A connection: `*fd` for the product, the test's end returned. */
int fake_io_pair(struct io *io, int *fd);

/* Bytes taken or given, fewer than `len` when the socket is full, empty or dead. */
size_t fake_io_write(struct io *io, int end, const void *bytes, size_t len);
size_t fake_io_read(struct io *io, int end, void *bytes, size_t len);

/* What the test's end has received; `ended`: FIN, and all bytes before it were read. */
bool fake_io_ended(const struct io *io, int end);
bool fake_io_was_reset(const struct io *io, int end);

/* What io_peer() says of the test's end. */
void fake_io_stand(struct io *io, int end, enum io_peer stands);

/* The test's end: FIN; close (RST when bytes are unread, as the kernel does); RST. */
void fake_io_shutdown(struct io *io, int end);
void fake_io_close(struct io *io, int end);
void fake_io_reset(struct io *io, int end);
