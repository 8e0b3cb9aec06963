// SPDX-License-Identifier: MIT
#include "limit.h"

#include "base/check.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

enum {
	MESSAGE_DATA = 4, /* WireGuard's paper, section 5.4.6 */
	PADDING = 16,	  /* there, too: to a multiple of this, but never beyond the MTU */
	TRAINS = 16,
	WINDOW_MAX = 8 * TRAIN_PACKETS, /* more would not be faster, but leave the caches */
	BUF_LEN = 65536,
	SOCKET_BUFFER_LEN = 4 * 1024 * 1024,
	CONTROL_LEN = 48, /* for UDP_GRO's int; the payload then begins on a cache line */
};

/* Both ends run on one machine: integers lie in its own order. */
struct packet {
	uint32_t type;
	uint32_t receiver;
	uint64_t counter;
	/* Sealed from here on. */
	uint32_t conn;
	uint16_t kind;
	uint16_t len;	/* of the payload */
	uint64_t taken; /* see struct tunnel */
	uint8_t unused[INNER_HEADER_LEN - 16];
	uint8_t payload[];
} __attribute__((packed));

static_assert(sizeof(struct packet) == HEADER_LEN + INNER_HEADER_LEN, "headers of their real size");
static_assert(CONTROL_LEN >= CMSG_SPACE(sizeof(int)), "UDP_GRO's segment size fits");
static_assert(sizeof(struct io_uring_recvmsg_out) + CONTROL_LEN == 64, "a cache line");

/* Packets of one connection, end to end; all but the last have WIRE_MAX bytes. */
struct train {
	uint8_t bytes[TRAIN_PACKETS * WIRE_MAX];
	struct op op;
	struct list link;
	struct aead_job jobs[TRAIN_PACKETS];
	uint32_t count;
	struct iovec iov;
	struct msghdr msg;
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control;
};

/* Packets are counted from the start, CREDIT apart. */
static struct tunnel {
	int fd;
	struct aead_key seal_key, open_key;
	uint64_t seal_counter, open_counter; /* of the next one, CREDIT too */
	uint64_t sent, sent_taken;	     /* taken: the peer has received it */
	uint64_t taken, taken_told;	     /* told: the peer knows */
	uint64_t window;		     /* the most that may be sent and not taken */
	struct train trains[TRAINS];
	struct list free; /* trains */
	struct arrival arrivals[UDP_BUFS];
	struct aead_job jobs[SEGMENTS_MAX]; /* of the arrival that is being opened */
	struct pool pool;
	struct op recv;
	struct msghdr recv_shape;
	bool receiving;
} tunnel;

/* --- outward ----------------------------------------------------------------------------------- */

static struct train *take_train(void)
{
	struct list *node = list_pop(&tunnel.free);
	struct train *train;

	if (node == NULL)
		return NULL;
	train = list_entry(node, struct train, link);
	train->count = 0;
	train->iov.iov_len = 0;
	return train;
}

static size_t padded(size_t len)
{
	size_t whole = (len + PADDING - 1) / PADDING * PADDING;

	return whole < MTU ? whole : MTU;
}

/* The next packet of the train; returns where its payload goes. */
static uint8_t *add_packet(struct train *train, enum kind kind, uint32_t conn, size_t len)
{
	struct packet *packet = (void *)(train->bytes + train->iov.iov_len);
	size_t text_len = padded(INNER_HEADER_LEN + len);

	*packet = (struct packet){
		.type = MESSAGE_DATA,
		.counter = tunnel.seal_counter,
		.conn = conn,
		.kind = (uint16_t)kind,
		.len = (uint16_t)len,
		.taken = tunnel.taken,
	};
	memset(packet->payload + len, 0, text_len - INNER_HEADER_LEN - len);
	train->jobs[train->count++] = (struct aead_job){
		.data = (uint8_t *)packet + HEADER_LEN,
		.len = text_len,
		.counter = tunnel.seal_counter++,
	};
	train->iov.iov_len += HEADER_LEN + text_len + AEAD_TAG_LEN;
	return packet->payload;
}

