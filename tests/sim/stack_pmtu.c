// SPDX-License-Identifier: MIT
/* Paths that carry less than WG_MTU, and those who only say that they do. */
#include "base/time.h"
#include "stack_pair.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum {
	PORT = 80,
	MTU = 1420,
	ENDS_MAX = 16,
	SENT_MAX = 900 * 1000,
	V4_HEADERS = 40,
	V6_HEADERS = 60,
	RAISE_S = 600,
};

/* Side 0 dials, side 1 answers with the first `to_send` of `bytes`; both ends know them. */
struct end {
	struct stack_conn *conn;
	size_t written, received;
	bool ended;
};

static struct stack_pair pair;
static struct end clients[ENDS_MAX], servers[ENDS_MAX];
static size_t dialled, accepted;
static uint8_t bytes[SENT_MAX];

static void *on_accepted(void *ctx, struct stack_conn *conn, const struct addr *from)
{
	(void)ctx;
	(void)from;
	servers[accepted].conn = conn;
	return &servers[accepted++];
}

static void on_connected(void *user)
{
	(void)user;
}

static bool on_data(void *user, const struct iovec *iov, int count)
{
	struct end *end = user;

	for (int i = 0; i < count; i++) {
		cr_assert_eq(memcmp(iov[i].iov_base, bytes + end->received, iov[i].iov_len), 0);
		end->received += iov[i].iov_len;
	}
	return true;
}

static void on_acked(void *user, size_t len)
{
	(void)user;
	(void)len;
}

static void on_fin(void *user)
{
	(void)user;
}

static void on_ended(void *user, enum stack_end how)
{
	(void)how;
	((struct end *)user)->ended = true;
}

static const struct stack_events events = {
	.accepted = on_accepted,
	.connected = on_connected,
	.data = on_data,
	.acked = on_acked,
	.fin = on_fin,
	.ended = on_ended,
};

static void start(uint64_t seed)
{
	void *ctx[2] = {NULL, NULL};

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8));
	pair_init(&pair, seed, &events, ctx);
	cr_assert_eq(stack_listen(pair.side[1].stack, PORT), 0);
}

static void finish(void)
{
	pair_fini(&pair);
	cr_assert_eq(pair.bufs_live, 0);
	cr_assert_eq(pair.side[0].budget.used + pair.side[1].budget.used, 0);
}

static void run_ms(uint64_t ms)
{
	uint64_t stop_ns = pair.now_ns + ms * NS_PER_MS;

	while (pair.now_ns < stop_ns) {
		if (pair_step(&pair))
			pair.now_ns += 100000;
		else
			pair_sleep(&pair, stop_ns - pair.now_ns);
	}
}

static struct end *dial(uint8_t family)
{
	struct addr to = pair_addr(1, family, PORT);
	struct end *client = &clients[dialled++];
	int error = 0;

	client->conn = stack_connect(pair.side[0].stack, &to, client, &error);
	cr_assert_not_null(client->conn, "%d", error);
	run_ms(10);
	cr_assert_eq(accepted, dialled);
	return client;
}

/* The server's end of the last connection sends so many bytes, or more of them. */
static void answer(size_t len)
{
	struct end *server = &servers[accepted - 1];

	while (server->written < len) {
		size_t part = len - server->written;

		if (part > STACK_WRITE_MAX)
			part = STACK_WRITE_MAX;
		part = stack_write(server->conn, bytes + server->written, part);
		cr_assert_gt(part, 0);
		server->written += part;
	}
}

/* The server sends; how long until the client has all. */
static uint64_t ms_to_get(struct end *client, size_t len)
{
	uint64_t start_ns = pair.now_ns;
	size_t consumed = client->received;

	answer(len);
	while (client->received < len && pair.now_ns < start_ns + 60 * NS_PER_S) {
		if (!pair_step(&pair))
			pair_sleep(&pair, NS_PER_S);
		else
			pair.now_ns += 100000;
		if (client->received > consumed)
			stack_consumed(client->conn, client->received - consumed);
		consumed = client->received;
	}
	cr_assert_eq(client->received, len);
	return (pair.now_ns - start_ns) / NS_PER_MS;
}

static const struct stack_stats *server_stats(void)
{
	return stack_stats(pair.side[1].stack);
}

/* The length of the longest packet that waits on the server's side of the wire. */
static size_t longest(void)
{
	size_t len = 0;

	stack_turn(pair.side[1].stack);
	for (size_t i = 0; i < pair.side[1].queue_len; i++)
		len = pair.side[1].queue[i].len > len ? pair.side[1].queue[i].len : len;
	return len;
}

