/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * lwIP as wg-tinyproxy compiles it: TCP and ICMP echo over one point-to-point interface, raw API,
 * one thread, no timers of its own. What is off is off because nothing here speaks it: code that is
 * not compiled has no faults.
 */

/* --- one thread, our own clock ------------------------------------------------------------- */
#define NO_SYS		     1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS	     0
#define LWIP_SOCKET	     0
#define LWIP_NETCONN	     0
#define LWIP_STATS	     0

#ifndef LWIP_CHECKED /* the sanitizer build keeps lwIP's assertions */
#define LWIP_NOASSERT 1
#endif

/* --- protocols ------------------------------------------------------------------------------ */
#define LWIP_IPV4	    1
#define LWIP_IPV6	    1
#define LWIP_TCP	    1
#define LWIP_ICMP	    1
#define LWIP_ICMP6	    1
#define LWIP_UDP	    0
#define LWIP_RAW	    0
#define LWIP_ARP	    0
#define LWIP_ETHERNET	    0
#define LWIP_DHCP	    0
#define LWIP_DNS	    0
#define LWIP_IGMP	    0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF    0

/* TCP never sends fragments, and reassembling strangers' ones costs memory. */
#define IP_FRAG		0
#define IP_REASSEMBLY	0
#define LWIP_IPV6_FRAG	0
#define LWIP_IPV6_REASS 0

/* A tunnel has no neighbours to discover. */
#define LWIP_IPV6_MLD			0
#define LWIP_IPV6_AUTOCONFIG		0
#define LWIP_IPV6_SCOPES		0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT	0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS	0
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0
#define LWIP_ND6_QUEUEING		0
#define LWIP_ND6_ALLOW_RA_UPDATES	0

/* --- memory: ours, counted in the budget ----------------------------------------------------- */
#define MEM_ALIGNMENT		 8
#define MEMP_MEM_MALLOC		 1
#define MEM_CUSTOM_ALLOCATOR	 1
#define MEM_CUSTOM_MALLOC	 stack_port_malloc
#define MEM_CUSTOM_CALLOC	 stack_port_calloc
#define MEM_CUSTOM_FREE		 stack_port_free
#define LWIP_SUPPORT_CUSTOM_PBUF 1

/* --- TCP ------------------------------------------------------------------------------------ */

/* Upper bound of both; each connection uses what its MTU and its window allow. */
#define TCP_MSS (9000 - 40)

/* A peer that offers less has its reasons or is hostile: each segment costs memory and time. */
#define TCP_MSS_LEAST 48

/* Each MSS is what the route's MTU leaves (RFC 9293, 3.7.1). */
#define TCP_CALCULATE_EFF_SEND_MSS 1

/*
 * 64 MiB each way fill 1 Gbit/s at 500 ms (RFC 7323 scaling): how much of it a connection gets is a
 * matter of its path and of memory. A segment takes two pbufs on the send queue, counted in 16 bits.
 */
#define LWIP_WND_SCALE	  1
#define TCP_RCV_SCALE	  10
#define TCP_WND		  (65535u << TCP_RCV_SCALE)
#define TCP_SND_BUF	  (64 * 1024 * 1024)
#define TCP_SND_QUEUELEN  65000
#define TCP_SNDLOWAT	  16384
#define TCP_SNDQUEUELOWAT 16

/* Everything is sent from lent memory: no copy, so no room for later appends. */
#define TCP_OVERSIZE 0

/* The queue of what is out of order is ours (patch 0040); the option still means that there is one. */
#define TCP_QUEUE_OOSEQ	      1
#define PBUF_POOL_FREE_OOSEQ  0
#define LWIP_TCP_SACK_OUT     1
#define LWIP_TCP_MAX_SACK_NUM 4
#define LWIP_TCP_TIMESTAMPS   1
#define TCP_LISTEN_BACKLOG    1
#define LWIP_TCP_KEEPALIVE    1
#define SO_REUSE	      0

/* Timers: ticks of 50 ms, retransmission ticks of 100 ms; first RTO 1 s (RFC 6298, section 2). */
#define TCP_TMR_INTERVAL  50
#define LWIP_TCP_RTO_TIME 1000

/* A SYN a second, as many as lwIP allows: whoever waits for a connection has a time-out. */
#define TCP_SYNMAXRTX 12

/* TIME_WAIT is 2 MSL: 30 s, as long as a stray segment of a tunnel can be thought to live. */
#define TCP_MSL 15000

/* Initial window of 10 segments (RFC 6928). */
#define LWIP_TCP_CALC_INITIAL_CWND(mss) ((tcpwnd_size_t)(10 * (mss)))

/* No options are added: the hook tells which segments are sent again. */
#define LWIP_HOOK_TCP_OUT_ADD_TCPOPTS(p, hdr, pcb, opts) (stack_port_segment(p, hdr, pcb), (opts))

/* Initial sequence numbers nobody can guess. */
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port)                            \
	stack_port_isn(local_ip, local_port, remote_ip, remote_port)

/*
 * Inner packets come out of an AEAD: what arrives is what the peer sent, bit for bit. Checking the
 * Internet checksum again would find nothing. It is written on the way out: the peer forwards.
 */
#define CHECKSUM_CHECK_IP     0
#define CHECKSUM_CHECK_TCP    0
#define CHECKSUM_CHECK_ICMP   0
#define CHECKSUM_CHECK_ICMP6  0
#define LWIP_CHECKSUM_ON_COPY 0