static void leave(struct train *train)
{
	aead_seal(&tunnel.seal_key, train->jobs, train->count);
	train->msg.msg_controllen = train->count > 1 ? sizeof(train->control) : 0;
	io_uring_prep_sendmsg(ring_ask(&train->op), tunnel.fd, &train->msg, MSG_NOSIGNAL);
	tunnel.taken_told = tunnel.taken;
}

/* To the front: the one that was used last is the one that the cache still has. */
static void train_left(struct op *op, const struct io_uring_cqe *cqe)
{
	struct train *train = list_entry(op, struct train, op);

	if (cqe->res < 0)
		fail("sendmsg to the peer", -cqe->res);
	list_append(tunnel.free.next, &train->link);
}

bool tunnel_has_room(void)
{
	return tunnel.sent - tunnel.sent_taken + TRAIN_PACKETS <= tunnel.window &&
	       !list_empty(&tunnel.free);
}

void tunnel_send(uint32_t conn, const uint8_t *bytes, size_t len)
{
	struct train *train = take_train();

	CHECK(train != NULL && len <= TRAIN_PAYLOAD);
	while (len > 0) {
		size_t part = len < PAYLOAD_MAX ? len : PAYLOAD_MAX;

		memcpy(add_packet(train, DATA, conn, part), bytes, part);
		bytes += part;
		len -= part;
	}
	tunnel.sent += train->count;
	leave(train);
}

bool tunnel_tell(enum kind kind, uint32_t conn)
{
	struct train *train = take_train();

	if (train == NULL)
		return false;
	add_packet(train, kind, conn, 0);
	tunnel.sent += kind != CREDIT;
	leave(train);
	return true;
}

/* --- inward ------------------------------------------------------------------------------------ */

/* The length of each merged datagram but the last, which may be shorter. */
static size_t segment_of(struct io_uring_recvmsg_out *out)
{
	struct cmsghdr *cmsg = io_uring_recvmsg_cmsg_firsthdr(out, &tunnel.recv_shape);
	int segment = 0;

	if (cmsg == NULL || cmsg->cmsg_type != UDP_GRO)
		return out->payloadlen;
	memcpy(&segment, CMSG_DATA(cmsg), sizeof(segment));
	return (size_t)segment;
}

/* Returns how many packets there were; each has a job. */
static size_t open_all(struct io_uring_recvmsg_out *out)
{
	uint8_t *bytes = io_uring_recvmsg_payload(out, &tunnel.recv_shape);
	size_t segment = segment_of(out);
	size_t left = out->payloadlen;
	size_t count = 0;

	while (left > 0) {
		struct packet *packet = (void *)bytes;
		size_t len = left < segment ? left : segment;

		if (len < sizeof(*packet) + AEAD_TAG_LEN || count == SEGMENTS_MAX)
			fail("a datagram that the peer cannot have sent", 0);
		tunnel.jobs[count++] = (struct aead_job){
			.data = bytes + HEADER_LEN,
			.len = len - HEADER_LEN - AEAD_TAG_LEN,
			.counter = packet->counter,
		};
		bytes += len;
		left -= len;
	}
	aead_open(&tunnel.open_key, tunnel.jobs, count);
	return count;
}

static void take_data(struct arrival *arrival, struct packet *packet)
{
	/* A train is one connection's, and over loopback the kernel merges nothing else. */
	CHECK(arrival->count == 0 || arrival->conn == packet->conn);
	arrival->conn = packet->conn;
	arrival->pieces[arrival->count++] = (struct iovec){packet->payload, packet->len};
}

static void take_packet(struct arrival *arrival, const struct aead_job *job)
{
	struct packet *packet = (void *)(job->data - HEADER_LEN);

	if (!job->ok || packet->counter != tunnel.open_counter++)
		fail("a datagram was lost, or is not the peer's", 0);
	tunnel.sent_taken = packet->taken;
	tunnel.taken += packet->kind != CREDIT;
	if (packet->kind == DATA)
		take_data(arrival, packet);
	else if (packet->kind == BEGIN)
		conns_begin(packet->conn);
	else if (packet->kind == END)
		conns_end(packet->conn);
}

