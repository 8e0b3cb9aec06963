// SPDX-License-Identifier: MIT
#include "wg_net.h"

#include <criterion/criterion.h>
#include <string.h>

static struct wg_net *net;
static struct wg_side *a, *b;

static void start_with(const struct wg_net_options *options)
{
	net = wg_net_new(options);
	a = &net->a;
	b = &net->b;
}

static void restart(const struct wg_net_options *options)
{
	wg_net_free(net);
	start_with(options);
}

static void start(void)
{
	start_with(NULL);
}

static void stop(void)
{
	wg_net_free(net);
}

TestSuite(wg_timers, .init = start, .fini = stop, .timeout = 60);

/* One packet of `side` gets lost. */
static void send_into_the_void(struct wg_side *side)
{
	size_t before = net->wire_count;

	cr_assert_eq(wg_net_send(side, 100, 0), WG_TX_SEALED);
	net->wire_count = before;
}

Test(wg_timers, silent_without_a_wish)
{
	cr_expect_eq(wg_deadline(a->wg), NEVER);
	wg_net_sleep(net, 1000 * NS_PER_S);
	cr_expect_eq(a->sent[MESSAGE_INITIATION] + b->sent[MESSAGE_INITIATION], 0);
}

Test(wg_timers, retries_give_up_and_begin_again_with_data)
{
	uint64_t start_ns = net->now_ns;
	uint64_t last_ns = start_ns;

	net->drop_types = 1 << MESSAGE_INITIATION;
	wg_net_send(a, 100, 0);
	wg_net_settle(net);
	cr_assert_eq(a->sent[MESSAGE_INITIATION], 1, "the first at once");
	for (uint64_t sent = 1; wg_deadline(a->wg) < start_ns + 90 * NS_PER_S; sent++) {
		cr_assert_eq(a->sent[MESSAGE_INITIATION], sent);
		cr_assert_geq(wg_deadline(a->wg) - last_ns, 5 * NS_PER_S);
		cr_assert_leq(wg_deadline(a->wg) - last_ns, 5333 * NS_PER_MS);
		wg_net_sleep(net, wg_deadline(a->wg) - net->now_ns);
		cr_expect(wg_events(a->wg) & WG_EVENT_UNANSWERED);
		last_ns = net->now_ns;
	}
	cr_expect_geq(a->sent[MESSAGE_INITIATION], 17);
	wg_net_sleep(net, 6 * NS_PER_S);
	cr_expect(wg_events(a->wg) & WG_EVENT_GAVE_UP);
	cr_expect_eq(wg_stats(a->wg)->handshakes_given_up, 1);
	cr_expect_eq(wg_stats(a->wg)->handshakes_unanswered, a->sent[MESSAGE_INITIATION]);
	net->drop_types = 0;
	last_ns = a->sent[MESSAGE_INITIATION];
	wg_net_sleep(net, 400 * NS_PER_S);
	cr_expect_eq(a->sent[MESSAGE_INITIATION], last_ns, "silence");
	wg_net_connect(net);
	cr_expect(wg_net_works(a));
}

Test(wg_timers, data_puts_off_giving_up)
{
	net->drop_types = 1 << MESSAGE_INITIATION;
	for (int i = 0; i < 10; i++) {
		wg_net_send(a, 100, 0);
		wg_net_sleep(net, 60 * NS_PER_S);
		cr_expect_not(wg_events(a->wg) & WG_EVENT_GAVE_UP);
	}
	cr_expect_geq(a->sent[MESSAGE_INITIATION], 110);
	cr_expect_leq(a->sent[MESSAGE_INITIATION], 120);
}

Test(wg_timers, unanswered_keys_are_zeroed_too)
{
	net->drop_types = 1 << MESSAGE_INITIATION;
	wg_net_send(a, 100, 0);
	wg_net_sleep(net, 100 * NS_PER_S);
	cr_expect_not(crypto_is_zero(&a->wg->noise.initiation, sizeof(a->wg->noise.initiation)));
	wg_net_sleep(net, 540 * NS_PER_S);
	cr_expect(crypto_is_zero(&a->wg->noise.initiation, sizeof(a->wg->noise.initiation)));
	cr_expect_eq(wg_deadline(a->wg), NEVER);
}

