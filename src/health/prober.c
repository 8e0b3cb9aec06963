// SPDX-License-Identifier: MIT
/*
 * The client's side of a prober: one request, one answer, one orderly end.
 *
 *	FREE -> READING -> ANSWERING -> DRAINING -> CLOSING -> FREE
 *		   `-> ASKING -^
 *
 * The end deserves its own state. A socket that is closed while bytes of the client are unread
 * sends a RST, which may overtake the answer in the client's kernel; a client that sent too much
 * would then see an error and not the 431 that explains it. So the answer is followed by a FIN, and
 * what still comes is read and forgotten until the client closes too, within a bound of time and
 * bytes. Who does not even take the answer in that time gets a RST all the same: the kernel would
 * go on offering it for minutes otherwise, with memory that nobody counts.
 *
 * Each state has a deadline. At most one operation is under way with the client at any time, so
 * what it means that it returned follows from the state alone.
 */
#include "inside.h"

#include "base/check.h"
#include "base/time.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	DRAIN_TIMEOUT_S = 1,
	DRAIN_BYTES_MAX = 64 * 1024,
};

/* Which states may follow. */
static const unsigned legal_after[] = {
	[PROBER_FREE] = 1 << PROBER_READING,
	[PROBER_READING] = 1 << PROBER_ASKING | 1 << PROBER_ANSWERING | 1 << PROBER_CLOSING,
	[PROBER_ASKING] = 1 << PROBER_ANSWERING | 1 << PROBER_CLOSING,
	[PROBER_ANSWERING] = 1 << PROBER_DRAINING | 1 << PROBER_CLOSING,
	[PROBER_DRAINING] = 1 << PROBER_CLOSING,
	[PROBER_CLOSING] = 1 << PROBER_FREE,
};

static void prober_set_state(struct prober *prober, enum prober_state state, uint64_t deadline_ns)
{
	CHECK(legal_after[prober->state] & 1u << state);
	prober->state = state;
	prober->deadline_ns = deadline_ns;
}

/* CLOSING is over when nothing is under way on either side. */
static void settle(struct prober *prober)
{
	if (prober->op.busy)
		return;
	if (prober->fd >= 0 && prober->reset)
		io_reset(prober->health->io, prober->fd);
	else if (prober->fd >= 0)
		io_close(prober->health->io, prober->fd);
	prober->fd = -1;
	if (prober->dial.state == DIAL_IDLE)
		prober_set_state(prober, PROBER_FREE, UINT64_MAX);
}

void prober_note(struct prober *prober)
{
	if (prober->state == PROBER_CLOSING)
		settle(prober);
	else
		prober->health->dirty = true;
}

void prober_abandon(struct prober *prober)
{
	if (prober->state == PROBER_FREE || prober->state == PROBER_CLOSING)
		return;
	prober_set_state(prober, PROBER_CLOSING, UINT64_MAX);
	io_cancel(prober->health->io, &prober->op);
	health_dial_abandon(&prober->dial);
	if (prober->state == PROBER_CLOSING)
		settle(prober);
}

/* --- operations ------------------------------------------------------------------------------ */

static void keep(struct prober *prober, const struct io_buf *buf, size_t len)
{
	if (prober->state == PROBER_READING) {
		memcpy(prober->request + prober->received, buf->data, len);
		prober->received += len;
		prober->request[prober->received] = '\0';
	} else {
		prober->drained += len;
	}
}

static void client_done(struct io_op *op, int result)
{
	struct prober *prober = list_entry(op, struct prober, op);

	if (op->kind == IO_RECV && op->recv.buf) {
		keep(prober, op->recv.buf, (size_t)result);
		buf_drop(&op->recv.buf->buf);
	}
	prober->returned = true;
	prober->result = result;
	prober_note(prober);
}

