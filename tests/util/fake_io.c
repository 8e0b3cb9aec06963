// SPDX-License-Identifier: MIT
/*
 * A connection is two sockets that know each other. Each holds the bytes that its owner has not
 * read yet; writing means appending to the other one's. Product and test use the same functions on
 * their ends, so both directions behave alike.
 *
 * Operations wait in one array. A turn shuffles it and tries each operation whose delay is over;
 * one that cannot be done yet stays. When a turn has completed nothing, time jumps on. A cancelled
 * operation gets one more try in half of the cases: that is the result which beats the cancel.
 */
#include "fake_io.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum {
	FDS_MAX = 16384,
	ANSWERS_MAX = 64,
	BACKLOG_MAX = 256,
	TURN_NS = 1000, /* time does not quite stand still while somebody works */
};

enum kind { UNUSED, FRESH, STREAM, LISTENER };

struct fake_socket {
	enum kind kind;
	bool products; /* not the test's */
	bool fin;      /* received */
	bool broken;   /* RST received */
	bool shut;     /* FIN sent */
	int peer;      /* -1: gone */
	enum io_peer stands;
	uint8_t *bytes;
	size_t len, size;
	int backlog[BACKLOG_MAX]; /* a listener's: product ends nobody has accepted */
	size_t backlog_len;
};

struct target {
	struct addr addr;
	enum fake_answer answer;
	int dialled[BACKLOG_MAX]; /* test ends that nobody has fetched */
	size_t dialled_len;
};

struct pending {
	struct io_op *op;
	uint64_t due_ns;
	size_t sent; /* IO_SEND */
};

struct fake {
	uint64_t random;
	uint64_t now_ns;
	struct fake_faults faults;
	struct fake_socket *sockets[FDS_MAX];
	struct target targets[ANSWERS_MAX];
	size_t targets_len;
	struct pending *pending;
	size_t pending_len, pending_size;
	uint32_t recv_limit; /* the greatest so far */
};

/* What an attempt says when the operation has to wait: no errno. */
enum { WAIT = -100000 };

static uint64_t next_seed = 1;

void fake_io_seed(uint64_t seed)
{
	next_seed = seed;
}

static struct fake *fake_of(const struct io *io)
{
	return io->state;
}

