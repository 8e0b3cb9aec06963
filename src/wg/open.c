// SPDX-License-Identifier: MIT
#include "core.h"
#include "inner.h"

#include <string.h>

/*
 * Theory of operation.
 *
 * A batch goes through three passes. The first reads headers and finds the session of each data
 * message; the second authenticates and decrypts, one call per run of messages under one key, which
 * is where the time goes; the third takes the messages strictly in their order, since each may
 * change what the next one means. A drop in one pass is final for the others. No session ends in
 * here (session.c says why), so what the first pass has found still holds in the third.
 *
 * The order of checks is the protocol's (paper, section 5.4.6): length and type, index, age and
 * counter limit, authenticity, replay; then the message is the peer's word and moves endpoint,
 * timers and keys; then the inner packet's own header, which says how much of the padded text is
 * meant, and the allowed source.
 */

enum {
	OPEN_BATCH = 64,
	MESSAGE_LEN_MAX = 65535, /* of a UDP datagram */
	/* What one peer in trouble never fills; the rest is for who proves its address. */
	LOAD_DEPTH = QUEUE_MAX / 4,
};

/* Linux, receive.c: load outlasts its cause, or a flood would get LOAD_DEPTH handshakes a turn. */
#define LOAD_LINGERS NS_PER_S

struct batch {
	struct aead_job jobs[OPEN_BATCH];
	struct session *sessions[OPEN_BATCH]; /* of each job */
	size_t count;
};

static bool under_load(struct wg *wg, uint64_t now_ns)
{
	if (wg->handshakes.count + wg->unproven.count >= LOAD_DEPTH)
		wg->load_until_ns = now_ns + LOAD_LINGERS;
	return now_ns < wg->load_until_ns;
}

static enum wg_verdict take_handshake(struct wg *wg, const struct dgram *dgram, uint64_t now_ns)
{
	const struct message_response *response = (const void *)dgram->data;
	bool answers = le32_get(response->type) == MESSAGE_RESPONSE;
	struct queue *queue = &wg->handshakes;

	if (!cookie_check_mac1(&wg->checker, dgram))
		return WG_DROP_MAC;
	if (answers && !noise_expects(&wg->noise, le32_get(response->receiver)))
		return WG_DROP_HANDSHAKE;
	if (under_load(wg, now_ns)) {
		if (!cookie_check_mac2(&wg->checker, dgram, now_ns))
			queue = &wg->unproven;
		else if (!answers &&
			 !cookie_allow_source(&wg->checker, dgram->from, &wg->endpoint, now_ns))
			return WG_DROP_LOAD;
	}
	return queue_push(queue, dgram) ? WG_CONTROL : WG_DROP_LOAD;
}

/* Never moves the endpoint: a cookie reply does not prove that the peer sent it. */
static enum wg_verdict take_cookie(struct wg *wg, const struct dgram *dgram, uint64_t now_ns)
{
	const struct message_cookie_reply *reply = (const void *)dgram->data;

	if (!cookie_jar_accept(&wg->jar, reply, now_ns))
		return WG_DROP_HANDSHAKE;
	wg->stats.cookies_received++;
	return WG_CONTROL;
}

/* First pass, one data message. WG_DATA: it has become a job of the batch. */
static enum wg_verdict add_data(struct wg *wg, struct batch *batch, const struct dgram *dgram,
				uint64_t now_ns)
{
	const struct message_data *header = (const void *)dgram->data;
	struct session *session;
	uint64_t counter;

	if (dgram->len < WG_HEADER_LEN + AEAD_TAG_LEN || dgram->len > MESSAGE_LEN_MAX)
		return WG_DROP_LENGTH;
	session = sessions_find(&wg->sessions, le32_get(header->receiver));
	if (session == NULL)
		return WG_DROP_INDEX;
	counter = le64_get(header->counter);
	if (now_ns >= session->reject_ns || counter >= REJECT_AFTER_MESSAGES)
		return WG_DROP_EXPIRED;
	batch->sessions[batch->count] = session;
	batch->jobs[batch->count++] = (struct aead_job){
		.data = dgram->data + WG_HEADER_LEN,
		.len = dgram->len - WG_HEADER_LEN - AEAD_TAG_LEN,
		.counter = counter,
	};
	return WG_DATA;
}

