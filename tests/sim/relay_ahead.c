// SPDX-License-Identifier: MIT
/* What the tunnel does not let out is left with the host: read early, it would only fill memory. */
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