/* SplitMix64 (Steele, Lea, Flood, 2014): any seed will do, also 0. */
static uint64_t draw(struct fake *fake)
{
	uint64_t z = fake->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t draw_upto(struct fake *fake, uint64_t max)
{
	return draw(fake) % (max + 1);
}

static bool chance(struct fake *fake, uint32_t permille)
{
	return draw(fake) % 1000 < permille;
}

static uint64_t draw_due(struct fake *fake)
{
	return fake->now_ns + draw_upto(fake, fake->faults.delay_max_ns);
}

static size_t draw_chunk(struct fake *fake, size_t max)
{
	if (fake->faults.chunk_max == 0)
		return max;
	if (max > fake->faults.chunk_max)
		max = fake->faults.chunk_max;
	return max == 0 ? 0 : 1 + (size_t)draw_upto(fake, max - 1);
}

/* --- sockets ----------------------------------------------------------------------------------- */

static struct fake_socket *socket_of(const struct io *io, int fd)
{
	CHECK(fd >= FAKE_FD_BASE && fd < FAKE_FD_BASE + FDS_MAX);
	CHECK(fake_of(io)->sockets[fd - FAKE_FD_BASE] != NULL);
	return fake_of(io)->sockets[fd - FAKE_FD_BASE];
}

static struct fake_socket *peer_of(const struct io *io, const struct fake_socket *socket)
{
	return socket->peer >= 0 ? socket_of(io, socket->peer) : NULL;
}

static int new_socket(struct io *io, enum kind kind, bool products)
{
	struct fake *fake = fake_of(io);
	int i = 0;

	while (i < FDS_MAX && fake->sockets[i] != NULL)
		i++;
	CHECK(i < FDS_MAX);
	fake->sockets[i] = calloc(1, sizeof(*fake->sockets[i]));
	fake->sockets[i]->kind = kind;
	fake->sockets[i]->products = products;
	fake->sockets[i]->peer = -1;
	return FAKE_FD_BASE + i;
}

static void free_socket(struct io *io, int fd)
{
	struct fake *fake = fake_of(io);

	free(socket_of(io, fd)->bytes);
	free(socket_of(io, fd));
	fake->sockets[fd - FAKE_FD_BASE] = NULL;
}

static void join(struct io *io, int a, int b)
{
	socket_of(io, a)->kind = socket_of(io, b)->kind = STREAM;
	socket_of(io, a)->peer = b;
	socket_of(io, b)->peer = a;
}

static size_t room_in(struct io *io, const struct fake_socket *socket)
{
	uint32_t room = fake_of(io)->faults.socket_room;

	return socket->len < room ? room - socket->len : 0;
}

/* Appends what fits. */
static size_t push(struct io *io, struct fake_socket *to, const uint8_t *bytes, size_t len)
{
	size_t room = room_in(io, to);

	if (len > room)
		len = room;
	if (to->len + len > to->size) {
		to->size = to->len + len;
		to->bytes = realloc(to->bytes, to->size);
		CHECK(to->bytes != NULL);
	}
	if (len > 0)
		memcpy(to->bytes + to->len, bytes, len);
	to->len += len;
	return len;
}

static size_t pull(struct fake_socket *from, void *bytes, size_t len)
{
	if (len > from->len)
		len = from->len;
	if (len == 0)
		return 0;
	memcpy(bytes, from->bytes, len);
	from->len -= len;
	memmove(from->bytes, from->bytes + len, from->len);
	return len;
}

/* RST both ways, as when a box in between has lost the connection. */
static void break_connection(struct io *io, struct fake_socket *socket)
{
	struct fake_socket *peer = peer_of(io, socket);

	socket->broken = true;
	if (peer != NULL)
		peer->broken = true;
}

static void end_socket(struct io *io, int fd, bool reset)
{
	struct fake_socket *socket = socket_of(io, fd);
	struct fake_socket *peer = peer_of(io, socket);

	for (size_t i = 0; i < fake_of(io)->pending_len; i++)
		CHECK(fake_of(io)->pending[i].op->fd != fd);
	while (socket->backlog_len > 0)
		end_socket(io, socket->backlog[--socket->backlog_len], true);
	if (peer != NULL) {
		peer->peer = -1;
		if (reset || socket->len > 0)
			peer->broken = true;
		else
			peer->fin = true;
	}
	free_socket(io, fd);
}

static void send_fin(struct io *io, struct fake_socket *socket)
{
	struct fake_socket *peer = peer_of(io, socket);

	socket->shut = true;
	if (peer != NULL)
		peer->fin = true;
}

/* --- what each operation meets; WAIT, or its result -------------------------------------------- */

static int try_accept(struct io *io, struct io_op *op)
{
	struct fake_socket *listener = socket_of(io, op->fd);

	CHECK(listener->kind == LISTENER);
	if (listener->backlog_len == 0)
		return WAIT;
	if (chance(fake_of(io), fake_of(io)->faults.accept_fail_permille))
		return -EMFILE;
	return listener->backlog[--listener->backlog_len];
}

static struct target *target_of(struct io *io, const struct addr *addr)
{
	struct fake *fake = fake_of(io);
	struct target *target = fake->targets;

	while (target < fake->targets + fake->targets_len && !addr_equal(&target->addr, addr))
		target++;
	if (target == fake->targets + fake->targets_len) {
		CHECK(fake->targets_len < ANSWERS_MAX);
		target->addr = *addr;
		fake->targets_len++;
	}
	return target;
}

static int try_connect(struct io *io, struct io_op *op)
{
	struct addr addr;
	struct target *target;
	int end;

	CHECK(socket_of(io, op->fd)->kind == FRESH);
	CHECK(addr_from_sockaddr(&addr, (struct sockaddr *)op->connect.to));
	target = target_of(io, &addr);
	if (target->answer == FAKE_SILENT)
		return WAIT;
	if (target->answer != FAKE_ACCEPTS)
		return target->answer == FAKE_REFUSES ? -ECONNREFUSED : -EHOSTUNREACH;
	CHECK(target->dialled_len < BACKLOG_MAX);
	end = new_socket(io, STREAM, false);
	join(io, op->fd, end);
	target->dialled[target->dialled_len++] = end;
	return 0;
}

static int try_recv(struct io *io, struct io_op *op)
{
	struct fake *fake = fake_of(io);
	struct fake_socket *socket = socket_of(io, op->fd);
	struct io_pool *pool = op->recv.pool;
	const uint16_t *ids = pool->backend;
	struct io_buf *buf;

	if (op->recv.limit > fake->recv_limit)
		fake->recv_limit = op->recv.limit;
	if (chance(fake, fake->faults.break_permille))
		break_connection(io, socket);
	op->recv.buf = NULL;
	if (socket->len == 0)
		return socket->broken ? -ECONNRESET : socket->fin ? 0 : WAIT;
	if (pool->free == 0 || chance(fake, fake->faults.enobufs_permille))
		return -ENOBUFS;
	buf = io_pool_take(pool, ids[pool->free - 1]);
	buf->data = pool->memory + (size_t)buf->id * io_pool_stride(pool);
	op->recv.buf = buf;
	return (int)pull(socket, buf->data, draw_chunk(fake, op->recv.limit));
}

static size_t iov_total(const struct io_op *op)
{
	size_t total = 0;

	for (uint32_t i = 0; i < op->send.count; i++)
		total += op->send.iov[i].iov_len;
	return total;
}

/* Up to `len` bytes from `at` on, wherever the pieces' borders are. Returns how many went. */
static size_t push_iov(struct io *io, struct fake_socket *to, const struct io_op *op, size_t at,
		       size_t len)
{
	size_t sent = 0;

	for (uint32_t i = 0; i < op->send.count && sent < len; i++) {
		const struct iovec *iov = &op->send.iov[i];
		size_t n = at < iov->iov_len ? iov->iov_len - at : 0;

		if (n > len - sent)
			n = len - sent;
		if (n > 0)
			sent += push(io, to, (const uint8_t *)iov->iov_base + at, n);
		at -= at < iov->iov_len ? at : iov->iov_len;
	}
	return sent;
}

static int send_error(struct fake *fake, size_t sent)
{
	if (sent > 0)
		return (int)sent;
	return draw(fake) % 2 ? -EPIPE : -ECONNRESET;
}

static int try_send(struct io *io, struct pending *pending)
{
	struct fake *fake = fake_of(io);
	struct io_op *op = pending->op;
	struct fake_socket *socket = socket_of(io, op->fd);
	struct fake_socket *peer = peer_of(io, socket);
	size_t total = iov_total(op);
	size_t len;

	if (chance(fake, fake->faults.break_permille))
		break_connection(io, socket);
	if (socket->shut || socket->broken || peer == NULL)
		return send_error(fake, pending->sent);
	len = total - pending->sent;
	if (len > room_in(io, peer))
		len = room_in(io, peer);
	len = push_iov(io, peer, op, pending->sent, draw_chunk(fake, len));
	pending->sent += len;
	if (pending->sent == total || (len > 0 && chance(fake, fake->faults.short_permille)))
		return (int)pending->sent;
	if (len > 0)
		pending->due_ns = draw_due(fake);
	return WAIT;
}

static int try_poll(struct io *io, struct io_op *op)
{
	struct fake_socket *socket = socket_of(io, op->fd);
	struct fake_socket *peer = peer_of(io, socket);
	uint32_t events = 0;

	if (socket->len > 0 || socket->fin || socket->broken || socket->backlog_len > 0)
		events |= POLLIN;
	if (peer == NULL || room_in(io, peer) > 0)
		events |= POLLOUT;
	events &= op->poll.events;
	return events != 0 ? (int)events : WAIT;
}

static int try_op(struct io *io, struct pending *pending)
{
	switch ((enum io_kind)pending->op->kind) {
	case IO_ACCEPT:
		return try_accept(io, pending->op);
	case IO_CONNECT:
		return try_connect(io, pending->op);
	case IO_RECV:
		return try_recv(io, pending->op);
	case IO_SEND:
		return try_send(io, pending);
	case IO_POLL:
		return try_poll(io, pending->op);
	default:
		return -EOPNOTSUPP;
	}
}

/* --- the loop ---------------------------------------------------------------------------------- */

static int attempt(struct io *io, struct pending *pending)
{
	struct fake *fake = fake_of(io);
	bool cancelled = pending->op->cancelled;
	int result = WAIT;

	if (pending->due_ns > fake->now_ns)
		return WAIT;
	if (!cancelled || draw(fake) % 2)
		result = try_op(io, pending);
	if (cancelled && result == WAIT)
		result = pending->sent > 0 ? (int)pending->sent : -ECANCELED;
	return result;
}

static void shuffle(struct fake *fake)
{
	for (size_t i = fake->pending_len; i > 1; i--) {
		size_t j = (size_t)draw_upto(fake, i - 1);
		struct pending swap = fake->pending[j];

		fake->pending[j] = fake->pending[i - 1];
		fake->pending[i - 1] = swap;
	}
}

/*
 * Tries all once and returns how many completed. Downward: done() may append to the array, and the
 * last one moves into the gap of one that is done.
 */
static unsigned try_all(struct io *io)
{
	struct fake *fake = fake_of(io);
	unsigned completed = 0;

	shuffle(fake);
	for (size_t i = fake->pending_len; i-- > 0;) {
		struct io_op *op = fake->pending[i].op;
		int result = attempt(io, &fake->pending[i]);
		bool more = op->kind == IO_ACCEPT && result >= 0;

		if (result == WAIT)
			continue;
		if (!more)
			fake->pending[i] = fake->pending[--fake->pending_len];
		completed++;
		io_complete(io, op, result, more);
	}
	return completed;
}

/* When the next delay is over; operations that wait for the other side have none. */
static uint64_t next_due(const struct fake *fake)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < fake->pending_len; i++) {
		uint64_t due_ns = fake->pending[i].due_ns;

		if (due_ns > fake->now_ns && due_ns < next)
			next = due_ns;
	}
	return next;
}

