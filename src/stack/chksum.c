// SPDX-License-Identifier: MIT
/*
 * The Internet checksum (RFC 1071) of what goes out: the sum of 16-bit words in one's complement
 * arithmetic, which any wider sum gives when its carries are folded back in. So 32-bit words are
 * added into 64-bit lanes - 2^32 of them fit - and the compiler does as many at once as the CPU has
 * lanes for: one clone for each width, chosen at load time.
 */
#include "inside.h"

#include <string.h>

/* An instrumented resolver would run before the sanitizer's own start. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define WIDEST                                                                                     \
	__attribute__((target_clones("arch=skylake-avx512", "avx2", "default"), optimize("O3")))
#else
#define WIDEST
#endif

WIDEST static uint64_t sum_words(const uint8_t *bytes, size_t words)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < words; i++) {
		uint32_t word;

		memcpy(&word, bytes + i * sizeof(word), sizeof(word));
		sum += word;
	}
	return sum;
}

/* What lwIP calls LWIP_CHKSUM: folded, not inverted, in the order of the bytes in memory. */
uint16_t stack_port_chksum(const void *data, int len)
{
	size_t words = (size_t)len / sizeof(uint32_t);
	size_t rest = (size_t)len % sizeof(uint32_t);
	uint32_t tail = 0;
	uint64_t sum = sum_words(data, words);

	memcpy(&tail, (const uint8_t *)data + words * sizeof(uint32_t), rest);
	sum += tail;
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	return (uint16_t)sum;
}
