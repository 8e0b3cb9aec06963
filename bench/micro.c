/* SPDX-License-Identifier: MIT */
#include "micro.h"
#include "aead.h"
#include "arch/cc.h"
#include "base/check.h"
#include "base/time.h"
#include "crypto.h"
#include "wg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * What the data path costs per packet without sockets: the AEAD by engine and size, the WireGuard
 * core between two peers in memory, the Internet checksum, the TCP stack (micro_stack.c). One JSON
 * object per line on stdout.
 *
 * A figure is the median of ROUNDS rounds after one that warms up; least and most stand beside it.
 * A round repeats prepare, run, verify until the runs alone have taken ROUND_NS. Prepare lays out
 * fresh input, because both ways work in place: what was opened once would fail its tag the next
 * time, and a datagram is new to the replay window only once. So the bytes are in the cache when
 * run begins, as they are when a kernel has just copied them. Verify makes certain that the time
 * was spent on work that succeeded; neither of them is on the clock.
 */
enum {
	BATCH = 45, /* packets of 1452 bytes in one train: 65,507 is the most UDP can carry */
	ROUNDS = 7,
	PACKET_LEN = 1420, /* the default inner MTU */
	SIZE_MAX_LEN = WG_MTU_MAX,
	ROOM = SIZE_MAX_LEN + WG_OVERHEAD_MAX,
};
#define ROUND_NS (20 * NS_PER_MS)

static const size_t sizes[] = {64, 512, PACKET_LEN, SIZE_MAX_LEN};

