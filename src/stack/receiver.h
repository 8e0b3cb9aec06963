/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The receiver's half of TCP: reorder.c holds what arrives ahead of others, receiver.c knows when to
 * acknowledge. The hooks that lwIP calls are in third_party/lwip/port/tcp_receiver.h.
 */
#include "inside.h"

/* --- receiver.c: acknowledgements ---------------------------------------------------------------- */

/* The owner has written: an answer, if something had arrived. */
void receiver_answered(struct tcp_pcb *pcb);
/* A delayed acknowledgement is due. */
void receiver_timer(struct tcp_pcb *pcb);

/* --- reorder.c: what is out of order ---------------------------------------------------------------- */

/*
 * Connections that hold more out of order than their share of a part of the budget, `limit` bytes,
 * drop it: their peers still have it (RFC 2018, section 8).
 */
void reorder_relieve(size_t limit);
