// SPDX-License-Identifier: MIT
#include "stack_peer.h"

#include "base/buf.h"
#include "base/check.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* --- the wire -------------------------------------------------------------------------------- */

enum {
	IP_LEN = 20,
	TCP_LEN = 20,
	HEADERS_LEN = IP_LEN + TCP_LEN,
	SYN_OPTIONS_LEN = 12,
	SACK_KIND = 5,	/* RFC 2018, section 3 */
	SCALE_KIND = 3, /* RFC 7323, section 2.2 */
};

/* RFC 791 and RFC 9293, section 3.1, without options. */
struct headers {
	uint8_t version_and_len, tos;
	uint16_t total_len;
	uint32_t id_and_fragment;
	uint8_t ttl, protocol;
	uint16_t ip_sum;
	uint8_t from[4], to[4];
	uint16_t from_port, to_port;
	uint32_t seq, ack;
	uint8_t offset, flags;
	uint16_t window, sum, urgent;
};
static_assert(sizeof(struct headers) == HEADERS_LEN, "as on the wire");

static const uint8_t stack_ip[4] = {10, 0, 0, 1}, peer_ip[4] = {10, 0, 0, 2};

static void keep(struct buf *buf)
{
	(void)buf;
}

/* The bytes of a segment live longer than any reference to them. */
static struct buf home = {1, keep};

static uint8_t *take_room(void *ctx, size_t len)
{
	struct stack_peer *peer = ctx;

	CHECK(len <= sizeof(peer->room));
	return peer->no_room ? NULL : peer->room;
}

static void keep_heard(struct stack_peer *peer, const uint8_t *packet, size_t len)
{
	struct peer_packet *segment = &peer->heard[peer->packets++ % PEER_HEARD];
	struct headers headers;
	size_t header_len;

	memcpy(&headers, packet, sizeof(headers));
	header_len = (size_t)(headers.offset >> 4) * 4;
	*segment = (struct peer_packet){
		.port = peer->port,
		.flags = headers.flags,
		.seq = ntohl(headers.seq),
		.ack = ntohl(headers.ack),
		.window = ntohs(headers.window),
		.len = (uint16_t)(len - IP_LEN - header_len),
		.options_len = header_len - TCP_LEN,
	};
	memcpy(segment->options, packet + HEADERS_LEN, segment->options_len);
}

const struct peer_packet *peer_heard(const struct stack_peer *peer, uint64_t before)
{
	CHECK(before < peer->packets && before < PEER_HEARD);
	return &peer->heard[(peer->packets - 1 - before) % PEER_HEARD];
}

/* lwIP puts a SACK option behind two NOPs, and nothing else into an ACK. */
static void hear_sacks(struct peer_conn *conn, const uint8_t *options, size_t len)
{
	uint32_t edges[2];

	conn->sacks_count = 0;
	if (len < 4 || options[2] != SACK_KIND)
		return;
	for (size_t at = 4; at + sizeof(edges) <= len; at += sizeof(edges)) {
		memcpy(edges, options + at, sizeof(edges));
		conn->sacks[conn->sacks_count++] = (struct peer_sack){ntohl(edges[0]),
								      ntohl(edges[1])};
	}
}

/* Its options come behind NOPs (kind 1), which have no length. */
static uint8_t heard_scale(const uint8_t *options, size_t len)
{
	for (size_t at = 0; at + 2 < len; at += options[at] == 1 ? 1 : options[at + 1]) {
		if (options[at] == SCALE_KIND)
			return options[at + 2];
		CHECK(options[at] == 1 || options[at + 1] > 1);
	}
	return 0;
}

static void hear(void *ctx, uint8_t *packet, size_t len)
{
	struct stack_peer *peer = ctx;
	struct headers headers;
	struct peer_conn *conn;
	uint32_t end;

	memcpy(&headers, packet, sizeof(headers));
	peer->port = ntohs(headers.from_port);
	if (peer->port == PEER_PORT)
		peer->port = ntohs(headers.to_port);
	keep_heard(peer, packet, len);
	conn = &peer->conn[peer->port];
	end = ntohl(headers.seq) + peer_heard(peer, 0)->len +
	      (headers.flags & (PEER_SYN | PEER_FIN) ? 1 : 0);
	if (headers.flags & PEER_SYN || (int32_t)(end - conn->ack) > 0)
		conn->ack = end;
	if (headers.flags & PEER_ACK)
		conn->acked = ntohl(headers.ack);
	len = (size_t)(headers.offset >> 4) * 4 - TCP_LEN;
	if (headers.flags & PEER_SYN)
		conn->window_scale = heard_scale(packet + HEADERS_LEN, len);
	else
		hear_sacks(conn, packet + HEADERS_LEN, len);
	conn->window = (uint32_t)ntohs(headers.window)
		       << (headers.flags & PEER_SYN ? 0 : conn->window_scale);
	conn->heard |= headers.flags;
	conn->dialled = headers.to_port == htons(PEER_PORT);
}

