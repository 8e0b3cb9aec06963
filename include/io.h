/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "base/buf.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * I/O as completions. An operation is embedded in its owner, filled in, handed over with
 * io_submit(), and comes back through its done() with `more` false exactly once, whatever happens.
 * Between the two it and all it points at are lent to the backend. Multishot kinds call done()
 * with `more` true any number of times before.
 *
 * done() is called from io_turn() alone, never from io_submit() or io_cancel(). In done() the owner
 * may submit, resubmit the same operation, cancel others, and free what it owns, the operation too.
 *
 * A negative result is a negated errno; a multishot operation ends with one. -ECANCELED follows
 * io_cancel(), unless the operation was faster: then its result is real and must be honoured (an
 * accepted socket closed, for one).
 */
enum io_kind {
	IO_ACCEPT,  /* multishot. result: a new non-blocking, close-on-exec socket. It ends with an
		       error such as -EMFILE: submit again after a pause */
	IO_CONNECT, /* connect.to. result: 0 */
	IO_RECV,    /* single-shot; recv.pool lends a buffer, asked for only when bytes are there,
		       so an idle connection holds none. result: bytes, 0 at end of stream.
		       -ENOBUFS: the pool is empty, submit again when it may not be */
	IO_SEND,    /* send.iov: up to IO_IOV_MAX pieces. result: bytes sent, seldom fewer than
		       asked for; MSG_NOSIGNAL is implied */
	IO_RECV_DGRAMS, /* multishot; recv.pool. result: bytes of the (merged) datagram, 0 for an
			   empty one. It ends with -ENOBUFS when the pool runs dry and with errors
			   the network puts on the socket: submit again */
	IO_SEND_DGRAMS, /* one sendmsg(2), a GSO train with a UDP_SEGMENT cmsg. result: bytes. Never
			   waits, so that datagrams of one turn leave in the order of their
			   submission: -EAGAIN when the socket is full, IO_POLL tells when not */
	IO_POLL,	/* poll.events as of poll(2), one-shot. result: the events that hold */
	IO_KINDS,
};

enum { IO_IOV_MAX = 8 };

struct io_pool;

struct io_op {
	void (*done)(struct io_op *op, int result);
	uint8_t kind;	/* enum io_kind */
	bool more;	/* in done(): more completions follow, the operation is still lent */
	bool busy;	/* the backend's: between submit and the last done() */
	bool cancelled; /* the backend's */
	int fd;
	union {
		struct {
			struct sockaddr_storage *to; /* lent */
			unsigned len;
		} connect;
		struct {
			struct io_pool *pool;
			uint32_t limit;	    /* IO_RECV: at most so many bytes, 1..buffer size */
			uint32_t segment;   /* in done(), IO_RECV_DGRAMS: length of each merged
					       datagram, the last may be shorter; 0: not merged */
			struct io_buf *buf; /* in done(): the bytes, owned by the receiver: one
					       reference that buf_drop() gives back; NULL without */
		} recv;
		struct {
			struct iovec *iov; /* lent */
			uint32_t count;
		} send;
		struct {
			struct msghdr *msg; /* lent, with all it points at */
		} send_dgrams;
		struct {
			uint32_t events;
		} poll;
	};
	struct list link; /* the backend's */
	uint64_t state;	  /* the backend's */
};

/* A buffer of a pool. `data` points at the bytes received. */
struct io_buf {
	struct buf buf; /* buf_drop() returns it to its pool */
	struct io_pool *pool;
	uint8_t *data;
	struct addr from; /* IO_RECV_DGRAMS */
	uint16_t id;
};

/*
 * A few large buffers that many receives share; the backend hands them out in order. Keep a pool
 * small: its size is the cache footprint of receiving (1 MiB fills an L2 cache).
 */
struct io_pool {
	struct io *io;
	struct io_buf *bufs; /* owned */
	uint8_t *memory;     /* owned */
	size_t memory_len;
	uint32_t count; /* a power of two, at most 32768 */
	uint32_t size;	/* usable bytes of each buffer */
	uint32_t free;	/* buffers that are with the backend */
	uint16_t group; /* a number of its own in this loop */
	void *backend;	/* the backend's */
};

struct io_stats {
	uint64_t turns, completions, enobufs;
};

struct io_backend;

/* How the other end of a TCP connection stands to what was sent to it. */
enum io_peer {
	IO_PEER_EVEN,	/* all is acknowledged; or nothing can be said */
	IO_PEER_OWES,	/* something is not, or has not even left */
	IO_PEER_SILENT, /* something is not, its window is open, and nothing has come for so long */
};

