/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "base/time.h"
#include "micro.h"
#include "stack_peer.h"

/*
 * What the TCP stack costs, and whether that grows with what else there is: connections, those in
 * TIME_WAIT, bytes under way. One stack, and a peer that only puts segments together
 * (tests/util/stack_peer.h), in virtual time. `engine` names the variant.
 */
enum {
	BATCH = 45, /* segments of 1420 bytes in one train of 65,507 */
	ROOM = 2048,
	SMALL_LEN = 64,	   /* payload of a request */
	CONNS_MAX = 10000, /* beside those that come and go */
	FIRST_PORT = PEER_FIRST_PORT,
	COMING_PORT = 16384, /* ports from here on are for connections that come and go */
	COMING_COUNT = 45000,
	STRIDE = 7919,	  /* a prime: no neighbours in memory follow one another */
	TICKS = 8,	  /* in less time than lwIP keeps what arrived out of order */
	ALIVE_RUNS = 100, /* in less time than keep-alives take to begin */
};
#define TICK_NS	     (50 * NS_PER_MS)
#define TIME_WAIT_NS (31 * NS_PER_S)

static const size_t counts[] = {10, 100, 1000, CONNS_MAX};
enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };

static struct stack_peer peer;
static uint8_t segments[BATCH][ROOM];
static struct dgram dgrams[BATCH];
static uint16_t ports[BATCH];
static uint32_t cursor;

static void open_idle(size_t count)
{
	peer_init(&peer, count);
	peer_turn(&peer, TICK_NS);
}

/* --- finding the connection: small segments, one after the other for another connection ---------- */

static size_t busy_count;

static void prepare_rx(const struct bench *bench)
{
	for (size_t i = 0; i < bench->batch; i++) {
		ports[i] = (uint16_t)(FIRST_PORT + cursor++ * STRIDE % busy_count);
		dgrams[i] = peer_segment(&peer, ports[i], PEER_ACK | PEER_PSH, bench->len,
					 segments[i]);
		peer.end[ports[i]]->received = 0;
	}
}

static void run_rx(const struct bench *bench)
{
	stack_input(peer.stack, dgrams, bench->batch, true);
	stack_turn(peer.stack);
}

static void verify_rx(const struct bench *bench)
{
	for (size_t i = 0; i < bench->batch; i++) {
		struct peer_end *end = peer.end[ports[i]];

		CHECK(end->received % bench->len == 0 && end->received > 0);
		stack_consumed(end->conn, bench->len);
	}
}

static void measure_rx(size_t conns)
{
	struct bench bench = {"stack_rx", "10 busy", SMALL_LEN, prepare_rx,
			      run_rx,	  verify_rx, BATCH,	conns};

	open_idle(conns);
	busy_count = 10;
	measure(&bench);
	bench.engine = "all busy";
	busy_count = conns;
	measure(&bench);
	peer_fini(&peer);
}

/* --- ticks, while one connection has something to wait for --------------------------------------- */

/* Each says something, before keep-alives go out, and is idle again. */
static void stay_alive(size_t count)
{
	for (size_t i = 0; i < count; i++)
		peer_send(&peer, (uint16_t)(FIRST_PORT + i), PEER_ACK, 0);
	for (int i = 0; i < TICKS; i++)
		peer_turn(&peer, TICK_NS);
}

/* What arrives beyond a gap is kept, and thrown away after a while. */
static void prepare_ticks(const struct bench *bench)
{
	if (cursor++ % ALIVE_RUNS == 0)
		stay_alive(bench->conns);
	peer.conn[FIRST_PORT].seq += SMALL_LEN;
	peer_send(&peer, FIRST_PORT, PEER_ACK, SMALL_LEN);
	peer.conn[FIRST_PORT].seq -= 2 * SMALL_LEN;
}

static void run_ticks(const struct bench *bench)
{
	for (size_t i = 0; i < bench->batch; i++)
		peer_turn(&peer, TICK_NS);
}

static void measure_ticks(size_t conns)
{
	const struct bench bench = {.name = "stack_tick",
				    .engine = "1 busy",
				    .prepare = prepare_ticks,
				    .run = run_ticks,
				    .batch = TICKS,
				    .conns = conns};

	open_idle(conns);
	measure(&bench);
	peer_fini(&peer);
}

/* --- connections that come and go ------------------------------------------------------------------ */

static uint16_t open_ports[CONNS_MAX]; /* a ring, the oldest at the cursor */

static uint16_t next_coming(void)
{
	return (uint16_t)(COMING_PORT + cursor++ % COMING_COUNT);
}

/* For each that comes the oldest goes. */
static void run_accept(const struct bench *bench)
{
	for (size_t i = 0; i < bench->batch; i++) {
		uint16_t *oldest = &open_ports[cursor % bench->conns];
		uint16_t newest = next_coming();

		peer_dial(&peer, newest);
		peer_close(&peer, *oldest);
		*oldest = newest;
	}
	peer_turn(&peer, NS_PER_MS);
}

static void run_connect(const struct bench *bench)
{
	for (size_t i = 0; i < bench->batch; i++) {
		CHECK(peer_connect(&peer, PEER_PORT) == 0);
		peer_answer(&peer, peer.port);
		peer_close(&peer, peer.port);
	}
	peer_turn(&peer, NS_PER_MS);
}

static void verify_ended(const struct bench *bench)
{
	CHECK(stack_stats(peer.stack)->conns == bench->conns);
}

