// SPDX-License-Identifier: MIT
#include "wg_net.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_MAX = 200, DATA_MARK = 20, BATCH = 32 };

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t wg_net_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void side_random(void *ctx, void *out, size_t len)
{
	struct wg_side *side = ctx;
	uint8_t *bytes = out;

	while (len-- > 0)
		*bytes++ = (uint8_t)wg_net_random(&side->random);
}

static void side_init(struct wg_side *side, struct wg_net *net, struct wg_side *other, uint8_t n)
{
	side->net = net;
	side->other = other;
	side->random = net->random + n;
	side->addr = (struct addr){.family = ADDR_V4, .ip = {192, 0, 2, n}, .port = 51820};
	memcpy(side->inner, (uint8_t[]){10, 0, 0, n}, sizeof(side->inner));
}

static void side_start(struct wg_side *side, const struct wg_net_options *options, int which)
{
	struct wg_env env = {.random = side_random, .ctx = side};
	struct wg_config config = {.keepalive_s = options->keepalive_s[which], .mtu = 1420};
	uint8_t other_private[32] = {side->other->inner[3]};
	bool knows = which == 0 ? !options->a_lacks_endpoint : options->b_has_endpoint;

	config.private_key[0] = side->inner[3];
	config.preshared_key[7] = options->psk[which];
	crypto_clamp(config.private_key);
	crypto_clamp(other_private);
	/* Clamping clears the low bits: tell the two keys apart above them. */
	config.private_key[1] = side->inner[3];
	other_private[1] = side->other->inner[3];
	crypto_public_key(config.peer_public_key, other_private);
	config.allowed[0] = (struct cidr){.family = ADDR_V4, .bits = 32};
	memcpy(config.allowed[0].ip, side->other->inner, 4);
	config.allowed[1] = (struct cidr){.family = ADDR_V6, .bits = 16, .ip = {0xfd, 0x42}};
	config.allowed_count = 2;
	if (knows)
		config.endpoint = side->other->addr;
	side->wg = crypto_secret_alloc(wg_size());
	cr_assert(side->wg);
	cr_assert_eq(wg_init(side->wg, &config, &env, side->net->now_ns), 0);
}

struct wg_net *wg_net_new(const struct wg_net_options *options)
{
	static const struct wg_net_options none;
	struct wg_net *net = calloc(1, sizeof(*net));

	options = options ? options : &none;
	cr_assert(net && crypto_init() && aead_init("libsodium"));
	net->now_ns = 1000 * NS_PER_S;
	net->wall_ns = UINT64_C(1700000000) * NS_PER_S;
	net->random = options->seed * 1000;
	net->check_data = true;
	side_init(&net->a, net, &net->b, 1);
	side_init(&net->b, net, &net->a, 2);
	side_start(&net->a, options, 0);
	side_start(&net->b, options, 1);
	return net;
}

void wg_net_free(struct wg_net *net)
{
	crypto_secret_free(net->a.wg, wg_size());
	crypto_secret_free(net->b.wg, wg_size());
	free(net);
}

void wg_net_packet(const struct wg_side *side, uint8_t *packet, uint32_t len, uint32_t id)
{
	cr_assert_geq(len, DATA_MARK + 8);
	for (uint32_t i = 0; i < len; i++)
		packet[i] = (uint8_t)(id + i);
	memset(packet, 0, DATA_MARK);
	packet[0] = 0x45;
	packet[2] = (uint8_t)(len >> 8);
	packet[3] = (uint8_t)len;
	memcpy(packet + 12, side->inner, 4);
	memcpy(packet + 16, side->other->inner, 4);
	memcpy(packet + DATA_MARK, &id, sizeof(id));
}

static void put_on_wire(struct wg_side *from, const uint8_t *data, uint32_t len,
			const struct addr *to)
{
	struct wg_net *net = from->net;
	struct wg_wire *wire = &net->wire[net->wire_count];
	uint32_t type = le32_get(data);

	from->sent[type]++;
	from->sent_bytes += len;
	if (type == MESSAGE_DATA && len == 32)
		from->sent[0]++;
	if (!addr_equal(to, &from->other->addr) || (net->drop_types & 1u << type))
		return;
	if (wg_net_random(&net->random) % 100 < net->loss_percent)
		return;
	cr_assert(net->wire_count < WG_NET_WIRE_MAX && len <= WG_NET_PACKET_MAX);
	net->wire_count++;
	wire->to = from->other;
	wire->from = from->addr;
	wire->len = len;
	memcpy(wire->data, data, len);
}

static bool poll_once(struct wg_side *side, struct wg_message *out)
{
	uint64_t wall_ns = side->net->wall_ns + (uint64_t)side->wall_offset_ns;
	bool more = wg_poll(side->wg, side->net->now_ns, wall_ns, out);

	if (!more)
		cr_assert_gt(wg_deadline(side->wg), side->net->now_ns, "the deadline spins");
	return more;
}

bool wg_net_step(struct wg_side *side, struct wg_message *out)
{
	for (int i = 0; i < SETTLE_MAX; i++) {
		if (!poll_once(side, out))
			return false;
		if (out->len > 0)
			return true;
	}
	cr_assert_fail("wg_poll() does not come to an end");
	return false;
}

void wg_net_poll(struct wg_side *side)
{
	struct wg_message out;

	while (wg_net_step(side, &out))
		put_on_wire(side, out.data, out.len, &out.to);
}

