// SPDX-License-Identifier: MIT
/* Timestamps (RFC 7323): what is offered, what is echoed, and what is too old to be true. */
#include "stack_script.h"

#include <criterion/criterion.h>

enum {
	S = PEER_SYN,
	A = PEER_ACK,
	F = PEER_FIN,
	R = PEER_RST,
	FULL = PEER_MSS - 12, /* bytes in a full segment */
};

#define MSS_SACK   .options = {2, 4, PEER_MSS >> 8, PEER_MSS & 255, 1, 1, 4, 2}, .options_len = 8
#define SENT(when) .timed = true, .sent = (when)
#define ECHO(when) .timed = true, .echo = (when)

/* The peer's clock begins at 100. */
#define ACCEPTED                                                                                   \
	PEER(S, 0, 0, MSS_SACK, SENT(100)), STACK(S | A, 0, 1, MSS_SACK, ECHO(100)),               \
		PEER(A, 1, 1, SENT(101)), OPEN()

/* Their bytes count as options of the segment: RFC 6691. */
Test(stack_timestamps, each_segment_has_them_once_both_ends_have_agreed)
{
	PLAY(ACCEPTED, PEER(A, 1, 1, .len = 10, SENT(110)), STACK(A, 1, 11, ECHO(110)), HAS(10),
	     WRITE(2 * FULL), STACK(A, 1, 11, .len = FULL, ECHO(110)),
	     STACK(A, FULL + 1, 11, .len = FULL, ECHO(110)), PEER(A, 11, 2 * FULL + 1, SENT(120)),
	     GOT_BACK(2 * FULL), SHUTDOWN(), STACK(A | F, 2 * FULL + 1, 11, ECHO(120)));
}

Test(stack_timestamps, an_answer_agrees)
{
	PLAY(CONNECT(), STACK(S, 0, 0, ECHO(0)), PEER(S | A, 0, 1, MSS_SACK, SENT(7)),
	     STACK(A, 1, 1, ECHO(7)), OPEN(), WRITE(FULL + 1), STACK(A, 1, 1, .len = FULL, ECHO(7)),
	     STACK(A, FULL + 1, 1, .len = 1, ECHO(7)));
}

Test(stack_timestamps, an_answer_without_them_does_not)
{
	PLAY(CONNECT(), STACK(S, 0, 0, ECHO(0)), PEER(S | A, 0, 1, MSS_SACK), STACK(A, 1, 1),
	     OPEN(), WRITE(PEER_MSS), STACK(A, 1, 1, .len = PEER_MSS));
}

/* What lies behind a gap is not told of before the gap is closed, and by what (section 4.3). */
Test(stack_timestamps, the_segment_that_closes_a_gap_is_echoed)
{
	PLAY(ACCEPTED, PEER(A, 101, 1, .len = 100, SENT(120)),
	     STACK(A, 1, 1, .sacks = {{101, 201}}, ECHO(101)), PEER(A, 1, 1, .len = 100, SENT(115)),
	     STACK(A, 1, 201, ECHO(115)), HAS(200));
}

/* Two segments, one ACK: it echoes the first. */
Test(stack_timestamps, a_late_acknowledgement_echoes_the_first_segment)
{
	PLAY(ACCEPTED, PEER(A, 1, 1, .len = 2 * FULL, SENT(110)),
	     STACK(A, 1, 2 * FULL + 1, ECHO(110)), HAS(2 * FULL));
}

/* From an earlier round of the sequence numbers (section 5); it is told what is expected. */
Test(stack_timestamps, an_old_segment_is_not_taken)
{
	PLAY(ACCEPTED, PEER(A, 1, 1, SENT(2000)), PEER(A, 1, 1, .len = 10, SENT(999)),
	     STACK(A, 1, 1, ECHO(2000)), HAS(0), PEER(A | F, 1, 1, SENT(999)),
	     STACK(A, 1, 1, ECHO(2000)), OPEN(), PEER(A, 1, 1, SENT(999)), NOTHING(1000),
	     PEER(A, 1, 1, .len = 10, SENT(2000)), HAS(10), STACK(A, 1, 11, ECHO(2000)));
}

/* It was overtaken by what was sent again: the clock does not go back for it. */
Test(stack_timestamps, a_late_segment_is_taken)
{
	PLAY(ACCEPTED, PEER(A, 1, 1, SENT(2000)), PEER(A, 1, 1, .len = 10, SENT(1000)), HAS(10),
	     STACK(A, 1, 11, ECHO(2000)));
}

/* The clock turns over like a sequence number. */
Test(stack_timestamps, the_clock_turns_over)
{
	PLAY(PEER(S, 0, 0, MSS_SACK, SENT(UINT32_MAX)),
	     STACK(S | A, 0, 1, MSS_SACK, ECHO(UINT32_MAX)), PEER(A, 1, 1, SENT(0)), OPEN(),
	     PEER(A, 1, 1, .len = 10, SENT(5)), HAS(10), STACK(A, 1, 11, ECHO(5)));
}

