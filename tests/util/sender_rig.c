// SPDX-License-Identifier: MIT
#include "sender_rig.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/time.h"

#include "stack_pair.h"

#include <arpa/inet.h>
#include <string.h>

enum {
	IP_LEN = 20,
	TCP_LEN = 20,
	HEADERS_LEN = IP_LEN + TCP_LEN,
	PORT = 80,
	WINDOW_SCALE = 11,
	FIN = 1,
	SYN = 2,
	RST = 4,
	ACK = 16,
	SACKS_MAX = 4,
};
static const uint64_t ack_delay_ns = 40 * NS_PER_MS;

static uint8_t stream[1 << 20]; /* any content */

/* --- packets -------------------------------------------------------------------------------------- */

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static uint16_t stack_port; /* what the stack dials from */

/* Options are written by the caller behind the headers; returns the whole length. */
static size_t put_headers(struct rig *rig, uint8_t *packet, uint8_t flags, uint32_t ack,
			  size_t options_len)
{
	const uint8_t ip[IP_LEN] = {0x45, 0, 0,	 0, 0, 0, 0,  0, 64, 6,
				    0,	  0, 10, 0, 0, 2, 10, 0, 0,  1};
	size_t len = HEADERS_LEN + options_len;
	uint32_t window = flags & SYN ? UINT16_MAX : rig->window >> WINDOW_SCALE;

	memcpy(packet, ip, IP_LEN);
	memset(packet + IP_LEN, 0, TCP_LEN);
	put16(packet + 2, (uint32_t)len);
	put16(packet + 20, PORT);
	put16(packet + 22, stack_port);
	put32(packet + 24, rig->peer_seq);
	put32(packet + 28, ack);
	packet[32] = (uint8_t)((TCP_LEN + options_len) / 4 << 4);
	packet[33] = flags;
	put16(packet + 34, window);
	return len;
}

static void keep(struct buf *buf)
{
	(void)buf;
}

static struct buf home = {1, keep};

static void give(struct rig *rig, uint8_t *packet, size_t len)
{
	struct dgram dgram = {.data = packet, .len = (uint32_t)len, .home = &home};

	stack_input(rig->stack, &dgram, 1, false);
}

/* --- what is on its way ----------------------------------------------------------------------------- */

