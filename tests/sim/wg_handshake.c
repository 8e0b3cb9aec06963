// SPDX-License-Identifier: MIT
#include "wg_net.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct wg_net *net;
static struct wg_side *a, *b;

static void start_with(const struct wg_net_options *options)
{
	net = wg_net_new(options);
	a = &net->a;
	b = &net->b;
}

static void start(void)
{
	start_with(NULL);
}

static void stop(void)
{
	wg_net_free(net);
}

TestSuite(wg_handshake, .init = start, .fini = stop, .timeout = 60);

/* a's initiation, asked for by data. */
static void initiate(struct wg_side *side, struct wg_message *initiation)
{
	cr_assert_eq(wg_net_send(side, 100, 0), WG_TX_NO_SESSION);
	cr_assert(wg_net_step(side, initiation));
	cr_assert_eq(initiation->len, sizeof(struct message_initiation));
}

/* b's response, or nothing. */
static bool respond(struct wg_side *side, const struct wg_message *initiation,
		    struct wg_message *response)
{
	cr_assert_eq(wg_net_give(side, initiation->data, initiation->len, &side->other->addr),
		     WG_CONTROL);
	if (!wg_net_step(side, response))
		return false;
	cr_assert_eq(response->len, sizeof(struct message_response));
	return true;
}

static uint64_t refused(const struct wg_side *side)
{
	return wg_stats(side->wg)->verdicts[WG_DROP_HANDSHAKE];
}

Test(wg_handshake, both_roles_with_and_without_psk)
{
	for (uint8_t psk = 0; psk < 2; psk++) {
		struct wg_net_options options = {
			.psk = {psk, psk},
			.b_has_endpoint = true,
			.seed = psk,
		};
		for (int role = 0; role < 2; role++) {
			struct wg_side *first;

			wg_net_free(net);
			start_with(&options);
			first = role == 0 ? a : b;
			cr_assert_eq(wg_net_send(first, 100, 1), WG_TX_NO_SESSION);
			wg_net_settle(net);
			cr_assert_eq(first->sent[MESSAGE_INITIATION], 1);
			cr_assert_eq(first->other->sent[MESSAGE_RESPONSE], 1);
			cr_assert(wg_net_works(first));
			cr_assert(wg_net_works(first->other));
			cr_expect_eq(wg_events(first->wg), WG_EVENT_HANDSHAKE);
			cr_expect_eq(wg_stats(first->wg)->handshakes_completed, 1);
			cr_expect_eq(wg_stats(first->other->wg)->handshakes_completed, 1);
			cr_expect_eq(wg_status(first->wg, net->now_ns).last_handshake_ns,
				     net->now_ns);
		}
	}
}

Test(wg_handshake, a_wrong_psk_never_connects)
{
	struct wg_net_options options = {.psk = {1, 2}, .keepalive_s = {25, 0}};

	wg_net_free(net);
	start_with(&options);
	wg_net_sleep(net, 60 * NS_PER_S);
	cr_expect_geq(b->sent[MESSAGE_RESPONSE], 5, "it is the response that tells");
	cr_expect_geq(refused(a), 5);
	cr_expect_not(wg_status(a->wg, net->now_ns).session);
	cr_expect_not(wg_net_works(a));
	cr_expect_not(wg_net_works(b));
}

/* b may not use the session before it knows that a has it. */
Test(wg_handshake, the_responder_waits_for_confirmation)
{
	struct wg_message initiation, response, confirmation;

	initiate(a, &initiation);
	cr_assert(respond(b, &initiation, &response));
	cr_expect_not(wg_status(b->wg, net->now_ns).session);
	cr_expect_eq(wg_net_send(b, 100, 1), WG_TX_NO_SESSION);
	cr_expect_eq(wg_events(b->wg), 0);
	cr_assert_eq(wg_net_give(a, response.data, response.len, &b->addr), WG_CONTROL);
	cr_assert(wg_net_step(a, &confirmation));
	cr_assert_eq(confirmation.len, 32, "a keepalive at once");
	cr_assert_eq(wg_net_give(b, confirmation.data, 32, &a->addr), WG_KEEPALIVE);
	cr_expect(wg_status(b->wg, net->now_ns).session);
	cr_expect_eq(wg_events(b->wg), WG_EVENT_HANDSHAKE);
	cr_expect(wg_net_works(b));
	cr_expect_eq(b->sent[MESSAGE_INITIATION], 0, "what it wanted has come");
}

