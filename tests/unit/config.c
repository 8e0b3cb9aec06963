// SPDX-License-Identifier: MIT
/* Variables to configuration: what is accepted, what is refused, and what a mistake says. */
#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PRIVATE_KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PUBLIC_KEY  "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define ZERO_KEY    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

enum { ENTRIES_MAX = 40 };

struct entry {
	const char *name, *value;
};

/* An environment, and files by their path. */
struct world {
	struct entry variables[ENTRIES_MAX], files[ENTRIES_MAX];
};

static struct world world;
static struct config config;
static struct config_errors errors;

static struct entry *find(struct entry *entries, const char *name)
{
	for (size_t i = 0; i < ENTRIES_MAX && entries[i].name != NULL; i++) {
		if (strcmp(entries[i].name, name) == 0)
			return &entries[i];
	}
	return NULL;
}

static void set_in(struct entry *entries, const char *name, const char *value)
{
	struct entry *entry = find(entries, name);

	for (size_t i = 0; entry == NULL; i++) {
		cr_assert_lt(i, ENTRIES_MAX);
		if (entries[i].name == NULL)
			entry = &entries[i];
	}
	*entry = (struct entry){name, value};
}

static void set(const char *name, const char *value)
{
	set_in(world.variables, name, value);
}

static const char *get(void *ctx, const char *name)
{
	struct entry *entry = find(((struct world *)ctx)->variables, name);

	return entry == NULL ? NULL : entry->value;
}

static int read_file(void *ctx, const char *path, char *text, size_t size)
{
	struct entry *entry = find(((struct world *)ctx)->files, path);

	if (entry == NULL)
		return -ENOENT;
	if (strlen(entry->value) >= size)
		return -EFBIG;
	memcpy(text, entry->value, strlen(entry->value) + 1);
	return 0;
}

static bool read_world(void)
{
	struct config_source source = {get, read_file, &world};

	return config_read(&config, &source, &errors);
}

/* The required variables and nothing else. */
static void required_only(void)
{
	memset(&world, 0, sizeof(world));
	set("WG_PRIVATE_KEY", PRIVATE_KEY);
	set("WG_PUBLIC_KEY", PUBLIC_KEY);
	set("WG_ADDRESS", "10.0.0.2/32");
	set("WG_ALLOWED_IP", "10.0.0.0/24");
	set("WG_ENDPOINT", "192.0.2.1:51820");
	set("LOCAL_PORT", "8080");
	set("TARGET_HOST", "10.0.0.1");
	set("TARGET_PORT", "80");
}

TestSuite(config, .init = required_only, .timeout = 10);

static void expect_valid(void)
{
	bool ok = read_world();

	cr_assert(ok, "%s", errors.line[0]);
}

/* Exactly one mistake, which begins with the variable and says all of `words`. */
static void expect_mistake(const char *name, const char *word)
{
	char start[64];

	snprintf(start, sizeof(start), "%s ", name);
	cr_assert_not(read_world(), "%s: no mistake found", name);
	cr_expect_eq(errors.count, 1, "%zu mistakes: %s; %s", errors.count, errors.line[0],
		     errors.line[1]);
	cr_expect_eq(strncmp(errors.line[0], start, strlen(start)), 0, "%s", errors.line[0]);
	cr_expect_not_null(strstr(errors.line[0], word), "no \"%s\": %s", word, errors.line[0]);
	cr_expect_not_null(strstr(errors.line[0], "accepted"), "%s", errors.line[0]);
}

Test(config, defaults_are_the_documented_ones)
{
	char text[ADDR_TEXT_MAX];

	expect_valid();
	cr_expect_eq(config.keepalive_s, 25);
	cr_expect_eq(config.mtu, 1420);
	cr_expect_eq(config.mode, CONFIG_EGRESS);
	cr_expect_str_eq(addr_format(&config.listen_addr, text), "0.0.0.0:8080");
	cr_expect_eq(config.wg_listen_port, 0);
	cr_expect_eq(config.health_port, 0);
	cr_expect_eq(config.connections_max, 4096);
	cr_expect_eq(config.memory_limit, 64 << 20);
	cr_expect_eq(config.connect_timeout_ns, 5000000000);
	cr_expect_eq(config.drain_timeout_ns, 25000000000);
	cr_expect_eq(config.idle_timeout_ns, 0);
	cr_expect_eq(config.half_closed_timeout_ns, 3600000000000);
	cr_expect_eq(config.egress_accept, CONFIG_ACCEPT_LATE);
	cr_expect_eq(config.io_backend, CONFIG_IO_AUTO);
	cr_expect_eq(config.sandbox, CONFIG_SANDBOX_AUTO);
	cr_expect_str_eq(config.aead_engine, "auto");
	cr_expect_eq(config.log_level, LOG_INFO);
	cr_expect_eq(config.log_format, LOG_TEXT);
}