static void received(struct op *op, const struct io_uring_cqe *cqe)
{
	struct io_uring_recvmsg_out *out;
	struct arrival *arrival;
	size_t count;
	uint16_t id;

	(void)op;
	tunnel.receiving = (cqe->flags & IORING_CQE_F_MORE) != 0;
	if (cqe->res == -ENOBUFS)
		return;
	if (cqe->res < 0)
		fail("recvmsg from the peer", -cqe->res);
	id = pool_take(&tunnel.pool, cqe);
	out = io_uring_recvmsg_validate(pool_buf(&tunnel.pool, id), cqe->res, &tunnel.recv_shape);
	CHECK(out != NULL);
	count = open_all(out);
	arrival = &tunnel.arrivals[id];
	for (size_t i = 0; i < count; i++)
		take_packet(arrival, &tunnel.jobs[i]);
	if (arrival->count > 0)
		conns_data(arrival);
	else
		tunnel_release(arrival);
}

void tunnel_release(struct arrival *arrival)
{
	arrival->count = 0;
	pool_put(&tunnel.pool, (uint16_t)(arrival - tunnel.arrivals));
}

static void receive(void)
{
	struct io_uring_sqe *sqe = ring_ask(&tunnel.recv);

	io_uring_prep_recvmsg_multishot(sqe, tunnel.fd, &tunnel.recv_shape, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = tunnel.pool.group;
	tunnel.receiving = true;
}

void tunnel_turn(void)
{
	/* Several times in a window: the sender shall never come to its end. */
	if (tunnel.taken - tunnel.taken_told >= tunnel.window / 4)
		(void)tunnel_tell(CREDIT, 0);
	if (!tunnel.receiving && tunnel.pool.free > 0)
		receive();
}

/* --- set-up ------------------------------------------------------------------------------------ */

static void prepare_train(struct train *train, struct sockaddr *peer, socklen_t peer_len)
{
	uint16_t segment = WIRE_MAX;
	struct cmsghdr *cmsg = &train->control.align;

	cmsg->cmsg_level = SOL_UDP;
	cmsg->cmsg_type = UDP_SEGMENT;
	cmsg->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(cmsg), &segment, sizeof(segment));
	train->op.done = train_left;
	train->iov.iov_base = train->bytes;
	train->msg = (struct msghdr){
		.msg_name = peer,
		.msg_namelen = peer_len,
		.msg_iov = &train->iov,
		.msg_iovlen = 1,
		.msg_control = cmsg,
	};
	list_append(&tunnel.free, &train->link);
}

/* Half of the socket's buffer: what the kernel charges is more than the bytes of the packets. */
static void choose_window(int fd)
{
	const int wanted = SOCKET_BUFFER_LEN, on = 1;
	int granted = 0;
	socklen_t len = sizeof(granted);

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
	if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &len) != 0)
		fail("UDP_GRO", errno);
	tunnel.window = (uint64_t)granted / 2 / WIRE_MAX;
	if (tunnel.window > WINDOW_MAX)
		tunnel.window = WINDOW_MAX;
	if (tunnel.window < 2 * TRAIN_PACKETS)
		fail("net.core.rmem_max is too small", 0);
}

void tunnel_open(int fd, struct sockaddr *peer, socklen_t peer_len, bool is_egress)
{
	tunnel.fd = fd;
	tunnel.seal_key.bytes[0] = is_egress;
	tunnel.open_key.bytes[0] = !is_egress;
	choose_window(fd);
	list_init(&tunnel.free);
	for (size_t i = 0; i < TRAINS; i++)
		prepare_train(&tunnel.trains[i], peer, peer_len);
	tunnel.pool = (struct pool){
		.group = 0,
		.count = UDP_BUFS,
		.len = sizeof(struct io_uring_recvmsg_out) + CONTROL_LEN + BUF_LEN,
	};
	pool_open(&tunnel.pool);
	tunnel.recv.done = received;
	tunnel.recv_shape.msg_controllen = CONTROL_LEN;
	receive();
}
