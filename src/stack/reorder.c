// SPDX-License-Identifier: MIT
/*
 * Bytes that arrived ahead of others wait here until the gap before them closes, however many gaps
 * there are.
 *
 * What is held forms runs: stretches of the stream that neither overlap nor touch, each one chain of
 * packets. A segment extends a run, joins two, or begins one; what it repeats is cut off at its
 * edges, and runs that lie within it are replaced by it. Runs are found by sequence number in a treap
 * (Seidel and Aragon, "Randomized search trees", 1996): a search tree that random priorities keep
 * balanced, whatever order a peer chooses. A second list has them by last arrival, which is the order
 * that SACK blocks want (RFC 2018, section 4): an ACK takes the first few.
 *
 * A byte in a packet of its own takes a hundred times its size. So what a connection may hold is
 * bounded by memory, not by bytes, in proportion to its window. Beyond that, and where the budget has
 * no room, a segment is dropped as if it had been lost; what was SACKed stays until memory is short
 * (reorder_relieve()).
 */
#include "receiver.h"

#include "lwip/priv/tcp_priv.h"

enum {
	PACKET_COST = 256, /* bytes: a packet's headers, its pbuf, and what rounding takes */
	COST_LEAST = 65536,
	SHARE_OF_RUNS = 4, /* a fourth of the budget for all of them, when memory is short */
};

struct tcp_run {
	struct tcp_run *left, *right; /* in the tree */
	struct tcp_run *newer, *older;
	uint32_t priority;
	uint32_t begin, end;
	uint32_t cost;
	struct pbuf *head, *tail;
};

/* --- the tree ------------------------------------------------------------------------------------- */

/* Cuts a tree in two: what begins before `at`, and the rest. */
static void split(struct tcp_run *tree, uint32_t at, struct tcp_run **before,
		  struct tcp_run **behind)
{
	while (tree != NULL) {
		if (TCP_SEQ_LT(tree->begin, at)) {
			*before = tree;
			before = &tree->right;
			tree = tree->right;
		} else {
			*behind = tree;
			behind = &tree->left;
			tree = tree->left;
		}
	}
	*before = *behind = NULL;
}

/* All of `before` lies before `behind`. */
static struct tcp_run *join(struct tcp_run *before, struct tcp_run *behind)
{
	struct tcp_run *tree, **at = &tree;

	while (before != NULL && behind != NULL) {
		if (before->priority > behind->priority) {
			*at = before;
			at = &before->right;
			before = before->right;
		} else {
			*at = behind;
			at = &behind->left;
			behind = behind->left;
		}
	}
	*at = before != NULL ? before : behind;
	return tree;
}

static void tree_add(struct tcp_run **at, struct tcp_run *run)
{
	while (*at != NULL && (*at)->priority > run->priority)
		at = TCP_SEQ_LT(run->begin, (*at)->begin) ? &(*at)->left : &(*at)->right;
	split(*at, run->begin, &run->left, &run->right);
	*at = run;
}

static void tree_remove(struct tcp_run **at, const struct tcp_run *run)
{
	while (*at != run)
		at = TCP_SEQ_LT(run->begin, (*at)->begin) ? &(*at)->left : &(*at)->right;
	*at = join(run->left, run->right);
}

/* The last run that begins at `seq` or before. */
static struct tcp_run *last_before(struct tcp_run *tree, uint32_t seq)
{
	struct tcp_run *found = NULL;

	while (tree != NULL) {
		if (TCP_SEQ_LEQ(tree->begin, seq)) {
			found = tree;
			tree = tree->right;
		} else {
			tree = tree->left;
		}
	}
	return found;
}

/* The first run that begins behind `seq`. */
static struct tcp_run *first_behind(struct tcp_run *tree, uint32_t seq)
{
	struct tcp_run *found = NULL;

	while (tree != NULL) {
		if (TCP_SEQ_GT(tree->begin, seq)) {
			found = tree;
			tree = tree->left;
		} else {
			tree = tree->right;
		}
	}
	return found;
}

