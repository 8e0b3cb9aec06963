// SPDX-License-Identifier: MIT
#include "inside.h"

#include <errno.h>

enum {
	RX_BUF_LEN = 65536, /* the longest datagram, merged or not, is 65,535 bytes */
};

void udp_rx_arm(struct udp *udp)
{
	struct udp_rx *rx = &udp->rx;

	if (!rx->op.busy && !udp->closing && rx->pool.free > 0)
		io_submit(udp->io, &rx->op);
}

static void note_arrival(struct udp *udp, uint32_t len)
{
	struct udp_rx *rx = &udp->rx;
	struct udp_arrival *arrival = &rx->arrivals[rx->arrivals_len];

	CHECK(rx->arrivals_len < UDP_RX_BUFS);
	rx->arrivals_len++;
	*arrival = (struct udp_arrival){rx->op.recv.buf, len, rx->op.recv.segment};
	if (arrival->segment == 0 || arrival->segment >= len)
		arrival->segment = len;
	else
		udp->stats.rx_merged++;
}

/* Starting again waits for the turn (udp_received, udp_flush), so that errors cannot spin here. */
static void rx_done(struct io_op *op, int result)
{
	struct udp *udp = list_entry(op, struct udp, rx.op);

	if (result >= 0)
		note_arrival(udp, (uint32_t)result);
	else if (result == -ENOBUFS)
		udp->stats.rx_enobufs++;
	else if (!udp->closing)
		udp->stats.rx_errors++;
}

int udp_rx_open(struct udp *udp)
{
	struct udp_rx *rx = &udp->rx;
	int error = io_pool_init(&rx->pool, udp->io, UDP_RX_BUFS, RX_BUF_LEN);

	if (error != 0)
		return error;
	rx->op = (struct io_op){.done = rx_done, .kind = IO_RECV_DGRAMS, .fd = udp->fd};
	rx->op.recv.pool = &rx->pool;
	udp_rx_arm(udp);
	return 0;
}

void udp_rx_close(struct udp *udp)
{
	io_cancel(udp->io, &udp->rx.op);
}

/* The first `count` buffers have been used up. */
static void drop_arrivals(struct udp_rx *rx, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		buf_drop(&rx->arrivals[i].buf->buf);
	rx->arrivals_len -= count;
	memmove(rx->arrivals, rx->arrivals + count, rx->arrivals_len * sizeof(*rx->arrivals));
}

void udp_rx_free(struct udp *udp)
{
	drop_arrivals(&udp->rx, udp->rx.arrivals_len);
	io_pool_fini(&udp->rx.pool);
}

/* One datagram of the arrival; the batch has room. */
static void split_one(struct udp_rx *rx, const struct udp_arrival *arrival, struct dgram *dgram)
{
	uint32_t left = arrival->len - rx->offset;

	*dgram = (struct dgram){
		.data = arrival->buf->data + rx->offset,
		.len = left < arrival->segment ? left : arrival->segment,
		.from = &arrival->buf->from,
		.home = &arrival->buf->buf,
	};
	rx->offset += dgram->len;
}

size_t udp_received(struct udp *udp, struct dgram **dgrams)
{
	struct udp_rx *rx = &udp->rx;
	size_t count = 0;

	drop_arrivals(rx, rx->given);
	rx->given = 0;
	while (rx->given < rx->arrivals_len && count < UDP_BATCH_MAX) {
		const struct udp_arrival *arrival = &rx->arrivals[rx->given];

		split_one(rx, arrival, &rx->batch[count++]);
		if (rx->offset < arrival->len)
			continue;
		rx->given++;
		rx->offset = 0;
	}
	udp->stats.rx_datagrams += count;
	*dgrams = rx->batch;
	udp_rx_arm(udp);
	return count;
}

/* Only what is free now counts: all that has arrived may be lent before the next answer. */
bool udp_may_lend(const struct udp *udp)
{
	return udp->rx.pool.free >= UDP_RX_BUFS / 4;
}