static void make_random(void *ctx, void *out, size_t len)
{
	static uint64_t state = 0x2545f4914f6cdd1dULL;
	uint8_t *bytes = out;

	(void)ctx;
	for (size_t i = 0; i < len; i++) {
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		bytes[i] = (uint8_t)(state >> 56);
	}
}

/* --- the stack's owner ----------------------------------------------------------------------- */

static struct peer_end *new_end(struct stack_peer *peer)
{
	struct peer_end *end;

	do
		end = &peer->ends[peer->ends_count++ % PEER_ENDS_MAX];
	while (end->conn != NULL && !end->ended);
	*end = (struct peer_end){0};
	return end;
}

static void *on_accepted(void *ctx, struct stack_conn *conn, const struct addr *from)
{
	struct stack_peer *peer = ctx;
	struct peer_end *end = new_end(peer);

	end->conn = conn;
	end->connected = true;
	peer->end[from->port] = end;
	return end;
}

static void *on_offered(void *ctx, struct stack_conn *conn, const struct addr *from)
{
	struct stack_peer *peer = ctx;
	struct peer_end *end;

	peer->offered++;
	if (peer->refuses_offers)
		return NULL;
	end = on_accepted(ctx, conn, from);
	end->connected = false;
	return end;
}

static void on_connected(void *user)
{
	((struct peer_end *)user)->connected = true;
}

static bool on_data(void *user, const struct iovec *iov, int count)
{
	struct peer_end *end = user;

	for (int i = 0; i < count; i++) {
		if (end->expect != NULL &&
		    memcmp(end->expect + end->received, iov[i].iov_base, iov[i].iov_len) != 0)
			end->wrong = true;
		end->received += iov[i].iov_len;
	}
	return true;
}

static void on_acked(void *user, size_t len)
{
	((struct peer_end *)user)->acked += len;
}

static void on_fin(void *user)
{
	((struct peer_end *)user)->fin = true;
}

static void on_ended(void *user, enum stack_end how)
{
	struct peer_end *end = user;

	CHECK(!end->ended);
	end->ended = true;
	end->how = how;
}

static const struct stack_events events = {
	.accepted = on_accepted,
	.offered = on_offered,
	.connected = on_connected,
	.data = on_data,
	.acked = on_acked,
	.fin = on_fin,
	.ended = on_ended,
};

static void start_stack(struct stack_peer *peer, bool hold_syns, uint32_t conns_max)
{
	/* lwIP's clock outlives a stack: the next one in the same process goes on from there. */
	static uint64_t start_ns = 1000000000;
	struct stack_config config = {
		.addrs = {{.family = ADDR_V4, .ip = {10, 0, 0, 1}}},
		.addrs_count = 1,
		.mtu = HEADERS_LEN + PEER_MSS,
		.conns_max = conns_max,
		.hold_syns = hold_syns,
		.budget = &peer->budget,
		.events = &events,
		.events_ctx = peer,
		.room = take_room,
		.push = hear,
		.out_ctx = peer,
		.random = make_random,
	};

	peer->budget.limit = 256 << 20;
	peer->now_ns = start_ns;
	start_ns += 1000000000000000;
	peer->stack = stack_new(&config, peer->now_ns);
	CHECK(peer->stack != NULL && stack_listen(peer->stack, PEER_PORT) == 0);
}

void peer_init(struct stack_peer *peer, size_t conns)
{
	memset(peer, 0, sizeof(*peer));
	start_stack(peer, false, UINT32_MAX);
	for (size_t i = 0; i < conns; i++)
		peer_dial(peer, (uint16_t)(PEER_FIRST_PORT + i));
	CHECK(stack_stats(peer->stack)->conns == conns);
}

void peer_init_holding(struct stack_peer *peer, uint32_t conns_max)
{
	memset(peer, 0, sizeof(*peer));
	start_stack(peer, true, conns_max);
}

void peer_fini(struct stack_peer *peer)
{
	stack_free(peer->stack);
}

/* --- the peer -------------------------------------------------------------------------------- */

/*
 * Maximum segment size, window scale, SACK permitted (RFC 9293, section 3.2; RFC 7323, section 2.2;
 * RFC 2018, section 2).
 */
static void put_syn_options(uint8_t *options, bool sack)
{
	const uint8_t bytes[SYN_OPTIONS_LEN] = {
		2, 4, PEER_MSS >> 8, PEER_MSS & 0xff, 1, 3, 3, PEER_WINDOW_SCALE,
		1, 1, sack ? 4 : 1,  sack ? 2 : 1};

	memcpy(options, bytes, sizeof(bytes));
}