/* One loop; the fields are the backend's. */
struct io {
	const struct io_backend *backend;
	void *state;
	uint32_t ops;	/* under way */
	bool turning;	/* inside io_turn() */
	uint16_t pools; /* ever opened */
	struct io_stats stats;
};

/*
 * What a backend provides; the functions below check the contract and call it. submit() and
 * cancel() only take note: a backend calls io_complete(), and by that done(), from its turn()
 * alone.
 */
struct io_backend {
	const char *name;
	int (*init)(struct io *io, unsigned entries);
	void (*fini)(struct io *io);
	void (*submit)(struct io *io, struct io_op *op);
	void (*cancel)(struct io *io, struct io_op *op);
	int (*turn)(struct io *io, uint64_t deadline_ns, uint64_t *now_ns);
	int (*pool_init)(struct io *io, struct io_pool *pool);
	void (*pool_put)(struct io *io, struct io_pool *pool, struct io_buf *buf);
	void (*pool_fini)(struct io *io, struct io_pool *pool);
	int (*socket)(struct io *io, uint8_t family);
	void (*tune)(struct io *io, int fd);
	void (*shutdown)(struct io *io, int fd);
	void (*close)(struct io *io, int fd);
	void (*reset)(struct io *io, int fd);
	enum io_peer (*peer)(struct io *io, int fd, uint64_t silence_ns);
};

extern const struct io_backend io_backend_uring; /* Linux >= 6.1 */
extern const struct io_backend io_backend_epoll; /* everywhere */

/*
 * `entries`: operations that may be handed over in one turn before the backend must enter the
 * kernel; a hint, never a limit. 0 or a negative errno: -ENOSYS, -EPERM, -EINVAL, -ENOMEM mean
 * that this kernel or this sandbox has no such backend.
 */
int io_init(struct io *io, const struct io_backend *backend, unsigned entries);

/*
 * io_uring where all of it works that is needed here, epoll otherwise: then `*refused` is why, a
 * negative errno, and 0 with io_uring.
 */
int io_init_any(struct io *io, unsigned entries, int *refused);

/* No operation may be under way. */
void io_fini(struct io *io);

void io_submit(struct io *io, struct io_op *op);

/* Harmless for an operation that is not under way. done() still comes, in a later io_turn(). */
void io_cancel(struct io *io, struct io_op *op);

/*
 * Hands over what was submitted, waits until something completes or `deadline_ns` has come
 * (UINT64_MAX: no deadline; in the past: do not wait), and calls done() for all that has completed,
 * within a bound. `*now_ns` is the time afterwards. 0 or a negative errno that is fatal.
 */
int io_turn(struct io *io, uint64_t deadline_ns, uint64_t *now_ns);

/*
 * Host sockets, through the backend so that a simulation has them too. None of them blocks.
 *
 * io_socket(): a TCP socket for IO_CONNECT, `family` ADDR_V4 or ADDR_V6; a negative errno.
 * io_tune(): Nagle off, keep-alives on (so that dead peers are found); harmless elsewhere. What a
 * tuned listener accepts is tuned.
 * io_shutdown(): FIN behind all that was sent. io_reset(): closes with RST.
 * No operation on `fd` may be under way when it is closed or reset.
 */
int io_socket(struct io *io, uint8_t family);
void io_tune(struct io *io, int fd);
void io_shutdown(struct io *io, int fd);
void io_close(struct io *io, int fd);
void io_reset(struct io *io, int fd);

/* Has the other end of a host socket nothing to acknowledge, something, or not even a word for us? */
enum io_peer io_peer(struct io *io, int fd, uint64_t silence_ns);

/* CLOCK_BOOTTIME in nanoseconds: it counts a suspended machine's sleep, as key ages must. */
uint64_t io_now(void);

/* `count` buffers of `size` bytes. 0 or a negative errno. */
int io_pool_init(struct io_pool *pool, struct io *io, uint32_t count, uint32_t size);

/* All buffers must be back and no receive under way. */
void io_pool_fini(struct io_pool *pool);

/*
 * For backends. io_complete() is the one way to done(): it checks that done() comes exactly once,
 * from within io_turn(). `op` may be freed or submitted again when it returns with `more` false.
 */
void io_complete(struct io *io, struct io_op *op, int result, bool more);

/* A buffer that has been filled, with one reference, for recv.buf. */
struct io_buf *io_pool_take(struct io_pool *pool, uint16_t id);

/* Bytes from one buffer of a pool to the next: at least IO_POOL_EXTRA more than pool->size, which
 * are the backend's, for what the kernel tells about a datagram. */
enum { IO_POOL_EXTRA = 128 };
uint32_t io_pool_stride(const struct io_pool *pool);