/* --- segments fit the tunnel ----------------------------------------------------------------------- */

/* Of the MSS option, which lwIP puts first (RFC 9293, section 3.2). */
static uint16_t mss_in_syn(const struct stack_side *side, uint8_t family)
{
	const uint8_t *tcp = side->queue[0].data + (family == ADDR_V4 ? 20 : 40);

	cr_assert_eq(side->queue_len, 1);
	cr_assert_eq(tcp[20], 2);
	return (uint16_t)(tcp[22] << 8 | tcp[23]);
}

static void expect_mss(uint8_t family, uint16_t headers)
{
	struct addr to = pair_addr(1, family, PORT);
	int error;

	clients[dialled].conn = stack_connect(pair.side[0].stack, &to, &clients[dialled], &error);
	cr_assert_eq(mss_in_syn(&pair.side[0], family), MTU - headers);
	pair_carry(&pair, 0);
	cr_assert_eq(mss_in_syn(&pair.side[1], family), MTU - headers);
	dialled++;
	run_ms(10);
	answer(SENT_MAX / 2);
	cr_assert_eq(longest(), MTU);
}

Test(stack_pmtu, segments_fit_the_tunnel_v4)
{
	start(1);
	expect_mss(ADDR_V4, V4_HEADERS);
	finish();
}

Test(stack_pmtu, segments_fit_the_tunnel_v6)
{
	start(2);
	expect_mss(ADDR_V6, V6_HEADERS);
	finish();
}

/* Nobody is to cut them, so no number is needed (RFC 6864), and none tells how much we send. */
Test(stack_pmtu, ipv4_packets_are_atomic)
{
	static const uint8_t atomic[4] = {0, 0, 0x40, 0};

	start(3);
	dial(ADDR_V4);
	answer(50000);
	stack_turn(pair.side[1].stack);
	cr_assert_gt(pair.side[1].queue_len, 5);
	for (size_t i = 0; i < pair.side[1].queue_len; i++) {
		const uint8_t *ip = pair.side[1].queue[i].data;
		uint32_t sum = 0;

		cr_assert_eq(memcmp(ip + 4, atomic, sizeof(atomic)), 0);
		for (size_t k = 0; k < 20; k += 2)
			sum += (uint32_t)(ip[k] << 8 | ip[k + 1]);
		cr_assert_eq((sum & 0xffff) + (sum >> 16), 0xffff, "the checksum");
	}
	finish();
}

/* --- black holes ------------------------------------------------------------------------------------ */

static void black_hole(uint8_t family, size_t largest, uint16_t mtu, uint64_t most_ms)
{
	uint64_t ms;

	start(10 + largest);
	pair.largest = largest;
	ms = ms_to_get(dial(family), 300000);
	cr_assert_lt(ms, most_ms, "%d ms", (int)ms);
	cr_assert_eq(server_stats()->mtu, mtu, "%u", server_stats()->mtu);
	cr_assert_eq(server_stats()->pmtu_found, 1);
	/* The next one knows, and so does the other side of it. */
	ms = ms_to_get(dial(family), 300000);
	cr_assert_lt(ms, 150, "%d ms", (int)ms);
	cr_assert_eq(server_stats()->pmtu_found, 1);
	finish();
}

Test(stack_pmtu, a_black_hole_is_found_v4)
{
	black_hole(ADDR_V4, 1400, 1280, 1500);
}

Test(stack_pmtu, a_black_hole_is_found_v6)
{
	black_hole(ADDR_V6, 1419, 1280, 1500);
}

Test(stack_pmtu, a_narrower_one_takes_another_step)
{
	black_hole(ADDR_V4, 1100, 1024, 5000);
}

Test(stack_pmtu, the_narrowest_takes_another_one)
{
	black_hole(ADDR_V4, 600, 576, 20000);
}

/* What fits from the start gets no smaller. */
Test(stack_pmtu, small_answers_notice_nothing)
{
	start(20);
	pair.largest = 1400;
	for (int i = 0; i < 5; i++)
		cr_assert_lt(ms_to_get(dial(ADDR_V4), 1300), 100);
	cr_assert_eq(server_stats()->mtu, MTU);
	finish();
}