static struct tcp_run *first_run(struct tcp_run *tree)
{
	while (tree != NULL && tree->left != NULL)
		tree = tree->left;
	return tree;
}

/* --- runs ----------------------------------------------------------------------------------------- */

static void list_newest(struct tcp_receiver *receiver, struct tcp_run *run)
{
	run->newer = NULL;
	run->older = receiver->newest;
	if (run->older != NULL)
		run->older->newer = run;
	receiver->newest = run;
}

static void unlist(struct tcp_receiver *receiver, struct tcp_run *run)
{
	if (run->newer != NULL)
		run->newer->older = run->older;
	else
		receiver->newest = run->older;
	if (run->older != NULL)
		run->older->newer = run->newer;
}

static void touch(struct tcp_receiver *receiver, struct tcp_run *run)
{
	if (receiver->newest == run)
		return;
	unlist(receiver, run);
	list_newest(receiver, run);
}

/* Without what it held. */
static void run_free(struct tcp_receiver *receiver, struct tcp_run *run)
{
	tree_remove(&receiver->runs, run);
	unlist(receiver, run);
	receiver->cost -= run->cost + (uint32_t)sizeof(*run);
	mem_free(run);
}

static void run_drop(struct tcp_receiver *receiver, struct tcp_run *run)
{
	pbuf_free(run->head);
	run_free(receiver, run);
}

