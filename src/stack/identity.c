// SPDX-License-Identifier: MIT
/*
 * What somebody who cannot see a connection's packets would have to guess to take part in it, and how
 * little he learns by trying.
 *
 * Initial sequence numbers follow RFC 6528: a clock that counts 4 us, the same for all, plus a keyed
 * hash (SipHash) of both addresses and ports. Within one pair of ends they rise, so that a peer in
 * TIME_WAIT takes a new SYN from us for a newer one; between pairs nothing is known of one from
 * another.
 *
 * Timestamps (RFC 7323) count milliseconds from a point that nobody knows: not since when we run.
 *
 * What may be a guess is answered with a challenge ACK (RFC 5961): it tells the true peer what is
 * expected, and ends nothing. Together they are limited, as section 7 wants it. A limit that all
 * connections share can be felt from outside, and tells strangers whether their guesses were
 * answered (CVE-2016-5696): so its height is drawn anew each second.
 */
#include "inside.h"

#include "base/time.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/sys.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum {
	ISN_TICK_NS = 4000, /* RFC 6528, section 3 */
	CHALLENGES = 1000,  /* a second, half of them at least */
};

/* Of a connection, in the order in which it is hashed. */
struct ends {
	uint32_t local[4], remote[4];
	uint16_t local_port, remote_port;
};
static_assert(sizeof(struct ends) == 36, "without padding");
static_assert(crypto_shorthash_BYTES >= sizeof(uint32_t), "a number's worth");

static uint8_t isn_key[crypto_shorthash_KEYBYTES];
static uint32_t timestamp_offset;

static struct {
	uint64_t second;
	uint32_t left;
} challenges;

void identity_init(void (*random)(void *ctx, void *out, size_t len), void *ctx)
{
	random(ctx, isn_key, sizeof(isn_key));
	random(ctx, &timestamp_offset, sizeof(timestamp_offset));
}

/*
 * Milliseconds, but they stand still for a part of the round trip. Most receivers drop what is older than
 * the last segment in order (RFC 7323, section 5): what left just before a retransmission, and is
 * overtaken by it, is not.
 */
uint32_t tcp_timestamp_now(const struct tcp_pcb *pcb)
{
	return (timestamp_offset + sys_now()) >> pcb->sender.clock_shift << pcb->sender.clock_shift;
}

static void put_ip(uint32_t words[static 4], const ip_addr_t *ip)
{
	memcpy(words, ip_2_ip6(ip)->addr, IP_IS_V6(ip) ? 16 : 4);
}

uint32_t stack_port_isn(const ip_addr_t *local, uint16_t local_port, const ip_addr_t *remote,
			uint16_t remote_port)
{
	struct ends ends = {.local_port = local_port, .remote_port = remote_port};
	uint8_t hash[crypto_shorthash_BYTES];
	uint32_t offset;

	put_ip(ends.local, local);
	put_ip(ends.remote, remote);
	crypto_shorthash(hash, (const uint8_t *)&ends, sizeof(ends), isn_key);
	memcpy(&offset, hash, sizeof(offset));
	return offset + (uint32_t)(clock_now_ns() / ISN_TICK_NS);
}

bool tcp_may_challenge(const struct tcp_pcb *pcb)
{
	struct stack *stack = stack_of(pcb);
	uint64_t second = clock_now_ns() / NS_PER_S;

	if (challenges.second != second) {
		challenges.second = second;
		challenges.left = CHALLENGES / 2 + stack_port_random() % CHALLENGES;
	}
	if (challenges.left == 0) {
		stack->stats.challenges_limited++;
		return false;
	}
	challenges.left--;
	stack->stats.challenges++;
	return true;
}