/* Writes the segment into `room`; behind its headers lie any bytes. */
static struct dgram write_segment(const struct stack_peer *peer, const struct peer_packet *segment,
				  uint8_t *room)
{
	bool dialled = peer->conn[segment->port].dialled;
	size_t len = HEADERS_LEN + segment->options_len + segment->len;
	struct headers headers = {
		.version_and_len = 0x45,
		.total_len = htons((uint16_t)len),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
		.from_port = htons(dialled ? PEER_PORT : segment->port),
		.to_port = htons(dialled ? segment->port : PEER_PORT),
		.seq = htonl(segment->seq),
		.ack = htonl(segment->ack),
		.offset = (uint8_t)((TCP_LEN + segment->options_len) / 4 << 4),
		.flags = segment->flags,
		.window = htons(segment->window),
	};

	memcpy(headers.from, peer_ip, sizeof(peer_ip));
	memcpy(headers.to, stack_ip, sizeof(stack_ip));
	memcpy(room, &headers, sizeof(headers));
	memcpy(room + HEADERS_LEN, segment->options, segment->options_len);
	return (struct dgram){.data = room, .len = (uint32_t)len, .home = &home};
}

struct dgram peer_segment(struct stack_peer *peer, uint16_t port, uint8_t flags, size_t len,
			  uint8_t *room)
{
	struct peer_conn *conn = &peer->conn[port];
	struct peer_packet segment = {
		.port = port,
		.flags = flags,
		.seq = conn->seq,
		.ack = flags & PEER_ACK ? conn->ack : 0,
		.window = conn->is_full ? 0 : UINT16_MAX,
		.len = (uint16_t)len,
		.options_len = flags & PEER_SYN ? SYN_OPTIONS_LEN : 0,
	};

	put_syn_options(segment.options, peer->sack);
	conn->seq += (uint32_t)len + (flags & (PEER_SYN | PEER_FIN) ? 1 : 0);
	return write_segment(peer, &segment, room);
}

/* Without payload, the packet lies in memory of its own: sanitizers see whoever reads beyond. */
void peer_say(struct stack_peer *peer, const struct peer_packet *segment)
{
	size_t len = HEADERS_LEN + segment->options_len + segment->len;
	uint8_t *room = calloc(1, len);
	struct dgram dgram;

	CHECK(room != NULL);
	dgram = write_segment(peer, segment, room);
	stack_input(peer->stack, &dgram, 1, segment->len == 0);
	free(room);
}

void peer_send(struct stack_peer *peer, uint16_t port, uint8_t flags, size_t len)
{
	static uint8_t room[65536];
	struct dgram dgram = peer_segment(peer, port, flags, len, room);

	stack_input(peer->stack, &dgram, 1, false);
}

void peer_dial(struct stack_peer *peer, uint16_t port)
{
	peer->conn[port] = (struct peer_conn){.seq = port};
	peer_send(peer, port, PEER_SYN, 0);
	peer_send(peer, port, PEER_ACK, 0);
}

int peer_connect(struct stack_peer *peer, uint16_t to_port)
{
	const struct addr to = {.family = ADDR_V4, .ip = {10, 0, 0, 2}, .port = to_port};
	struct peer_end *end = new_end(peer);
	int error = 0;

	end->conn = stack_connect(peer->stack, &to, end, &error);
	if (end->conn == NULL)
		return error;
	peer->end[peer->port] = end;
	return 0;
}

void peer_answer(struct stack_peer *peer, uint16_t port)
{
	CHECK(peer->conn[port].dialled);
	peer_send(peer, port, PEER_SYN | PEER_ACK, 0);
}

void peer_close(struct stack_peer *peer, uint16_t port)
{
	peer_send(peer, port, PEER_ACK | PEER_FIN, 0);
	stack_shutdown(peer->end[port]->conn);
	peer_send(peer, port, PEER_ACK, 0);
}

void peer_close_by_stack(struct stack_peer *peer, uint16_t port)
{
	stack_shutdown(peer->end[port]->conn);
	peer_send(peer, port, PEER_ACK | PEER_FIN, 0);
}

void peer_turn(struct stack_peer *peer, uint64_t ns)
{
	peer->now_ns += ns;
	stack_advance(peer->stack, peer->now_ns);
	stack_turn(peer->stack);
}

size_t peer_sleep(struct stack_peer *peer, uint64_t until_ns)
{
	size_t turns = 0;

	for (; peer->now_ns < until_ns; turns++) {
		uint64_t next_ns = stack_deadline(peer->stack);

		next_ns = next_ns < until_ns ? next_ns : until_ns;
		peer_turn(peer, next_ns > peer->now_ns ? next_ns - peer->now_ns : 0);
	}
	return turns;
}
