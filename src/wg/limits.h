/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/*
 * The protocol's constants (paper, section 6.1), in nanoseconds where they are times. NEVER is a
 * deadline that does not come.
 */
#define NEVER  UINT64_MAX
#define SECOND UINT64_C(1000000000)
#define MILLI  UINT64_C(1000000)

#define REKEY_AFTER_TIME   (120 * SECOND)
#define REJECT_AFTER_TIME  (180 * SECOND)
#define REKEY_ATTEMPT_TIME (90 * SECOND)
#define REKEY_TIMEOUT	   (5 * SECOND)
#define KEEPALIVE_TIMEOUT  (10 * SECOND)
#define COOKIE_LIFE	   (120 * SECOND)

/* Linux kernel, messages.h: what the paper leaves open. */
#define REKEY_JITTER_MAX    (333 * MILLI)
#define INITIATION_INTERVAL (20 * MILLI)

#define REKEY_AFTER_MESSAGES  (UINT64_C(1) << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (1 << 13))
