// SPDX-License-Identifier: MIT
/*
 * Hosts that die with bytes on their way to them. The kernel sends no keep-alive while something is
 * unacknowledged, and sends that again for a quarter of an hour. So, some time after bytes have left,
 * it is asked how the peer stands (io_peer()): once if all was acknowledged, again and again while
 * something is owed or more was sent. Nobody who is sent nothing is asked about.
 */
#include "inside.h"

#include "base/log.h"
#include "base/time.h"

/* As long as keep-alives wait (io/socket.c); RFC 9293, section 3.8.3: at least 100 s. */
static const uint64_t silence_ns = 120 * NS_PER_S;

static void ask_later(struct relay_conn *conn)
{
	conn->sent = false;
	conn->asked_ns = conn->relay->now_ns;
	list_append(&conn->relay->owing, &conn->owing);
}

void owing_note(struct relay_conn *conn)
{
	if (conn->sent && list_empty(&conn->owing))
		ask_later(conn);
}

static void ask(struct relay_conn *conn)
{
	struct relay *relay = conn->relay;
	enum io_peer peer;

	if (conn->fd < 0)
		return;
	peer = io_peer(relay->config.io, conn->fd, silence_ns);
	if (peer == IO_PEER_SILENT) {
		log_debug("connection ended: the host does not acknowledge");
		relay->stats.timed_out[RELAY_TIMEOUT_HOST]++;
		conn_break(conn);
	} else if (peer == IO_PEER_OWES || conn->sent) {
		ask_later(conn);
	}
}

uint64_t owing_deadline(const struct relay *relay)
{
	if (list_empty(&relay->owing))
		return UINT64_MAX;
	return list_entry(relay->owing.next, struct relay_conn, owing)->asked_ns + silence_ns;
}

void owing_turn(struct relay *relay)
{
	while (owing_deadline(relay) <= relay->now_ns)
		ask(list_entry(list_pop(&relay->owing), struct relay_conn, owing));
}
