// SPDX-License-Identifier: MIT
/* What /health, /readyz and /startupz say of a tunnel, whose core is real and whose clock is not. */
#include "wg_net.h"

#include "../../src/proxy/inside.h"

#include <criterion/criterion.h>

static struct wg_net *net;
static struct config config;
static struct proxy proxy;
static struct health_ops ops;

static void start_with(const struct wg_net_options *options)
{
	net = wg_net_new(options);
	proxy = (struct proxy){.config = &config, .wg = net->a.wg, .notify_fd = -1};
	proxy.now_ns = net->now_ns;
	ops = probe_ops(&proxy);
	log_set_level(LOG_ERROR);
}

static void start(void)
{
	start_with(NULL);
}

static void stop(void)
{
	wg_net_free(net);
}

TestSuite(ready, .init = start, .fini = stop, .timeout = 60);

/* As turns do it: the core's events become the proxy's. */
static void pass(uint64_t seconds)
{
	for (uint64_t i = 0; i < seconds; i++) {
		wg_net_sleep(net, NS_PER_S);
		proxy.now_ns = net->now_ns;
		report_events(&proxy);
	}
}

static void server_answers(bool answers)
{
	net->drop_types = answers ? 0 : 1u << MESSAGE_INITIATION | 1u << MESSAGE_RESPONSE;
}

static void expect(const char *health, const char *readyz, const char *startupz)
{
	const char *const wanted[] = {health, readyz, startupz};

	for (int check = HEALTH_SERVING; check <= HEALTH_STARTED; check++) {
		const char *reason = ops.why_not(ops.ctx, (enum health_check)check);

		cr_expect_eq(reason == NULL, wanted[check] == NULL, "%d: %s", check, reason);
		if (reason != NULL && wanted[check] != NULL)
			cr_expect_str_eq(reason, wanted[check]);
	}
}

static const char none[] = "no handshake yet";
static const char silence[] = "the server does not answer handshakes";

/* Nobody else wants a session here: no keepalive, no traffic. The probes do. */
Test(ready, probes_ask_for_the_first_handshake)
{
	server_answers(false);
	expect(NULL, none, none);
	pass(10);
	cr_expect_geq(net->a.sent[MESSAGE_INITIATION], 1);
	expect(NULL, none, none);
	server_answers(true);
	pass(10);
	expect(NULL, NULL, NULL);
}

/* The session ends unused, and that is fine. */
Test(ready, idle_after_a_good_handshake)
{
	wg_net_connect(net);
	pass(1000);
	cr_expect_not(wg_status(proxy.wg, proxy.now_ns).session);
	cr_expect_eq(net->a.sent[MESSAGE_INITIATION], 1);
	expect(NULL, NULL, NULL);
}

/* As long as the old session lasts nothing is wrong; then the probes alone bring it back. */
Test(ready, server_gone_and_back)
{
	wg_net_connect(net);
	server_answers(false);
	pass(130);
	wg_net_send(&net->a, 100, 1); /* later than REKEY_AFTER_TIME: wants a new one */
	pass(40);
	cr_expect(proxy.unanswered);
	expect(NULL, NULL, NULL);
	pass(20);
	expect(NULL, silence, NULL);
	pass(300); /* given up */
	server_answers(true);
	pass(100);
	expect(NULL, silence, NULL);
	pass(10);
	expect(NULL, NULL, NULL);
}

Test(ready, draining)
{
	wg_net_connect(net);
	proxy.state = PROXY_DRAINING;
	pass(1);
	expect("draining", "draining", NULL);
}

/* What the metrics repeat of it. */
Test(ready, when_the_last_handshake_was)
{
	cr_expect_eq(proxy.handshake_s, 0);
	wg_net_connect(net);
	pass(1);
	cr_expect_gt(proxy.handshake_s, 1600000000);
}