static int fake_turn(struct io *io, uint64_t deadline_ns, uint64_t *now_ns)
{
	struct fake *fake = fake_of(io);

	fake->now_ns += TURN_NS;
	while (try_all(io) == 0 && fake->now_ns < deadline_ns) {
		uint64_t next = next_due(fake);

		if (next > deadline_ns)
			next = deadline_ns;
		CHECK(next != UINT64_MAX); /* the product would sleep for ever */
		fake->now_ns = next;
	}
	*now_ns = fake->now_ns;
	return 0;
}

static void fake_submit(struct io *io, struct io_op *op)
{
	struct fake *fake = fake_of(io);

	if (fake->pending_len == fake->pending_size) {
		fake->pending_size = fake->pending_size * 2 + 64;
		fake->pending = realloc(fake->pending, fake->pending_size * sizeof(*fake->pending));
		CHECK(fake->pending != NULL);
	}
	fake->pending[fake->pending_len++] = (struct pending){op, draw_due(fake), 0};
}

static void fake_cancel(struct io *io, struct io_op *op)
{
	struct fake *fake = fake_of(io);

	for (size_t i = 0; i < fake->pending_len; i++) {
		if (fake->pending[i].op == op)
			fake->pending[i].due_ns = draw_due(fake);
	}
}