Test(config, required_values_arrive)
{
	char text[ADDR_TEXT_MAX];

	expect_valid();
	cr_expect_str_eq(config_format_key(config.private_key, text), PRIVATE_KEY);
	cr_expect_str_eq(config_format_key(config.public_key, text), PUBLIC_KEY);
	cr_expect_eq(config.address_count, 1);
	cr_expect_str_eq(addr_format(&config.address[0], text), "10.0.0.2");
	cr_expect_eq(config.allowed_count, 1);
	cr_expect_eq(config.allowed[0].bits, 24);
	cr_expect_str_eq(addr_format(&config.endpoint.addr, text), "192.0.2.1:51820");
	cr_expect_eq(config.local_port, 8080);
	cr_expect_str_eq(config.target.name, "10.0.0.1");
	cr_expect_str_eq(addr_format(&config.target.addr, text), "10.0.0.1:80");
}

Test(config, every_missing_variable_is_named_in_one_run)
{
	static const char *const names[] = {"WG_PRIVATE_KEY", "WG_PUBLIC_KEY", "WG_ADDRESS",
					    "WG_ALLOWED_IP",  "WG_ENDPOINT",   "LOCAL_PORT",
					    "TARGET_HOST",    "TARGET_PORT"};
	size_t count = sizeof(names) / sizeof(names[0]);

	memset(&world, 0, sizeof(world));
	set("WG_ADDRESS", " \n"); /* as good as not set */
	cr_assert_not(read_world());
	cr_assert_eq(errors.count, count);
	for (size_t i = 0; i < count; i++) {
		cr_expect_eq(strncmp(errors.line[i], names[i], strlen(names[i])), 0);
		cr_expect_not_null(strstr(errors.line[i], "is not set; accepted: "));
	}
}

Test(config, good_values_are_accepted)
{
	static const struct entry good[] = {
		{"WG_PRIVATE_KEY",
		 "c809f3e5317e9575c9b5ed78b638b7ce530dabe85ddab61422024180" /* hex, split */
		 "1DDF0669"},
		{"WG_PRIVATE_KEY", " " PRIVATE_KEY "\n"},
		{"WG_PRESHARED_KEY", ZERO_KEY},
		{"WG_ADDRESS", "10.0.0.2"},
		{"WG_ADDRESS", "fd00::2/64, 10.0.0.2/24"},
		{"WG_ALLOWED_IP", "0.0.0.0/0,::/0 , 10.1.2.3"},
		{"WG_ENDPOINT", "[2001:db8::1]:51820"},
		{"WG_ENDPOINT", "vpn.example.com:1"},
		{"WG_ENDPOINT", "vpn.example.com.:65535"},
		{"WG_LISTEN_PORT", "0"},
		{"WG_KEEPALIVE", "off"},
		{"WG_KEEPALIVE", "65535"},
		{"WG_MTU", "576"},
		{"WG_MTU", "9000"},
		{"PROXY_MODE", "ingress"},
		{"LISTEN_ADDR", "::1"},
		{"LISTEN_ADDR", "::"},
		{"LISTEN_ADDR", "0.0.0.0"},
		{"TARGET_HOST", "[fd00::1]"},
		{"TARGET_HOST", "my_service.default.svc.cluster.local"},
		{"TARGET_HOST", "3com"},
		{"TARGET_HOST", "0.0.0.0"}, /* egress: the host itself */
		{"TARGET_HOST", "::"},
		{"TARGET_HOST", "240.0.0.1"}, /* reserved, and in use as private space */
		{"HEALTH_PORT", "8080"},      /* egress: LOCAL_PORT is in the tunnel */
		{"MAX_CONNECTIONS", "1"},
		{"MEMORY_LIMIT", "8M"},
		{"MEMORY_LIMIT", "8388608"},
		{"MEMORY_LIMIT", "2Gi"},
		{"CONNECT_TIMEOUT", "1ms"},
		{"DRAIN_TIMEOUT", "0"},
		{"TCP_CONGESTION", "bbr"},
		{"IO_BACKEND", "uring"},
		{"IO_BACKEND", "EPOLL"},
		{"AEAD_ENGINE", "some-engine"},
		{"SANDBOX", "off"},
		{"LOG_LEVEL", "debug"},
		{"LOG_FORMAT", "json"},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		required_only();
		set(good[i].name, good[i].value);
		cr_expect(read_world(), "%s=%s: %s", good[i].name, good[i].value, errors.line[0]);
	}
}

