// SPDX-License-Identifier: MIT
/*
 * The target's side of a prober: a connection by the proxy's own way, and with mode=http a GET and
 * the first line of what the target says to it.
 *
 * The time that this may take is the prober's business. When it is over, or the prober is, the dial
 * is abandoned: what is under way is cancelled, and what comes back all the same is closed here.
 * Until then the dial is not idle, and its prober's place in the table is not free.
 */
#include "inside.h"

#include "base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A move to the same row and column is legal when its bit is set. */
static const unsigned legal_after[] = {
	[DIAL_IDLE] = 1 << DIAL_CONNECTING,
	[DIAL_CONNECTING] = 1 << DIAL_SENDING | 1 << DIAL_ABANDONED | 1 << DIAL_IDLE,
	[DIAL_SENDING] = 1 << DIAL_RECEIVING | 1 << DIAL_ABANDONED | 1 << DIAL_IDLE,
	[DIAL_RECEIVING] = 1 << DIAL_ABANDONED | 1 << DIAL_IDLE,
	[DIAL_ABANDONED] = 1 << DIAL_IDLE,
};

static void dial_set_state(struct health_dial *dial, enum dial_state state)
{
	CHECK(legal_after[dial->state] & 1u << state);
	dial->state = state;
}

static struct io *io_of(const struct health_dial *dial)
{
	return dial->prober->health->io;
}

static void go_idle(struct health_dial *dial)
{
	if (dial->fd >= 0)
		io_close(io_of(dial), dial->fd);
	dial->fd = -1;
	dial_set_state(dial, DIAL_IDLE);
}

/* The verdict: why the target is not well, or "". */
__attribute__((format(printf, 2, 3))) static void finish(struct health_dial *dial,
							 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(dial->reason, sizeof(dial->reason), format, args);
	va_end(args);
	dial->answered = true;
	go_idle(dial);
}

static void target_done(struct io_op *op, int result)
{
	struct health_dial *dial = list_entry(op, struct health_dial, op);

	if (op->kind == IO_RECV && op->recv.buf) {
		size_t room = DIAL_STATUS_LEN - dial->status_len;
		size_t len = (size_t)result < room ? (size_t)result : room;

		memcpy(dial->status + dial->status_len, op->recv.buf->data, len);
		dial->status_len += len;
		buf_drop(&op->recv.buf->buf);
	}
	dial->returned = true;
	dial->result = result;
	if (dial->state == DIAL_ABANDONED)
		go_idle(dial);
	prober_note(dial->prober);
}

void health_dialled(struct health_dial *dial, int fd, int error)
{
	CHECK(dial->state == DIAL_CONNECTING || dial->state == DIAL_ABANDONED);
	dial->fd = error == 0 ? fd : -1;
	dial->returned = true;
	dial->result = error;
	if (dial->state == DIAL_ABANDONED)
		go_idle(dial);
	prober_note(dial->prober);
}

static void send_get(struct health_dial *dial)
{
	dial->iov = (struct iovec){.iov_base = dial->get, .iov_len = dial->get_len};
	dial->op = (struct io_op){.done = target_done, .kind = IO_SEND, .fd = dial->fd};
	dial->op.send.iov = &dial->iov;
	dial->op.send.count = 1;
	io_submit(io_of(dial), &dial->op);
}

/* A whole buffer, although twelve bytes would do: closing over unread bytes would send the target a
 * RST for its answer. */
static void receive_status(struct health_dial *dial)
{
	dial->op = (struct io_op){.done = target_done, .kind = IO_RECV, .fd = dial->fd};
	dial->op.recv.pool = &dial->prober->health->pool;
	dial->op.recv.limit = dial->op.recv.pool->size;
	io_submit(io_of(dial), &dial->op);
}

/* -ENOTCONN is how the proxy says that there is no tunnel to dial through. */
static void connected(struct health_dial *dial)
{
	if (dial->result == -ENOTCONN) {
		finish(dial, "tunnel: no session");
	} else if (dial->result < 0) {
		finish(dial, "target: %s", strerror(-dial->result));
	} else if (dial->mode == PROBE_TCP) {
		finish(dial, "%s", "");
	} else {
		dial_set_state(dial, DIAL_SENDING);
		send_get(dial);
	}
}

static void sent(struct health_dial *dial)
{
	if (dial->result < 0) {
		finish(dial, "target: %s", strerror(-dial->result));
		return;
	}
	dial_set_state(dial, DIAL_RECEIVING);
	receive_status(dial);
}

/* 2xx and 3xx are well, as for the probes of Kubernetes. */
static void judge(struct health_dial *dial)
{
	const char *code = dial->status + strlen("HTTP/1.1 ");

	if (strncmp(dial->status, "HTTP/1.", 7) != 0 || strspn(code, "0123456789") != 3)
		finish(dial, "target: its answer is not HTTP");
	else if (code[0] == '2' || code[0] == '3')
		finish(dial, "%s", "");
	else
		finish(dial, "target: answered %.3s", code);
}

static void received(struct health_dial *dial)
{
	if (dial->status_len == DIAL_STATUS_LEN)
		judge(dial);
	else if (dial->result > 0 || dial->result == -ENOBUFS)
		receive_status(dial);
	else if (dial->result == 0)
		finish(dial, "target: closed without an answer");
	else
		finish(dial, "target: %s", strerror(-dial->result));
}

void health_dial_step(struct health_dial *dial)
{
	if (!dial->returned)
		return;
	dial->returned = false;
	if (dial->state == DIAL_CONNECTING)
		connected(dial);
	else if (dial->state == DIAL_SENDING)
		sent(dial);
	else if (dial->state == DIAL_RECEIVING)
		received(dial);
}

void health_dial_init(struct health_dial *dial, struct prober *prober)
{
	*dial = (struct health_dial){.prober = prober, .fd = -1};
}

static void compose_get(struct health_dial *dial, const char *path)
{
	const struct health_ops *ops = &dial->prober->health->ops;
	int len = snprintf(dial->get, sizeof(dial->get),
			   "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: wg-tinyproxy/" VERSION
			   "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
			   path, ops->target(ops->ctx));

	CHECK(len > 0 && (size_t)len < sizeof(dial->get));
	dial->get_len = (size_t)len;
}

/* The answer may come before dial() returns, and then there is nothing to cancel. */
void health_dial_start(struct health_dial *dial, const struct probe *probe)
{
	const struct health_ops *ops = &dial->prober->health->ops;

	health_dial_init(dial, dial->prober);
	dial->mode = probe->mode;
	if (dial->mode == PROBE_HTTP)
		compose_get(dial, probe->path);
	dial_set_state(dial, DIAL_CONNECTING);
	dial->handle = ops->dial(ops->ctx, dial);
}

/* A completion that was noted and not yet looked at leaves nothing to wait for. */
void health_dial_abandon(struct health_dial *dial)
{
	const struct health_ops *ops = &dial->prober->health->ops;
	enum dial_state was = dial->state;

	if (was == DIAL_IDLE || was == DIAL_ABANDONED)
		return;
	if (dial->returned) {
		go_idle(dial);
		return;
	}
	dial_set_state(dial, DIAL_ABANDONED);
	if (was == DIAL_CONNECTING)
		ops->cancel(ops->ctx, dial->handle);
	else
		io_cancel(io_of(dial), &dial->op);
}