static void receive(struct prober *prober, size_t limit)
{
	prober->op = (struct io_op){.done = client_done, .kind = IO_RECV, .fd = prober->fd};
	prober->op.recv.pool = &prober->health->pool;
	prober->op.recv.limit = (uint32_t)limit;
	io_submit(prober->health->io, &prober->op);
}

static void send_answer(struct prober *prober)
{
	prober->op = (struct io_op){.done = client_done, .kind = IO_SEND, .fd = prober->fd};
	prober->op.send.iov = prober->iov;
	prober->op.send.count = 2;
	io_submit(prober->health->io, &prober->op);
}

/* What has been sent leaves the answer. True: that was all. */
static bool is_sent(struct prober *prober, size_t sent)
{
	for (size_t i = 0; i < 2; i++) {
		struct iovec *piece = &prober->iov[i];
		size_t part = sent < piece->iov_len ? sent : piece->iov_len;

		piece->iov_base = (char *)piece->iov_base + part;
		piece->iov_len -= part;
		sent -= part;
	}
	return prober->iov[0].iov_len + prober->iov[1].iov_len == 0;
}

/* --- the answer ------------------------------------------------------------------------------ */

static const char *phrase(unsigned status)
{
	switch (status) {
	case HTTP_OK:
		return "OK";
	case HTTP_BAD_REQUEST:
		return "Bad Request";
	case HTTP_NOT_FOUND:
		return "Not Found";
	case HTTP_METHOD_NOT_ALLOWED:
		return "Method Not Allowed";
	case HTTP_REQUEST_TIMEOUT:
		return "Request Timeout";
	case HTTP_HEADERS_TOO_LARGE:
		return "Request Header Fields Too Large";
	case HTTP_UNAVAILABLE:
		return "Service Unavailable";
	default:
		return "HTTP Version Not Supported";
	}
}

/*
 * The body is in its place. RFC 9110, section 15.5.6 wants Allow with a 405; section 9.3.2, a HEAD
 * answered like a GET.
 */
static void answer(struct prober *prober, unsigned status, const char *type, size_t body_len,
		   uint64_t now_ns)
{
	int len = snprintf(prober->header, sizeof(prober->header),
			   "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			   "Cache-Control: no-store\r\n%sConnection: close\r\n\r\n",
			   status, phrase(status), type, body_len,
			   status == HTTP_METHOD_NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "");

	CHECK(len > 0 && (size_t)len < sizeof(prober->header));
	prober->iov[0] = (struct iovec){.iov_base = prober->header, .iov_len = (size_t)len};
	prober->iov[1] = (struct iovec){.iov_base = prober->body};
	if (!prober->head)
		prober->iov[1].iov_len = body_len;
	prober_set_state(prober, PROBER_ANSWERING, now_ns + HEALTH_REQUEST_TIMEOUT_S * NS_PER_S);
	send_answer(prober);
}

void prober_answer(struct prober *prober, unsigned status, const char *text, uint64_t now_ns)
{
	size_t len = strlen(text);

	CHECK(len <= sizeof(prober->body));
	memcpy(prober->body, text, len);
	answer(prober, status, "text/plain; charset=utf-8", len, now_ns);
}

void prober_answer_body(struct prober *prober, const char *type, size_t len, uint64_t now_ns)
{
	answer(prober, HTTP_OK, type, len, now_ns);
}

void prober_ask(struct prober *prober, const struct probe *probe, uint64_t now_ns)
{
	prober_set_state(prober, PROBER_ASKING, now_ns + probe->timeout_ns);
	health_dial_start(&prober->dial, probe);
}

/* --- the states ------------------------------------------------------------------------------ */

static void request_received(struct prober *prober, uint64_t now_ns)
{
	struct request request = {0};
	unsigned status = request_parse(&request, prober->request);

	prober->head = request.head;
	if (status == HTTP_OK)
		health_route(prober, &request, now_ns);
	else
		prober_answer(prober, status, phrase(status), now_ns);
}