Test(wg_timers, persistent_keepalive)
{
	restart(&(struct wg_net_options){.keepalive_s = {25, 0}});
	wg_net_settle(net);
	cr_assert(wg_status(a->wg, net->now_ns).session, "a handshake at start-up");
	cr_assert_eq(a->sent[0], 1, "the confirmation");
	wg_net_sleep(net, 25 * NS_PER_S - 1);
	cr_expect_eq(a->sent[0], 1);
	wg_net_sleep(net, 1);
	cr_expect_eq(a->sent[0], 2);
	wg_net_sleep(net, 10 * NS_PER_S);
	cr_expect(wg_net_works(a));
	wg_net_sleep(net, 10 * NS_PER_S);
	cr_expect_eq(b->sent[0], 1, "b has none of its own, and answers data alone");
	wg_net_sleep(net, 25 * NS_PER_S - 1);
	cr_expect_eq(a->sent[0], 2, "what came and what went has put it off");
	wg_net_sleep(net, 1);
	cr_expect_eq(a->sent[0], 3);
	wg_net_sleep(net, 3600 * NS_PER_S);
	cr_expect(wg_status(a->wg, net->now_ns).session, "rekeyed by keepalives alone");
	cr_expect_eq(wg_events(a->wg) & WG_EVENT_LOST, 0);
}

Test(wg_timers, with_persistent_keepalive_handshakes_go_on_for_ever)
{
	restart(&(struct wg_net_options){.keepalive_s = {25, 0}});
	net->drop_types = 1 << MESSAGE_RESPONSE;
	wg_net_sleep(net, 3600 * NS_PER_S);
	cr_expect(wg_events(a->wg) & WG_EVENT_GAVE_UP);
	cr_expect_geq(wg_stats(a->wg)->handshakes_given_up, 25);
	net->drop_types = 0;
	wg_net_sleep(net, 40 * NS_PER_S);
	cr_expect(wg_status(a->wg, net->now_ns).session);
}

Test(wg_timers, passive_keepalive_after_ten_seconds)
{
	wg_net_connect(net);
	cr_assert(wg_net_works(a));
	wg_net_sleep(net, 9 * NS_PER_S);
	cr_assert(wg_net_works(a)); /* the first packet counts, not the last */
	wg_net_sleep(net, NS_PER_S - 1);
	cr_expect_eq(b->sent[0], 0);
	wg_net_sleep(net, 1);
	cr_expect_eq(b->sent[0], 1);
	cr_assert(wg_net_works(a));
	wg_net_sleep(net, 5 * NS_PER_S);
	cr_assert(wg_net_works(b));
	wg_net_sleep(net, 9 * NS_PER_S);
	cr_expect_eq(b->sent[0], 1, "data was answer enough");
}

Test(wg_timers, keepalives_do_not_provoke_keepalives)
{
	uint64_t sent;

	wg_net_connect(net);
	cr_assert(wg_net_works(a));
	wg_net_sleep(net, 11 * NS_PER_S);
	sent = a->sent[0] + b->sent[0];
	wg_net_sleep(net, 100 * NS_PER_S);
	cr_expect_eq(a->sent[0] + b->sent[0], sent);
}

Test(wg_timers, a_new_handshake_after_fifteen_seconds_of_silence)
{
	wg_net_connect(net);
	cr_assert(wg_net_works(a) && wg_net_works(b));
	net->drop_types = 1 << MESSAGE_DATA;
	wg_net_send(a, 100, 1);
	wg_net_sleep(net, 7 * NS_PER_S);
	wg_net_send(a, 100, 2); /* the first unanswered one counts */
	wg_net_sleep(net, 8 * NS_PER_S - 1);
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 1);
	wg_net_sleep(net, 334 * NS_PER_MS);
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 2);
}

Test(wg_timers, anything_heard_calls_off_the_new_handshake)
{
	wg_net_connect(net);
	cr_assert(wg_net_works(a));
	wg_net_sleep(net, 30 * NS_PER_S); /* b's passive keepalive, after ten */
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 1);
}

Test(wg_timers, the_initiator_rekeys_when_it_sends_after_120_seconds)
{
	wg_net_connect(net);
	wg_net_sleep(net, 120 * NS_PER_S - 1);
	cr_assert(wg_net_works(a));
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 1);
	wg_net_sleep(net, 1);
	cr_assert(wg_net_works(b), "the responder leaves it to the initiator");
	cr_expect_eq(b->sent[MESSAGE_INITIATION], 0);
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 1);
	cr_assert(wg_net_works(a));
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 2);
	cr_expect_eq(wg_events(a->wg), WG_EVENT_HANDSHAKE | WG_EVENT_REKEY);
	cr_expect_eq(wg_stats(a->wg)->rekeys, 1);
}

Test(wg_timers, the_initiator_rekeys_when_it_receives_after_165_seconds)
{
	wg_net_connect(net);
	net->drop_types = 1 << MESSAGE_RESPONSE;
	wg_net_sleep(net, 165 * NS_PER_S - 1);
	send_into_the_void(b);
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 1);
	cr_assert(wg_net_works(b));
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 1);
	wg_net_sleep(net, 1);
	cr_assert(wg_net_works(b));
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 2);
	cr_expect_eq(a->wg->timers.give_up_ns, net->now_ns + 90 * NS_PER_S);
	wg_net_sleep(net, NS_PER_S);
	cr_assert(wg_net_works(b));
	cr_expect_lt(a->wg->timers.give_up_ns, net->now_ns + 90 * NS_PER_S, "asked for once");
}