/* A quarter to a half of the handshake's round trip: what is overtaken by no more may look as young. */
Test(stack_timestamps, the_clock_goes_in_steps)
{
	PLAY(CONNECT(), STACK(S, 0, 0, ECHO(0)), NOTHING(100), PEER(S | A, 0, 1, MSS_SACK, SENT(7)),
	     STACK(A, 1, 1, ECHO(7), .step = 32), WRITE(1),
	     STACK(A, 1, 1, .len = 1, ECHO(7), .step = 32), NOTHING(7), WRITE(1),
	     STACK(A, 2, 1, .len = 1, ECHO(7), .step = 32), NOTHING(7), WRITE(1),
	     STACK(A, 3, 1, .len = 1, ECHO(7), .step = 32), NOTHING(64), WRITE(1),
	     STACK(A, 4, 1, .len = 1, ECHO(7), .step = 32, .moved = 64));
}

/* A handshake may have had to wait for a dial: the steps become those of the path, and never go back. */
Test(stack_timestamps, the_clocks_steps_get_smaller)
{
	PLAY(CONNECT(), STACK(S, 0, 0, ECHO(0)), NOTHING(600), PEER(S | A, 0, 1, MSS_SACK, SENT(7)),
	     STACK(A, 1, 1, ECHO(7), .step = 256), WRITE(1),
	     STACK(A, 1, 1, .len = 1, ECHO(7), .step = 256), NOTHING(10), PEER(A, 1, 2, SENT(8)),
	     NOTHING(246), WRITE(1), STACK(A, 2, 1, .len = 1, ECHO(8), .step = 4), NOTHING(8),
	     WRITE(1), STACK(A, 3, 1, .len = 1, ECHO(8), .step = 4, .moved = 8));
}

/* RST has none that counts (section 5.2). */
Test(stack_timestamps, an_old_reset_resets)
{
	PLAY(ACCEPTED, PEER(R, 1, 0, SENT(1)), ENDED(STACK_END_RESET));
}

/* The original, when its copy has arrived before: it was sent twice in vain (RFC 2883). */
Test(stack_timestamps, an_old_duplicate_is_told_of)
{
	PLAY(ACCEPTED, PEER(A, 1, 1, .len = 100, SENT(150)), STACK(A, 1, 101, ECHO(150)),
	     PEER(A, 1, 1, .len = 100, SENT(110)), STACK(A, 1, 101, .sacks = {{1, 101}}, ECHO(150)),
	     HAS(100));
	PLAY(ACCEPTED, PEER(A, 1, 1, .len = 100, SENT(2000)), STACK(A, 1, 101, ECHO(2000)),
	     PEER(A, 1, 1, .len = 100, SENT(110)),
	     STACK(A, 1, 101, .sacks = {{1, 101}}, ECHO(2000)), HAS(100));
}

/* There is room for three blocks beside them. */
Test(stack_timestamps, three_gaps_are_told)
{
	PLAY(ACCEPTED, PEER(A, 101, 1, .len = 100, SENT(110)),
	     STACK(A, 1, 1, .sacks = {{101, 201}}, ECHO(101)),
	     PEER(A, 301, 1, .len = 100, SENT(110)),
	     STACK(A, 1, 1, .sacks = {{301, 401}, {101, 201}}, ECHO(101)),
	     PEER(A, 501, 1, .len = 100, SENT(110)),
	     STACK(A, 1, 1, .sacks = {{501, 601}, {301, 401}, {101, 201}}, ECHO(101)),
	     PEER(A, 701, 1, .len = 100, SENT(110)),
	     STACK(A, 1, 1, .sacks = {{701, 801}, {501, 601}, {301, 401}}, ECHO(101)));
}

/* A peer may leave them out (RFC 7323, section 3.2, would have us drop that): middleboxes do. */
Test(stack_timestamps, a_segment_without_them_is_taken)
{
	PLAY(ACCEPTED, PEER(A, 1, 1, .len = 10), HAS(10), STACK(A, 1, 11, ECHO(101)));
}

/* What left before a copy that was not needed, and was overtaken by it, is not old. */
Test(stack_timestamps, a_copy_makes_nothing_old)
{
	PLAY(ACCEPTED, PEER(A, 1, 1, .len = 100, SENT(150)), STACK(A, 1, 101, ECHO(150)),
	     PEER(A, 1, 1, .len = 100, SENT(400)), STACK(A, 1, 101, .sacks = {{1, 101}}, ECHO(150)),
	     PEER(A, 101, 1, .len = 100, SENT(390)), HAS(200));
}

Test(stack_timestamps, keep_alives_have_them)
{
	PLAY(ACCEPTED, STACK_IN(50000, 70000, A, 0, 1, ECHO(101)), PEER(A, 1, 1, SENT(60000)),
	     STACK_IN(50000, 70000, A, 0, 1, ECHO(60000)));
}

