// SPDX-License-Identifier: MIT
#include "path.h"

#include "base/time.h"

static const uint32_t million = 1000000;

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static uint64_t draw(struct path *path)
{
	uint64_t z = path->seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static bool chance(struct path *path, uint32_t ppm)
{
	return ppm > 0 && draw(path) % million < ppm;
}

/* 8 * 10^9 * 2^30 bytes just fits. */
static uint64_t time_to_send_ns(const struct path *path, uint64_t bytes)
{
	return bytes * 8 * NS_PER_S / path->config.rate_bps;
}

void path_init(struct path *path, const struct path_config *config, uint64_t seed)
{
	*path = (struct path){.config = *config, .seed = seed};
	if (config->rate_bps > 0)
		path->queue_ns = time_to_send_ns(path, config->queue_bytes);
	if (config->burst_loss_ppm == 0)
		path->config.burst_loss_ppm = million;
}

void path_reseed(struct path *path, uint64_t seed)
{
	path->seed = seed;
	path->in_burst = false;
	path->moved_ns = path->level_end_ns = 0;
}

/* False: the queue is full. `now_ns` becomes the time at which the packet has left the bottleneck. */
static bool pass_bottleneck(struct path *path, uint64_t *now_ns, size_t len)
{
	uint64_t took_ns, wait_ns;

	if (path->config.rate_bps == 0)
		return true;
	took_ns = time_to_send_ns(path, len);
	wait_ns = path->free_ns > *now_ns ? path->free_ns - *now_ns : 0;
	if (path->queue_ns > 0 && wait_ns > 0 && wait_ns + took_ns > path->queue_ns)
		return false;
	if (wait_ns > path->counts.waited_ns_max)
		path->counts.waited_ns_max = wait_ns;
	path->free_ns = *now_ns + wait_ns + took_ns;
	*now_ns = path->free_ns;
	return true;
}

/* Longer silence counts as this much. */
static const uint64_t silence_ms = 1000;

static void move_chain(struct path *path, uint64_t now_ns)
{
	const struct path_config *config = &path->config;
	uint64_t moves = 1 + (now_ns - path->moved_ns) / NS_PER_MS;

	path->moved_ns = now_ns;
	if (!path->in_burst) {
		path->in_burst = chance(path, config->burst_ppm);
		return;
	}
	if (moves > silence_ms)
		moves = silence_ms;
	for (uint64_t i = 0; i < moves && path->in_burst; i++)
		path->in_burst = !chance(path, config->burst_end_ppm);
}

static bool is_lost(struct path *path, uint64_t now_ns)
{
	const struct path_config *config = &path->config;
	bool lost;

	move_chain(path, now_ns);
	lost = chance(path, path->in_burst ? config->burst_loss_ppm : config->loss_ppm);
	if (lost && path->in_burst)
		path->counts.burst_lost++;
	else if (lost)
		path->counts.lost++;
	return lost;
}

static uint64_t jitter_ns(struct path *path, uint64_t now_ns)
{
	if (path->config.jitter_ns == 0)
		return 0;
	if (now_ns >= path->level_end_ns) {
		path->level_ns = draw(path) % (path->config.jitter_ns + 1);
		path->level_end_ns = now_ns + path->config.jitter_ns;
	}
	return path->level_ns;
}

struct path_fate path_send(struct path *path, uint64_t now_ns, size_t len)
{
	const struct path_config *config = &path->config;
	struct path_fate fate = {.copies = 1};

	path->counts.entered++;
	if (config->mtu > 0 && len > config->mtu) {
		path->counts.too_long++;
		return (struct path_fate){0};
	}
	if (!pass_bottleneck(path, &now_ns, len)) {
		path->counts.queue_full++;
		return (struct path_fate){0};
	}
	if (is_lost(path, now_ns))
		return (struct path_fate){0};
	if (chance(path, config->duplicate_ppm)) {
		path->counts.duplicated++;
		fate.copies = 2;
	}
	fate.at_ns = now_ns + config->delay_ns + jitter_ns(path, now_ns);
	if (fate.at_ns < path->last_ns)
		fate.at_ns = path->last_ns;
	path->last_ns = fate.at_ns;
	if (chance(path, config->reorder_ppm)) {
		path->counts.reordered++;
		fate.held_back = true;
		fate.at_ns += config->reorder_ns;
	}
	return fate;
}

uint64_t path_dropped(const struct path *path)
{
	const struct path_counts *counts = &path->counts;

	return counts->too_long + counts->queue_full + counts->lost + counts->burst_lost;
}
