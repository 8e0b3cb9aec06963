/* SPDX-License-Identifier: MIT */
#pragma once

#include "io.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* Datagrams of one recvmmsg(2), each in a buffer of its own: what a pool of receiving UDP has. */
enum { EPOLL_DGRAMS_MAX = 16 };

/* A pool's free buffers, a stack: the one that was used last is still in the cache. */
struct epoll_pool {
	uint64_t turn;	 /* the one that `filled` is of */
	uint64_t filled; /* bytes */
	uint16_t ids[];	 /* pool->free of them */
};

/* What recvmmsg(2) tells about a datagram. */
struct dgram_head {
	struct sockaddr_in6 from; /* of either family */
	/* UDP_GRO's segment size. */
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
	struct iovec iov;
};

/* What is known of a descriptor that operations have waited on. */
struct descriptor {
	struct list waiting; /* operations, for an event */
	uint32_t watched;    /* the events that the kernel reports; 0: not registered */
	uint32_t exhausted;  /* EPOLLIN, EPOLLOUT: trying is in vain before the next event */
	bool ending;	     /* an end, an error or urgent data is in the stream */
};

struct epoll {
	int fd;
	struct list queue;		 /* operations to be tried in the next pass */
	struct list late;		 /* receives that the next turn begins with */
	struct list pass;		 /* those that this one has still to try */
	struct descriptor **descriptors; /* owned; by number, NULL where nothing has waited */
	size_t descriptors_len;
	struct mmsghdr received[EPOLL_DGRAMS_MAX];
	struct dgram_head heads[EPOLL_DGRAMS_MAX];
};

/* The events that let an operation go on. */
uint32_t epoll_wants(const struct io_op *op);

/*
 * Tries an operation, which is on no list: it completes, waits for an event, or is queued again.
 * Sends of datagrams that follow it in the pass may go with it.
 */
void epoll_try(struct io *io, struct io_op *op);

/* For epoll_try(). True when it would be in vain. */
bool epoll_is_exhausted(const struct epoll *epoll, const struct io_op *op);

/* The kernel has just said that it has no more for operations of this kind. */
void epoll_exhaust(struct epoll *epoll, const struct io_op *op);

/* As that, after a transfer that was shorter than it might have been. */
void epoll_exhaust_by_short(struct epoll *epoll, const struct io_op *op);

/* Until an event that it wants; when that cannot be had it completes with the error. */
void epoll_wait_for_event(struct io *io, struct io_op *op);

/* Sets up the constant part of `received`. */
void epoll_prepare_dgrams(struct epoll *epoll);
