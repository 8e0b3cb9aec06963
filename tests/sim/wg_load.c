// SPDX-License-Identifier: MIT
#include "wg_net.h"
#include "wg_stack.h"

#include <criterion/criterion.h>
#include <string.h>

static struct wg_net *net;
static struct wg_side *a, *b;
static struct cookie_jar stranger; /* knows b's public key, and no more */

static void start(void)
{
	net = wg_net_new(NULL);
	a = &net->a;
	b = &net->b;
	memset(&stranger, 0, sizeof(stranger));
	cookie_jar_init(&stranger, wg_public_key(b->wg));
}

static void stop(void)
{
	wg_net_free(net);
}

TestSuite(wg_load, .init = start, .fini = stop, .timeout = 60);

static struct addr source(uint8_t net_part, uint8_t host, uint16_t port)
{
	return (struct addr){.family = ADDR_V4, .ip = {203, net_part, 113, host}, .port = port};
}

/* An initiation that is worth its MACs alone. */
static void forge(struct cookie_jar *jar, uint8_t message[static WG_CONTROL_MAX])
{
	for (size_t i = 0; i < WG_CONTROL_MAX; i++)
		message[i] = (uint8_t)wg_net_random(&net->random);
	le32_put(message, MESSAGE_INITIATION);
	cookie_jar_sign(jar, message, WG_CONTROL_MAX, net->now_ns);
}

static enum wg_verdict knock(struct cookie_jar *jar, const struct addr *from)
{
	uint8_t message[WG_CONTROL_MAX];

	forge(jar, message);
	return wg_net_give(b, message, sizeof(message), from);
}

/* `side` is under load when it returns; its queues are empty again. */
static void flood_side(struct wg_side *side)
{
	uint8_t message[WG_CONTROL_MAX];
	struct cookie_jar jar = {0};
	struct wg_message out;

	cookie_jar_init(&jar, wg_public_key(side->wg));
	for (uint8_t i = 0; i < 8; i++) {
		struct addr from = source(0, i, 1);

		forge(&jar, message);
		wg_net_give(side, message, sizeof(message), &from);
	}
	while (wg_net_step(side, &out))
		;
}

static void flood(void)
{
	flood_side(b);
}

/* Uses up what a proven source may have now. */
static void exhaust(struct wg_side *side, const struct addr *from)
{
	while (cookie_allow_source(&side->wg->checker, from, &side->wg->endpoint, net->now_ns))
		;
}

/* As many proven sources as `side` remembers, each at its limit. */
static void crowd(struct wg_side *side)
{
	for (unsigned i = 0; i < COOKIE_SOURCES_MAX; i++) {
		struct addr from = source(2, (uint8_t)i, 1);

		exhaust(side, &from);
	}
}

/* Takes the cookie that b sends to `from` into `jar`. */
static bool get_cookie(struct cookie_jar *jar, const struct addr *from)
{
	struct wg_message out;

	if (knock(jar, from) != WG_CONTROL || !wg_net_step(b, &out) || out.len != 64)
		return false;
	cr_assert(addr_equal(&out.to, from));
	return cookie_jar_accept(jar, (const void *)out.data, net->now_ns);
}

/* Under load still? A knock without mac2 is answered with a cookie then, else not at all. */
static bool demands_cookies(void)
{
	struct addr from = source(9, 9, 9);
	struct cookie_jar jar = stranger;

	jar.cookie_until_ns = 0;
	return get_cookie(&jar, &from);
}

Test(wg_load, mac1_comes_first)
{
	struct addr from = source(0, 1, 1);
	uint8_t message[WG_CONTROL_MAX];

	for (size_t i = 0; i < WG_CONTROL_MAX - 16; i++) {
		forge(&stranger, message);
		message[i] ^= 1;
		if (i >= 4)
			cr_expect_eq(wg_net_give(b, message, 148, &from), WG_DROP_MAC, "%zu", i);
	}
	cr_expect_eq(b->wg->handshakes.count, 0);
	cr_expect_eq(knock(&stranger, &from), WG_CONTROL);
	cr_expect_eq(b->wg->handshakes.count, 1);
}