Test(wg_handshake, data_confirms_as_well_as_a_keepalive)
{
	struct wg_message initiation, response, confirmation;

	initiate(a, &initiation);
	cr_assert(respond(b, &initiation, &response));
	cr_assert_eq(wg_net_give(a, response.data, response.len, &b->addr), WG_CONTROL);
	cr_assert(wg_net_step(a, &confirmation)); /* lost */
	cr_expect(wg_net_works(a));
	cr_expect(wg_net_works(b));
}

Test(wg_handshake, replayed_and_older_initiations_are_refused)
{
	const struct addr thief = {.family = ADDR_V4, .ip = {198, 51, 100, 9}, .port = 9};
	struct wg_message older, newer, response;

	initiate(a, &older);
	wg_net_jump(net, 6 * NS_PER_S);
	cr_assert(wg_net_step(a, &newer));
	cr_assert(respond(b, &newer, &response));
	wg_net_jump(net, NS_PER_S);
	cr_expect_eq(wg_net_give(b, newer.data, newer.len, &thief), WG_CONTROL);
	cr_expect_not(wg_net_step(b, &response), "replayed");
	cr_expect_eq(wg_net_give(b, older.data, older.len, &thief), WG_CONTROL);
	cr_expect_not(wg_net_step(b, &response), "older");
	cr_expect_eq(refused(b), 2);
	cr_expect(addr_equal(&b->wg->endpoint, &a->addr), "the endpoint has not moved");
}

/* A forger's responses, all of them on time and with the right index and mac1. */
Test(wg_handshake, spoofed_responses_do_not_clear_the_initiation)
{
	struct wg_message initiation, response, out;
	struct cookie_jar forger;

	initiate(a, &initiation);
	cr_assert(respond(b, &initiation, &response));
	cookie_jar_init(&forger, wg_public_key(a->wg));
	for (size_t i = 12; i < 60; i++) {
		struct wg_message forged = response;

		forged.data[i] ^= 1;
		cookie_jar_sign(&forger, forged.data, forged.len, net->now_ns);
		cr_assert_eq(wg_net_give(a, forged.data, forged.len, &b->addr), WG_CONTROL);
		cr_assert_not(wg_net_step(a, &out));
	}
	cr_expect_eq(refused(a), 48);
	/* The true one is late, but not too late. */
	wg_net_jump(net, 4900 * NS_PER_MS);
	cr_assert_eq(wg_net_give(a, response.data, response.len, &b->addr), WG_CONTROL);
	cr_assert(wg_net_step(a, &out));
	cr_expect(wg_status(a->wg, net->now_ns).session);
}

Test(wg_handshake, stale_and_repeated_responses_are_refused)
{
	struct wg_message first, second, to_first, to_second, out;

	initiate(a, &first);
	cr_assert(respond(b, &first, &to_first));
	wg_net_jump(net, 6 * NS_PER_S);
	cr_assert(wg_net_step(a, &second));
	cr_expect_eq(wg_net_give(a, to_first.data, to_first.len, &b->addr), WG_DROP_HANDSHAKE);
	cr_assert(respond(b, &second, &to_second));
	cr_assert_eq(wg_net_give(a, to_second.data, to_second.len, &b->addr), WG_CONTROL);
	/* Twice in the queue: the second finds nothing that waits. */
	cr_assert_eq(wg_net_give(a, to_second.data, to_second.len, &b->addr), WG_CONTROL);
	cr_assert(wg_net_step(a, &out));
	cr_expect_not(wg_net_step(a, &out));
	cr_expect_eq(wg_net_give(a, to_second.data, to_second.len, &b->addr), WG_DROP_HANDSHAKE);
	cr_expect_eq(wg_stats(a->wg)->handshakes_completed, 1);
	cr_expect(wg_net_works(a));
	cr_expect(wg_net_works(b));
}