Test(config, bad_values_are_refused_and_repeated)
{
	static const struct entry bad[] = {
		{"WG_ADDRESS", "10.0.0.2/33"},
		{"WG_ADDRESS", "::ffff:10.0.0.2"},
		{"WG_ADDRESS", "fe80::1%1"},
		{"WG_ADDRESS", "host"},
		{"WG_ALLOWED_IP", "10.0.0.0/"},
		{"WG_ALLOWED_IP", "10.0.0.0/-1"},
		{"WG_ALLOWED_IP", "::/129"},
		{"WG_ENDPOINT", "192.0.2.1"},
		{"WG_ENDPOINT", "2001:db8::1:51820"},
		{"WG_ENDPOINT", "host:65536"},
		{"WG_ENDPOINT", "host:+1"},
		{"WG_ENDPOINT", "host:000001"},
		{"WG_LISTEN_PORT", "65536"},
		{"WG_KEEPALIVE", "65536"},
		{"WG_KEEPALIVE", "-1"},
		{"WG_KEEPALIVE", "25s"},
		{"WG_MTU", "575"},
		{"WG_MTU", "9001"},
		{"WG_MTU", "18446744073709552000"}, /* 2^64 and a bit: must not wrap */
		{"PROXY_MODE", "both"},
		{"LISTEN_ADDR", "localhost"},
		{"LISTEN_ADDR", "[127.0.0.1]"},
		{"LOCAL_PORT", "0"},
		{"LOCAL_PORT", "0x50"},
		{"TARGET_HOST", "256.0.0.1"},
		{"TARGET_HOST", "-a.example"},
		{"TARGET_HOST", "a-.example"},
		{"TARGET_HOST", "a..example"},
		{"TARGET_HOST", "a b"},
		{"TARGET_HOST", "."},
		{"TARGET_PORT", "http"},
		{"HEALTH_PORT", "99999"},
		{"MAX_CONNECTIONS", "0"},
		{"MEMORY_LIMIT", "8191K"},
		{"MEMORY_LIMIT", "64MB"},
		{"MEMORY_LIMIT", "99999999999G"},
		{"MEMORY_LIMIT", "M"},
		{"CONNECT_TIMEOUT", "0"},
		{"CONNECT_TIMEOUT", "5"},
		{"CONNECT_TIMEOUT", "5s1m"},
		{"CONNECT_TIMEOUT", "5s5s"},
		{"CONNECT_TIMEOUT", "1.5s"},
		{"CONNECT_TIMEOUT", "5sm"},
		{"CONNECT_TIMEOUT", "25h"},
		{"CONNECT_TIMEOUT", "24h1ms"},
		{"DRAIN_TIMEOUT", "99999999999999999999h"},
		{"DRAIN_TIMEOUT", "s"},
		{"TCP_CONGESTION", "reno"},
		{"IO_BACKEND", "io_uring"},
		{"AEAD_ENGINE", "a-name-that-is-longer-than-any-engine"},
		{"SANDBOX", "on"},
		{"LOG_LEVEL", "loud"},
		{"LOG_FORMAT", "xml"},
	};
	char quoted[80];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		required_only();
		set(bad[i].name, bad[i].value);
		snprintf(quoted, sizeof(quoted), "\"%s", bad[i].value);
		quoted[strcspn(quoted, "/")] = '\0'; /* the address parser cuts the prefix off */
		expect_mistake(bad[i].name, quoted);
	}
}