/* 1000 messages in one turn: a few handshakes, a few cookies, the rest is dropped. */
Test(wg_load, a_flood_costs_little)
{
	struct wg_message out;
	int cookies = 0, steps = 0;
	unsigned control = 0;

	for (uint32_t i = 0; i < 1000; i++) {
		struct addr from = source((uint8_t)(i >> 8), (uint8_t)i, 1);

		control += knock(&stranger, &from) == WG_CONTROL;
	}
	cr_expect_leq(control, 4 + QUEUE_MAX);
	cr_expect_eq(wg_stats(b->wg)->verdicts[WG_DROP_LOAD], 1000 - control);
	cr_expect_eq(wg_deadline(b->wg), 0);
	while (wg_poll(b->wg, net->now_ns, net->wall_ns, &out)) {
		steps++;
		cookies += out.len == 64;
	}
	cr_expect_eq(steps, (int)control, "one message a step");
	cr_expect_eq(cookies, QUEUE_MAX);
	cr_expect_eq(wg_stats(b->wg)->cookies_sent, QUEUE_MAX);
	cr_expect_eq(wg_stats(b->wg)->verdicts[WG_DROP_HANDSHAKE], 4);
}

Test(wg_load, the_true_peer_gets_through)
{
	wg_net_send(a, 100, 0);
	flood();
	wg_net_settle(net);
	cr_expect_eq(b->sent[MESSAGE_COOKIE_REPLY], 1);
	cr_expect_eq(wg_stats(a->wg)->cookies_received, 1);
	cr_expect_eq(b->sent[MESSAGE_RESPONSE], 0);
	/* The flood goes on; five seconds later a comes again, with mac2. */
	for (int i = 0; i < 60; i++) {
		wg_net_sleep(net, 100 * NS_PER_MS);
		flood();
	}
	cr_expect_eq(b->sent[MESSAGE_RESPONSE], 1);
	cr_expect(wg_net_works(a));
	cr_expect(demands_cookies(), "it was under load all the time");
}

/* Even while the queue of the unproven is full. */
Test(wg_load, who_has_proven_its_address_is_not_crowded_out)
{
	struct addr honest = source(1, 1, 1);
	struct cookie_jar jar = stranger;

	flood();
	cr_assert(get_cookie(&jar, &honest));
	for (uint8_t i = 0; i < 100; i++) {
		struct addr from = source(0, i, 1);

		knock(&stranger, &from);
	}
	cr_expect_eq(b->wg->unproven.count, QUEUE_MAX);
	cr_expect_eq(knock(&jar, &honest), WG_CONTROL);
	cr_expect_eq(b->wg->handshakes.count, 1);
}

Test(wg_load, we_put_a_cookie_to_use_as_responder_too)
{
	struct addr wire[2] = {a->addr, b->addr};
	struct wg_message initiation, response, reply;

	wg_net_send(a, 100, 0);
	cr_assert(wg_net_step(a, &initiation));
	/* a is under load while b's response comes. */
	flood_side(a);
	cr_assert_eq(wg_net_give(b, initiation.data, initiation.len, &wire[0]), WG_CONTROL);
	cr_assert(wg_net_step(b, &response));
	cr_assert(crypto_is_zero(response.data + 76, 16));
	cr_assert_eq(wg_net_give(a, response.data, response.len, &wire[1]), WG_CONTROL);
	cr_assert(wg_net_step(a, &reply));
	cr_assert_eq(reply.len, 64);
	cr_assert_eq(wg_net_give(b, reply.data, 64, &wire[0]), WG_CONTROL);
	wg_net_jump(net, 6 * NS_PER_S);
	cr_assert(wg_net_step(a, &initiation));
	cr_assert_eq(wg_net_give(b, initiation.data, initiation.len, &wire[0]), WG_CONTROL);
	cr_assert(wg_net_step(b, &response));
	cr_expect_not(crypto_is_zero(response.data + 76, 16), "mac2");
	/* And who waits for a response takes it, whoever else has proven its address. */
	flood_side(a);
	crowd(a);
	exhaust(a, &b->addr);
	cr_expect_eq(wg_net_give(a, response.data, response.len, &wire[1]), WG_CONTROL);
	cr_assert(wg_net_step(a, &reply));
	cr_expect(wg_status(a->wg, net->now_ns).session);
}

