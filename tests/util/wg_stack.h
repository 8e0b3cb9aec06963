/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Runs `run` on a stack of its own and searches what it leaves there for `secret`, which `run`
 * itself must know by a pointer alone. It runs twice: what a function's first call does on the way
 * (the dynamic linker saves every register) is not looked at.
 */
bool wg_stack_keeps(const void *secret, size_t len, void *(*run)(void *ctx), void *ctx);