/* Both initiations cross on the wire, whoever's response comes first. */
Test(wg_handshake, simultaneous_initiations_settle)
{
	struct wg_net_options options = {.b_has_endpoint = true};

	for (int order = 0; order < 2; order++) {
		struct wg_message from_a, from_b, to_a, to_b, out;

		wg_net_free(net);
		start_with(&options);
		initiate(a, &from_a);
		initiate(b, &from_b);
		cr_assert(respond(b, &from_a, &to_a));
		cr_assert(respond(a, &from_b, &to_b));
		for (int i = 0; i < 2; i++) {
			struct wg_side *side = (i ^ order) ? b : a;
			struct wg_message *response = side == a ? &to_a : &to_b;

			cr_assert_eq(wg_net_give(side, response->data, response->len,
						 &side->other->addr),
				     WG_CONTROL);
			cr_assert(wg_net_step(side, &out));
			cr_assert_eq(wg_net_give(side->other, out.data, out.len, &side->addr),
				     WG_KEEPALIVE);
		}
		for (int i = 0; i < 20; i++) {
			cr_assert(wg_net_works(a));
			cr_assert(wg_net_works(b));
			wg_net_sleep(net, NS_PER_S);
		}
		cr_expect_eq(wg_stats(a->wg)->handshakes_initiated, 1);
		cr_expect_eq(wg_stats(b->wg)->handshakes_initiated, 1);
	}
}

/* One packet of each side goes onto the wire before anything else of this round. */
static void talk(uint64_t ns)
{
	for (uint64_t until_ns = net->now_ns + ns; net->now_ns < until_ns;
	     wg_net_jump(net, 100 * NS_PER_MS)) {
		cr_assert_eq(wg_net_send(a, 100, net->next_id++), WG_TX_SEALED);
		cr_assert_eq(wg_net_send(b, 100, net->next_id++), WG_TX_SEALED);
		wg_net_round(net);
	}
}

/* Each side seals with the session that it asked for itself. */
static void connect_crosswise(uint64_t seed)
{
	struct wg_net_options options = {.b_has_endpoint = true, .seed = seed};

	wg_net_free(net);
	start_with(&options);
	net->check_once = true;
	wg_net_send(a, 100, 0);
	wg_net_send(b, 100, 0);
	wg_net_settle(net);
	cr_assert_eq(wg_stats(a->wg)->handshakes_completed, 1);
	cr_assert_eq(wg_stats(b->wg)->handshakes_completed, 1);
	cr_assert_neq(a->wg->sessions.current->peer_index, b->wg->sessions.current->local_index);
}

static void expect_no_drop(void)
{
	const uint64_t drops = ~(UINT64_C(1) << WG_DATA | UINT64_C(1) << WG_KEEPALIVE |
				 UINT64_C(1) << WG_CONTROL);

	wg_net_settle(net);
	cr_expect_eq(net->seen_bits & drops, 0, "%#lx", net->seen_bits);
	cr_expect_eq(a->data_count, wg_stats(b->wg)->tx_packets);
	cr_expect_eq(b->data_count, wg_stats(a->wg)->tx_packets);
}

Test(wg_handshake, no_packet_is_lost_when_both_rekey_at_once)
{
	for (uint64_t seed = 0; seed < 4; seed++) {
		connect_crosswise(seed);
		net->reorder_percent = (unsigned)seed * 20;
		talk(600 * NS_PER_S);
		cr_expect_geq(wg_stats(a->wg)->handshakes_initiated, 5);
		cr_expect_geq(wg_stats(b->wg)->handshakes_initiated, 5);
		expect_no_drop();
	}
}

