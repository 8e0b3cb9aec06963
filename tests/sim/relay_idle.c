// SPDX-License-Identifier: MIT
/* Many connections that wait: each must be heard when it has something to say, or be refused. */
#include "relay_world.h"

#include "base/time.h"

#include <criterion/criterion.h>

enum {
	CONNS = 96,
	CONN_MEMORY_MIN = 4096,	 /* src/relay/inside.h */
	STACK_ROOM = 192 * 1024, /* what the stack keeps for itself, and a little more */
};

/* A client's end of a connection that the relay has got. */
static int adopt(void)
{
	int fd, end = fake_io_pair(&world.io, &fd);

	relay_adopt(world.relay[0], fd, NULL, NULL);
	return end;
}

Test(relay_idle, every_one_of_many_is_heard)
{
	static const uint8_t word[100];
	int client[CONNS];

	world_init(9, CONNS * CONN_MEMORY_MIN + STACK_ROOM);
	fake_io_answer(&world.io, &world.host_target, FAKE_ACCEPTS);
	for (int i = 0; i < CONNS; i++) {
		client[i] = adopt();
		for (int turns = 0; turns < 20; turns++)
			world_turn(NS_PER_MS);
	}
	for (int i = 0; i < CONNS; i++)
		cr_assert_eq(fake_io_write(&world.io, client[i], word, sizeof(word)), sizeof(word));
	for (int turns = 0; turns < 2000; turns++)
		world_turn(NS_PER_MS);
	cr_assert_eq(relay_stats(world.relay[1])->host_bytes, CONNS * sizeof(word));
	for (int i = 0; i < CONNS; i++)
		fake_io_reset(&world.io, client[i]);
	world_fini();
}

Test(relay_idle, more_than_memory_carries_are_refused)
{
	world_init(10, 20 * CONN_MEMORY_MIN);
	for (int i = 0; i < 20; i++)
		cr_assert_not(fake_io_was_reset(&world.io, adopt()));
	cr_assert(fake_io_was_reset(&world.io, adopt()));
	cr_assert_eq(relay_stats(world.relay[0])->refused[RELAY_REFUSED_LIMIT], 1);
	world_fini();
}
