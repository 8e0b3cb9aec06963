/* SPDX-License-Identifier: MIT */
#include "limit.h"

#include "../tests/e2e/listen.h"
#include "aead.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * The limit of this machine: what a pair of proxies does to bulk data, without what makes them a
 * pair of proxies.
 *
 *	limit ingress UDP_ADDRESS UDP_PORT PEER_ADDRESS PEER_PORT LISTEN_ADDRESS LISTEN_PORT
 *	limit egress  UDP_ADDRESS UDP_PORT PEER_ADDRESS PEER_PORT TARGET_ADDRESS TARGET_PORT
 *
 *	client -> ingress == UDP ==> egress -> target		and the same way back
 *
 * Each prints "ready PORT"; no connection may come before both have. AEAD_ENGINE chooses as it does
 * for the proxy. SIGTERM ends them, with status 0.
 *
 * Every step that a proxy cannot do without is here, in the cheapest way that is known: one thread,
 * one ring, one enter per turn; from the host a receive of up to a train of payload; one copy, into
 * the packets of that train; a batch of seals; one sendmsg with UDP_SEGMENT. The other way a
 * multishot receive with UDP_GRO into buffers of 64 KiB; a batch of opens in place; one send to the
 * host for all that came in this turn, gathered from where it was opened, which costs less than
 * moving it together first. Packets have the sizes of the proxy's: where those have headers of IPv4
 * and TCP, these have 40 bytes that say which connection, how many bytes and what for.
 *
 * What is left out: handshake, replay window and allowed IPs - there is one fixed key in each
 * direction, and a packet's counter must be the next one - and TCP inside the tunnel. Without that
 * nothing may be lost between the two. So a sender has no more packets under way than the
 * receiver's socket has room for. Each packet tells how many its sender has *taken* from its own
 * socket; an end with nothing to send tells it by a packet without payload, a few times per window.
 * That stands for TCP's acknowledgements. Should a datagram be lost all the same, its counter is
 * missed and the program fails: there is no figure without every byte.
 *
 * Back-pressure: payload lies in its UDP buffer until the host has taken it. A host that does not
 * read so stops all connections of its direction, which a proxy may not do and a yardstick may. A
 * reset passes as a FIN.
 */
void fail(const char *what, int error)
{
	fprintf(stderr, "limit: %s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
	exit(1);
}

static _Noreturn void usage(void)
{
	fputs("usage: limit ingress|egress UDP_ADDRESS UDP_PORT PEER_ADDRESS PEER_PORT "
	      "ADDRESS PORT\n"
	      "ADDRESS and PORT: where the ingress listens, or the egress's target\n",
	      stderr);
	exit(2);
}

static void terminate(int signal)
{
	(void)signal;
	_exit(0);
}

/* An address and a port; getaddrinfo(3) would take numbers that no port can have. */
static struct addrinfo *read_address(char **arguments)
{
	char *end;
	unsigned long port = strtoul(arguments[1], &end, 10);

	if (*end != '\0' || port == 0 || port > UINT16_MAX) {
		fprintf(stderr, "limit: %s is no port\n", arguments[1]);
		exit(2);
	}
	return address_of(arguments[0], arguments[1]);
}

static int udp_bound_to(const struct addrinfo *to)
{
	int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, to->ai_addr, to->ai_addrlen) != 0)
		fail("UDP socket", errno);
	return fd;
}

int main(int argc, char **argv)
{
	struct addrinfo *self, *peer, *host;
	bool is_egress = argc > 1 && strcmp(argv[1], "egress") == 0;
	int listener = -1, udp;

	if (argc != 8 || (!is_egress && strcmp(argv[1], "ingress") != 0))
		usage();
	self = read_address(&argv[2]);
	peer = read_address(&argv[4]);
	host = read_address(&argv[6]);
	if (aead_init(getenv("AEAD_ENGINE")) == NULL) {
		fprintf(stderr, "limit: AEAD_ENGINE=%s does not run here\n", getenv("AEAD_ENGINE"));
		return 2;
	}
	signal(SIGTERM, terminate);
	udp = udp_bound_to(self);
	if (!is_egress)
		listener = listen_on(host, 0, SOMAXCONN);
	ring_open();
	tunnel_open(udp, peer->ai_addr, peer->ai_addrlen, is_egress);
	conns_open(listener, host->ai_addr, host->ai_addrlen);
	announce(is_egress ? udp : listener);
	for (;;) {
		ring_turn();
		conns_turn();
		tunnel_turn();
	}
}