static int fake_init(struct io *io, unsigned entries)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	(void)entries;
	CHECK(fake != NULL);
	fake->random = next_seed;
	fake->now_ns = 1000000000;
	fake->faults = (struct fake_faults){
		.delay_max_ns = 100000, .chunk_max = 65536, .socket_room = 65536};
	io->state = fake;
	return 0;
}

static void fake_fini(struct io *io)
{
	struct fake *fake = fake_of(io);

	for (int i = 0; i < FDS_MAX; i++) {
		if (fake->sockets[i] != NULL)
			free_socket(io, FAKE_FD_BASE + i);
	}
	free(fake->pending);
	free(fake);
}

/* The pool's free buffers, as a stack of their numbers: pool->free is its depth. */
static int fake_pool_init(struct io *io, struct io_pool *pool)
{
	(void)io;
	pool->backend = calloc(pool->count, sizeof(uint16_t));
	return pool->backend != NULL ? 0 : -ENOMEM;
}

static void fake_pool_put(struct io *io, struct io_pool *pool, struct io_buf *buf)
{
	uint16_t *ids = pool->backend;

	(void)io;
	ids[pool->free - 1] = buf->id;
}

static void fake_pool_fini(struct io *io, struct io_pool *pool)
{
	(void)io;
	free(pool->backend);
}