Test(wg_load, a_crowd_does_not_lock_the_peer_out)
{
	struct addr late = source(1, 1, 1);
	struct cookie_jar jar = stranger;

	wg_net_connect(net);
	wg_net_jump(net, REKEY_AFTER_TIME);
	flood();
	cr_assert(wg_net_works(a));
	cr_assert_eq(wg_stats(a->wg)->cookies_received, 1);
	cr_assert(get_cookie(&jar, &late));
	wg_net_jump(net, 6 * NS_PER_S);
	flood();
	crowd(b);
	cr_expect_eq(knock(&jar, &late), WG_DROP_LOAD, "there is no bucket left");
	wg_net_settle(net);
	cr_expect_eq(b->sent[MESSAGE_RESPONSE], 2, "but for the peer");
	cr_expect_eq(wg_stats(a->wg)->handshakes_completed, 2);
}

Test(wg_load, the_peer_is_limited_too)
{
	struct addr peer = b->addr;
	struct addr moved = source(1, 1, 1);
	struct cookie_checker *checker = &b->wg->checker;
	uint64_t now_ns = net->now_ns;

	crowd(b);
	for (uint16_t i = 0; i < 5; i++) {
		peer.port = i;
		cr_expect(cookie_allow_source(checker, &peer, &peer, now_ns));
	}
	cr_expect_not(cookie_allow_source(checker, &peer, &peer, now_ns));
	cr_expect(cookie_allow_source(checker, &moved, &moved, now_ns), "it has roamed");
	cr_expect_not(cookie_allow_source(checker, &peer, &moved, now_ns));
}

Test(wg_load, a_cookie_is_for_one_address_and_port)
{
	struct addr honest = source(1, 1, 1);
	struct addr other_port = source(1, 1, 257);
	struct addr other_host = source(1, 2, 1);
	struct cookie_jar jar = stranger;

	flood();
	cr_assert(get_cookie(&jar, &honest));
	cr_expect_eq(knock(&jar, &other_port), WG_CONTROL);
	cr_expect_eq(knock(&jar, &other_host), WG_CONTROL);
	cr_expect_eq(b->wg->handshakes.count, 0, "both are to prove themselves");
	cr_expect_eq(b->wg->unproven.count, 2);
	cr_expect_eq(knock(&jar, &honest), WG_CONTROL);
	cr_expect_eq(b->wg->handshakes.count, 1);
}

Test(wg_load, the_secret_rotates)
{
	struct addr honest = source(1, 1, 1);
	struct cookie_jar jar = stranger;
	uint8_t first[32];

	flood();
	cr_assert(get_cookie(&jar, &honest));
	memcpy(first, b->wg->checker.secret, sizeof(first));
	wg_net_jump(net, 119 * NS_PER_S);
	flood();
	cr_expect_eq(knock(&jar, &honest), WG_CONTROL);
	cr_expect_eq(b->wg->handshakes.count, 1, "good for two minutes");
	wg_net_settle(net);
	wg_net_jump(net, NS_PER_S);
	jar.cookie_until_ns = NEVER;
	flood();
	cr_expect_eq(knock(&jar, &honest), WG_CONTROL);
	cr_expect_eq(b->wg->unproven.count, 1, "and no longer");
	cr_expect_arr_neq(first, b->wg->checker.secret, sizeof(first));
}

Test(wg_load, sources_are_limited_each_for_itself)
{
	struct addr greedy = source(1, 1, 1);
	struct addr modest = source(1, 2, 1);
	struct cookie_jar greedy_jar = stranger, modest_jar = stranger;
	int taken = 0;

	flood();
	cr_assert(get_cookie(&greedy_jar, &greedy));
	cr_assert(get_cookie(&modest_jar, &modest));
	for (int i = 0; i < 40; i++)
		taken += knock(&greedy_jar, &greedy) == WG_CONTROL;
	cr_expect_eq(taken, 5, "at once");
	cr_expect_eq(knock(&modest_jar, &modest), WG_CONTROL, "not its neighbour's fault");
	wg_net_settle(net);
	taken = 0;
	for (int i = 0; i < 100; i++) {
		wg_net_jump(net, 10 * NS_PER_MS);
		taken += knock(&greedy_jar, &greedy) == WG_CONTROL;
		wg_net_settle(net);
		flood();
	}
	cr_expect_geq(taken, 19, "20 a second");
	cr_expect_leq(taken, 21, "20 a second");
}

