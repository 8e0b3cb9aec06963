// SPDX-License-Identifier: MIT
/* Conversations as the RFCs have them, segment by segment. */
#include "stack_script.h"

#include <criterion/criterion.h>

enum {
	S = PEER_SYN,
	A = PEER_ACK,
	F = PEER_FIN,
	R = PEER_RST,
	MSS = PEER_MSS,
	TIME_WAIT_MS = 30000,
};

/* Options of the peer's SYN: its MSS of 1000; a scale of 7; SACK permitted. */
#define MSS_1000 2, 4, 1000 >> 8, 1000 & 255
#define SCALE_7	 1, 3, 3, 7
#define SACK_OK	 1, 1, 4, 2
/* Of the stack's. */
#define OUR_MSS	  2, 4, PEER_MSS >> 8, PEER_MSS & 255
#define OUR_SCALE 1, 3, 3, 10

/* The usual begin: everything agreed on, windows of 65,535 bytes without scaling. */
#define ACCEPTED                                                                                   \
	PEER(S, 0, 0, .options = {OUR_MSS, SACK_OK}, .options_len = 8),                            \
		STACK(S | A, 0, 1, .options = {OUR_MSS, SACK_OK}, .options_len = 8),               \
		PEER(A, 1, 1), OPEN()

/* ... with a closed window. */
#define ACCEPTED_CLOSED PEER(S, 0, 0), STACK(S | A, 0, 1), PEER(A, 1, 1, .window = SCRIPT_CLOSED)

/* --- opening --------------------------------------------------------------------------------------- */

Test(stack_script, options_are_answered_with_the_same)
{
	PLAY(PEER(S, 0, 0, .options = {MSS_1000, SCALE_7, SACK_OK}, .options_len = 12),
	     STACK(S | A, 0, 1, .window = 65535, .options = {OUR_MSS, OUR_SCALE, SACK_OK},
		   .options_len = 12),
	     PEER(A, 1, 1), OPEN(), WRITE(1500), STACK(A, 1, 1, .len = 1000, .window = 65535 >> 10),
	     STACK(A, 1001, 1, .len = 500));
}

Test(stack_script, options_that_nobody_offers_are_not_answered)
{
	PLAY(PEER(S, 0, 0), STACK(S | A, 0, 1, .options = {OUR_MSS}, .options_len = 4),
	     PEER(A, 1, 1), OPEN(), PEER(A, 101, 1, .len = 100), STACK(A, 1, 1, .window = 65535));
}

Test(stack_script, options_of_ours)
{
	PLAY(CONNECT(),
	     STACK(S, 0, 0, .options = {OUR_MSS, OUR_SCALE, SACK_OK}, .options_len = 12,
		   .timed = true),
	     PEER(S | A, 0, 1, .options = {MSS_1000}, .options_len = 4), STACK(A, 1, 1), OPEN(),
	     PEER(A, 101, 1, .len = 100), STACK(A, 1, 1), WRITE(1500), STACK(A, 1, 1, .len = 1000),
	     STACK(A, 1001, 1, .len = 500));
}

/* 536 is what everybody takes (RFC 9293, section 3.7.1). */
Test(stack_script, a_syn_without_options)
{
	PLAY(PEER(S, 0, 0), STACK(S | A, 0, 1), PEER(A, 1, 1), WRITE(1000),
	     STACK(A, 1, 1, .len = 536), STACK(A, 537, 1, .len = 464));
}

Test(stack_script, a_syn_is_repeated_once_a_second)
{
	PLAY(CONNECT(), STACK(S, 0, 0), STACK_IN(950, 1050, S, 0, 0), STACK_IN(950, 1050, S, 0, 0),
	     PEER(S | A, 0, 1), STACK(A, 1, 1), OPEN(), NOTHING(5000));
}

Test(stack_script, a_syn_that_is_repeated_is_answered_again)
{
	PLAY(PEER(S, 0, 0), STACK(S | A, 0, 1), PEER(S, 0, 0), STACK(S | A, 0, 1), PEER(A, 1, 1),
	     OPEN(), NOTHING(5000));
}

/* RFC 9293, section 3.10.7.3: it cannot be an answer to our SYN. */
Test(stack_script, an_old_syn_ack_is_reset)
{
	PLAY(CONNECT(), STACK(S, 0, 0), PEER(S | A, 0, 500), STACK(R | A, 0, 1), STACK(S, 0, 0),
	     PEER(S | A, 0, 1), STACK(A, 1, 1), OPEN());
}