static void measure_coming(size_t conns)
{
	struct bench bench = {.name = "stack_accept",
			      .engine = "idle",
			      .run = run_accept,
			      .verify = verify_ended,
			      .batch = BATCH,
			      .conns = conns};

	open_idle(conns);
	for (size_t i = 0; i < conns; i++)
		open_ports[(cursor + i) % conns] = (uint16_t)(FIRST_PORT + i);
	measure(&bench);
	bench.name = "stack_connect";
	bench.run = run_connect;
	measure(&bench);
	peer_fini(&peer);
}

/* --- the same with the stack as the one that closes first: TIME_WAIT ------------------------------ */

static size_t waiting;

static void run_time_wait(const struct bench *bench)
{
	for (size_t i = 0; i < bench->batch; i++) {
		uint16_t port = next_coming();

		peer_dial(&peer, port);
		peer_close_by_stack(&peer, port);
	}
	waiting += bench->batch;
	peer_turn(&peer, NS_PER_MS);
}

/* As many as are asked for, up to half as many more. */
static void prepare_time_wait(const struct bench *bench)
{
	const struct bench fill = {.batch = bench->conns};

	if (waiting >= bench->conns && waiting < bench->conns + bench->conns / 2 + BATCH)
		return;
	peer_turn(&peer, TIME_WAIT_NS);
	waiting = 0;
	run_time_wait(&fill);
}

static void verify_time_wait(const struct bench *bench)
{
	(void)bench;
	CHECK(stack_stats(peer.stack)->conns == 0);
}

static void measure_time_wait(size_t conns)
{
	const struct bench bench = {.name = "stack_accept",
				    .engine = "time_wait",
				    .prepare = prepare_time_wait,
				    .run = run_time_wait,
				    .verify = verify_time_wait,
				    .batch = BATCH,
				    .conns = conns};

	peer_init(&peer, 0);
	waiting = 0;
	measure(&bench);
	peer_fini(&peer);
}

/* --- sending with a window full of bytes under way ------------------------------------------------- */

static const uint8_t bytes[BATCH * PEER_MSS];
static uint32_t una; /* what the peer has acknowledged */
static size_t acks_count;

/* Acknowledges up to `count` segments, two at a time (RFC 9293, section 3.8.6.3). */
static void prepare_acks(size_t count)
{
	struct peer_conn *conn = &peer.conn[FIRST_PORT];
	uint32_t heard = conn->ack;

	acks_count = 0;
	peer.end[FIRST_PORT]->acked = 0;
	for (size_t i = 0; i < count && una != heard; i += 2) {
		una += i + 1 < count && heard - una > PEER_MSS ? 2 * PEER_MSS : PEER_MSS;
		conn->ack = una;
		dgrams[acks_count] = peer_segment(&peer, FIRST_PORT, PEER_ACK, 0,
						  segments[acks_count]);
		acks_count++;
	}
	conn->ack = heard;
}

static void lend(size_t len)
{
	CHECK(stack_write(peer.end[FIRST_PORT]->conn, bytes, len) == len);
	stack_turn(peer.stack);
}

static void prepare_tx(const struct bench *bench)
{
	prepare_acks(bench->batch);
	peer.packets = 0;
}

/* All segments in one turn. */
static void run_tx(const struct bench *bench)
{
	stack_input(peer.stack, dgrams, acks_count, true);
	lend(bench->batch * bench->len);
}

/* One a turn. */
static void run_tx_single(const struct bench *bench)
{
	stack_input(peer.stack, dgrams, acks_count, true);
	for (size_t i = 0; i < bench->batch; i++)
		lend(bench->len);
}

static void verify_tx(const struct bench *bench)
{
	CHECK(peer.end[FIRST_PORT]->acked == bench->batch * bench->len);
	CHECK(peer.packets == bench->batch);
}

/* Lends as many segments, and acknowledges and replaces them until all are under way at once. */
static void fill_window(size_t count)
{
	una = peer.conn[FIRST_PORT].ack;
	for (size_t i = 0; i < count; i++)
		lend(PEER_MSS);
	while (peer.conn[FIRST_PORT].ack - una < count * PEER_MSS) {
		prepare_acks(BATCH);
		stack_input(peer.stack, dgrams, acks_count, true);
		for (size_t i = 0; i < peer.end[FIRST_PORT]->acked / PEER_MSS; i++)
			lend(PEER_MSS);
	}
}

static void measure_tx(const char *variant, size_t window)
{
	struct bench bench = {"stack_tx", variant,   PEER_MSS, prepare_tx,
			      run_tx,	  verify_tx, BATCH,    1};

	open_idle(1);
	fill_window(window / PEER_MSS);
	measure(&bench);
	bench.name = "stack_tx_single";
	bench.run = run_tx_single;
	measure(&bench);
	peer_fini(&peer);
}

void measure_stack(void)
{
	for (size_t i = 0; i < COUNTS; i++)
		measure_rx(counts[i]);
	for (size_t i = 0; i < COUNTS; i++)
		measure_ticks(counts[i]);
	for (size_t i = 0; i < COUNTS; i++)
		measure_coming(counts[i]);
	for (size_t i = 0; i < COUNTS; i++)
		measure_time_wait(counts[i]);
	measure_tx("128 KiB", 128 << 10);
	measure_tx("256 KiB", 256 << 10);
	measure_tx("1 MiB", 1 << 20);
}
