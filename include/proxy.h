/* SPDX-License-Identifier: MIT */
#pragma once

#include "config.h"

/*
 * The proxy: wires all modules to one loop and holds no protocol rule of its own. Runs until it has
 * drained after SIGTERM or SIGINT (0), or something broke that cannot be mended (a negative errno,
 * logged). Wipes `config`'s keys as soon as the core has them. A second signal ends it at once.
 */
int proxy_run(struct config *config);