/*
 * Both dial at once. A SYN that crosses ours waits for its answer, and the connection comes about when
 * the peer answers ours, as it must (RFC 9293, section 3.5).
 */
Test(stack_script, simultaneous_open)
{
	PLAY(CONNECT(), STACK(S, 0, 0), PEER(S, 0, 0), NOTHING(0), PEER(S | A, 0, 1),
	     STACK(A, 1, 1), OPEN(), PEER(A, 1, 1, .len = 10), HAS(10));
}

Test(stack_script, a_refusal)
{
	PLAY(CONNECT(), STACK(S, 0, 0), PEER(R | A, 0, 1), NOTHING(0), ENDED(STACK_END_REFUSED));
}

/* --- a connection of ours, answered after so long, without timestamps ------------------------------ */

#define ANSWERED_AFTER(ms)                                                                         \
	CONNECT(), STACK(S, 0, 0), NOTHING(ms),                                                    \
		PEER(S | A, 0, 1, .options = {OUR_MSS, SACK_OK}, .options_len = 8),                \
		STACK(A, 1, 1), OPEN()

/* The answer was a round trip: 20 ms, and a timeout is 200 more. */
Test(stack_script, the_first_request_is_repeated_soon)
{
	PLAY(ANSWERED_AFTER(20), WRITE(100), STACK(A, 1, 1, .len = 100),
	     STACK_IN(200, 230, A, 1, 1, .len = 100));
}

/* It may have taken a dial as well: then it is no reason to wait. */
Test(stack_script, a_slow_answer_to_a_syn_is_no_round_trip)
{
	PLAY(ANSWERED_AFTER(900), WRITE(100), STACK(A, 1, 1, .len = 100),
	     STACK_IN(900, 1000, A, 1, 1, .len = 100));
	PLAY(ANSWERED_AFTER(900), WRITE(100), STACK(A, 1, 1, .len = 100), NOTHING(20),
	     PEER(A, 1, 101), WRITE(100), STACK(A, 101, 1, .len = 100),
	     STACK_IN(200, 250, A, 101, 1, .len = 100));
}

/* Whatever the initial sequence number is, nothing has come late so far: three that overtake one are enough. */
Test(stack_script, a_handshake_is_no_reordering)
{
	for (int i = 0; i < 16; i++)
		PLAY(ANSWERED_AFTER(20), WRITE(4 * MSS), STACK(A, 1, 1, .len = MSS),
		     STACK(A, MSS + 1, 1, .len = MSS), STACK(A, 2 * MSS + 1, 1, .len = MSS),
		     STACK(A, 3 * MSS + 1, 1, .len = MSS), NOTHING(20),
		     PEER(A, 1, 1, .sacks = {{MSS + 1, 4 * MSS + 1}}), STACK(A, 1, 1, .len = MSS));
}

/* --- SACK (RFC 2018) --------------------------------------------------------------------------------- */

/* The block with the latest segment comes first, then those before it. */
Test(stack_script, gaps_are_told)
{
	PLAY(ACCEPTED, PEER(A, 101, 1, .len = 100), STACK(A, 1, 1, .sacks = {{101, 201}}),
	     PEER(A, 301, 1, .len = 100), STACK(A, 1, 1, .sacks = {{301, 401}, {101, 201}}),
	     PEER(A, 501, 1, .len = 100),
	     STACK(A, 1, 1, .sacks = {{501, 601}, {301, 401}, {101, 201}}),
	     PEER(A, 401, 1, .len = 100), STACK(A, 1, 1, .sacks = {{301, 601}, {101, 201}}), HAS(0),
	     PEER(A, 1, 1, .len = 100), HAS(200), STACK(A, 1, 201, .sacks = {{301, 601}}),
	     PEER(A, 201, 1, .len = 100), HAS(600), STACK_IN(0, 200, A, 1, 601));
}

Test(stack_script, gaps_are_not_told_to_those_who_cannot_hear)
{
	PLAY(PEER(S, 0, 0, .options = {OUR_MSS}, .options_len = 4), STACK(S | A, 0, 1),
	     PEER(A, 1, 1), PEER(A, 101, 1, .len = 100), STACK(A, 1, 1), PEER(A, 1, 1, .len = 100),
	     HAS(200), STACK_IN(0, 200, A, 1, 201));
}