Test(stack_pmtu, those_that_are_open_shrink_too)
{
	struct end *first;
	size_t server;

	start(21);
	first = dial(ADDR_V4);
	server = accepted;
	pair.largest = 1400;
	ms_to_get(dial(ADDR_V4), 100000);
	accepted = server; /* the first one's */
	cr_assert_lt(ms_to_get(first, 100000), 150);
	cr_assert_eq(server_stats()->pmtu_found, 1);
	finish();
}

/* Nothing passed for a while, large or small: that says nothing of sizes. */
Test(stack_pmtu, a_path_that_was_down_is_not_narrow)
{
	struct end *client;

	start(22);
	client = dial(ADDR_V4);
	ms_to_get(client, 100000);
	run_ms(100);
	pair.loss_permille = 1000;
	answer(200000);
	run_ms(10000);
	pair.loss_permille = 0;
	ms_to_get(client, 300000);
	cr_assert_eq(server_stats()->pmtu_found, 0);
	run_ms(100);
	answer(500000);
	cr_assert_eq(longest(), MTU);
	cr_assert_eq(server_stats()->mtu, MTU);
	finish();
}

/* What was under way is lost with the tunnel; until that is back nothing is tried, of any size. */
Test(stack_pmtu, a_tunnel_that_is_down_is_not_narrow)
{
	struct end *client;

	start(27);
	client = dial(ADDR_V4);
	pair.loss_permille = 1000;
	answer(100000);
	run_ms(100);
	pair.loss_permille = 0;
	pair.side[1].no_room = true;
	run_ms(20000);
	pair.side[1].no_room = false;
	ms_to_get(client, 100000);
	cr_assert_eq(server_stats()->pmtu_found, 0);
	cr_assert_eq(server_stats()->mtu, MTU);
	finish();
}

Test(stack_pmtu, a_path_that_becomes_narrow)
{
	struct end *client;
	uint64_t ms;

	start(26);
	client = dial(ADDR_V4);
	ms_to_get(client, 100000);
	run_ms(100);
	pair.largest = 1300;
	ms = ms_to_get(client, 300000);
	cr_assert_lt(ms, 4000, "%d ms", (int)ms);
	run_ms(100);
	ms = ms_to_get(client, 600000); /* what is new is large again */
	cr_assert_lt(ms, 1500, "%d ms", (int)ms);
	cr_assert_eq(server_stats()->pmtu_found, 1);
	cr_assert_eq(server_stats()->mtu, 1280);
	finish();
}

/* A connection that has got large ones through stands against what another believes. */
Test(stack_pmtu, loss_is_not_narrow_either)
{
	struct end *client;

	start(23);
	ms_to_get(dial(ADDR_V4), 100000);
	client = dial(ADDR_V4);
	pair.loss_permille = 1000;
	answer(100000);
	run_ms(1000);
	pair.loss_permille = 0;
	ms_to_get(client, 100000);
	cr_assert_eq(server_stats()->pmtu_found, 1);
	cr_assert_eq(server_stats()->mtu, MTU);
	finish();
}

/* The original arrives after all, when half of it has been sent again: nothing was wrong. */
Test(stack_pmtu, late_is_not_narrow)
{
	struct wire_packet late[64];
	size_t count;
	struct end *client;

	start(24);
	client = dial(ADDR_V4);
	answer(10000);
	stack_turn(pair.side[1].stack);
	count = pair.side[1].queue_len;
	cr_assert_lt(count, 64);
	memcpy(late, pair.side[1].queue, count * sizeof(late[0]));
	pair.side[1].queue_len = 0;
	pair.loss_permille = 1000;
	run_ms(1000);
	pair.loss_permille = 0;
	memcpy(pair.side[1].queue, late, count * sizeof(late[0]));
	pair.side[1].queue_len = count;
	ms_to_get(client, 10000);
	cr_assert_eq(server_stats()->mtu, MTU);
	cr_assert_eq(server_stats()->pmtu_found, 0);
	run_ms(100);
	answer(200000);
	cr_assert_eq(longest(), MTU, "%zu", longest());
	finish();
}

