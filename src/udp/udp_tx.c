// SPDX-License-Identifier: MIT
#include "inside.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>

static void pump(struct udp *udp);

/* --- sends and trains come and go -------------------------------------------------------------- */

/* NULL: all are in use. */
static struct udp_send *take_send(struct udp *udp, struct udp_train *train)
{
	struct list *node = list_pop(&udp->tx.free);
	struct udp_send *send;

	if (node == NULL)
		return NULL;
	send = list_entry(node, struct udp_send, link);
	udp->tx.free_len--;
	send->train = train;
	send->singly = false;
	train->sends++;
	return send;
}

static void restart_if_unused(struct udp_train *train)
{
	if (train->sends == 0 && train->rooms == 0)
		train->used = 0;
}

/* To the front: the one that was used last is the one that the cache still has. */
static void release_send(struct udp *udp, struct udp_send *send)
{
	list_append(udp->tx.free.next, &send->link);
	udp->tx.free_len++;
	send->train->sends--;
	restart_if_unused(send->train);
}

static void release_all(struct udp *udp, struct list *sends)
{
	struct list *node;

	while ((node = list_pop(sends)) != NULL)
		release_send(udp, list_entry(node, struct udp_send, link));
}

/* --- rooms and messages ------------------------------------------------------------------------ */

/* Low numbers first: under light load one train serves for ever, and stays in the cache. */
static struct udp_train *train_with_room(struct udp_tx *tx, size_t len)
{
	if (tx->current->used + len <= UDP_TRAIN_LEN)
		return tx->current;
	for (int i = 0; i < UDP_TRAINS; i++) {
		if (tx->trains[i].used == 0)
			return &tx->trains[i];
	}
	return NULL;
}

static bool send_available(const struct udp_tx *tx)
{
	return tx->free_len > UDP_SENDS_SPARE + tx->promised;
}

uint8_t *udp_room(struct udp *udp, size_t len)
{
	struct udp_tx *tx = &udp->tx;
	struct udp_train *train = NULL;

	if (len <= UDP_PAYLOAD_MAX && send_available(tx))
		train = train_with_room(tx, len);
	if (train == NULL) {
		udp->stats.tx_no_room++;
		return NULL;
	}
	tx->current = train;
	tx->promised++;
	train->rooms++;
	train->last = train->used;
	train->used += (uint32_t)len;
	return train->bytes + train->last;
}

size_t udp_room_left(const struct udp *udp)
{
	const struct udp_tx *tx = &udp->tx;
	size_t left = UDP_TRAIN_LEN - tx->current->used;

	if (!send_available(tx))
		return 0;
	for (int i = 0; i < UDP_TRAINS; i++) {
		if (tx->trains[i].used == 0 && &tx->trains[i] != tx->current)
			left += UDP_TRAIN_LEN;
	}
	return left;
}

/* The train that `message` lies in; its room shrinks to what was used when it is the newest. */
static struct udp_train *claim_room(struct udp_tx *tx, const uint8_t *message, uint32_t len)
{
	size_t at = (size_t)(message - tx->memory);
	struct udp_train *train = &tx->trains[at / UDP_TRAIN_LEN];
	uint32_t begin = (uint32_t)(at % UDP_TRAIN_LEN);

	CHECK(at < (size_t)UDP_TRAINS * UDP_TRAIN_LEN);
	CHECK(len > 0 && begin + len <= train->used);
	CHECK(train->rooms > 0 && tx->promised > 0);
	tx->promised--;
	if (begin == train->last)
		train->used = begin + len;
	return train;
}

uint32_t udp_train(size_t len)
{
	size_t count = UDP_PAYLOAD_MAX / len;

	return (uint32_t)(count < UDP_SEGMENTS_MAX ? count : UDP_SEGMENTS_MAX);
}