/* What the peer has is not sent again. */
Test(stack_script, only_the_gap_is_sent_again)
{
	PLAY(ACCEPTED, WRITE(5 * MSS), STACK(A, 1, 1, .len = MSS), STACK(A, MSS + 1, 1, .len = MSS),
	     STACK(A, 2 * MSS + 1, 1, .len = MSS), STACK(A, 3 * MSS + 1, 1, .len = MSS),
	     STACK(A, 4 * MSS + 1, 1, .len = MSS), PEER(A, 1, MSS + 1),
	     PEER(A, 1, MSS + 1, .sacks = {{2 * MSS + 1, 5 * MSS + 1}}),
	     STACK(A, MSS + 1, 1, .len = MSS), NOTHING(0), PEER(A, 1, 5 * MSS + 1), NOTHING(2000),
	     GOT_BACK(5 * MSS));
}

/* --- windows ------------------------------------------------------------------------------------------ */

/* One byte each time, and longer pauses in between (RFC 9293, section 3.8.6.1). */
Test(stack_script, a_closed_window_is_probed_more_and_more_rarely)
{
	PLAY(ACCEPTED_CLOSED, WRITE(100), NOTHING(100), STACK_IN(50, 400, A, 1, 1, .len = 1),
	     PEER(A, 1, 1, .window = SCRIPT_CLOSED), STACK_IN(500, 700, A, 1, 1, .len = 1),
	     PEER(A, 1, 1, .window = SCRIPT_CLOSED), STACK_IN(1100, 1300, A, 1, 1, .len = 1),
	     PEER(A, 1, 1, .window = SCRIPT_CLOSED), STACK_IN(2300, 2500, A, 1, 1, .len = 1),
	     PEER(A, 1, 1, .window = SCRIPT_CLOSED), STACK_IN(4700, 4900, A, 1, 1, .len = 1),
	     PEER(A, 1, 1, .window = SCRIPT_CLOSED), NOTHING(5000), PEER(A, 1, 1, .window = 1000),
	     STACK(A, 1, 1, .len = 100), PEER(A, 1, 101), NOTHING(2000), GOT_BACK(100));
}

/* A probe's byte may be taken. */
Test(stack_script, a_probe_that_is_taken)
{
	PLAY(ACCEPTED_CLOSED, WRITE(100), STACK_IN(100, 400, A, 1, 1, .len = 1),
	     PEER(A, 1, 2, .window = 1000), STACK_IN(0, 1000, A, 1, 1, .len = 100), PEER(A, 1, 101),
	     NOTHING(2000), GOT_BACK(100));
}

/* What the peer takes back (RFC 9293, section 3.8.6: it should not) is not counted on. */
Test(stack_script, a_window_that_shrinks)
{
	PLAY(ACCEPTED, WRITE(2 * MSS), STACK(A, 1, 1, .len = MSS), STACK(A, MSS + 1, 1, .len = MSS),
	     WRITE(2 * MSS), STACK(A, 2 * MSS + 1, 1, .len = MSS),
	     STACK(A, 3 * MSS + 1, 1, .len = MSS), WRITE(1000),
	     STACK(A, 4 * MSS + 1, 1, .len = 1000), PEER(A, 1, MSS + 1, .window = MSS), WRITE(1000),
	     NOTHING(0), PEER(A, 1, 4 * MSS + 1001, .window = MSS),
	     STACK(A, 4 * MSS + 1001, 1, .len = 1000), PEER(A, 1, 4 * MSS + 2001), NOTHING(2000),
	     GOT_BACK(4 * MSS + 2000));
}

Test(stack_script, a_full_window_is_closed_and_opens_again)
{
	PLAY(ACCEPTED, PEER(A, 1, 1, .len = 60000), STACK(A, 1, 60001, .window = 5535), HAS(60000),
	     PEER(A, 60001, 1, .len = 5535), HAS(65535),
	     STACK_IN(0, 200, A, 1, 65536, .window = SCRIPT_CLOSED), PEER(A, 65536, 1, .len = 1),
	     STACK(A, 1, 65536, .window = SCRIPT_CLOSED), HAS(65535), CONSUME(60000),
	     STACK(A, 1, 65536, .window = 60000), PEER(A, 65536, 1, .len = 1), HAS(65536));
}

/* --- closing ------------------------------------------------------------------------------------------ */

Test(stack_script, the_peer_closes_first)
{
	PLAY(ACCEPTED, PEER(A | F, 1, 1, .len = 10), STACK(A, 1, 12), HAS(10), HAS_FIN(), OPEN(),
	     WRITE(100), STACK(A, 1, 12, .len = 100), PEER(A, 12, 101), GOT_BACK(100), SHUTDOWN(),
	     STACK(A | F, 101, 12), PEER(A, 12, 102), ENDED(STACK_END_CLOSED), PEER(A, 12, 102),
	     STACK(R | A, 102, 12));
}