/* One side is earlier: its handshake uncrosses the sessions. */
Test(wg_handshake, no_packet_is_lost_when_one_rekeys_after_both_began)
{
	for (int first = 0; first < 2; first++) {
		struct wg_side *side;

		connect_crosswise((uint64_t)first);
		side = first == 0 ? a : b;
		talk(60 * NS_PER_S);
		timers_handshake_wanted(&side->wg->timers, net->now_ns);
		talk(500 * NS_PER_S);
		cr_expect_eq(wg_stats(side->wg)->handshakes_initiated, 6);
		cr_expect_eq(wg_stats(side->other->wg)->handshakes_initiated, 1);
		cr_expect_eq(a->wg->sessions.current->peer_index,
			     b->wg->sessions.current->local_index);
		expect_no_drop();
	}
}

static size_t living(const struct wg_side *side)
{
	size_t count = 0;

	for (size_t i = 0; i < SESSION_SLOTS; i++)
		count += side->wg->sessions.slots[i].keyed;
	return count;
}

Test(wg_handshake, retired_sessions_are_wiped_in_their_time)
{
	wg_net_connect(net);
	for (int i = 0; i < 5; i++) {
		talk(130 * NS_PER_S);
		cr_expect_eq(living(a), 2);
		cr_expect_eq(living(b), 2);
	}
}

/* Handshakes as fast as they may come: the oldest session makes room, and no other. */
Test(wg_handshake, retired_sessions_are_bounded)
{
	uint8_t messages[12][WG_NET_PACKET_MAX];

	wg_net_connect(net);
	for (int i = 0; i < 12; i++) {
		cr_assert_eq(wg_net_seal(b, messages[i], 100, (uint32_t)i), 144);
		wg_net_sleep(net, 6 * NS_PER_S);
		timers_handshake_wanted(&a->wg->timers, net->now_ns);
		wg_net_settle(net);
		cr_expect_leq(living(a), SESSION_SLOTS);
	}
	for (int i = 0; i < 12; i++)
		cr_expect_eq(wg_net_give(a, messages[i], 144, &b->addr),
			     i < 12 - (SESSION_SLOTS - 1) ? WG_DROP_INDEX : WG_DATA, "%d", i);
}

/* A peer that forgets its own initiation when it answers ours, as the kernel does. */
Test(wg_handshake, simultaneous_initiations_settle_with_a_forgetful_peer)
{
	struct wg_message from_a, to_a, out;

	wg_set_endpoint(b->wg, &a->addr);
	initiate(a, &from_a);
	initiate(b, &out); /* a never sees it */
	cr_assert(respond(b, &from_a, &to_a));
	noise_forget_initiation(&b->wg->noise);
	cr_assert_eq(wg_net_give(a, to_a.data, to_a.len, &b->addr), WG_CONTROL);
	wg_net_settle(net);
	cr_expect(wg_net_works(a));
	cr_expect(wg_net_works(b));
}

/* Who knows our public key, but is not our peer. */
Test(wg_handshake, strangers_are_dropped)
{
	struct wg_config config = {.private_key = {[5] = 77}};
	struct message_initiation initiation;
	struct wg_message out;
	struct cookie_jar jar;
	struct noise stranger = {0};

	memcpy(config.peer_public_key, wg_public_key(b->wg), 32);
	cr_assert(noise_init(&stranger, &config));
	noise_create_initiation(&stranger, &initiation, 5, net->wall_ns, &b->wg->env);
	cookie_jar_init(&jar, wg_public_key(b->wg));
	cookie_jar_sign(&jar, (uint8_t *)&initiation, sizeof(initiation), net->now_ns);
	cr_assert_eq(wg_net_give(b, &initiation, sizeof(initiation), &a->addr), WG_CONTROL);
	cr_expect_not(wg_net_step(b, &out));
	cr_expect_eq(refused(b), 1);
	cr_expect_eq(b->wg->endpoint.family, ADDR_NONE);
	cr_expect_eq(b->wg->sessions.next, NULL);
}

