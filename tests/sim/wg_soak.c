// SPDX-License-Identifier: MIT
#include "wg_net.h"

#include <criterion/criterion.h>

/*
 * Random traffic over a bad network with a bad clock. wg_net.c asserts all along that the deadline
 * never spins, that what is delivered was sent, and that it is delivered once; here, that a session
 * always comes back.
 */
enum { SEEDS = 12, STEPS = 4000 };

static void step(struct wg_net *net)
{
	uint64_t roll = wg_net_random(&net->random);
	struct wg_side *side = roll & 1 ? &net->a : &net->b;
	uint32_t len = 28 + (uint32_t)(roll >> 8) % 1392;

	switch (roll >> 40 & 15) {
	case 0:
		wg_net_jump(net, (roll >> 44) % (400 * NS_PER_S));
		break;
	case 1:
		wg_net_sleep(net, (roll >> 44) % (200 * NS_PER_S));
		break;
	case 2:
		wg_net_sleep(net, (roll >> 44) % (15 * NS_PER_S));
		break;
	case 3:
		side->wall_offset_ns += (int64_t)(roll >> 50) * (int64_t)NS_PER_S -
					8000 * (int64_t)NS_PER_S;
		break;
	case 4:
		net->drop_types = 1u << (roll >> 44 & 7);
		break;
	case 5:
		net->loss_percent = (roll >> 44 & 3) * 25;
		break;
	case 6:
		net->copy_percent = (roll >> 44 & 3) * 15;
		net->reorder_percent = (roll >> 48 & 3) * 30;
		break;
	case 7: /* a NAT on the way gives out another port */
		side->addr.port = (uint16_t)(50000 + (roll >> 44 & 1023));
		break;
	case 8:
		net->loss_percent = 0;
		net->drop_types = 0;
		break;
	case 9:
		wg_net_settle(net);
		break;
	default:
		for (uint32_t i = 0; i < 1 + (roll >> 44 & 15) && net->wire_count < 300; i++)
			wg_net_send(side, len, net->next_id++);
	}
}

/* After the storm: with a known endpoint and a working network, data gets through soon. */
static void expect_recovery(struct wg_net *net)
{
	bool works = false;

	net->loss_percent = net->copy_percent = net->reorder_percent = net->drop_types = 0;
	wg_net_settle(net);
	wg_set_endpoint(net->a.wg, &net->b.addr);
	wg_set_endpoint(net->b.wg, &net->a.addr);
	/* A session that only one side believes in is found out 15 s after data is sent. */
	for (int second = 0; second < 30 && !works; second++) {
		works = wg_net_works(&net->a) && wg_net_works(&net->b);
		wg_net_sleep(net, NS_PER_S);
	}
	cr_assert(works, "no session any more");
}

static void soak(const struct wg_net_options *options)
{
	struct wg_net *net = wg_net_new(options);

	net->check_once = true;
	for (int i = 1; i <= STEPS; i++) {
		step(net);
		if (i % 500 == 0)
			expect_recovery(net);
	}
	cr_assert_gt(net->a.data_count, 200);
	cr_assert_gt(net->b.data_count, 200);
	cr_assert(net->seen_bits & 1u << WG_DROP_REPLAY);
	cr_assert_not(net->seen_bits & (1u << WG_DROP_AUTH | 1u << WG_DROP_SOURCE));
	wg_net_free(net);
}

Test(wg_soak, on_demand, .timeout = 120)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++)
		soak(&(struct wg_net_options){.seed = seed, .b_has_endpoint = true});
}

Test(wg_soak, with_persistent_keepalive, .timeout = 120)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++)
		soak(&(struct wg_net_options){
			.seed = 100 + seed,
			.keepalive_s = {25, (uint16_t)(seed % 2 * 7)},
			.psk = {9, 9},
		});
}