/* May the message go behind those of `send`? A short one was the last. */
static bool joins(const struct udp_send *send, const uint8_t *message, uint32_t len,
		  const struct addr *to)
{
	return send->data + send->len == message && len <= send->segment &&
	       send->len == send->count * send->segment && send->count < UDP_SEGMENTS_MAX &&
	       send->len + len <= UDP_PAYLOAD_MAX && addr_equal(&send->to, to);
}

void udp_push(struct udp *udp, uint8_t *message, size_t len, const struct addr *to)
{
	struct udp_tx *tx = &udp->tx;
	uint32_t message_len = (uint32_t)len;
	struct udp_train *train = claim_room(tx, message, message_len);
	struct udp_send *send = list_entry(tx->unflushed.prev, struct udp_send, link);

	/* Trains lie side by side in memory, but their bytes come free separately. */
	if (list_empty(&tx->unflushed) || send->train != train ||
	    !joins(send, message, message_len, to)) {
		send = take_send(udp, train);
		CHECK(send != NULL); /* promised by udp_room() */
		send->data = message;
		send->len = send->count = 0;
		send->segment = message_len;
		send->to = *to;
		send->number = tx->next_number;
		list_append(&tx->unflushed, &send->link);
	}
	send->len += message_len;
	send->count++;
	tx->next_number++;
}

void udp_flush(struct udp *udp)
{
	struct udp_tx *tx = &udp->tx;
	struct list *node;

	while ((node = list_pop(&tx->unflushed)) != NULL)
		list_append(&tx->waiting, node);
	for (int i = 0; i < UDP_TRAINS; i++) {
		tx->trains[i].rooms = 0;
		restart_if_unused(&tx->trains[i]);
	}
	tx->promised = 0;
	pump(udp);
	udp_rx_arm(udp);
}

/* --- sending ----------------------------------------------------------------------------------- */

static void add_segment_size(struct udp_send *send)
{
	uint16_t segment = (uint16_t)send->segment;
	struct cmsghdr *cmsg = &send->control.align;

	send->msg.msg_control = cmsg;
	send->msg.msg_controllen = sizeof(send->control);
	cmsg->cmsg_level = SOL_UDP;
	cmsg->cmsg_type = UDP_SEGMENT;
	cmsg->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(cmsg), &segment, sizeof(segment));
}

static void submit_send(struct udp *udp, struct udp_send *send)
{
	send->iov = (struct iovec){send->data, send->len};
	send->msg = (struct msghdr){
		.msg_name = &send->sa,
		.msg_namelen = addr_to_sockaddr(&send->to, udp->mapped, &send->sa),
		.msg_iov = &send->iov,
		.msg_iovlen = 1,
	};
	if (send->count > 1)
		add_segment_size(send);
	udp->tx.under_way++;
	io_submit(udp->io, &send->op);
}

/* The first message of `train_send`, as a send of its own. NULL: no send is free. */
static struct udp_send *uncouple_first(struct udp *udp, struct udp_send *train_send)
{
	struct udp_send *first = take_send(udp, train_send->train);

	if (first == NULL)
		return NULL;
	first->data = train_send->data;
	first->len = first->segment = train_send->segment;
	first->count = 1;
	first->number = train_send->number;
	first->to = train_send->to;
	train_send->data += first->len;
	train_send->len -= first->len;
	train_send->count--;
	train_send->number++;
	return first;
}

/* The next send that may leave, off the waiting list; NULL: none, or none just now. */
static struct udp_send *next_send(struct udp *udp)
{
	struct udp_tx *tx = &udp->tx;
	struct udp_send *send = list_entry(tx->waiting.next, struct udp_send, link);

	if (list_empty(&tx->waiting))
		return NULL;
	if (send->count > 1 && (send->singly || !tx->gso))
		return uncouple_first(udp, send);
	list_remove(&send->link);
	return send;
}

/* Hands over what waits, unless the socket is full. */
static void pump(struct udp *udp)
{
	struct udp_send *send;

	while (!udp->tx.writable.busy && (send = next_send(udp)) != NULL)
		submit_send(udp, send);
}

