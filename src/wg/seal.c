// SPDX-License-Identifier: MIT
#include "core.h"
#include "inner.h"

#include <string.h>

enum { SEAL_BATCH = 64 };

/*
 * Padding hides a packet's exact length from whoever watches the tunnel. At the MTU it stops, since
 * the outer packet would no longer fit; a longer packet is our caller's affair and goes as it is.
 */
static size_t padded_len(const struct wg *wg, size_t len)
{
	size_t padded = (len + 15) / 16 * 16;

	if (padded > wg->mtu)
		padded = wg->mtu;
	return padded > len ? padded : len;
}

size_t wg_message_len(const struct wg *wg, size_t len)
{
	return WG_HEADER_LEN + padded_len(wg, len) + AEAD_TAG_LEN;
}

/* The header and the padding round an inner packet that is in place already. */
static struct aead_job frame(const struct wg *wg, struct session *session, uint8_t *message,
			     size_t len)
{
	struct message_data *header = (void *)message;
	uint8_t *text = message + sizeof(*header);
	size_t padded = padded_len(wg, len);

	le32_put(header->type, MESSAGE_DATA);
	le32_put(header->receiver, session->peer_index);
	le64_put(header->counter, session->send_counter);
	memset(text + len, 0, padded - len);
	return (struct aead_job){
		.data = text,
		.len = padded,
		.counter = session->send_counter++,
	};
}

/* Messages of the current session leave. */
static void note_sent(struct wg *wg, size_t bytes, uint64_t now_ns)
{
	const struct session *session = wg->sessions.current;

	wg->stats.tx_bytes += bytes;
	timers_packet_sent(&wg->timers, now_ns);
	if (now_ns >= session->rekey_on_send_ns || session->send_counter > REKEY_AFTER_MESSAGES)
		timers_handshake_wanted(&wg->timers, now_ns);
}

/* The destination is checked first: what may not go anywhere must not cause a handshake. */
static enum wg_tx_result admit(struct wg *wg, const struct wg_tx *packet, uint64_t now_ns)
{
	struct inner inner;

	if (!inner_parse(&inner, packet->message + WG_HEADER_LEN, packet->len) ||
	    !allowed_contains(&wg->allowed, inner.family, inner.destination)) {
		wg->stats.tx_not_allowed++;
		return WG_TX_NOT_ALLOWED;
	}
	if (sessions_sending(&wg->sessions, now_ns) == NULL) {
		wg->stats.tx_no_session++;
		timers_handshake_wanted(&wg->timers, now_ns);
		return WG_TX_NO_SESSION;
	}
	return WG_TX_SEALED;
}

static size_t seal_batch(struct wg *wg, struct wg_tx *packets, size_t count, uint64_t now_ns)
{
	struct aead_job jobs[SEAL_BATCH];
	size_t sealed = 0;
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		struct wg_tx *packet = &packets[i];

		packet->result = admit(wg, packet, now_ns);
		if (packet->result != WG_TX_SEALED)
			continue;
		jobs[sealed] = frame(wg, wg->sessions.current, packet->message, packet->len);
		packet->len = (uint32_t)(WG_HEADER_LEN + jobs[sealed].len + AEAD_TAG_LEN);
		bytes += packet->len;
		sealed++;
	}
	if (sealed == 0)
		return 0;
	aead_seal(&wg->sessions.current->send_key, jobs, sealed);
	wg->stats.tx_packets += sealed;
	note_sent(wg, bytes, now_ns);
	timers_data_sent(&wg->timers, now_ns);
	return sealed;
}

size_t wg_seal(struct wg *wg, struct wg_tx *packets, size_t count, uint64_t now_ns)
{
	size_t sealed = 0;

	for (size_t first = 0; first < count; first += SEAL_BATCH) {
		size_t rest = count - first;

		sealed += seal_batch(wg, packets + first, rest < SEAL_BATCH ? rest : SEAL_BATCH,
				     now_ns);
	}
	return sealed;
}

void wg_want_session(struct wg *wg, uint64_t now_ns)
{
	if (sessions_sending(&wg->sessions, now_ns) == NULL)
		timers_handshake_wanted(&wg->timers, now_ns);
}

void wg_seal_keepalive(struct wg *wg, uint64_t now_ns, struct wg_message *out)
{
	struct session *session = sessions_sending(&wg->sessions, now_ns);
	struct aead_job job;

	if (session == NULL) {
		timers_handshake_wanted(&wg->timers, now_ns);
		return;
	}
	job = frame(wg, session, out->data, 0);
	aead_seal(&session->send_key, &job, 1);
	out->len = WG_HEADER_LEN + AEAD_TAG_LEN;
	out->to = wg->endpoint;
	note_sent(wg, out->len, now_ns);
}