/* A client that hangs up before it has asked gets nothing; one that is slow is told. */
static void reading_returned(struct prober *prober, uint64_t now_ns)
{
	bool more = prober->result > 0 || prober->result == -ENOBUFS;

	if (request_complete(prober->request, prober->received))
		request_received(prober, now_ns);
	else if (prober->expired)
		prober_answer(prober, HTTP_REQUEST_TIMEOUT, "the request took too long", now_ns);
	else if (!more)
		prober_abandon(prober);
	else if (prober->received == HEALTH_REQUEST_MAX)
		prober_answer(prober, HTTP_HEADERS_TOO_LARGE, "accepted are up to 4096 bytes",
			      now_ns);
	else
		receive(prober, HEALTH_REQUEST_MAX - prober->received);
}

static void answer_returned(struct prober *prober, uint64_t now_ns)
{
	if (prober->result < 0) {
		prober_abandon(prober);
		return;
	}
	if (!is_sent(prober, (size_t)prober->result)) {
		send_answer(prober);
		return;
	}
	io_shutdown(prober->health->io, prober->fd);
	prober_set_state(prober, PROBER_DRAINING, now_ns + DRAIN_TIMEOUT_S * NS_PER_S);
	receive(prober, prober->health->pool.size);
}

static void drain_returned(struct prober *prober)
{
	bool more = prober->result > 0 || prober->result == -ENOBUFS;

	if (more && prober->drained < DRAIN_BYTES_MAX)
		receive(prober, prober->health->pool.size);
	else
		prober_abandon(prober);
}

static void verdict_returned(struct prober *prober, uint64_t now_ns)
{
	const struct health_dial *dial = &prober->dial;

	if (!dial->answered)
		return;
	if (dial->reason[0] == '\0')
		prober_answer(prober, HTTP_OK, "OK", now_ns);
	else
		prober_answer(prober, HTTP_UNAVAILABLE, dial->reason, now_ns);
}

static void expire(struct prober *prober, uint64_t now_ns)
{
	prober->deadline_ns = UINT64_MAX;
	if (prober->state == PROBER_READING) {
		prober->expired = true;
		io_cancel(prober->health->io, &prober->op);
	} else if (prober->state == PROBER_ASKING) {
		health_dial_abandon(&prober->dial);
		prober_answer(prober, HTTP_UNAVAILABLE, "target: no answer in time", now_ns);
	} else {
		prober->reset = true;
		prober_abandon(prober);
	}
}

static void returned(struct prober *prober, uint64_t now_ns)
{
	prober->returned = false;
	if (prober->state == PROBER_READING)
		reading_returned(prober, now_ns);
	else if (prober->state == PROBER_ANSWERING)
		answer_returned(prober, now_ns);
	else if (prober->state == PROBER_DRAINING)
		drain_returned(prober);
}

/* The deadline of READING begins here, for only a turn knows the time. */
void prober_step(struct prober *prober, uint64_t now_ns)
{
	if (prober->state == PROBER_READING && prober->deadline_ns == 0)
		prober->deadline_ns = now_ns + HEALTH_REQUEST_TIMEOUT_S * NS_PER_S;
	if (prober->returned)
		returned(prober, now_ns);
	if (prober->state == PROBER_ASKING) {
		health_dial_step(&prober->dial);
		verdict_returned(prober, now_ns);
	}
	if (now_ns >= prober->deadline_ns)
		expire(prober, now_ns);
}

void prober_init(struct prober *prober, struct health *health)
{
	prober->health = health;
	prober->fd = -1;
	prober->deadline_ns = UINT64_MAX;
	health_dial_init(&prober->dial, prober);
}

void prober_admit(struct prober *prober, int fd)
{
	prober->fd = fd;
	prober->returned = prober->expired = prober->reset = prober->head = false;
	prober->received = prober->drained = 0;
	prober_set_state(prober, PROBER_READING, 0);
	receive(prober, HEALTH_REQUEST_MAX);
	prober->health->dirty = true;
}
