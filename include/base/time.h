/* SPDX-License-Identifier: MIT */
#pragma once

/* Times are uint64_t nanoseconds everywhere; UINT64_MAX is never. */
#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL
