// SPDX-License-Identifier: MIT
#include "stack_script.h"

#include "base/time.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { PORT = PEER_FIRST_PORT, PEER_ISS = 1000000, WRITE_MAX = 65535 };

/* RFC 2018, section 3. */
enum { NOP = 1, SACK = 5, SACK_LEN = 8 };

/* RFC 7323, section 3.2, behind two NOPs. */
static const uint8_t timestamps_head[] = {NOP, NOP, 8, 10};
enum { TIMESTAMPS_LEN = 12 };

struct play {
	struct stack_peer *peer;
	const struct script_step *step;
	uint16_t port;
	uint64_t heard; /* of the stack's segments, those that the script has got to */
	uint32_t stack_iss;
	bool has_iss;
	uint32_t stack_time; /* its last timestamp */
	char *why;	     /* of WHY_MAX bytes */
};

enum { WHY_MAX = 512 };

static bool fail(struct play *play, const char *what)
{
	snprintf(play->why, WHY_MAX, "line %d: %s", play->step->line, what);
	return false;
}

static struct peer_end *end_of(struct play *play)
{
	return play->peer->end[play->port];
}

static uint16_t window_of(const struct script_tcp *tcp, uint16_t unsaid)
{
	if (tcp->window == SCRIPT_CLOSED)
		return 0;
	return tcp->window == 0 ? unsaid : (uint16_t)tcp->window;
}

/* --- the peer ------------------------------------------------------------------------------------ */

static void put32(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static size_t count_sacks(const struct script_tcp *tcp)
{
	size_t count = 0;

	while (count < SCRIPT_SACKS && tcp->sacks[count][1] != 0)
		count++;
	return count;
}

static void put_timestamps(struct peer_packet *packet, const struct play *play)
{
	uint8_t *out = packet->options + packet->options_len;

	if (!play->step->tcp.timed)
		return;
	memcpy(out, timestamps_head, sizeof(timestamps_head));
	put32(out + 4, play->step->tcp.sent);
	put32(out + 8, play->stack_time - play->step->tcp.echo);
	packet->options_len += TIMESTAMPS_LEN;
}

static void put_sacks(struct peer_packet *packet, const struct script_tcp *tcp, uint32_t iss)
{
	uint8_t *out = packet->options + packet->options_len;
	size_t count = count_sacks(tcp);

	if (count == 0)
		return;
	*out++ = NOP;
	*out++ = NOP;
	*out++ = SACK;
	*out++ = (uint8_t)(2 + count * SACK_LEN);
	for (size_t i = 0; i < count; i++, out += SACK_LEN) {
		put32(out, iss + tcp->sacks[i][0]);
		put32(out + 4, iss + tcp->sacks[i][1]);
	}
	packet->options_len += 4 + count * SACK_LEN;
}

static bool peer_says(struct play *play)
{
	const struct script_tcp *tcp = &play->step->tcp;
	struct peer_packet packet = {
		.port = play->port,
		.flags = tcp->flags,
		.seq = PEER_ISS + tcp->seq,
		.ack = tcp->flags & PEER_ACK ? play->stack_iss + tcp->ack : 0,
		.window = window_of(tcp, UINT16_MAX),
		.len = (uint16_t)tcp->len,
		.options_len = tcp->options_len,
	};

	memcpy(packet.options, tcp->options, sizeof(packet.options));
	put_timestamps(&packet, play);
	put_sacks(&packet, tcp, play->stack_iss);
	peer_say(play->peer, &packet);
	peer_turn(play->peer, 0);
	return true;
}

/* --- the stack ------------------------------------------------------------------------------------- */

/* The segment that the script has not got to; NULL: none. */
static const struct peer_packet *next_heard(const struct play *play)
{
	uint64_t waiting = play->peer->packets - play->heard;

	return waiting == 0 ? NULL : peer_heard(play->peer, waiting - 1);
}

/* Until the stack says something, or so long. */
static void listen(struct play *play, uint32_t ms)
{
	struct stack_peer *peer = play->peer;
	uint64_t until_ns = peer->now_ns + ms * NS_PER_MS;

	while (next_heard(play) == NULL && peer->now_ns < until_ns) {
		uint64_t next_ns = stack_deadline(peer->stack);

		next_ns = next_ns < until_ns ? next_ns : until_ns;
		peer_turn(peer, next_ns > peer->now_ns ? next_ns - peer->now_ns : 0);
	}
}

static bool fail_at(struct play *play, const struct peer_packet *heard, const char *what)
{
	const struct script_tcp *tcp = &play->step->tcp;

	snprintf(play->why, WHY_MAX,
		 "line %d: %s; the stack says: flags %#x seq %u ack %u len %u window %u; the "
		 "script: "
		 "flags %#x seq %u ack %u len %u",
		 play->step->line, what, heard->flags, heard->seq - play->stack_iss,
		 heard->flags & PEER_ACK ? heard->ack - PEER_ISS : 0, heard->len, heard->window,
		 tcp->flags, tcp->seq, tcp->ack, tcp->len);
	return false;
}

/* The SACK option comes last, behind two NOPs; with it no other option is compared. */
static bool has_sacks(const struct peer_packet *heard, const struct script_tcp *tcp)
{
	size_t count = count_sacks(tcp);
	const uint8_t *option = heard->options + 2;

	if (count == 0)
		return heard->options_len < 4 || heard->options[0] != NOP || option[0] != SACK;
	if (heard->options_len != 4 + count * SACK_LEN || option[0] != SACK ||
	    option[1] != 2 + count * SACK_LEN)
		return false;
	for (size_t i = 0; i < count; i++) {
		const uint8_t *block = option + 2 + i * SACK_LEN;

		if (get32(block) != PEER_ISS + tcp->sacks[i][0] ||
		    get32(block + 4) != PEER_ISS + tcp->sacks[i][1])
			return false;
	}
	return true;
}

/* Takes them out of the segment, wherever they are. */
static bool take_timestamps(struct peer_packet *heard, uint32_t *sent, uint32_t *echo)
{
	for (size_t at = 0; at + TIMESTAMPS_LEN <= heard->options_len; at += 4) {
		uint8_t *options = heard->options + at;

		if (memcmp(options, timestamps_head, sizeof(timestamps_head)) != 0)
			continue;
		*sent = get32(options + 4);
		*echo = get32(options + 8);
		heard->options_len -= TIMESTAMPS_LEN;
		memmove(options, options + TIMESTAMPS_LEN, heard->options_len - at);
		return true;
	}
	return false;
}

static bool has_timestamps(struct play *play, struct peer_packet *heard)
{
	const struct script_tcp *tcp = &play->step->tcp;
	uint32_t echo, before = play->stack_time;

	if (!take_timestamps(heard, &play->stack_time, &echo))
		return !tcp->timed;
	if (tcp->moved != 0 && play->stack_time - before != tcp->moved)
		return false;
	if (tcp->step != 0 && play->stack_time % tcp->step != 0)
		return false;
	return tcp->timed ? echo == tcp->echo
			  : (heard->flags & PEER_SYN) != 0 && tcp->options_len == 0;
}

static bool has_options(const struct peer_packet *heard, const struct script_tcp *tcp)
{
	return tcp->options_len == 0 ||
	       (heard->options_len == tcp->options_len &&
		memcmp(heard->options, tcp->options, tcp->options_len) == 0);
}

/* PSH is the stack's own business. */
static bool is_as_expected(struct play *play, const struct peer_packet *heard)
{
	const struct script_tcp *tcp = &play->step->tcp;
	struct peer_packet rest = *heard;

	if ((heard->flags & ~PEER_PSH) != (tcp->flags & ~PEER_PSH))
		return fail_at(play, heard, "other flags");
	if (heard->seq != play->stack_iss + tcp->seq && (tcp->flags & PEER_RST) == 0)
		return fail_at(play, heard, "another sequence number");
	if (tcp->flags & PEER_ACK && heard->ack != PEER_ISS + tcp->ack)
		return fail_at(play, heard, "another acknowledgement");
	if (heard->len != tcp->len)
		return fail_at(play, heard, "another length");
	if (heard->window != window_of(tcp, heard->window))
		return fail_at(play, heard, "another window");
	if (!has_timestamps(play, &rest))
		return fail_at(play, heard, "other timestamps");
	if (!has_options(&rest, tcp))
		return fail_at(play, heard, "other options");
	if (!has_sacks(&rest, tcp))
		return fail_at(play, heard, "other SACK blocks");
	return true;
}

static bool stack_says(struct play *play)
{
	uint64_t start_ns = play->peer->now_ns;
	const struct peer_packet *heard;

	listen(play, play->step->by_ms);
	heard = next_heard(play);
	if (heard == NULL)
		return fail(play, "the stack says nothing");
	if (!play->has_iss && heard->flags & PEER_SYN) {
		play->stack_iss = heard->seq;
		play->has_iss = true;
	}
	if (play->peer->now_ns - start_ns < play->step->after_ms * NS_PER_MS)
		return fail_at(play, heard, "too early");
	play->heard++;
	return is_as_expected(play, heard);
}

static bool stack_says_nothing(struct play *play)
{
	const struct peer_packet *heard;

	listen(play, play->step->by_ms);
	heard = next_heard(play);
	return heard == NULL || fail_at(play, heard, "nobody asked");
}

/* --- the owner ---------------------------------------------------------------------------------------- */

static bool owner_acts(struct play *play)
{
	static uint8_t bytes[WRITE_MAX];
	const struct script_step *step = play->step;
	struct peer_end *end = end_of(play);

	if (step->verb == SCRIPT_CONNECT) {
		if (peer_connect(play->peer, PEER_PORT) != 0)
			return fail(play, "no connection");
		play->port = play->peer->port;
		return true;
	}
	if (end == NULL)
		return fail(play, "there is no connection");
	if (step->verb == SCRIPT_WRITE && stack_write(end->conn, bytes, step->bytes) != step->bytes)
		return fail(play, "not all is taken");
	if (step->verb == SCRIPT_CONSUME)
		stack_consumed(end->conn, step->bytes);
	else if (step->verb == SCRIPT_SHUTDOWN)
		stack_shutdown(end->conn);
	else if (step->verb == SCRIPT_ABORT)
		stack_abort(end->conn);
	peer_turn(play->peer, 0);
	return true;
}

static bool owner_sees(struct play *play)
{
	const struct script_step *step = play->step;
	const struct peer_end *end = end_of(play);

	if (end == NULL)
		return fail(play, "there is no connection");
	switch (step->verb) {
	case SCRIPT_HAS:
		return end->received == step->bytes || fail(play, "other bytes have come");
	case SCRIPT_GOT_BACK:
		return end->acked == step->bytes || fail(play, "other bytes were given back");
	case SCRIPT_FIN:
		return end->fin || fail(play, "no end was seen");
	case SCRIPT_ENDED:
		return (end->ended && end->how == step->how) || fail(play, "no such end");
	default:
		return (end->connected && !end->ended) || fail(play, "it is not open");
	}
}

static bool play_step(struct play *play)
{
	switch (play->step->verb) {
	case SCRIPT_PEER:
		return peer_says(play);
	case SCRIPT_STACK:
		return stack_says(play);
	case SCRIPT_NOTHING:
		return stack_says_nothing(play);
	case SCRIPT_CONNECT:
	case SCRIPT_WRITE:
	case SCRIPT_CONSUME:
	case SCRIPT_SHUTDOWN:
	case SCRIPT_ABORT:
		return owner_acts(play);
	default:
		return owner_sees(play);
	}
}

void script_check(const struct script_step *steps, size_t count)
{
	static struct stack_peer peer;
	static char why[WHY_MAX];
	struct play play = {.peer = &peer, .port = PORT, .why = why};

	peer_init(&peer, 0);
	play.heard = peer.packets;
	for (size_t i = 0; i < count; i++) {
		play.step = &steps[i];
		cr_assert(play_step(&play), "%s", why);
	}
	peer_fini(&peer);
	cr_assert_eq(peer.budget.used, 0);
}