Test(wg_load, an_ipv6_source_is_its_network)
{
	const struct addr nowhere = {.family = ADDR_NONE};
	struct cookie_checker *checker = &b->wg->checker;
	struct addr from = {.family = ADDR_V6, .ip = {0x20, 1, [15] = 1}};
	struct addr other = {.family = ADDR_V6, .ip = {0x20, 1, [7] = 1}};
	struct addr v4 = {.family = ADDR_V4, .ip = {0x20, 1}};

	for (uint8_t i = 0; i < 5; i++) {
		from.ip[12] = i;
		cr_expect(cookie_allow_source(checker, &from, &nowhere, 0));
	}
	cr_expect_not(cookie_allow_source(checker, &from, &nowhere, 0));
	cr_expect(cookie_allow_source(checker, &other, &nowhere, 0));
	cr_expect(cookie_allow_source(checker, &v4, &nowhere, 0));
	cr_expect_not(cookie_allow_source(checker, &from, &nowhere, NS_PER_S / 20 - 1));
	cr_expect(cookie_allow_source(checker, &from, &nowhere, NS_PER_S / 20));
	for (int i = 0; i < 5; i++)
		cr_expect(cookie_allow_source(checker, &from, &nowhere, 100 * NS_PER_S));
	cr_expect_not(cookie_allow_source(checker, &from, &nowhere, 100 * NS_PER_S),
		      "nothing is saved up");
}

Test(wg_load, the_table_of_sources_is_bounded_and_forgets)
{
	const struct addr nowhere = {.family = ADDR_NONE};
	struct cookie_checker *checker = &b->wg->checker;
	struct addr from = source(0, 0, 1);
	uint64_t now_ns = NS_PER_S;

	for (uint32_t i = 0; i < 2 * COOKIE_SOURCES_MAX; i++) {
		from.ip[1] = (uint8_t)i;
		from.ip[2] = (uint8_t)(i >> 8);
		cr_expect_eq(cookie_allow_source(checker, &from, &nowhere, now_ns),
			     i < COOKIE_SOURCES_MAX);
	}
	cr_expect(cookie_allow_source(checker, &from, &nowhere, now_ns + NS_PER_S / 20));
}

/* Demanding cookies must end when the load does, however many there were. */
Test(wg_load, load_passes)
{
	for (int i = 0; i < 50; i++) {
		flood();
		wg_net_jump(net, 900 * NS_PER_MS);
		cr_expect(demands_cookies());
	}
	wg_net_jump(net, NS_PER_S);
	cr_expect_not(demands_cookies());
	wg_net_connect(net);
	cr_expect_eq(wg_stats(a->wg)->cookies_received, 0);
}

Test(wg_load, data_does_not_wait_behind_handshakes)
{
	uint64_t before;

	wg_net_connect(net);
	before = b->data_count;
	for (uint8_t i = 0; i < 100; i++) {
		struct addr from = source(0, i, 1);
		uint8_t message[WG_NET_PACKET_MAX];

		knock(&stranger, &from);
		cr_assert_eq(wg_net_seal(a, message, 100, i), 144);
		cr_assert_eq(wg_net_give(b, message, 144, &a->addr), WG_DATA);
	}
	cr_expect_eq(b->data_count - before, 100);
}

/* The caller bounds the steps of a turn: who floods must not use all of them. */
Test(wg_load, timers_do_not_wait_behind_cookies)
{
	struct wg_message out;

	wg_net_connect(net);
	cr_assert(wg_net_works(a));
	wg_net_jump(net, 10 * NS_PER_S);
	for (uint8_t i = 0; i < 100; i++) {
		struct addr from = source(0, i, 1);

		knock(&stranger, &from);
	}
	for (int i = 0; i < 5; i++)
		wg_poll(b->wg, net->now_ns, net->wall_ns, &out);
	cr_expect_eq(out.len, 32, "b's passive keepalive, after the few handshakes");
}