Test(stack_timestamps, probes_have_them)
{
	PLAY(PEER(S, 0, 0, MSS_SACK, SENT(100)), STACK(S | A, 0, 1, MSS_SACK, ECHO(100)),
	     PEER(A, 1, 1, .window = SCRIPT_CLOSED, SENT(101)), WRITE(100),
	     STACK_IN(50, 400, A, 1, 1, .len = 1, ECHO(101)),
	     PEER(A, 1, 1, .window = 1000, SENT(102)), STACK(A, 1, 1, .len = 100, ECHO(102)));
}

/* Where the n-th full segment of the stack's begins, and the segment itself. */
#define AT(n)		   (1 + (n)*FULL)
#define FULL_NR(n, echoes) STACK(A, AT(n), 1, .len = FULL, ECHO(echoes))

#define TEN_LEAVE                                                                                  \
	ACCEPTED, WRITE(30 * FULL), FULL_NR(0, 101), FULL_NR(1, 101), FULL_NR(2, 101),             \
		FULL_NR(3, 101), FULL_NR(4, 101), FULL_NR(5, 101), FULL_NR(6, 101),                \
		FULL_NR(7, 101), FULL_NR(8, 101), FULL_NR(9, 101), NOTHING(5)

/* The first one is late: it is sent again when three behind it have arrived. */
#define ONE_IS_LATE TEN_LEAVE, PEER(A, 1, 1, .sacks = {{AT(1), AT(4)}}, SENT(105)), FULL_NR(0, 105)

/* RFC 3522: then it arrives, as the echo tells, and the window is what it would have been. */
Test(stack_timestamps, a_late_segment_was_not_lost)
{
	PLAY(ONE_IS_LATE, NOTHING(1), PEER(A, 1, AT(4), .timed = true, .sent = 106, .echo = 5),
	     FULL_NR(10, 106), FULL_NR(11, 106), FULL_NR(12, 106), FULL_NR(13, 106),
	     FULL_NR(14, 106), FULL_NR(15, 106), FULL_NR(16, 106), FULL_NR(17, 106), NOTHING(0));
}

/* The copy arrived, before what had left before it: that is lost as well. */
Test(stack_timestamps, a_lost_segment_was_lost)
{
	PLAY(ONE_IS_LATE, NOTHING(1), PEER(A, 1, AT(4), .timed = true, .sent = 106),
	     FULL_NR(4, 106));
}

/* --- ACKs that others have overtaken ------------------------------------------------------------- */

/* What it tells of is there: what left before that is lost. */
Test(stack_timestamps, a_late_ack_is_heard)
{
	PLAY(TEN_LEAVE, PEER(A, 1, 1, SENT(110)), NOTHING(0),
	     PEER(A, 1, 1, .sacks = {{AT(1), AT(4)}}, SENT(105)), FULL_NR(0, 110));
}

Test(stack_timestamps, a_late_ack_for_less_is_heard)
{
	PLAY(TEN_LEAVE, PEER(A, 1, AT(1), SENT(105)), FULL_NR(10, 105), FULL_NR(11, 105),
	     PEER(A, 1, 1, .sacks = {{AT(2), AT(5)}}, SENT(105)), FULL_NR(1, 105));
}

/* What is acknowledged by now was not when it left: nothing has arrived twice, and the path has shown no
 * reason for patience, which would be 5 ms here. */
Test(stack_timestamps, a_late_ack_tells_of_no_duplicates)
{
	PLAY(PEER(S, 0, 0, MSS_SACK, SENT(100)), STACK(S | A, 0, 1, MSS_SACK, ECHO(100)),
	     NOTHING(20), PEER(A, 1, 1, SENT(101)), OPEN(), WRITE(5 * FULL), FULL_NR(0, 101),
	     FULL_NR(1, 101), FULL_NR(2, 101), FULL_NR(3, 101), FULL_NR(4, 101), NOTHING(20),
	     PEER(A, 1, AT(1), SENT(105)), PEER(A, 1, 1, .sacks = {{1, AT(1)}}, SENT(105)),
	     PEER(A, 1, AT(1), .sacks = {{AT(2), AT(5)}}, SENT(106)), FULL_NR(1, 106));
}

/* Nothing is on its way for so long. */
Test(stack_timestamps, an_ack_of_long_ago_is_not_heard)
{
	PLAY(TEN_LEAVE, PEER(A, 1, 1, SENT(1200)),
	     PEER(A, 1, 1, .sacks = {{AT(1), AT(4)}}, SENT(199)), NOTHING(1));
}

/* An ACK for less says nothing of the window (RFC 9293, section 3.10.7.4): it is closed. */
Test(stack_timestamps, a_late_ack_opens_no_window)
{
	PLAY(TEN_LEAVE, PEER(A, 11, AT(10), .len = 10, .window = SCRIPT_CLOSED, SENT(105)),
	     STACK_IN(0, 1, A, AT(10), 1, .sacks = {{11, 21}}, ECHO(101)),
	     PEER(A, 21, AT(1), .len = 10, SENT(104)),
	     STACK_IN(0, 1, A, AT(10), 1, .sacks = {{11, 31}}, ECHO(101)), NOTHING(100));
}