/* Nobody sees it, so nobody can tell what comes next: xorshift (Marsaglia, 2003) will do. */
static uint32_t next_priority(void)
{
	static uint32_t state;

	if (state == 0)
		state = stack_port_random() | 1;
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static struct tcp_run *run_new(struct tcp_receiver *receiver, uint32_t begin)
{
	struct tcp_run *run = mem_malloc(sizeof(*run));

	if (run == NULL)
		return NULL;
	*run = (struct tcp_run){.begin = begin, .end = begin, .priority = next_priority()};
	receiver->cost += (uint32_t)sizeof(*run);
	tree_add(&receiver->runs, run);
	list_newest(receiver, run);
	return run;
}

static void run_append(struct tcp_run *run, struct pbuf *head, struct pbuf *tail, uint32_t len,
		       uint32_t cost)
{
	if (run->head == NULL)
		run->head = head;
	else
		run->tail->next = head;
	run->tail = tail;
	run->end += len;
	run->cost += cost;
}

/* --- what arrives ------------------------------------------------------------------------------------ */

/* A part of a segment. */
struct piece {
	uint32_t begin, end;
	uint32_t cut; /* bytes that were cut off, and may still take memory */
	struct pbuf *head;
};

static void cut_front(struct piece *piece, uint32_t at)
{
	piece->head = pbuf_free_header(piece->head, (u16_t)(at - piece->begin));
	piece->cut += at - piece->begin;
	piece->begin = at;
}

static void cut_end(struct piece *piece, uint32_t at)
{
	pbuf_realloc(piece->head, (u16_t)(at - piece->begin));
	piece->cut += piece->end - at;
	piece->end = at;
}

static uint32_t cost_of(struct pbuf *chain, struct pbuf **tail)
{
	uint32_t cost = 0;

	for (; chain != NULL; chain = chain->next) {
		cost += chain->len + (uint32_t)PACKET_COST;
		*tail = chain;
	}
	return cost;
}

/* Packets of which little is left are not kept for that: false: no memory to copy it. */
static bool make_compact(struct piece *piece)
{
	uint32_t len = piece->end - piece->begin;
	struct pbuf *copy;

	if (piece->cut <= len)
		return true;
	copy = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
	if (copy == NULL)
		return false;
	pbuf_copy(copy, piece->head);
	pbuf_free(piece->head);
	piece->head = copy;
	piece->cut = 0;
	return true;
}

/* Twice as much as the window wants, in packets of a usual size. */
static bool has_room_for(const struct tcp_pcb *pcb, uint32_t cost)
{
	return pcb->receiver.cost + cost + sizeof(struct tcp_run) <=
	       2 * (uint64_t)pcb->rcv_wnd + COST_LEAST;
}

/* Joins a run with the one that begins where it ends. */
static void close_up(struct tcp_receiver *receiver, struct tcp_run *run)
{
	struct tcp_run *behind = first_behind(receiver->runs, run->begin);

	if (behind == NULL || behind->begin != run->end)
		return;
	run_append(run, behind->head, behind->tail, behind->end - behind->begin, behind->cost);
	receiver->cost += behind->cost; /* run_free() takes it off */
	run_free(receiver, behind);
}

/* Takes what is left of a segment; `before` may end where it begins. False: there is no room. */
static bool place(struct tcp_pcb *pcb, struct piece *piece, struct tcp_run *before)
{
	struct tcp_receiver *receiver = &pcb->receiver;
	struct tcp_run *run = before;
	struct pbuf *tail = NULL;
	uint32_t len = piece->end - piece->begin, cost;

	if (!has_room_for(pcb, len + PACKET_COST) || !make_compact(piece))
		return false;
	cost = cost_of(piece->head, &tail) + piece->cut;
	if (!has_room_for(pcb, cost))
		return false;
	if (before == NULL || before->end != piece->begin)
		run = run_new(receiver, piece->begin);
	if (run == NULL)
		return false;
	receiver->cost += cost;
	run_append(run, piece->head, tail, len, cost);
	touch(receiver, run);
	close_up(receiver, run);
	return true;
}

static void hold_bytes(struct tcp_pcb *pcb, struct piece *piece)
{
	struct tcp_receiver *receiver = &pcb->receiver;
	struct tcp_run *before = last_before(receiver->runs, piece->begin), *behind;

	if (before != NULL && TCP_SEQ_GEQ(before->end, piece->end)) {
		tcp_receiver_twice(pcb, piece->begin, piece->end);
		touch(receiver, before); /* the block that follows (RFC 2883, section 4) */
		pbuf_free(piece->head);
		return;
	}
	if (before != NULL && TCP_SEQ_GT(before->end, piece->begin)) {
		tcp_receiver_twice(pcb, piece->begin, before->end);
		cut_front(piece, before->end);
	}
	while ((behind = first_behind(receiver->runs, piece->begin)) != NULL &&
	       TCP_SEQ_LT(behind->begin, piece->end)) {
		bool within = TCP_SEQ_LEQ(behind->end, piece->end);

		tcp_receiver_twice(pcb, behind->begin, within ? behind->end : piece->end);
		if (within)
			run_drop(receiver, behind);
		else
			cut_end(piece, behind->begin);
	}
	if (!place(pcb, piece, before))
		pbuf_free(piece->head);
}

void tcp_receiver_hold(struct tcp_pcb *pcb, uint32_t seq, uint32_t len, bool fin,
		       struct pbuf *bytes)
{
	struct piece piece = {.begin = seq, .end = seq + len, .head = bytes};

	if (fin && !pcb->receiver.has_fin) {
		pcb->receiver.has_fin = true;
		pcb->receiver.fin_at = seq + len;
	}
	if (len > 0)
		hold_bytes(pcb, &piece);
	else
		pbuf_free(bytes);
}

/* --- what has become due ------------------------------------------------------------------------------- */

/* `more` bytes behind `chain`. */
static struct pbuf *put_behind(struct pbuf *chain, struct pbuf *head, uint32_t more)
{
	struct pbuf *tail = chain;
	u16_t len = (u16_t)more;

	if (chain == NULL)
		chain = head;
	else
		len = (u16_t)(len + chain->tot_len);
	while (tail != NULL && tail->next != NULL)
		tail = tail->next;
	if (tail != NULL)
		tail->next = head;
	for (struct pbuf *part = chain; part != NULL; part = part->next) {
		part->tot_len = len;
		len = (u16_t)(len - part->len);
	}
	return chain;
}

static void move_on(struct tcp_pcb *pcb, uint32_t len)
{
	CHECK(len <= pcb->rcv_wnd); /* the window's right edge does not move back */
	pcb->rcv_nxt += len;
	pcb->rcv_wnd -= len;
	tcp_update_rcv_ann_wnd(pcb);
}

static bool take_fin(struct tcp_pcb *pcb)
{
	struct tcp_receiver *receiver = &pcb->receiver;

	if (!receiver->has_fin || TCP_SEQ_LT(pcb->rcv_nxt, receiver->fin_at))
		return false;
	receiver->has_fin = false;
	if (pcb->rcv_nxt != receiver->fin_at || pcb->rcv_wnd == 0)
		return false; /* there were bytes behind it: it was none */
	move_on(pcb, 1);
	return true;
}

struct pbuf *tcp_receiver_take(struct tcp_pcb *pcb, struct pbuf *chain, bool *fin)
{
	struct tcp_receiver *receiver = &pcb->receiver;
	struct tcp_run *run;

	while ((run = first_run(receiver->runs)) != NULL && TCP_SEQ_LEQ(run->begin, pcb->rcv_nxt)) {
		uint32_t len = run->end - pcb->rcv_nxt;
		struct piece piece = {.begin = run->begin, .end = run->end, .head = run->head};
		bool all_twice = TCP_SEQ_LEQ(run->end, pcb->rcv_nxt);

		if (run->begin != pcb->rcv_nxt)
			tcp_receiver_twice(pcb, run->begin, all_twice ? run->end : pcb->rcv_nxt);
		if (all_twice) {
			run_drop(receiver, run);
			continue;
		}
		cut_front(&piece, pcb->rcv_nxt);
		chain = put_behind(chain, piece.head, len);
		move_on(pcb, len);
		tcp_ack_now(pcb); /* a gap is closed: RFC 5681, section 4.2 */
		run_free(receiver, run);
	}
	*fin = take_fin(pcb);
	return chain;
}

void tcp_receiver_end(struct tcp_pcb *pcb)
{
	struct tcp_receiver *receiver = &pcb->receiver;

	while (receiver->newest != NULL)
		run_drop(receiver, receiver->newest);
	receiver->has_fin = receiver->has_twice = false;
}

/* --- what the peer is told ------------------------------------------------------------------------------- */

void tcp_receiver_twice(struct tcp_pcb *pcb, uint32_t left, uint32_t right)
{
	struct tcp_receiver *receiver = &pcb->receiver;

	if (receiver->has_twice || left == right)
		return; /* the first of them, when a segment has repeated several */
	receiver->has_twice = true;
	receiver->twice_left = left;
	receiver->twice_right = right;
}

bool tcp_receiver_has_sacks(const struct tcp_pcb *pcb)
{
	return pcb->receiver.newest != NULL || pcb->receiver.has_twice;
}

void tcp_receiver_sacks(struct tcp_pcb *pcb)
{
	struct tcp_receiver *receiver = &pcb->receiver;
	const struct tcp_run *run = receiver->newest;
	size_t count = 0;

	if (receiver->has_twice)
		pcb->rcv_sacks[count++] = (struct tcp_sack_range){receiver->twice_left,
								  receiver->twice_right};
	receiver->has_twice = false;
	for (; run != NULL && count < LWIP_TCP_MAX_SACK_NUM; run = run->older)
		pcb->rcv_sacks[count++] = (struct tcp_sack_range){run->begin, run->end};
	if (count < LWIP_TCP_MAX_SACK_NUM)
		pcb->rcv_sacks[count].left = pcb->rcv_sacks[count].right = 0;
}

void reorder_relieve(size_t limit)
{
	size_t holders = 0;

	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next)
		holders += pcb->receiver.runs != NULL;
	if (holders == 0)
		return;
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
		if (pcb->receiver.cost > limit / SHARE_OF_RUNS / holders)
			tcp_receiver_end(pcb);
	}
}