Test(wg_load, cookies_are_taken_from_the_peer_alone)
{
	struct addr thief = source(6, 6, 6);
	struct wg_message initiation, reply, out;
	struct wg_message changed;

	wg_net_send(a, 100, 0);
	flood();
	cr_assert(wg_net_step(a, &initiation));
	cr_assert_eq(wg_net_give(b, initiation.data, initiation.len, &a->addr), WG_CONTROL);
	cr_assert(wg_net_step(b, &reply));
	cr_assert_eq(reply.len, 64);
	for (size_t i = 4; i < 64; i++) {
		changed = reply;
		changed.data[i] ^= 1;
		cr_expect_eq(wg_net_give(a, changed.data, 64, &thief), WG_DROP_HANDSHAKE, "%zu", i);
	}
	cr_expect_eq(wg_net_give(a, reply.data, 64, &thief), WG_CONTROL);
	cr_expect_eq(wg_net_give(a, reply.data, 64, &thief), WG_DROP_HANDSHAKE, "once");
	cr_expect(addr_equal(&a->wg->endpoint, &b->addr), "no roaming on a cookie reply");
	cr_expect_eq(wg_stats(a->wg)->rx_bytes, 0);
	wg_net_jump(net, 6 * NS_PER_S);
	cr_assert(wg_net_step(a, &initiation));
	cr_expect_not(crypto_is_zero(initiation.data + 132, 16), "mac2");
	cr_expect_eq(wg_net_give(a, reply.data, 64, &thief), WG_DROP_HANDSHAKE, "stale");
	cr_assert(addr_equal(&initiation.to, &b->addr));
	cr_expect_not(wg_net_step(a, &out));
	/* Good for two minutes. */
	wg_net_jump(net, 113 * NS_PER_S);
	cr_assert_eq(wg_net_send(a, 100, 0), WG_TX_NO_SESSION);
	cr_assert(wg_net_step(a, &initiation));
	cr_expect_not(crypto_is_zero(initiation.data + 132, 16));
	wg_net_jump(net, 6 * NS_PER_S);
	cr_assert(wg_net_step(a, &initiation));
	cr_expect(crypto_is_zero(initiation.data + 132, 16));
}

Test(wg_load, cookies_that_nobody_asked_for)
{
	uint8_t reply[64] = {MESSAGE_COOKIE_REPLY};

	cr_expect_eq(wg_net_give(a, reply, 64, &b->addr), WG_DROP_HANDSHAKE);
	le32_put(reply + 4, a->wg->jar.index);
	cr_expect_eq(wg_net_give(a, reply, 64, &b->addr), WG_DROP_HANDSHAKE);
}

static struct queue_entry proven; /* a message with both MACs */

static void *run_check(void *ctx)
{
	struct dgram dgram = {.data = proven.message, .len = proven.len, .from = &proven.from};

	return cookie_check_mac2(ctx, &dgram, 0) ? ctx : NULL;
}

static void *run_reply(void *ctx)
{
	static struct message_cookie_reply reply;

	cookie_reply(ctx, &reply, &proven, 0);
	return NULL;
}

Test(wg_load, cookies_leave_nothing_on_the_stack)
{
	struct cookie_checker *checker = &b->wg->checker;
	static struct cookie_jar jar;

	jar = stranger;
	proven = (struct queue_entry){.from = source(1, 1, 1), .len = WG_CONTROL_MAX};
	flood();
	cr_assert(get_cookie(&jar, &proven.from));
	forge(&jar, proven.message);
	cr_assert(run_check(checker));
	cr_expect_not(wg_stack_keeps(jar.cookie, CRYPTO_MAC_LEN, run_check, checker));
	cr_expect_not(wg_stack_keeps(proven.message + 132, CRYPTO_MAC_LEN, run_check, checker));
	cr_expect_not(wg_stack_keeps(jar.cookie, CRYPTO_MAC_LEN, run_reply, checker));
}
