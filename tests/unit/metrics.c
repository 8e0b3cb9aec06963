// SPDX-License-Identifier: MIT
/*
 * What /metrics says: the writer alone, and the whole of it from a proxy with real parts that has
 * nothing to do.
 */
#include "base/metrics.h"

#include "../../src/proxy/inside.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the writer ------------------------------------------------------------------------------ */

static char text[HEALTH_BODY_MAX + 1];

static struct metrics writer(void)
{
	memset(text, 0, sizeof(text));
	return (struct metrics){.text = text, .size = sizeof(text)};
}

Test(metrics, families_and_samples)
{
	struct metrics out = writer();

	metrics_counter(&out, "a_total", "What a is.", UINT64_MAX);
	metrics_begin(&out, "b_seconds", "gauge", "What b is.");
	metrics_add(&out, "x=\"1\"", 7);
	metrics_add_time(&out, "x=\"2\",y=\"3\"", 1500 * NS_PER_MS + 1);
	cr_expect_str_eq(text, "# HELP a_total What a is.\n"
			       "# TYPE a_total counter\n"
			       "a_total 18446744073709551615\n"
			       "# HELP b_seconds What b is.\n"
			       "# TYPE b_seconds gauge\n"
			       "b_seconds{x=\"1\"} 7\n"
			       "b_seconds{x=\"2\",y=\"3\"} 1.500000001\n");
	cr_expect_eq(out.len, strlen(text));
}

Test(metrics, histogram_buckets)
{
	struct histogram histogram = {0};

	histogram_add(&histogram, 0);
	histogram_add(&histogram, histogram_bounds_ns[0]);
	histogram_add(&histogram, histogram_bounds_ns[0] + 1);
	histogram_add(&histogram, histogram_bounds_ns[HISTOGRAM_BOUNDS - 1]);
	histogram_add(&histogram, UINT64_MAX / 2);
	cr_expect_eq(histogram.counts[0], 2, "a bound belongs to its bucket");
	cr_expect_eq(histogram.counts[1], 1);
	cr_expect_eq(histogram.counts[HISTOGRAM_BOUNDS - 1], 1);
	cr_expect_eq(histogram.counts[HISTOGRAM_BOUNDS], 1);
	for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
		cr_expect_lt(histogram_bounds_ns[i - 1], histogram_bounds_ns[i]);
}

/* Each bucket holds the smaller ones, too; the last one is the count. */
Test(metrics, histogram_text)
{
	struct metrics out = writer();
	struct histogram histogram = {0};

	histogram_add(&histogram, 10 * NS_PER_MS);
	histogram_add(&histogram, 20 * NS_PER_MS);
	histogram_add(&histogram, 3600 * NS_PER_S);
	metrics_histogram(&out, "h_seconds", "What h is.", &histogram);
	cr_expect(strstr(text, "# TYPE h_seconds histogram\nh_seconds_bucket{le=\"1e-05\"} 0\n"));
	cr_expect(strstr(text, "{le=\"0.005\"} 0\nh_seconds_bucket{le=\"0.01\"} 1\n"
			       "h_seconds_bucket{le=\"0.025\"} 2\n"));
	cr_expect(strstr(text, "{le=\"10\"} 2\nh_seconds_bucket{le=\"+Inf\"} 3\n"
			       "h_seconds_sum 3600.030000000\nh_seconds_count 3\n"));
}

/* --- the proxy ------------------------------------------------------------------------------- */

static struct proxy proxy;
static struct config config;

static void random_bytes(void *ctx, void *out, size_t len)
{
	(void)ctx;
	crypto_random(out, len);
}

static void make_wg(void)
{
	struct wg_config wg_config = {.mtu = config.mtu};
	struct wg_env env = {.random = random_bytes};

	crypto_random(wg_config.private_key, WG_KEY_LEN);
	crypto_public_key(wg_config.peer_public_key, wg_config.private_key);
	wg_config.private_key[3] ^= 1;
	proxy.wg = aligned_alloc(64, wg_size());
	cr_assert_eq(wg_init(proxy.wg, &wg_config, &env, proxy.now_ns), 0);
}

static void make_stack(void)
{
	struct relay_config relay_config = {.io = &proxy.io, .budget = &proxy.budget, .train = 1};
	struct stack_config stack_config = {
		.addrs_count = 1,
		.mtu = config.mtu,
		.budget = &proxy.budget,
		.events = &relay_stack_events,
		.room = turn_room,
		.push = turn_push,
		.out_ctx = &proxy,
		.random = random_bytes,
	};

	cr_assert(addr_parse(&stack_config.addrs[0], "10.0.0.2"));
	proxy.relay = relay_new(&relay_config);
	stack_config.events_ctx = proxy.relay;
	proxy.stack = stack_new(&stack_config, proxy.now_ns);
	cr_assert(proxy.relay && proxy.stack);
	relay_set_stack(proxy.relay, proxy.stack);
}