static void delivered(struct wg_side *side, const struct dgram *dgram)
{
	uint8_t expected[WG_NET_PACKET_MAX];

	side->data_count++;
	side->data_len = dgram->len;
	if (dgram->len < DATA_MARK + 8)
		return;
	memcpy(&side->data_id, dgram->data + DATA_MARK, sizeof(side->data_id));
	if (side->net->check_once) {
		cr_assert(side->data_id < WG_NET_IDS_MAX);
		cr_assert_not(side->net->seen_ids[side->data_id], "delivered twice");
		side->net->seen_ids[side->data_id] = true;
	}
	if (!side->net->check_data)
		return;
	wg_net_packet(side->other, expected, dgram->len, side->data_id);
	cr_assert_arr_eq(dgram->data, expected, dgram->len, "delivered is not what was sent");
}

static void open_all(struct wg_side *side, struct dgram *dgrams, size_t count)
{
	wg_open(side->wg, dgrams, count, side->net->now_ns);
	for (size_t i = 0; i < count; i++) {
		side->net->seen_bits |= UINT64_C(1) << dgrams[i].verdict;
		if (dgrams[i].verdict == WG_DATA)
			delivered(side, &dgrams[i]);
	}
}

enum wg_verdict wg_net_give(struct wg_side *side, const void *data, size_t len,
			    const struct addr *from)
{
	uint8_t *copy = malloc(len + 1); /* exact on the heap, so that ASan sees a read beyond */
	struct dgram dgram = {.data = copy, .len = (uint32_t)len, .from = from};

	memcpy(copy, data, len);
	open_all(side, &dgram, 1);
	free(copy);
	return dgram.verdict;
}

uint32_t wg_net_seal(struct wg_side *side, uint8_t *message, uint32_t len, uint32_t id)
{
	struct wg_tx tx = {.message = message, .len = len};

	wg_net_packet(side, message + WG_HEADER_LEN, len, id);
	return wg_seal(side->wg, &tx, 1, side->net->now_ns) == 1 ? tx.len : 0;
}

enum wg_tx_result wg_net_send(struct wg_side *side, uint32_t len, uint32_t id)
{
	uint8_t message[WG_NET_PACKET_MAX];
	uint32_t sealed = wg_net_seal(side, message, len, id);
	struct wg_status status = wg_status(side->wg, side->net->now_ns);

	if (sealed == 0)
		return WG_TX_NO_SESSION;
	put_on_wire(side, message, sealed, &status.endpoint);
	return WG_TX_SEALED;
}

/* Takes the next datagram off the wire, not always the first one. */
static struct wg_wire *take(struct wg_net *net, struct wg_wire *out)
{
	size_t at = 0;
	bool copy = wg_net_random(&net->random) % 100 < net->copy_percent;

	if (wg_net_random(&net->random) % 100 < net->reorder_percent)
		at = wg_net_random(&net->random) % net->wire_count;
	*out = net->wire[at];
	if (!copy) {
		net->wire_count--;
		memmove(&net->wire[at], &net->wire[at + 1],
			(net->wire_count - at) * sizeof(net->wire[0]));
	}
	return out;
}

/* In batches of one receiver, as a socket gives them. */
static void deliver(struct wg_net *net)
{
	static struct wg_wire taken[BATCH];
	struct dgram dgrams[BATCH];
	size_t count = 0;

	while (net->wire_count > 0 && count < BATCH) {
		struct wg_wire *wire = take(net, &taken[count]);

		if (count > 0 && wire->to != taken[0].to) {
			open_all(taken[0].to, dgrams, count);
			taken[0] = *wire;
			count = 0;
		}
		dgrams[count] = (struct dgram){
			.data = taken[count].data,
			.len = taken[count].len,
			.from = &taken[count].from,
		};
		count++;
	}
	if (count > 0)
		open_all(taken[0].to, dgrams, count);
}

bool wg_net_round(struct wg_net *net)
{
	wg_net_poll(&net->a);
	wg_net_poll(&net->b);
	if (net->wire_count == 0)
		return false;
	deliver(net);
	return true;
}

void wg_net_settle(struct wg_net *net)
{
	for (int i = 0; i < SETTLE_MAX; i++) {
		if (!wg_net_round(net))
			return;
	}
	cr_assert_fail("the two sides keep each other busy");
}

void wg_net_jump(struct wg_net *net, uint64_t ns)
{
	net->now_ns += ns;
	net->wall_ns += ns;
}

void wg_net_sleep(struct wg_net *net, uint64_t ns)
{
	uint64_t until_ns = net->now_ns + ns;

	wg_net_settle(net);
	while (net->now_ns < until_ns) {
		uint64_t next_ns = until_ns;

		if (wg_deadline(net->a.wg) < next_ns)
			next_ns = wg_deadline(net->a.wg);
		if (wg_deadline(net->b.wg) < next_ns)
			next_ns = wg_deadline(net->b.wg);
		wg_net_jump(net, next_ns - net->now_ns);
		wg_net_settle(net);
	}
}

void wg_net_connect(struct wg_net *net)
{
	wg_net_send(&net->a, 100, 0);
	wg_net_settle(net);
	cr_assert(wg_status(net->a.wg, net->now_ns).session);
	cr_assert(wg_status(net->b.wg, net->now_ns).session);
}

bool wg_net_works(struct wg_side *side)
{
	uint64_t before = side->other->data_count;

	wg_net_send(side, 100, side->net->next_id++);
	wg_net_settle(side->net);
	return side->other->data_count > before;
}