Test(wg_timers, rekey_after_2_60_messages)
{
	wg_net_connect(net);
	wg_net_sleep(net, 6 * NS_PER_S);
	b->wg->sessions.current->send_counter = UINT64_C(1) << 60;
	cr_assert(wg_net_works(b));
	cr_expect_eq(b->sent[MESSAGE_INITIATION], 1, "either side");
	cr_expect_eq(wg_stats(b->wg)->handshakes_completed, 2);
}

Test(wg_timers, a_session_ends_after_180_seconds)
{
	uint8_t message[WG_NET_PACKET_MAX];
	uint32_t len;

	wg_net_connect(net);
	net->drop_types = 1 << MESSAGE_INITIATION;
	len = wg_net_seal(b, message, 100, 1);
	wg_net_sleep(net, 180 * NS_PER_S - 1);
	cr_expect(wg_status(a->wg, net->now_ns).session);
	cr_expect_eq(wg_events(a->wg) & WG_EVENT_LOST, 0);
	wg_net_sleep(net, 1);
	cr_expect_not(wg_status(a->wg, net->now_ns).session);
	cr_expect(wg_events(a->wg) & WG_EVENT_LOST);
	cr_expect(wg_events(b->wg) & WG_EVENT_LOST);
	cr_expect_eq(wg_net_give(a, message, len, &b->addr), WG_DROP_EXPIRED);
	cr_expect_eq(wg_net_send(a, 100, 2), WG_TX_NO_SESSION);
	net->drop_types = 0;
	wg_net_settle(net);
	cr_expect(wg_net_works(a), "and a new one comes");
	cr_expect_eq(wg_events(a->wg), WG_EVENT_HANDSHAKE, "no rekey: it follows none");
}

Test(wg_timers, a_session_ends_at_its_last_counter)
{
	uint8_t message[WG_NET_PACKET_MAX];
	struct session *session;

	wg_net_connect(net);
	session = b->wg->sessions.current;
	session->send_counter = REJECT_AFTER_MESSAGES - 1;
	cr_assert(wg_net_seal(b, message, 100, 1));
	cr_assert_eq(wg_net_give(a, message, 144, &b->addr), WG_DATA);
	cr_expect_eq(wg_net_seal(b, message, 100, 1), 0);
	cr_expect_eq(session->send_counter, REJECT_AFTER_MESSAGES);
	/* A peer that goes on all the same. */
	memset(message + 8, 0xff, 8);
	cr_expect_eq(wg_net_give(a, message, 144, &b->addr), WG_DROP_EXPIRED);
	message[8] = 0;
	message[9] = 0xe0; /* 2^64 - 2^13 */
	cr_expect_eq(wg_net_give(a, message, 144, &b->addr), WG_DROP_EXPIRED);
}

Test(wg_timers, a_clock_that_stands_still)
{
	restart(&(struct wg_net_options){.keepalive_s = {25, 25}, .b_has_endpoint = true});
	for (int i = 0; i < 50; i++) {
		wg_net_settle(net);
		cr_assert(wg_net_works(a));
		cr_assert(wg_net_works(b));
	}
	cr_expect_leq(a->sent[MESSAGE_INITIATION] + b->sent[MESSAGE_INITIATION], 2);
}

Test(wg_timers, a_clock_that_begins_at_zero)
{
	struct wg_message out;

	net->now_ns = 0;
	timers_init(&a->wg->timers, &a->wg->env, 1, 0);
	cr_assert(wg_net_step(a, &out));
	cr_assert_eq(wg_net_give(b, out.data, out.len, &a->addr), WG_CONTROL);
	cr_assert(wg_net_step(b, &out));
	cr_assert_eq(wg_net_give(a, out.data, out.len, &b->addr), WG_CONTROL);
	wg_net_settle(net);
	cr_expect(wg_net_works(a));
}

Test(wg_timers, a_clock_that_leaps)
{
	const uint64_t leaps_s[] = {1, 100, 170, 181, 541, 3600, 86400, 31536000};
	struct wg_net_options options = {.keepalive_s = {25, 0}, .b_has_endpoint = true};

	restart(&options);
	for (size_t i = 0; i < 2 * sizeof(leaps_s) / sizeof(leaps_s[0]); i++) {
		wg_net_connect(net);
		cr_assert(wg_net_works(a));
		cr_assert(wg_net_works(b));
		if (i % 2 == 0)
			send_into_the_void(b);
		wg_net_jump(net, leaps_s[i / 2] * NS_PER_S);
		wg_net_settle(net);
		wg_net_sleep(net, 6 * NS_PER_S);
		cr_assert(wg_net_works(a));
	}
}