static void start(void)
{
	struct udp_config udp_config = {0};

	cr_assert(crypto_init());
	config.mtu = 1420;
	proxy.config = &config;
	proxy.budget.limit = 64 << 20;
	proxy.now_ns = io_now();
	proxy.aead_engine = aead_init(NULL);
	cr_assert_eq(io_init(&proxy.io, &io_backend_epoll, 64), 0);
	cr_assert_eq(udp_open(&proxy.udp, &proxy.io, &udp_config), 0);
	make_wg();
	make_stack();
}

static void stop(void)
{
	stack_free(proxy.stack);
	relay_free(proxy.relay);
	udp_close(proxy.udp);
	while (!udp_closed(proxy.udp))
		cr_assert_eq(io_turn(&proxy.io, io_now() + NS_PER_MS, &proxy.now_ns), 0);
	udp_free(proxy.udp);
	io_fini(&proxy.io);
	free(proxy.wg);
}

TestSuite(proxy_metrics, .init = start, .fini = stop, .timeout = 60);

static void write_all(void)
{
	memset(text, 0, sizeof(text));
	cr_assert_eq(metrics_write(&proxy, text), strlen(text));
}

static void expect_line(const char *line)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	cr_expect(strstr(text, whole), "%s is missing in\n%s", line, text);
}

Test(proxy_metrics, what_the_labels_say)
{
	cr_assert(cidr_parse(&config.allowed[0], "10.0.0.0/24"));
	cr_assert(cidr_parse(&config.allowed[1], "fd00::/64"));
	config.allowed_count = 2;
	config.mode = CONFIG_INGRESS;
	proxy.handshake_s = 1700000000;
	write_all();
	expect_line("wireguard_latest_handshake_seconds{interface=\"wg-tinyproxy\","
		    "public_key=\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
		    "allowed_ips=\"10.0.0.0/24,fd00::/64\"} 1700000000");
	cr_expect(strstr(text, "\nwg_tinyproxy_build_info{version=\"" VERSION "\",mode=\"ingress\","
			       "io_backend=\"epoll\",aead_engine=\""));
	expect_line("wg_tinyproxy_buffer_memory_limit_bytes 67108864");
	expect_line("wg_tinyproxy_ready 0");
	expect_line("wg_tinyproxy_packets_dropped_total{layer=\"wireguard\",reason=\"load\"} 0");
}

/* The counts are behind const doors, that is their modules' business; here they have many digits. */
static void fill(const void *stats, size_t size)
{
	memset((void *)(uintptr_t)stats, 0xff, size);
}

static void fill_counters(void)
{
	fill(wg_stats(proxy.wg), sizeof(struct wg_stats));
	fill(udp_stats(proxy.udp), sizeof(struct udp_stats));
	fill(&proxy.io.stats, sizeof(proxy.io.stats));
	fill(&proxy.turn_time, sizeof(proxy.turn_time));
	fill(&proxy.handshake_s, sizeof(proxy.handshake_s));
	fill(&proxy.started_s, sizeof(proxy.started_s));
	fill(&config.connections_max, sizeof(config.connections_max));
}

/* All networks that a configuration may have, as long as they can be, and the highest counts. */
Test(proxy_metrics, the_longest_answer_fits)
{
	struct relay_stats relay = *relay_stats(proxy.relay);
	struct stack_stats stack = *stack_stats(proxy.stack);
	struct budget budget = proxy.budget;

	for (config.allowed_count = 0; config.allowed_count < CONFIG_ALLOWED_MAX;) {
		struct cidr *cidr = &config.allowed[config.allowed_count++];

		cr_assert(cidr_parse(cidr, "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128"));
	}
	fill_counters();
	fill(relay_stats(proxy.relay), sizeof(relay));
	fill(stack_stats(proxy.stack), sizeof(stack));
	fill(&proxy.budget, sizeof(budget));
	write_all();
	expect_line("wg_tinyproxy_io_completions_total 18446744073709551615");
	cr_expect_leq(strlen(text), HEALTH_BODY_MAX * 9 / 10, "%zu bytes", strlen(text));
	memcpy((void *)(uintptr_t)relay_stats(proxy.relay), &relay, sizeof(relay));
	memcpy((void *)(uintptr_t)stack_stats(proxy.stack), &stack, sizeof(stack));
	proxy.budget = budget;
}

static bool ends_in(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* What promtool's linter wants, for machines that have none: see tests/e2e/metrics.sh. */
Test(proxy_metrics, names_follow_the_rules)
{
	char name[128], type[16], last[128] = "";
	size_t families = 0;

	write_all();
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		if (sscanf(line, "# HELP %127s", name) == 1) {
			cr_expect_str_neq(name, last, "%s twice", name);
			cr_expect_gt(strlen(line), strlen("# HELP ") + strlen(name) + 5);
			strcpy(last, name);
			families++;
		} else if (sscanf(line, "# TYPE %127s %15s", name, type) == 2) {
			cr_expect_str_eq(name, last);
			cr_expect_eq(ends_in(name, "_total"), strcmp(type, "counter") == 0, "%s",
				     name);
			cr_expect_not(ends_in(name, "_count") || ends_in(name, "_sum"));
		} else {
			cr_expect_eq(strncmp(line, last, strlen(last)), 0, "%s", line);
		}
	}
	cr_expect_gt(families, 30);
}