static int fake_socket(struct io *io, uint8_t family)
{
	(void)family;
	return new_socket(io, FRESH, true);
}

static void fake_tune(struct io *io, int fd)
{
	CHECK(socket_of(io, fd)->products);
}

static enum io_peer fake_peer(struct io *io, int fd, uint64_t silence_ns)
{
	const struct fake_socket *peer = peer_of(io, socket_of(io, fd));

	(void)silence_ns;
	return peer == NULL ? IO_PEER_EVEN : peer->stands;
}

const struct io_backend io_backend_fake = {
	.name = "fake",
	.init = fake_init,
	.fini = fake_fini,
	.submit = fake_submit,
	.cancel = fake_cancel,
	.turn = fake_turn,
	.pool_init = fake_pool_init,
	.pool_put = fake_pool_put,
	.pool_fini = fake_pool_fini,
	.socket = fake_socket,
	.tune = fake_tune,
	.shutdown = fake_io_shutdown,
	.close = fake_io_close,
	.reset = fake_io_reset,
	.peer = fake_peer,
};

/* --- for the test ------------------------------------------------------------------------------ */

struct fake_faults *fake_io_faults(struct io *io)
{
	return &fake_of(io)->faults;
}

void fake_io_stand(struct io *io, int end, enum io_peer stands)
{
	socket_of(io, end)->stands = stands;
}

uint64_t fake_io_now(const struct io *io)
{
	return fake_of(io)->now_ns;
}

uint64_t fake_io_random(struct io *io)
{
	return draw(fake_of(io));
}

uint32_t fake_io_fds(const struct io *io)
{
	uint32_t count = 0;

	for (int i = 0; i < FDS_MAX; i++)
		count += fake_of(io)->sockets[i] != NULL && fake_of(io)->sockets[i]->products;
	return count;
}

uint32_t fake_io_ops(const struct io *io)
{
	return (uint32_t)fake_of(io)->pending_len;
}

uint32_t fake_io_recv_limit(const struct io *io)
{
	return fake_of(io)->recv_limit;
}

void fake_io_answer(struct io *io, const struct addr *to, enum fake_answer answer)
{
	target_of(io, to)->answer = answer;
}

int fake_io_accepted(struct io *io, const struct addr *to)
{
	struct target *target = target_of(io, to);
	int end = target->dialled[0];

	if (target->dialled_len == 0)
		return -1;
	target->dialled_len--;
	memmove(target->dialled, target->dialled + 1,
		target->dialled_len * sizeof(target->dialled[0]));
	return end;
}

int fake_io_listen(struct io *io)
{
	return new_socket(io, LISTENER, true);
}

int fake_io_dial(struct io *io, int listener)
{
	struct fake_socket *socket = socket_of(io, listener);
	int fd;
	int end = fake_io_pair(io, &fd);

	CHECK(socket->kind == LISTENER && socket->backlog_len < BACKLOG_MAX);
	socket->backlog[socket->backlog_len++] = fd;
	return end;
}

int fake_io_pair(struct io *io, int *fd)
{
	int end = new_socket(io, STREAM, false);

	*fd = new_socket(io, STREAM, true);
	join(io, *fd, end);
	return end;
}

size_t fake_io_write(struct io *io, int end, const void *bytes, size_t len)
{
	struct fake_socket *socket = socket_of(io, end);
	struct fake_socket *peer = peer_of(io, socket);

	if (peer == NULL || socket->broken || socket->shut)
		return 0;
	return push(io, peer, bytes, len);
}

size_t fake_io_read(struct io *io, int end, void *bytes, size_t len)
{
	return pull(socket_of(io, end), bytes, len);
}

bool fake_io_ended(const struct io *io, int end)
{
	return socket_of(io, end)->fin && socket_of(io, end)->len == 0;
}

bool fake_io_was_reset(const struct io *io, int end)
{
	return socket_of(io, end)->broken;
}

void fake_io_shutdown(struct io *io, int end)
{
	send_fin(io, socket_of(io, end));
}

void fake_io_close(struct io *io, int end)
{
	end_socket(io, end, false);
}

void fake_io_reset(struct io *io, int end)
{
	end_socket(io, end, true);
}