static bool is_before(const struct rig_event *a, const struct rig_event *b)
{
	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void swap_events(struct rig *rig, size_t a, size_t b)
{
	struct rig_event event = rig->event[a];

	rig->event[a] = rig->event[b];
	rig->event[b] = event;
}

/* A heap: the earliest is the first. */
static void add_event(struct rig *rig, const struct rig_event *event)
{
	size_t at = rig->events++;

	CHECK(rig->events <= RIG_EVENTS_MAX);
	rig->event[at] = *event;
	rig->event[at].order = rig->order++;
	for (; at > 0 && is_before(&rig->event[at], &rig->event[(at - 1) / 2]); at = (at - 1) / 2)
		swap_events(rig, at, (at - 1) / 2);
}

static struct rig_event take_event(struct rig *rig)
{
	struct rig_event first = rig->event[0];
	size_t at = 0;

	rig->event[0] = rig->event[--rig->events];
	for (;;) {
		size_t least = 2 * at + 1;

		if (least + 1 < rig->events &&
		    is_before(&rig->event[least + 1], &rig->event[least]))
			least++;
		if (least >= rig->events || !is_before(&rig->event[least], &rig->event[at]))
			return first;
		swap_events(rig, at, least);
		at = least;
	}
}

static bool chance(struct rig *rig, uint32_t ppm)
{
	return ppm > 0 && pair_random(&rig->seed) % 1000000 < ppm;
}

/* When it leaves the bottleneck; 0: the queue is full. */
static uint64_t through_queue_ns(struct rig *rig, uint32_t len)
{
	uint64_t from_ns = rig->path_free_ns > rig->now_ns ? rig->path_free_ns : rig->now_ns;

	if (rig->rate == 0)
		return rig->now_ns;
	if ((from_ns - rig->now_ns) * rig->rate / NS_PER_S > rig->queue_bytes)
		return 0;
	rig->path_free_ns = from_ns + (len + HEADERS_LEN) * NS_PER_S / rig->rate;
	return rig->path_free_ns;
}

/* --- the stack's output ------------------------------------------------------------------------------ */

static uint32_t count_before(const struct rig *rig, uint32_t offset)
{
	uint32_t times = 0;

	if (offset >= rig->sent_high)
		return 0;
	for (size_t i = rig->sends; i-- > 0 && times == 0;) {
		const struct rig_send *send = &rig->send[i];

		if (send->offset <= offset && offset < send->offset + send->len)
			times = send->times + 1;
	}
	return times;
}

static void carry(struct rig *rig, uint32_t offset, uint32_t len)
{
	struct rig_event event = {.offset = offset, .len = len};
	struct rig_send *send = &rig->send[rig->sends];
	uint64_t left_ns;

	CHECK(rig->sends < RIG_SENDS_MAX);
	*send = (struct rig_send){.at_ns = rig->now_ns - rig->start_ns,
				  .offset = offset,
				  .len = len,
				  .times = count_before(rig, offset)};
	rig->sends++;
	if (offset + len > rig->sent_high)
		rig->sent_high = offset + len;
	if (rig->sent_high - rig->received > rig->flight_high)
		rig->flight_high = rig->sent_high - rig->received;
	send->lost = rig->deaf || chance(rig, rig->loss_ppm) ||
		     (rig->loses && rig->loses(rig, send));
	left_ns = send->lost ? 0 : through_queue_ns(rig, len);
	send->lost = left_ns == 0;
	if (send->lost)
		return;
	event.at_ns = left_ns + rig->delay_ns + (chance(rig, rig->late_ppm) ? rig->late_ns : 0);
	add_event(rig, &event);
}

static uint8_t *take_room(void *ctx, size_t len)
{
	struct rig *rig = ctx;

	CHECK(len <= sizeof(rig->room));
	return rig->room;
}

static void hear(void *ctx, uint8_t *packet, size_t len)
{
	struct rig *rig = ctx;
	size_t headers_len = IP_LEN + (size_t)(packet[32] >> 4) * 4;
	uint32_t seq = get32(packet + 24);

	stack_port = get16(packet + 20);
	if (packet[33] & SYN)
		rig->isn = seq + 1;
	else if (len > headers_len)
		carry(rig, seq - rig->isn, (uint32_t)(len - headers_len));
}

static void make_random(void *ctx, void *out, size_t len)
{
	static uint64_t seed = 88172645463325252ULL;
	uint8_t *bytes = out;

	(void)ctx;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(pair_random(&seed) >> 32);
}

/* --- the receiver ----------------------------------------------------------------------------------- */

static size_t put_sacks(uint8_t *options, const uint32_t *sacks, int count, uint32_t isn)
{
	if (count == 0)
		return 0;
	options[0] = options[1] = 1;
	options[2] = 5;
	options[3] = (uint8_t)(2 + 4 * count);
	for (int i = 0; i < count; i++)
		put32(options + 4 + 4 * i, isn + sacks[i]);
	return 4 + 4 * (size_t)count;
}

void rig_ack(struct rig *rig, uint32_t offset, const uint32_t *sacks, int count)
{
	uint8_t packet[128];
	size_t options_len = put_sacks(packet + HEADERS_LEN, sacks, count, rig->isn);

	give(rig, packet, put_headers(rig, packet, ACK, rig->isn + offset, options_len));
	stack_turn(rig->stack);
}

/* The duplicate, then ranges by age, the newest first. */
static int choose_sacks(struct rig *rig, uint32_t *sacks)
{
	uint32_t before = UINT32_MAX;
	int count = 0;

	if (rig->no_sack)
		return 0;
	if (rig->dsack_pending && !rig->no_dsack) {
		sacks[count++] = rig->dsack_from;
		sacks[count++] = rig->dsack_to;
	}
	while (count < 2 * SACKS_MAX) {
		const struct rig_range *next = NULL;

		for (size_t i = 0; i < rig->ranges; i++) {
			if (rig->range[i].stamp < before &&
			    (next == NULL || rig->range[i].stamp > next->stamp))
				next = &rig->range[i];
		}
		if (next == NULL)
			break;
		before = next->stamp;
		sacks[count++] = next->from;
		sacks[count++] = next->to;
	}
	return count;
}

static void send_ack(struct rig *rig)
{
	uint32_t sacks[2 * SACKS_MAX + 2];
	int count = choose_sacks(rig, sacks);
	struct rig_event event = {.at_ns = rig->now_ns + rig->delay_ns};
	uint8_t packet[128];
	size_t options_len = put_sacks(packet + HEADERS_LEN, sacks, count, rig->isn);

	event.ack_len = (uint8_t)put_headers(rig, packet, ACK, rig->isn + rig->received,
					     options_len);
	CHECK(event.ack_len <= RIG_ACK_LEN_MAX);
	memcpy(event.ack, packet, event.ack_len);
	add_event(rig, &event);
	rig->acks++;
	rig->unacked_segments = 0;
	rig->ack_due_ns = UINT64_MAX;
	rig->dsack_pending = false;
}

static bool is_known(const struct rig *rig, uint32_t from, uint32_t to)
{
	if (to <= rig->received)
		return true;
	for (size_t i = 0; i < rig->ranges; i++) {
		if (rig->range[i].from <= from && to <= rig->range[i].to)
			return true;
	}
	return false;
}

/* Joins what it touches; the rest stays as it is. */
static void add_range(struct rig *rig, uint32_t from, uint32_t to)
{
	size_t kept = 0;

	for (size_t i = 0; i < rig->ranges; i++) {
		struct rig_range range = rig->range[i];

		if (range.to < from || range.from > to) {
			rig->range[kept++] = range;
			continue;
		}
		from = range.from < from ? range.from : from;
		to = range.to > to ? range.to : to;
	}
	CHECK(kept < RIG_RANGES_MAX);
	rig->range[kept++] = (struct rig_range){from, to, ++rig->stamp};
	rig->ranges = kept;
}

static void take_in_order(struct rig *rig)
{
	uint32_t before = rig->received;

	for (size_t i = 0; i < rig->ranges;) {
		if (rig->range[i].from > rig->received) {
			i++;
			continue;
		}
		if (rig->range[i].to > rig->received)
			rig->received = rig->range[i].to;
		rig->range[i] = rig->range[--rig->ranges];
		i = 0;
	}
	if (rig->received > before) {
		if (rig->now_ns - rig->progress_ns > rig->longest_gap_ns)
			rig->longest_gap_ns = rig->now_ns - rig->progress_ns;
		rig->progress_ns = rig->now_ns;
	}
	if (rig->received == rig->to_write && rig->done_ns == 0)
		rig->done_ns = rig->now_ns - rig->start_ns;
}

static void receive(struct rig *rig, uint32_t from, uint32_t to)
{
	bool at_once = rig->ranges > 0 || from != rig->received;

	if (is_known(rig, from, to)) {
		rig->duplicates++;
		rig->dsack_pending = true;
		rig->dsack_from = from;
		rig->dsack_to = to;
		send_ack(rig);
		return;
	}
	add_range(rig, from < rig->received ? rig->received : from, to);
	take_in_order(rig);
	if (rig->unacked_segments++ == 0)
		rig->ack_due_ns = rig->now_ns + ack_delay_ns;
	if (at_once || rig->unacked_segments >= rig->ack_every)
		send_ack(rig);
}

/* --- the stack's owner ------------------------------------------------------------------------------ */

static void *on_accepted(void *ctx, struct stack_conn *conn, const struct addr *from)
{
	(void)conn;
	(void)from;
	return ctx;
}

static void on_connected(void *user)
{
	((struct rig *)user)->connected = true;
}

static bool on_data(void *user, const struct iovec *iov, int count)
{
	(void)user;
	(void)iov;
	(void)count;
	return true;
}

static void on_acked(void *user, size_t len)
{
	((struct rig *)user)->acked += (uint32_t)len;
}

static void on_fin(void *user)
{
	(void)user;
}

static void on_ended(void *user, enum stack_end how)
{
	(void)how;
	((struct rig *)user)->ended = true;
}

static const struct stack_events events = {
	.accepted = on_accepted,
	.connected = on_connected,
	.data = on_data,
	.acked = on_acked,
	.fin = on_fin,
	.ended = on_ended,
};

/* --- running ------------------------------------------------------------------------------------------ */

void rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	rig->delay_ns = 10 * NS_PER_MS;
	rig->window = 64 << 20;
	rig->ack_every = 2;
	rig->seed = 1;
	rig->ack_due_ns = UINT64_MAX;
}