/* Asleep for longer than a series lasts: the first attempt is made before it is given up. */
Test(wg_timers, a_wish_survives_a_leap)
{
	wg_net_send(a, 100, 0);
	wg_net_jump(net, 1000 * NS_PER_S);
	wg_net_settle(net);
	cr_expect_eq(wg_events(a->wg) & (WG_EVENT_HANDSHAKE | WG_EVENT_GAVE_UP),
		     WG_EVENT_HANDSHAKE);
}

Test(wg_timers, an_idle_process_sleeps)
{
	int wakes = 0;

	wg_net_connect(net);
	for (; wg_deadline(a->wg) != NEVER; wakes++) {
		wg_net_jump(net, wg_deadline(a->wg) - net->now_ns);
		wg_net_poll(a);
	}
	cr_expect_leq(wakes, 2, "the session's end, and its keys'");
}

Test(wg_timers, no_endpoint_yet)
{
	struct wg_message out;

	restart(&(struct wg_net_options){.keepalive_s = {25, 0}, .a_lacks_endpoint = true});
	wg_net_sleep(net, 600 * NS_PER_S);
	cr_expect_eq(wg_events(a->wg), 0, "what was not sent is not unanswered");
	cr_expect_eq(wg_stats(a->wg)->handshakes_initiated, 0);
	cr_expect_eq(wg_stats(a->wg)->handshakes_given_up, 0);
	wg_set_endpoint(a->wg, &(struct addr){.family = ADDR_NONE});
	cr_expect_not(wg_net_step(a, &out));
	wg_set_endpoint(a->wg, &b->addr);
	cr_expect_leq(wg_deadline(a->wg), net->now_ns);
	wg_set_endpoint(a->wg, &(struct addr){.family = ADDR_NONE});
	wg_net_settle(net);
	cr_expect_eq(wg_events(a->wg), WG_EVENT_HANDSHAKE);
	cr_expect(wg_net_works(a));
}

Test(wg_timers, without_an_endpoint_nobody_wakes)
{
	struct wg_message out;

	restart(&(struct wg_net_options){.a_lacks_endpoint = true});
	for (int i = 0; i < 100; i++) {
		cr_expect_eq(wg_net_send(a, 100, 0), WG_TX_NO_SESSION);
		cr_expect_not(wg_net_step(a, &out));
		cr_expect_eq(wg_deadline(a->wg), NEVER);
		wg_net_jump(net, 10 * NS_PER_S);
	}
	cr_expect_eq(wg_events(a->wg), 0);
	/* The series that begins now is as long as any, however old the wish. */
	wg_net_jump(net, REKEY_ATTEMPT_TIME);
	net->drop_types = 1 << MESSAGE_INITIATION;
	wg_set_endpoint(a->wg, &b->addr);
	wg_net_settle(net);
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 1, "at once");
	cr_expect_eq(wg_events(a->wg), 0, "it may still be answered");
	wg_net_sleep(net, 80 * NS_PER_S);
	cr_expect_eq(wg_events(a->wg), WG_EVENT_UNANSWERED);
	wg_net_sleep(net, 20 * NS_PER_S);
	cr_expect(wg_events(a->wg) & WG_EVENT_GAVE_UP);
}

/* The peer's own initiation tells where it is; should the answer get lost, we know whom to ask. */
Test(wg_timers, an_endpoint_that_is_learned_will_do)
{
	cr_expect_eq(wg_net_send(b, 100, 0), WG_TX_NO_SESSION);
	wg_net_settle(net);
	net->drop_types = 1 << MESSAGE_RESPONSE;
	cr_expect_eq(wg_net_send(a, 100, 0), WG_TX_NO_SESSION);
	wg_net_settle(net);
	cr_expect_eq(b->sent[MESSAGE_INITIATION], 0, "it has just answered one");
	net->drop_types = 1 << MESSAGE_INITIATION;
	wg_net_sleep(net, REKEY_TIMEOUT + REKEY_JITTER_MAX);
	cr_expect_eq(b->sent[MESSAGE_INITIATION], 1);
}

Test(wg_timers, a_new_endpoint_is_tried_when_the_rules_allow)
{
	struct addr wrong = b->addr;

	wrong.port++;
	wg_set_endpoint(a->wg, &wrong);
	wg_net_send(a, 100, 0);
	wg_net_settle(net);
	wg_net_sleep(net, NS_PER_S);
	wg_set_endpoint(a->wg, &b->addr);
	wg_net_sleep(net, 4 * NS_PER_S - 1);
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 1);
	wg_net_sleep(net, 1);
	cr_expect_eq(a->sent[MESSAGE_INITIATION], 2);
	cr_expect(wg_net_works(a));
	cr_expect_not(wg_events(a->wg) & WG_EVENT_ROAMED);
}