Test(wg_handshake, indices_are_random_and_name_their_slot)
{
	enum { ROUNDS = 200 };
	uint32_t seen[ROUNDS] = {0};
	uint32_t ones = 0, zeros = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct session *session;

		wg_net_connect(net);
		timers_handshake_wanted(&a->wg->timers, net->now_ns);
		wg_net_sleep(net, 6 * NS_PER_S);
		session = a->wg->sessions.current;
		seen[i] = session->local_index;
		cr_assert_eq(session, &a->wg->sessions.slots[seen[i] & SESSION_SLOT_MASK]);
		cr_assert_eq(sessions_find(&a->wg->sessions, seen[i]), session);
		cr_assert_eq(session->peer_index, b->wg->sessions.current->local_index);
		ones |= seen[i];
		zeros |= ~seen[i];
		for (int k = 0; k < i; k++)
			cr_assert_neq(seen[k], seen[i]);
	}
	cr_expect_eq(ones & zeros, UINT32_MAX, "every bit takes both values");
}

Test(wg_handshake, clocks_that_stand_still_or_jump_back)
{
	for (int i = 0; i < 4; i++) {
		wg_net_connect(net);
		cr_assert(wg_net_works(a));
		a->wall_offset_ns -= 3600 * (int64_t)NS_PER_S;
		wg_net_sleep(net, 200 * NS_PER_S);
	}
	cr_expect_eq(refused(b), 0);
}

Test(wg_handshake, useless_keys_are_refused)
{
	struct wg_config config = {.private_key = {1}, .peer_public_key = {9}};
	struct wg_env env = a->wg->env;

	cr_expect_eq(wg_init(a->wg, &config, &env, 0), 0);
	config.private_key[0] = 0;
	cr_expect_eq(wg_init(a->wg, &config, &env, 0), -EINVAL);
	config.private_key[0] = 1;
	config.peer_public_key[0] = 0;
	cr_expect_eq(wg_init(a->wg, &config, &env, 0), -EINVAL);
	cr_expect(crypto_is_zero(a->wg, sizeof(*a->wg)), "a failed start leaves no key behind");
	config.peer_public_key[0] = 9;
	config.allowed_count = WG_ALLOWED_MAX + 1;
	cr_expect_eq(wg_init(a->wg, &config, &env, 0), -EINVAL);
}

/* The first packets after a rekey, and the last before it, in whatever order they come. */
Test(wg_handshake, no_packet_is_lost_at_a_rekey)
{
	uint8_t old_a[WG_NET_PACKET_MAX], old_b[WG_NET_PACKET_MAX], fresh[WG_NET_PACKET_MAX];
	struct wg_message initiation, response, confirmation;
	uint32_t old_a_len, old_b_len, fresh_len;

	wg_net_connect(net);
	for (int i = 0; i < 5; i++) {
		wg_net_sleep(net, 121 * NS_PER_S);
		old_a_len = wg_net_seal(a, old_a, 100, 1);
		cr_assert(old_a_len && wg_net_step(a, &initiation));
		cr_assert(respond(b, &initiation, &response));
		/* b goes on with the session that both know. */
		old_b_len = wg_net_seal(b, old_b, 100, 2);
		cr_assert(old_b_len);
		cr_assert_eq(wg_net_give(a, response.data, response.len, &b->addr), WG_CONTROL);
		cr_assert(wg_net_step(a, &confirmation));
		fresh_len = wg_net_seal(a, fresh, 100, 3);
		cr_assert(fresh_len);
		cr_assert_eq(wg_net_give(a, old_b, old_b_len, &b->addr), WG_DATA);
		cr_assert_eq(wg_net_give(b, fresh, fresh_len, &a->addr), WG_DATA);
		cr_assert_eq(wg_net_give(b, old_a, old_a_len, &a->addr), WG_DATA);
		cr_assert_eq(wg_net_give(b, confirmation.data, 32, &a->addr), WG_KEEPALIVE);
		cr_expect(wg_events(a->wg) & WG_EVENT_REKEY);
		cr_expect(wg_events(b->wg) & WG_EVENT_REKEY);
		cr_assert(wg_net_works(b));
	}
	cr_expect_eq(wg_stats(a->wg)->tx_no_session, 1, "but for the very first");
	cr_expect_eq(wg_stats(b->wg)->tx_no_session, 0);
}

