/* SPDX-License-Identifier: MIT */
#pragma once

/* What lwIP asks of a compiler and a platform. */

#include "base/check.h"

#include <stdint.h>
#include <stdlib.h>

#define LWIP_NO_CTYPE_H		  0
#define LWIP_PLATFORM_DIAG(x)	  ((void)0)
#define LWIP_PLATFORM_ASSERT(why) check_failed(__FILE__, __LINE__, why)
#define LWIP_PROVIDE_ERRNO	  0
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS
#define lwip_htons(x) __builtin_bswap16((uint16_t)(x))
#define lwip_htonl(x) __builtin_bswap32((uint32_t)(x))
#endif

/* From our stack module: unpredictable numbers, and memory that the budget knows of. */
uint32_t stack_port_random(void);
void *stack_port_malloc(size_t size);
void *stack_port_calloc(size_t count, size_t size);
void stack_port_free(void *memory);

/* The checksum of RFC 1071, as wide as the CPU. */
uint16_t stack_port_chksum(const void *data, int len);

/* Initial sequence numbers (src/stack/identity.c). */
struct ip_addr;
uint32_t stack_port_isn(const struct ip_addr *local, uint16_t local_port,
			const struct ip_addr *remote, uint16_t remote_port);

/* lwIP is about to send this segment; `pcb` may be NULL. */
struct pbuf;
struct tcp_hdr;
struct tcp_pcb;
void stack_port_segment(const struct pbuf *segment, const struct tcp_hdr *header,
			const struct tcp_pcb *pcb);

#define LWIP_RAND() stack_port_random()
#define LWIP_CHKSUM stack_port_chksum