/* Back to its place, looked for from the end: what waits already has mostly failed before it. */
static void wait_in_order(struct udp *udp, struct udp_send *send)
{
	struct list *before = udp->tx.waiting.prev;

	while (before != &udp->tx.waiting &&
	       list_entry(before, struct udp_send, link)->number > send->number)
		before = before->prev;
	list_append(before->next, &send->link);
}

static bool gso_refused(const struct udp_send *send, int result)
{
	return send->count > 1 && (result == -EIO || result == -EINVAL || result == -EOPNOTSUPP ||
				   result == -EMSGSIZE);
}

static void send_again_singly(struct udp *udp, struct udp_send *send, int result)
{
	udp->stats.gso_fallbacks++;
	if (result != -EMSGSIZE)
		udp->tx.gso = false;
	send->singly = true;
	wait_in_order(udp, send);
}

static void send_again_when_writable(struct udp *udp, struct udp_send *send)
{
	wait_in_order(udp, send);
	if (!udp->tx.writable.busy)
		io_submit(udp->io, &udp->tx.writable);
}

static void finish_send(struct udp *udp, struct udp_send *send, int result)
{
	if (result < 0)
		udp->stats.tx_errors++;
	else
		udp->stats.tx_datagrams += send->count;
	if (result >= 0 && send->count > 1)
		udp->stats.tx_trains++;
	release_send(udp, send);
}

static void send_done(struct io_op *op, int result)
{
	struct udp_send *send = list_entry(op, struct udp_send, op);
	struct udp *udp = send->udp;

	udp->tx.under_way--;
	if (udp->closing)
		release_send(udp, send);
	else if (gso_refused(send, result))
		send_again_singly(udp, send, result);
	else if (result == -EAGAIN)
		send_again_when_writable(udp, send);
	else
		finish_send(udp, send, result);
	pump(udp);
}

static void writable_done(struct io_op *op, int result)
{
	(void)result; /* an error shows in the next send as well */
	pump(list_entry(op, struct udp, tx.writable));
}

/* --- life -------------------------------------------------------------------------------------- */

int udp_tx_open(struct udp *udp)
{
	struct udp_tx *tx = &udp->tx;

	tx->memory = malloc((size_t)UDP_TRAINS * UDP_TRAIN_LEN);
	tx->sends = calloc(UDP_SENDS, sizeof(*tx->sends));
	if (tx->memory == NULL || tx->sends == NULL)
		return -ENOMEM;
	list_init(&tx->free);
	list_init(&tx->unflushed);
	list_init(&tx->waiting);
	for (size_t i = 0; i < UDP_TRAINS; i++)
		tx->trains[i].bytes = tx->memory + i * UDP_TRAIN_LEN;
	for (size_t i = 0; i < UDP_SENDS; i++) {
		struct udp_send *send = &tx->sends[i];

		send->udp = udp;
		send->op = (struct io_op){.done = send_done, .kind = IO_SEND_DGRAMS, .fd = udp->fd};
		send->op.send_dgrams.msg = &send->msg;
		list_append(&tx->free, &send->link);
	}
	tx->free_len = UDP_SENDS;
	tx->current = &tx->trains[0];
	tx->gso = true;
	tx->writable = (struct io_op){.done = writable_done, .kind = IO_POLL, .fd = udp->fd};
	tx->writable.poll.events = POLLOUT;
	return 0;
}

void udp_tx_close(struct udp *udp)
{
	release_all(udp, &udp->tx.unflushed);
	release_all(udp, &udp->tx.waiting);
	io_cancel(udp->io, &udp->tx.writable);
}

bool udp_tx_closed(const struct udp *udp)
{
	return udp->tx.under_way == 0 && !udp->tx.writable.busy;
}

void udp_tx_free(struct udp *udp)
{
	free(udp->tx.memory);
	free(udp->tx.sends);
}
