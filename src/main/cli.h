/* SPDX-License-Identifier: MIT */
#pragma once

#include "config.h"

/* Exit statuses that scripts and orchestrators may rely on. */
enum { EXIT_RUNTIME = 1, EXIT_CONFIG = 2 };

/* Values from the environment and from files. */
extern const struct config_source environment_source;

/*
 * All of `fd`, NUL-terminated, leaving no copy behind. 0 or a negative errno; -EFBIG: no room,
 * -EILSEQ: a NUL byte inside.
 */
int read_all(int fd, char *text, size_t size);

/* Overwrites the keys where the kernel shows them (/proc/PID/environ); getenv() finds "" then. */
void environment_wipe_keys(void);

/* `wg genkey` and `wg pubkey`: keys in base64 on stdout. Return the exit status. */
int keys_generate(void);
int keys_derive_public(void);