void rig_connect(struct rig *rig)
{
	/* lwIP's clock outlives a stack: the next one in the same process goes on from there. */
	static uint64_t start_ns = NS_PER_S;
	const struct stack_config config = {
		.addrs = {{.family = ADDR_V4, .ip = {10, 0, 0, 1}}},
		.addrs_count = 1,
		.mtu = HEADERS_LEN + RIG_MSS,
		.congestion = rig->congestion,
		.conns_max = 10,
		.budget = &rig->budget,
		.events = &events,
		.events_ctx = rig,
		.room = take_room,
		.push = hear,
		.out_ctx = rig,
		.random = make_random,
	};
	const struct addr to = {.family = ADDR_V4, .ip = {10, 0, 0, 2}, .port = PORT};
	uint8_t syn[64];
	const uint8_t options[] = {2, 4, RIG_MSS >> 8, RIG_MSS & 0xff, 1, 3, 3, WINDOW_SCALE, 1, 1,
				   4, 2};
	size_t options_len = rig->no_sack ? 8 : sizeof(options);
	int error;

	rig->budget.limit = 1 << 30;
	rig->start_ns = rig->now_ns = start_ns;
	start_ns += 1000000 * NS_PER_S;
	rig->stack = stack_new(&config, rig->now_ns);
	rig->conn = stack_connect(rig->stack, &to, rig, &error);
	CHECK(rig->conn != NULL);
	rig_wait(rig, 2 * rig->delay_ns);
	memcpy(syn + HEADERS_LEN, options, options_len);
	give(rig, syn, put_headers(rig, syn, SYN | ACK, rig->isn, options_len));
	rig->peer_seq++;
	stack_turn(rig->stack);
	CHECK(rig->connected);
	rig->start_ns = rig->now_ns;
}

