/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/time.h"

#include <stdint.h>

/*
 * The protocol's constants (paper, section 6.1), in nanoseconds where they are times. NEVER is a
 * deadline that does not come.
 */
#define NEVER UINT64_MAX

#define REKEY_AFTER_TIME   (120 * NS_PER_S)
#define REJECT_AFTER_TIME  (180 * NS_PER_S)
#define REKEY_ATTEMPT_TIME (90 * NS_PER_S)
#define REKEY_TIMEOUT	   (5 * NS_PER_S)
#define KEEPALIVE_TIMEOUT  (10 * NS_PER_S)
#define COOKIE_LIFE	   (120 * NS_PER_S)

/* Linux kernel, messages.h: what the paper leaves open. */
#define REKEY_JITTER_MAX    (333 * NS_PER_MS)
#define INITIATION_INTERVAL (20 * NS_PER_MS)

#define REKEY_AFTER_MESSAGES  (UINT64_C(1) << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (1 << 13))
