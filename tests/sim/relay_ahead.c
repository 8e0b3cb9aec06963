// SPDX-License-Identifier: MIT
/* What the tunnel does not let out is left with the host: read early, it would only fill memory. */
#include "base/time.h"
#include "relay_world.h"

#include <criterion/criterion.h>

enum {
	RECV_MAX = 65536,	/* one receive */
	AHEAD_MAX = 128 * 1024, /* src/relay/half.c */
	OVERHEAD = 48 * 1024,	/* headers, connections, chunks that are not full */
};

Test(relay_ahead, a_blocked_tunnel_is_not_read_for)
{
	size_t idle, used;

	world_init(5, 64 << 20);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	call_begin(STAYS_OPEN, STAYS_OPEN, 1);
	connect_call(&world.call[0]);
	idle = world.pair.side[0].budget.used;
	world.pair.side[0].no_room = true;
	world.call[0].client.to_write = 4 << 20;
	for (int i = 0; i < 400; i++)
		calls_turn();
	used = world.pair.side[0].budget.used - idle;
	cr_assert_gt(used, AHEAD_MAX, "%zu: as much as keeps the tunnel busy", used);
	cr_assert_lt(used, AHEAD_MAX + RECV_MAX + OVERHEAD, "%zu", used);
	world.pair.side[0].no_room = false;
	world.call[0].client.manner = WRITES_THEN_ENDS;
	world.call[0].target.manner = ENDS_AFTER_PEER;
	calls_finish();
	check_whole(&world.call[0]);
	world_fini();
}

/* Until a loss is repaired nothing is given back, but all behind it goes on: it is read for. */
Test(relay_ahead, what_leaves_behind_a_loss_is_replaced)
{
	const struct path_config path = {
		.delay_ns = 100 * NS_PER_MS, .rate_bps = 40000000, .queue_bytes = 1 << 20};
	struct end *client, *target;
	uint64_t before, read;

	world_init(5, 64 << 20);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	pair_set_path(&world.pair, 0, &path);
	pair_set_path(&world.pair, 1, &path);
	call_begin(STAYS_OPEN, STAYS_OPEN, 1);
	connect_call(&world.call[0]);
	client = &world.call[0].client;
	target = &world.call[0].target;
	client->to_write = 64 << 20;
	calls_work_for(2500 * NS_PER_MS);
	world.pair.largest = 100;
	calls_turn();
	world.pair.largest = 0;
	do {
		read = target->read;
		calls_work_for(150 * NS_PER_MS);
	} while (target->read > read);
	before = client->written; /* the peer has told that something is missing */
	calls_work_for(100 * NS_PER_MS);
	cr_assert_eq(target->read, read, "it is not repaired yet");
	cr_assert_gt(client->written - before, 2 * AHEAD_MAX);
	client->to_write = client->written;
	client->manner = WRITES_THEN_ENDS;
	target->manner = ENDS_AFTER_PEER;
	calls_finish();
	check_whole(&world.call[0]);
	world_fini();
}

/* As many full segments as leave in one train, 45 here, whatever there is: one more is a train of its own,
 * and a part of one ends the train. */
Test(relay_ahead, a_receive_brings_a_train)
{
	enum { SEGMENT = 1420 - 40 - 12 }; /* with timestamps */

	world_init(5, 64 << 20);
	fake_io_faults(&world.io)->chunk_max = 0;
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	call_begin(WRITES_THEN_ENDS, ENDS_AFTER_PEER, 1);
	world.call[0].client.to_write = 4 << 20;
	connect_call(&world.call[0]);
	calls_finish();
	check_whole(&world.call[0]);
	cr_assert_eq(fake_io_recv_limit(&world.io), 45 * SEGMENT, "%u",
		     fake_io_recv_limit(&world.io));
	world_fini();
}
