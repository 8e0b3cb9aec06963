// SPDX-License-Identifier: MIT
#include "vectors.h"
#include "wg_net.h"

#include <criterion/criterion.h>
#include <string.h>

/*
 * What another implementation said: two conversations with wireguard-go 0.0.20220316, recorded once,
 * and a cookie reply made by its CookieChecker. Two sides of ours would agree on a wrong label, too;
 * here every label, hash and key has to be the protocol's. Our random bytes are all 0x5a, our wall
 * clock stands at 1700000000 s, so that our side of the conversation is the same each time.
 */
static const char our_initiation[] =
	"01000000585a5a5ab0d08f35b4683381489afb32825e59152d47d19bc9e050d6d5a954984c9d1e2c"
	"707bdc96493fdc5785f93107f54982a1788a544e3a3c6bc66a3c353dca28169cd6208a3335a108c0"
	"ece7186d1bb16545d87324e7f2432e139441cae44e8ae1b5ee358dd1c8330a79cde1e41b1dbffa3f"
	"55170c576eb6a277d33c2a2d00000000000000000000000000000000";
static const char their_response[] =
	"020000007a6b80bd585a5a5a92cf0a5fc4dd84730e730244947b679b2c17b9405cb2945bcdd30a91"
	"16922225034efe2b85029aec0d64bea0a927af5e8664cc9fd63c5c7ad6b562617a69250800000000"
	"000000000000000000000000";
static const char their_data_after_response[] =
	"04000000585a5a5a0000000000000000dde66511889ec66b5b903d13d2dd93b6c05188178ecbee03"
	"2d151a40435bc46cb1307a1ecaecd49f2582be6446bd573342dfd265232ed0f976deaf1ae430e3b2"
	"b2eee27b8870d0fbdf5ae2865e33f193f2b5a2486a39ff3607707535143728bfc6ec93a1a2e81438"
	"932ac4f022fb3a06";
static const char their_cookie_reply[] =
	"03000000585a5a5a30f6561aace5e28c7123d094c0489a1657dc82fa74c1e5b0751d71c267557ab0"
	"741a75b62dcc1ebb4c8d39a7666e390c292ddd03766862f3";
static const char their_initiation[] =
	"0100000096a7f2b924607d802acc0bf97c50aee6ab030fa98efb7c19aeeb6cf2f228b681b76adc63"
	"e6749003f9350cfabf7ca5a89baa621bc5683eacd65cd3be2fc4c2d2708b5bf944e00a46da348d7d"
	"25e480a1c5164fd8e84e9752ea9bd1543504fad769f274f88b08ba0d94dc5e8975ebbed9ed27a55a"
	"37cacb68854e7ae8fb178a9200000000000000000000000000000000";
static const char our_response[] =
	"02000000585a5a5a96a7f2b9b0d08f35b4683381489afb32825e59152d47d19bc9e050d6d5a95498"
	"4c9d1e2cac9c73f71f52bb1ef7d9d8a7109eacd4c9ca60a21b5825d4345063d92e90601b00000000"
	"000000000000000000000000";
static const char their_data_after_initiation[] =
	"04000000585a5a5a00000000000000002b75bfb1891c5fc745c2710d57e20389a6b2ebbe06508442"
	"085955fd1d0ffa5e390b5ea739e3cb89b8bb4c1c011665c16098504a942a8805199fe617025a3b41"
	"a9424b9685ef998f438523f59b133ab8d01b3977469d7646084b1d9fc8b4d0780ae9ab089104e854"
	"9830288ce7111e1c";

static const struct addr them = {.family = ADDR_V4, .ip = {127, 0, 0, 1}, .port = 51999};
static struct wg *wg;

static void fill(void *ctx, void *out, size_t len)
{
	(void)ctx;
	memset(out, 0x5a, len);
}

static void start(void)
{
	struct wg_env env = {.random = fill};
	struct wg_config config = {
		.private_key = {[9] = 1},
		.preshared_key = {7},
		.allowed[0] = {.family = ADDR_V4, .bits = 32, .ip = {10, 77, 0, 1}},
		.allowed_count = 1,
		.endpoint = them,
		.keepalive_s = 25,
		.mtu = 1420,
	};
	uint8_t their_private[32] = {[9] = 2};

	cr_assert(crypto_init() && aead_init("libsodium"));
	crypto_clamp(their_private);
	crypto_public_key(config.peer_public_key, their_private);
	wg = crypto_secret_alloc(wg_size());
	cr_assert_eq(wg_init(wg, &config, &env, 0), 0);
}

static void stop(void)
{
	crypto_secret_free(wg, wg_size());
}

TestSuite(wg_recorded, .init = start, .fini = stop, .timeout = 30);

static void expect_next(const char *hex)
{
	struct wg_message out = {.len = 0};
	uint8_t expected[WG_CONTROL_MAX];
	size_t len = hex_decode(expected, sizeof(expected), hex);

	while (wg_poll(wg, 0, UINT64_C(1700000000) * NS_PER_S, &out) && out.len == 0)
		;
	cr_assert_eq(out.len, len);
	cr_expect_arr_eq(out.data, expected, len);
}

static enum wg_verdict give(const char *hex)
{
	uint8_t bytes[256];
	struct dgram dgram = {.data = bytes, .from = &them};

	dgram.len = (uint32_t)hex_decode(bytes, sizeof(bytes), hex);
	wg_open(wg, &dgram, 1, 0);
	if (dgram.verdict == WG_DATA)
		cr_expect_eq(dgram.len, 84, "a ping");
	return dgram.verdict;
}

Test(wg_recorded, we_initiate)
{
	struct wg_message confirmation;

	expect_next(our_initiation);
	cr_assert_eq(give(their_response), WG_CONTROL);
	cr_assert(wg_poll(wg, 0, 0, &confirmation));
	cr_assert_eq(confirmation.len, 32);
	cr_expect_eq(give(their_data_after_response), WG_DATA);
}

Test(wg_recorded, they_initiate)
{
	cr_assert_eq(give(their_initiation), WG_CONTROL);
	expect_next(our_response);
	cr_expect_eq(give(their_data_after_initiation), WG_DATA);
}

Test(wg_recorded, they_are_under_load)
{
	expect_next(our_initiation);
	cr_expect_eq(give(their_cookie_reply), WG_CONTROL);
	cr_expect_eq(wg_stats(wg)->cookies_received, 1);
}