/* The other direction goes on for as long as the peer likes. */
Test(stack_script, the_owner_closes_first)
{
	PLAY(ACCEPTED, WRITE(100), SHUTDOWN(), STACK(A, 1, 1, .len = 100), STACK(A | F, 101, 1),
	     PEER(A, 1, 102), OPEN(), NOTHING(50000), PEER(A, 1, 102, .len = 1000), HAS(1000),
	     STACK_IN(0, 200, A, 102, 1001), PEER(A, 1001, 102, .len = 500), HAS(1500),
	     STACK_IN(0, 200, A, 102, 1501), PEER(A | F, 1501, 102), STACK(A, 102, 1502), HAS_FIN(),
	     ENDED(STACK_END_CLOSED));
}

/* TIME_WAIT repeats the last ACK, and is over after two MSL. */
Test(stack_script, the_last_ack_is_repeated)
{
	PLAY(ACCEPTED, SHUTDOWN(), STACK(A | F, 1, 1), PEER(A | F, 1, 2), STACK(A, 2, 2),
	     ENDED(STACK_END_CLOSED), PEER(A | F, 1, 2), STACK(A, 2, 2), PEER(R, 2, 0), NOTHING(0),
	     PEER(A | F, 1, 2), STACK(A, 2, 2), NOTHING(TIME_WAIT_MS + 1000), PEER(A | F, 1, 2),
	     STACK(R | A, 2, 2));
}

/* Both FINs cross (RFC 9293, figure 13). */
Test(stack_script, simultaneous_close)
{
	PLAY(ACCEPTED, SHUTDOWN(), STACK(A | F, 1, 1), PEER(A | F, 1, 1), STACK(A, 2, 2), HAS_FIN(),
	     ENDED(STACK_END_CLOSED), PEER(A, 2, 2), NOTHING(1000), PEER(A | F, 1, 2),
	     STACK(A, 2, 2));
}

Test(stack_script, a_fin_is_repeated)
{
	PLAY(ACCEPTED, PEER(A | F, 1, 1), STACK(A, 1, 2), SHUTDOWN(), STACK(A | F, 1, 2),
	     STACK_IN(100, 1500, A | F, 1, 2), STACK_IN(100, 3000, A | F, 1, 2), PEER(A, 2, 2),
	     NOTHING(10000), ENDED(STACK_END_CLOSED));
}

/* A FIN behind a gap ends nothing before the gap is filled. */
Test(stack_script, a_fin_behind_a_gap)
{
	PLAY(ACCEPTED, PEER(A | F, 101, 1, .len = 100), STACK(A, 1, 1, .sacks = {{101, 201}}),
	     HAS(0), PEER(A, 1, 1, .len = 100), HAS(200), HAS_FIN(), STACK(A, 1, 202));
}

/* --- RST ----------------------------------------------------------------------------------------------- */

Test(stack_script, a_reset_ends_it)
{
	PLAY(ACCEPTED, WRITE(100), STACK(A, 1, 1, .len = 100), PEER(R, 1, 0), NOTHING(10000),
	     ENDED(STACK_END_RESET));
}

Test(stack_script, a_reset_beside_it_is_challenged)
{
	PLAY(ACCEPTED, PEER(R, 2, 0), STACK(A, 1, 1), PEER(R, 65535, 0), STACK(A, 1, 1),
	     PEER(R, 70000, 0), NOTHING(0), PEER(R, 0, 0), NOTHING(0), OPEN(), PEER(R, 1, 0),
	     ENDED(STACK_END_RESET));
}

Test(stack_script, a_reset_while_opening)
{
	PLAY(PEER(S, 0, 0), STACK(S | A, 0, 1), PEER(R, 1, 0), NOTHING(10000), PEER(A, 1, 1),
	     STACK(R | A, 1, 1));
}

Test(stack_script, a_syn_is_challenged)
{
	PLAY(ACCEPTED, PEER(S, 500000, 0), STACK(A, 1, 1), PEER(R, 1, 0), ENDED(STACK_END_RESET));
}

Test(stack_script, an_abort_is_a_reset)
{
	PLAY(ACCEPTED, ABORT(), STACK(R | A, 1, 1), ENDED(STACK_END_RESET),
	     PEER(A, 1, 1, .len = 10), STACK(R | A, 1, 11));
}

/* Of nobody that is known (RFC 9293, section 3.10.7.1). */
Test(stack_script, strangers_are_reset)
{
	PLAY(PEER(A, 1, 1, .len = 10), STACK(R | A, 1, 11), PEER(R, 1, 0), NOTHING(0));
}