/* What was lowered is tried again: first after ten minutes, then after twenty. */
Test(stack_pmtu, the_full_size_comes_back)
{
	start(25);
	pair.largest = 1400;
	ms_to_get(dial(ADDR_V4), 100000);
	cr_assert_eq(server_stats()->mtu, 1280);
	run_ms((RAISE_S - 10) * 1000);
	cr_assert_eq(server_stats()->mtu, 1280);
	run_ms(20 * 1000);
	cr_assert_eq(server_stats()->mtu, MTU);
	ms_to_get(dial(ADDR_V4), 100000);
	cr_assert_eq(server_stats()->mtu, 1280, "no better");
	run_ms((2 * RAISE_S - 10) * 1000);
	cr_assert_eq(server_stats()->mtu, 1280);
	run_ms(20 * 1000);
	pair.largest = 0;
	cr_assert_lt(ms_to_get(dial(ADDR_V4), 100000), 100);
	cr_assert_eq(server_stats()->mtu, MTU);
	finish();
}

/* --- what routers say ------------------------------------------------------------------------------- */

struct icmp {
	uint16_t mtu;
	uint32_t seq_off;
	uint16_t port_off, len_off;
	size_t quoted_max; /* bytes of the quoted packet */
};

static void put16(uint8_t *out, size_t value)
{
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
}

/* A router's message to side 1 about a packet that waits on its side of the wire. */
static void tell(const uint8_t *packet, size_t packet_len, struct icmp icmp)
{
	bool v4 = packet[0] >> 4 == 4;
	size_t ip_len = v4 ? 20 : 40;
	size_t quoted = packet_len < icmp.quoted_max ? packet_len : icmp.quoted_max;
	size_t len = ip_len + 8 + quoted;
	uint8_t *message = calloc(1, len), *quote = message + ip_len + 8;
	uint8_t *tcp = quote + ip_len;
	struct stack_side *router = &pair.side[0];

	message[0] = v4 ? 0x45 : 0x60;
	put16(message + (v4 ? 2 : 4), v4 ? len : len - 40);
	message[v4 ? 9 : 6] = v4 ? 1 : 58;
	memcpy(message + (v4 ? 12 : 8), pair_addr(0, v4 ? ADDR_V4 : ADDR_V6, 0).ip, v4 ? 4 : 16);
	memcpy(message + (v4 ? 16 : 24), pair_addr(1, v4 ? ADDR_V4 : ADDR_V6, 0).ip, v4 ? 4 : 16);
	message[ip_len] = v4 ? 3 : 2;
	message[ip_len + 1] = v4 ? 4 : 0;
	put16(message + ip_len + 6, icmp.mtu);
	memcpy(quote, packet, quoted);
	if (quoted >= ip_len + 8) {
		uint32_t seq = (uint32_t)tcp[4] << 24 | (uint32_t)tcp[5] << 16 |
			       (uint32_t)tcp[6] << 8 | tcp[7];

		seq += icmp.seq_off;
		put16(tcp + 4, seq >> 16);
		put16(tcp + 6, seq & 0xffff);
		put16(tcp + 2, (size_t)(tcp[2] << 8 | tcp[3]) + icmp.port_off);
		put16(quote + (v4 ? 2 : 4),
		      (size_t)(quote[v4 ? 2 : 4] << 8 | quote[v4 ? 3 : 5]) - icmp.len_off);
	}
	router->queue[router->queue_len++] = (struct wire_packet){message, len};
	pair_carry(&pair, 0);
}

/* A connection with segments under way, which vanish; the first of them in `packet`. */
static size_t send_large(uint8_t family, uint8_t packet[static MTU])
{
	size_t len;

	dial(family);
	answer(100000);
	stack_turn(pair.side[1].stack);
	len = pair.side[1].queue[0].len;
	memcpy(packet, pair.side[1].queue[0].data, len);
	while (pair.side[1].queue_len > 0)
		free(pair.side[1].queue[--pair.side[1].queue_len].data);
	return len;
}

static void believe(uint8_t family, uint16_t claimed, size_t sent)
{
	uint8_t packet[MTU];
	size_t len;

	start(30);
	len = send_large(family, packet);
	cr_assert_eq(len, MTU);
	tell(packet, len, (struct icmp){.mtu = claimed, .quoted_max = 576});
	cr_assert_eq(longest(), sent, "%zu", longest());
	cr_assert_eq(server_stats()->pmtu_told, 1);
	cr_assert_eq(server_stats()->mtu, MTU, "this connection's alone");
	pair.largest = sent;
	ms_to_get(&clients[0], 200000);
	cr_assert_eq(server_stats()->pmtu_found, 0);
	finish();
}

Test(stack_pmtu, a_router_is_believed_v4)
{
	believe(ADDR_V4, 1300, 1300);
}

Test(stack_pmtu, a_router_is_believed_v6)
{
	believe(ADDR_V6, 1300, 1300);
}