static enum wg_verdict first_pass(struct wg *wg, struct batch *batch, const struct dgram *dgram,
				  uint64_t now_ns)
{
	enum message_type type;

	if (dgram->len < sizeof(type))
		return WG_DROP_LENGTH;
	type = le32_get(dgram->data);
	switch (type) {
	case MESSAGE_DATA:
		return add_data(wg, batch, dgram, now_ns);
	case MESSAGE_INITIATION:
		return dgram->len == sizeof(struct message_initiation) ? WG_CONTROL
								       : WG_DROP_LENGTH;
	case MESSAGE_RESPONSE:
		return dgram->len == sizeof(struct message_response) ? WG_CONTROL : WG_DROP_LENGTH;
	case MESSAGE_COOKIE_REPLY:
		return dgram->len == sizeof(struct message_cookie_reply) ? WG_CONTROL
									 : WG_DROP_LENGTH;
	}
	return WG_DROP_TYPE;
}

static void second_pass(struct batch *batch)
{
	size_t end;

	for (size_t first = 0; first < batch->count; first = end) {
		struct session *session = batch->sessions[first];

		end = first + 1;
		while (end < batch->count && batch->sessions[end] == session)
			end++;
		aead_open(&session->receive_key, batch->jobs + first, end - first);
	}
}

/* Leaves the inner packet in the datagram. */
static enum wg_verdict deliver(struct wg *wg, struct dgram *dgram, const struct aead_job *job)
{
	struct inner inner;

	if (!inner_parse(&inner, job->data, job->len))
		return WG_DROP_INNER;
	if (!allowed_contains(&wg->allowed, inner.family, inner.source))
		return WG_DROP_SOURCE;
	dgram->data = job->data;
	dgram->len = inner.len;
	wg->stats.rx_packets++;
	return WG_DATA;
}

static void confirm_next(struct wg *wg, uint64_t now_ns)
{
	bool rekey = sessions_sending(&wg->sessions, now_ns) != NULL;

	sessions_confirmed(&wg->sessions);
	wg_note_complete(wg, rekey, now_ns);
}

/* Who only receives would notice the end of the session too late. Once per session. */
static void keep_key_fresh(struct wg *wg, uint64_t now_ns)
{
	struct session *session = wg->sessions.current;

	if (session == NULL || now_ns < session->rekey_on_receive_ns)
		return;
	session->rekey_on_receive_ns = NEVER;
	timers_handshake_wanted(&wg->timers, now_ns);
}

static enum wg_verdict accept_data(struct wg *wg, struct dgram *dgram, const struct aead_job *job,
				   struct session *session, uint64_t now_ns)
{
	if (!job->ok)
		return WG_DROP_AUTH;
	if (!replay_accept(&session->replay, job->counter))
		return WG_DROP_REPLAY;
	/* Only now: a replayed datagram must not move the endpoint. */
	wg_note_received(wg, dgram->from, dgram->len, now_ns);
	if (session == wg->sessions.next)
		confirm_next(wg, now_ns);
	keep_key_fresh(wg, now_ns);
	if (job->len == 0)
		return WG_KEEPALIVE;
	timers_data_received(&wg->timers, now_ns);
	return deliver(wg, dgram, job);
}

/* Third pass, messages that carry no data and have the right length. */
static enum wg_verdict accept_control(struct wg *wg, const struct dgram *dgram, uint64_t now_ns)
{
	if (le32_get(dgram->data) == MESSAGE_COOKIE_REPLY)
		return take_cookie(wg, dgram, now_ns);
	return take_handshake(wg, dgram, now_ns);
}

static size_t open_batch(struct wg *wg, struct dgram *dgrams, size_t count, uint64_t now_ns)
{
	struct batch batch;
	size_t job = 0;
	size_t data = 0;

	batch.count = 0;
	for (size_t i = 0; i < count; i++)
		dgrams[i].verdict = first_pass(wg, &batch, &dgrams[i], now_ns);
	second_pass(&batch);
	for (size_t i = 0; i < count; i++) {
		struct dgram *dgram = &dgrams[i];

		if (dgram->verdict == WG_DATA) {
			dgram->verdict = accept_data(wg, dgram, &batch.jobs[job],
						     batch.sessions[job], now_ns);
			job++;
		} else if (dgram->verdict == WG_CONTROL) {
			dgram->verdict = accept_control(wg, dgram, now_ns);
		}
		data += dgram->verdict == WG_DATA;
		wg->stats.verdicts[dgram->verdict]++;
	}
	return data;
}

size_t wg_open(struct wg *wg, struct dgram *dgrams, size_t count, uint64_t now_ns)
{
	size_t data = 0;

	for (size_t first = 0; first < count; first += OPEN_BATCH) {
		size_t rest = count - first;

		data += open_batch(wg, dgrams + first, rest < OPEN_BATCH ? rest : OPEN_BATCH,
				   now_ns);
	}
	return data;
}