Test(config, addresses_are_unicast)
{
	static const struct entry bad[] = {
		{"WG_ADDRESS", "0.0.0.0"},
		{"WG_ADDRESS", "::"},
		{"WG_ADDRESS", "224.0.0.1"},
		{"WG_ADDRESS", "255.255.255.255"},
		{"WG_ADDRESS", "ff02::1"},
		{"WG_ENDPOINT", "0.0.0.0:51820"},
		{"WG_ENDPOINT", "[::]:51820"},
		{"WG_ENDPOINT", "224.0.0.1:51820"},
		{"WG_ENDPOINT", "255.255.255.255:51820"},
		{"WG_ENDPOINT", "[ff02::1]:51820"},
		{"LISTEN_ADDR", "224.0.0.1"},
		{"LISTEN_ADDR", "255.255.255.255"},
		{"LISTEN_ADDR", "[ff02::1]"},
		{"TARGET_HOST", "239.255.255.255"},
		{"TARGET_HOST", "255.255.255.255"},
		{"TARGET_HOST", "ff02::1"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		required_only();
		set(bad[i].name, bad[i].value);
		expect_mistake(bad[i].name, "\" is not a unicast address");
	}
	set("TARGET_HOST", "[ff02::1]");
	expect_mistake("TARGET_HOST", "\"ff02::1\"");
}

Test(config, a_list_names_the_item_at_fault)
{
	set("WG_ALLOWED_IP", "10.0.0.0/24, 10.0.1.0/40 ,10.0.2.0/24");
	expect_mistake("WG_ALLOWED_IP", "\"10.0.1.0/40\" is not a CIDR");
	required_only();
	set("WG_ALLOWED_IP", "10.0.0.0/24,");
	expect_mistake("WG_ALLOWED_IP", "\"\" is not a CIDR");
	required_only();
	set("WG_ADDRESS", "10.0.0.2, 10.0.0.3");
	expect_mistake("WG_ADDRESS", "\"10.0.0.3\" is the second address of its family");
	set("WG_ADDRESS", "fd00::2, 10.0.0.2, 10.0.0.3");
	expect_mistake("WG_ADDRESS", "\"10.0.0.3\" is the second");
}

Test(config, the_list_of_allowed_ips_has_an_end)
{
	char list[CONFIG_ALLOWED_MAX * 12 + 12] = "";
	size_t len = 0;

	for (unsigned i = 0; i < CONFIG_ALLOWED_MAX; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s10.0.%u.0",
					i == 0 ? "" : ",", i);
	set("WG_ALLOWED_IP", list);
	expect_valid();
	cr_expect_eq(config.allowed_count, CONFIG_ALLOWED_MAX);
	strcpy(list + len, ",10.1.1.1");
	expect_mistake("WG_ALLOWED_IP", "\"10.1.1.1\" is one CIDR too many");
}

Test(config, sizes_and_durations_have_units)
{
	set("MEMORY_LIMIT", "9000K");
	set("CONNECT_TIMEOUT", "1m30s");
	set("DRAIN_TIMEOUT", "1h2m3s4ms");
	expect_valid();
	cr_expect_eq(config.memory_limit, 9000 << 10);
	cr_expect_eq(config.connect_timeout_ns, 90000000000);
	cr_expect_eq(config.drain_timeout_ns, 3723004000000);
}

Test(config, the_longest_host_name_fits)
{
	char name[CONFIG_HOST_MAX + 1];

	memset(name, 'a', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	name[CONFIG_HOST_MAX - 1] = '\0';
	set("TARGET_HOST", name);
	expect_valid();
	cr_expect_str_eq(config.target.name, name);
	cr_expect_eq(config.target.addr.family, ADDR_NONE);
	cr_expect_eq(config.target.addr.port, 80);
	name[63] = 'a'; /* a label of 127 */
	expect_mistake("TARGET_HOST", "host name");
	name[63] = '.';
	name[CONFIG_HOST_MAX - 1] = 'a';
	name[CONFIG_HOST_MAX] = '\0';
	expect_mistake("TARGET_HOST", "host name");
}

Test(config, a_long_value_is_repeated_in_part)
{
	set("TARGET_HOST", "-a.name-of.sixty-four-characters.none-of-them-part.of-such.a-run" /* */
			   ".as-a-key-is");
	expect_mistake("TARGET_HOST", "of-such.a-run...\" is neither");
}

Test(config, ipv6_inside_needs_its_mtu)
{
	set("WG_MTU", "1279");
	expect_valid();
	set("WG_ALLOWED_IP", "10.0.0.0/24, fd00::/64");
	expect_mistake("WG_MTU", "IPv6 in WG_ALLOWED_IP");
	set("WG_ADDRESS", "fd00::2");
	expect_mistake("WG_MTU", "IPv6 in WG_ADDRESS");
	set("WG_MTU", "1280");
	expect_valid();
}

Test(config, ingress_target_must_be_reachable_inside)
{
	set("TARGET_HOST", "10.0.1.1");
	expect_valid();
	set("PROXY_MODE", "ingress");
	expect_mistake("TARGET_HOST", "outside WG_ALLOWED_IP");
	set("TARGET_HOST", "fd00::1");
	set("WG_ALLOWED_IP", "fd00::/64");
	expect_mistake("TARGET_HOST", "family");
	set("WG_ADDRESS", "10.0.0.2, fd00::2");
	expect_valid();
	set("TARGET_HOST", "name.example"); /* judged when it is resolved */
	expect_valid();
}

Test(config, ingress_target_is_somebody_else)
{
	set("PROXY_MODE", "ingress");
	set("WG_ALLOWED_IP", "0.0.0.0/0, ::/0");
	set("WG_ADDRESS", "10.0.0.2/24, fd00::2/64");
	set("TARGET_HOST", "10.0.0.2");
	expect_mistake("TARGET_HOST", "\"10.0.0.2\" is our own WG_ADDRESS");
	set("TARGET_HOST", "[fd00::2]");
	expect_mistake("TARGET_HOST", "\"fd00::2\" is our own WG_ADDRESS");
	set("TARGET_HOST", "0.0.0.0");
	expect_mistake("TARGET_HOST", "\"0.0.0.0\" is not a unicast address");
	set("TARGET_HOST", "::");
	expect_mistake("TARGET_HOST", "\"::\" is not a unicast address");
	set("TARGET_HOST", "10.0.0.3");
	expect_valid();
}

Test(config, one_family_must_be_on_both_sides)
{
	set("WG_ALLOWED_IP", "fd00::/64");
	expect_mistake("WG_ALLOWED_IP", "no CIDR of the family of WG_ADDRESS; accepted: at least "
					"one of IPv4");
	set("PROXY_MODE", "ingress");
	set("TARGET_HOST", "name.example");
	expect_mistake("WG_ALLOWED_IP", "one of IPv4");
	set("WG_ADDRESS", "fd00::2, 10.0.0.2");
	expect_valid();
	set("WG_ADDRESS", "fd00::2");
	expect_valid();
	set("WG_ALLOWED_IP", "10.0.0.0/24");
	expect_mistake("WG_ALLOWED_IP", "one of IPv6");
	set("WG_ALLOWED_IP", "10.0.0.0/24, ::/0");
	expect_valid();
}

Test(config, a_wrong_value_provokes_no_second_mistake)
{
	set("PROXY_MODE", "ingress");
	set("WG_ALLOWED_IP", "10.0.0.0/24, nonsense");
	expect_mistake("WG_ALLOWED_IP", "nonsense");
	set("WG_ALLOWED_IP", "10.0.0.0/24");
	set("WG_ADDRESS", "nonsense");
	expect_mistake("WG_ADDRESS", "nonsense");
}

Test(config, ingress_ports_must_differ)
{
	set("PROXY_MODE", "ingress");
	set("HEALTH_PORT", "8080");
	expect_mistake("HEALTH_PORT", "LOCAL_PORT");
	set("HEALTH_PORT", "8081");
	expect_valid();
}

Test(config, help_has_a_line_per_variable)
{
	size_t count = 0;

	for (const char *line; (line = config_help(count)) != NULL; count++)
		cr_expect(strstr(line, "[required]") != NULL ||
				  strstr(line, "[optional]") != NULL ||
				  strstr(line, "[default ") != NULL,
			  "%s", line);
	cr_expect_eq(count, 28);
	cr_expect_eq(strncmp(config_help(8), "WG_MTU ", 7), 0);
	cr_expect_not_null(strstr(config_help(8), "[default 1420]"));
}