/* Each time all that waits is cut: what may be asked for is a few times. */
Test(stack_pmtu, a_router_that_nibbles)
{
	uint8_t packet[MTU];
	size_t len;

	start(30);
	len = send_large(ADDR_V4, packet);
	for (uint16_t mtu = MTU - 1; mtu >= 576; mtu--)
		tell(packet, len, (struct icmp){.mtu = mtu, .quoted_max = 576});
	cr_assert_leq(server_stats()->pmtu_told, 4, "%zu", (size_t)server_stats()->pmtu_told);
	pair.largest = 576;
	ms_to_get(&clients[0], 200000);
	finish();
}

/* Not smaller than what anybody carries. */
Test(stack_pmtu, a_router_that_exaggerates_v4)
{
	believe(ADDR_V4, 68, 576);
}

Test(stack_pmtu, a_router_that_exaggerates_v6)
{
	believe(ADDR_V6, 100, 1280);
}

/* Routers from before RFC 1191 do not know the MTU that would do. */
Test(stack_pmtu, a_router_that_does_not_know)
{
	believe(ADDR_V4, 0, 1280);
}

static void forge(uint8_t family)
{
	static const struct icmp forged[] = {
		{.mtu = 1300, .seq_off = (uint32_t)-1, .quoted_max = 576},
		{.mtu = 1300, .seq_off = 100000, .quoted_max = 576},
		{.mtu = 1300, .seq_off = 0x80000000, .quoted_max = 576},
		{.mtu = 1300, .port_off = 1, .quoted_max = 576},
		{.mtu = 1300, .len_off = 200, .quoted_max = 576}, /* would have passed */
		{.mtu = MTU, .quoted_max = 576},
		{.mtu = 9000, .quoted_max = 576},
		{.mtu = 1300, .quoted_max = 0},
		{.mtu = 1300, .quoted_max = 1},
		{.mtu = 1300, .quoted_max = 20},
		{.mtu = 1300, .quoted_max = 27},
		{.mtu = 1300, .quoted_max = 40},
		{.mtu = 1300, .quoted_max = 47},
	};
	size_t count = sizeof(forged) / sizeof(forged[0]), told = 0;
	uint8_t packet[MTU];
	size_t len;

	start(31);
	len = send_large(family, packet);
	for (size_t i = 0; i < count; i++) {
		/* With IPv4, eight bytes behind 20 of header are enough. */
		if (family == ADDR_V4 && forged[i].quoted_max > 27 && forged[i].quoted_max < 576)
			continue;
		tell(packet, len, forged[i]);
		told++;
	}
	cr_assert_eq(server_stats()->pmtu_false, told);
	cr_assert_eq(server_stats()->pmtu_told, 0);
	ms_to_get(&clients[0], 100000);
	answer(300000);
	cr_assert_eq(longest(), MTU);
	finish();
}

Test(stack_pmtu, forged_messages_do_nothing_v4)
{
	forge(ADDR_V4);
}

Test(stack_pmtu, forged_messages_do_nothing_v6)
{
	forge(ADDR_V6);
}

/* As large ones have arrived before: believed when the segment is lost, forgotten when it is not. */
static void after_large_ones_passed(bool lost, size_t sent)
{
	uint8_t packet[MTU];
	struct end *client;
	size_t last;

	start(32);
	client = dial(ADDR_V4);
	ms_to_get(client, 100000);
	run_ms(100);
	answer(200000);
	cr_assert_eq(longest(), MTU);
	memcpy(packet, pair.side[1].queue[0].data, MTU);
	last = pair.side[1].queue_len;
	tell(packet, MTU, (struct icmp){.mtu = 1300, .quoted_max = 28});
	cr_assert_eq(server_stats()->pmtu_told, 0);
	cr_assert_eq(pair.side[1].queue_len, last, "nothing was sent again");
	if (lost) {
		while (pair.side[1].queue_len > 0)
			free(pair.side[1].queue[--pair.side[1].queue_len].data);
		pair.largest = 1300;
	}
	ms_to_get(client, 200000);
	cr_assert_eq(server_stats()->pmtu_told, lost);
	answer(400000);
	cr_assert_eq(longest(), sent);
	finish();
}

Test(stack_pmtu, a_claim_waits_for_a_loss)
{
	after_large_ones_passed(true, 1300);
}

Test(stack_pmtu, a_claim_without_a_loss_is_forgotten)
{
	after_large_ones_passed(false, MTU);
}