Test(wg_handshake, the_endpoint_follows_true_handshakes)
{
	const struct addr moved = {.family = ADDR_V6, .ip = {0x20, 1}, .port = 7};
	struct wg_message initiation, response, out;

	initiate(a, &initiation);
	cr_assert_eq(wg_net_give(b, initiation.data, initiation.len, &moved), WG_CONTROL);
	cr_assert(wg_net_step(b, &response));
	cr_expect(addr_equal(&response.to, &moved), "answered where it came from");
	cr_assert_eq(wg_net_give(a, response.data, response.len, &moved), WG_CONTROL);
	cr_expect(addr_equal(&a->wg->endpoint, &b->addr), "not before it has verified");
	cr_assert(wg_net_step(a, &out));
	cr_expect(addr_equal(&out.to, &moved));
	cr_expect(wg_events(a->wg) & WG_EVENT_ROAMED);
	cr_expect_not(wg_events(b->wg) & WG_EVENT_ROAMED, "it knew none before");
}

Test(wg_handshake, one_handshake_message_every_five_seconds)
{
	struct wg_message initiation, response, out;

	wg_set_endpoint(b->wg, &a->addr);
	initiate(a, &initiation);
	cr_assert(respond(b, &initiation, &response));
	/* b wants one of its own, but has just answered. */
	cr_assert_eq(wg_net_send(b, 100, 1), WG_TX_NO_SESSION);
	cr_expect_not(wg_net_step(b, &out));
	wg_net_jump(net, REKEY_TIMEOUT - 1);
	cr_expect_not(wg_net_step(b, &out));
	wg_net_jump(net, 1);
	cr_expect(wg_net_step(b, &out));
	cr_expect_eq(out.len, sizeof(struct message_initiation));
}

/* The same while a series is on: who has just been answered is given time to confirm. */
Test(wg_handshake, an_answer_puts_off_the_next_attempt)
{
	struct wg_message initiation, response, out;

	wg_set_endpoint(b->wg, &a->addr);
	initiate(b, &out); /* lost */
	wg_net_jump(net, 4 * NS_PER_S);
	initiate(a, &initiation);
	cr_assert(respond(b, &initiation, &response)); /* lost */
	wg_net_jump(net, REKEY_TIMEOUT - 1);
	cr_expect_not(wg_net_step(b, &out));
	wg_net_jump(net, REKEY_JITTER_MAX);
	cr_expect(wg_net_step(b, &out));
	cr_expect_eq(out.len, sizeof(struct message_initiation));
}

Test(wg_handshake, secrets_do_not_outlive_their_use)
{
	wg_net_connect(net);
	cr_expect(crypto_is_zero(&a->wg->noise.initiation, sizeof(a->wg->noise.initiation)));
	cr_expect_eq(a->wg->sessions.reserved, NULL);
	wg_net_sleep(net, 539 * NS_PER_S);
	cr_expect_not(crypto_is_zero(a->wg->sessions.slots, sizeof(a->wg->sessions.slots)));
	cr_expect_not(crypto_is_zero(b->wg->sessions.slots, sizeof(b->wg->sessions.slots)));
	wg_net_sleep(net, 2 * NS_PER_S);
	cr_expect(crypto_is_zero(&a->wg->sessions, sizeof(a->wg->sessions)));
	cr_expect(crypto_is_zero(&b->wg->sessions, sizeof(b->wg->sessions)));
	wg_wipe(a->wg);
	cr_expect(crypto_is_zero(a->wg, sizeof(*a->wg)));
}