void rig_fini(struct rig *rig)
{
	stack_free(rig->stack);
	CHECK(rig->budget.used == 0);
}

static void pump(struct rig *rig)
{
	while (!rig->ended && rig->written < rig->to_write) {
		size_t at = rig->written % sizeof(stream), len = rig->to_write - rig->written;
		size_t taken;

		if (len > sizeof(stream) - at)
			len = sizeof(stream) - at;
		taken = stack_write(rig->conn, stream + at, len);
		rig->written += (uint32_t)taken;
		if (taken == 0)
			break;
	}
}

void rig_write(struct rig *rig, uint32_t bytes)
{
	if (rig->received == rig->to_write)
		rig->progress_ns = rig->now_ns;
	rig->to_write += bytes;
	rig->done_ns = 0;
	stack_had_nothing(rig->conn);
	pump(rig);
	stack_turn(rig->stack);
}

static uint64_t next_ns(const struct rig *rig)
{
	uint64_t next = stack_deadline(rig->stack);

	if (rig->ack_due_ns < next)
		next = rig->ack_due_ns;
	if (rig->events > 0 && rig->event[0].at_ns < next)
		next = rig->event[0].at_ns;
	return next > rig->now_ns ? next : rig->now_ns;
}

/* What is due now: arrivals, in the order in which they come, and a late ACK. */
static void arrive(struct rig *rig)
{
	while (rig->events > 0 && rig->event[0].at_ns <= rig->now_ns) {
		struct rig_event event = take_event(rig);

		if (event.ack_len > 0)
			give(rig, event.ack, event.ack_len);
		else
			receive(rig, event.offset, event.offset + event.len);
	}
	if (rig->ack_due_ns <= rig->now_ns)
		send_ack(rig);
}

static bool go_on(struct rig *rig, uint64_t until_ns, bool until_done)
{
	for (;;) {
		uint64_t next = next_ns(rig);

		if (next > until_ns)
			break;
		rig->now_ns = next;
		stack_advance(rig->stack, rig->now_ns);
		arrive(rig);
		pump(rig);
		stack_turn(rig->stack);
		if (until_done && rig->done_ns != 0)
			return true;
	}
	rig->now_ns = until_ns;
	stack_advance(rig->stack, rig->now_ns);
	return rig->done_ns != 0;
}

bool rig_run(struct rig *rig, uint64_t for_ns)
{
	return go_on(rig, rig->now_ns + for_ns, true);
}

void rig_wait(struct rig *rig, uint64_t for_ns)
{
	go_on(rig, rig->now_ns + for_ns, false);
}

size_t rig_again(const struct rig *rig)
{
	size_t again = 0;

	for (size_t i = 0; i < rig->sends; i++)
		again += rig->send[i].times > 0;
	return again;
}

double rig_goodput(const struct rig *rig)
{
	return (double)rig->received * NS_PER_S / (double)(rig->now_ns - rig->start_ns);
}
