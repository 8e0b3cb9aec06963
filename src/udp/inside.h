/* SPDX-License-Identifier: MIT */
#pragma once

#include "udp.h"

#include <sys/uio.h>

enum {
	UDP_PAYLOAD_MAX = 65507,   /* RFC 768 over IPv4: 65535 less 20 and 8 bytes of headers */
	UDP_SEGMENTS_MAX = 64,	   /* of one train: UDP_MAX_SEGMENTS of Linux before 6.9 */
	UDP_TRAIN_LEN = 64 * 1024, /* bytes */
	UDP_SENDS = 512,
	UDP_SENDS_SPARE = 64, /* never promised to udp_room(): for taking trains apart */
};

/* A received buffer; datagrams of `segment` bytes, the last one may be shorter. */
struct udp_arrival {
	struct io_buf *buf; /* one reference owned */
	uint32_t len;
	uint32_t segment;
};

struct udp_rx {
	struct io_pool pool;
	struct io_op op;
	struct udp_arrival arrivals[UDP_RX_BUFS]; /* in order */
	uint32_t arrivals_len;
	uint32_t given;	 /* of them, completely in the batch that is out */
	uint32_t offset; /* in the first one that is not: bytes that are */
	struct dgram batch[UDP_BATCH_MAX];
};

/* Memory for messages laid end to end. Starts again from 0 when nobody needs its bytes. */
struct udp_train {
	uint8_t *bytes;
	uint32_t used;
	uint32_t last;	/* where the newest room begins */
	uint32_t rooms; /* given since the last flush: the caller's until then */
	uint32_t sends; /* that have not left */
};

/* Messages of one length (the last may be shorter) to one address: what one sendmsg(2) carries. */
struct udp_send {
	struct io_op op;
	struct list link; /* free, unflushed or waiting; on none while under way */
	struct udp *udp;
	struct udp_train *train;
	uint8_t *data;
	uint32_t len;
	uint32_t segment; /* length of each message */
	uint32_t count;	  /* of messages */
	uint64_t number;  /* of the first message, counted from the start */
	bool singly;	  /* the kernel refused it as a train */
	struct addr to;
	struct sockaddr_storage sa;
	struct iovec iov;
	struct msghdr msg;
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control;
};

struct udp_tx {
	uint8_t *memory; /* owned: of all trains */
	struct udp_train trains[UDP_TRAINS];
	struct udp_train *current;
	struct udp_send *sends; /* owned */
	struct list free;
	struct list unflushed;
	struct list waiting; /* flushed, in the order of `number`, for the socket to take them */
	struct io_op writable;
	uint32_t free_len;
	uint32_t promised; /* rooms not pushed yet: each may need a send of its own */
	uint32_t under_way;
	uint64_t next_number;
	bool gso;
};

struct udp {
	struct io *io;
	int fd;
	uint16_t port;
	bool mapped; /* an AF_INET6 socket: IPv4 addresses are written as mapped ones */
	bool closing;
	struct udp_stats stats;
	struct udp_rx rx;
	struct udp_tx tx;
};

int udp_rx_open(struct udp *udp);
void udp_rx_close(struct udp *udp);
void udp_rx_free(struct udp *udp);

/* Receives again where that has ended and there are buffers. */
void udp_rx_arm(struct udp *udp);

int udp_tx_open(struct udp *udp);
void udp_tx_close(struct udp *udp);
bool udp_tx_closed(const struct udp *udp);
void udp_tx_free(struct udp *udp);