/* --- rounds ------------------------------------------------------------------------------------ */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Nanoseconds per operation. */
static double run_round(const struct bench *bench)
{
	uint64_t spent_ns = 0, operations = 0;

	while (spent_ns < ROUND_NS) {
		uint64_t started_ns;

		if (bench->prepare != NULL)
			bench->prepare(bench);
		started_ns = now_ns();
		bench->run(bench);
		spent_ns += now_ns() - started_ns;
		if (bench->verify != NULL)
			bench->verify(bench);
		operations += bench->batch;
	}
	return (double)spent_ns / (double)operations;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void measure(const struct bench *bench)
{
	double ns[ROUNDS], median;

	run_round(bench);
	for (size_t i = 0; i < ROUNDS; i++)
		ns[i] = run_round(bench);
	qsort(ns, ROUNDS, sizeof(ns[0]), compare_doubles);
	median = ns[ROUNDS / 2];
	printf("{\"bench\":\"%s\",\"engine\":\"%s\",\"size\":%zu,\"batch\":%zu,\"rounds\":%d,"
	       "\"conns\":%zu,\"ns\":%.1f,\"ns_min\":%.1f,\"ns_max\":%.1f,\"gbyte_per_s\":%.3f}\n",
	       bench->name, bench->engine, bench->len, bench->batch, ROUNDS, bench->conns, median,
	       ns[0], ns[ROUNDS - 1], (double)bench->len / median);
	fflush(stdout);
}

/* --- the AEAD ---------------------------------------------------------------------------------- */

static const struct aead_key key = {{1}};
static uint8_t texts[BATCH][ROOM], sealed[BATCH][ROOM], packets[BATCH][ROOM];
static struct aead_job jobs[BATCH];

static void lay_out(const struct bench *bench, uint8_t from[BATCH][ROOM])
{
	for (size_t i = 0; i < BATCH; i++) {
		memcpy(packets[i], from[i], bench->len + AEAD_TAG_LEN);
		jobs[i] = (struct aead_job){.data = packets[i], .len = bench->len, .counter = i};
	}
}

static void prepare_texts(const struct bench *bench)
{
	lay_out(bench, texts);
}

static void prepare_sealed(const struct bench *bench)
{
	lay_out(bench, sealed);
}

static void run_seal(const struct bench *bench)
{
	(void)bench;
	aead_seal(&key, jobs, BATCH);
}

static void run_open(const struct bench *bench)
{
	(void)bench;
	aead_open(&key, jobs, BATCH);
}

static void verify_sealed(const struct bench *bench)
{
	for (size_t i = 0; i < BATCH; i++)
		CHECK(memcmp(packets[i], sealed[i], bench->len + AEAD_TAG_LEN) == 0);
}

static void verify_opened(const struct bench *bench)
{
	for (size_t i = 0; i < BATCH; i++)
		CHECK(jobs[i].ok && memcmp(packets[i], texts[i], bench->len) == 0);
}

static void measure_aead(const char *engine, size_t len)
{
	const struct bench seal = {"aead_seal", engine,	       len,   prepare_texts,
				   run_seal,	verify_sealed, BATCH, 0};
	const struct bench open = {"aead_open", engine,	       len,   prepare_sealed,
				   run_open,	verify_opened, BATCH, 0};

	prepare_texts(&seal);
	run_seal(&seal);
	memcpy(sealed, packets, sizeof(sealed));
	measure(&seal);
	measure(&open);
}

static void measure_engines(void)
{
	const char *engine;

	for (size_t i = 0; (engine = aead_engine_name(i)) != NULL; i++) {
		if (!aead_init(engine)) {
			fprintf(stderr, "micro: left out: engine %s does not run here\n", engine);
			continue;
		}
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
			measure_aead(engine, sizes[k]);
	}
}

/* --- the core: left seals, right opens --------------------------------------------------------- */

/* The clock stands still, so that no key grows old; the handshake's own order needs no time. */
static const uint64_t core_now_ns = NS_PER_S, core_wall_ns = NS_PER_S;

static const struct addr left_addr = {.family = ADDR_V4, .ip = {192, 0, 2, 1}, .port = 51820};
static const struct addr right_addr = {.family = ADDR_V4, .ip = {192, 0, 2, 2}, .port = 51820};
static const uint8_t left_inner[4] = {10, 0, 0, 1}, right_inner[4] = {10, 0, 0, 2};
static struct wg *left, *right;
static struct wg_tx out[BATCH];
static struct dgram received[BATCH];
static size_t succeeded;

static void core_random(void *ctx, void *bytes, size_t len)
{
	(void)ctx;
	crypto_random(bytes, len);
}

static struct wg *core_new(struct wg_config *config, const uint8_t peer_inner[static 4])
{
	struct wg_env env = {.random = core_random};
	struct wg *wg = crypto_secret_alloc(wg_size());

	config->mtu = PACKET_LEN;
	config->allowed[0] = (struct cidr){.family = ADDR_V4, .bits = 32};
	memcpy(config->allowed[0].ip, peer_inner, 4);
	config->allowed_count = 1;
	CHECK(wg && wg_init(wg, config, &env, core_now_ns) == 0);
	return wg;
}

/* All that `from` has to say now, into `to`. */
static void core_exchange(struct wg *from, struct wg *to, const struct addr *from_addr)
{
	struct wg_message message;

	while (wg_poll(from, core_now_ns, core_wall_ns, &message)) {
		struct dgram dgram = {.data = message.data, .len = message.len, .from = from_addr};

		if (message.len > 0)
			wg_open(to, &dgram, 1, core_now_ns);
	}
}

/* Initiation, response, and the keepalive that confirms (section 5.4 of the WireGuard paper). */
static void core_connect(void)
{
	struct wg_config config[2] = {{.endpoint = right_addr}, {.endpoint = left_addr}};

	for (size_t i = 0; i < 2; i++) {
		crypto_random(config[i].private_key, WG_KEY_LEN);
		crypto_clamp(config[i].private_key);
		crypto_public_key(config[1 - i].peer_public_key, config[i].private_key);
	}
	left = core_new(&config[0], right_inner);
	right = core_new(&config[1], left_inner);
	wg_want_session(left, core_now_ns);
	core_exchange(left, right, &left_addr);
	core_exchange(right, left, &right_addr);
	core_exchange(left, right, &left_addr);
	CHECK(wg_status(left, core_now_ns).session && wg_status(right, core_now_ns).session);
}

/* IPv4 headers (RFC 791) with what the core looks at: version, length, addresses. */
static void prepare_packets(const struct bench *bench)
{
	for (size_t i = 0; i < BATCH; i++) {
		uint8_t *packet = packets[i] + WG_HEADER_LEN;

		memset(packet, 0, bench->len);
		packet[0] = 0x45;
		packet[2] = (uint8_t)(bench->len >> 8);
		packet[3] = (uint8_t)bench->len;
		memcpy(packet + 12, left_inner, 4);
		memcpy(packet + 16, right_inner, 4);
		out[i] = (struct wg_tx){.message = packets[i], .len = (uint32_t)bench->len};
	}
}

static void run_wg_seal(const struct bench *bench)
{
	(void)bench;
	succeeded = wg_seal(left, out, BATCH, core_now_ns);
}

static void prepare_messages(const struct bench *bench)
{
	prepare_packets(bench);
	run_wg_seal(bench);
	for (size_t i = 0; i < BATCH; i++)
		received[i] = (struct dgram){
			.data = out[i].message, .len = out[i].len, .from = &left_addr};
}

static void run_wg_open(const struct bench *bench)
{
	(void)bench;
	succeeded = wg_open(right, received, BATCH, core_now_ns);
}

static void verify_all(const struct bench *bench)
{
	(void)bench;
	CHECK(succeeded == BATCH);
}

static void measure_core(void)
{
	const char *engine = aead_init(NULL);
	const struct bench seal = {"wg_seal",	engine,	    PACKET_LEN, prepare_packets,
				   run_wg_seal, verify_all, BATCH,	0};
	const struct bench open = {"wg_open",	engine,	    PACKET_LEN, prepare_messages,
				   run_wg_open, verify_all, BATCH,	0};

	core_connect();
	measure(&seal);
	measure(&open);
	crypto_secret_free(left, wg_size());
	crypto_secret_free(right, wg_size());
}

/* --- the checksum ------------------------------------------------------------------------------ */

static uint16_t chksum_of(size_t index, size_t len)
{
	return stack_port_chksum(packets[index] + WG_HEADER_LEN, (int)len);
}

static void run_chksum(const struct bench *bench)
{
	uint16_t first = chksum_of(0, bench->len);

	succeeded = 1;
	for (size_t i = 1; i < BATCH; i++)
		succeeded += chksum_of(i, bench->len) == first;
}

/* All packets are alike, and so are their sums. */
static void measure_chksum(void)
{
	const struct bench chksum = {"stack_port_chksum", "-",	      PACKET_LEN, prepare_packets,
				     run_chksum,	  verify_all, BATCH,	  0};

	measure(&chksum);
}

int main(void)
{
	CHECK(crypto_init());
	for (size_t i = 0; i < BATCH; i++)
		crypto_random(texts[i], sizeof(texts[i]));
	measure_engines();
	measure_core();
	measure_chksum();
	measure_stack();
	return 0;
}
