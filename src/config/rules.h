/* SPDX-License-Identifier: MIT */
#pragma once

#include "config.h"

/* Adds a line; counted only when the table is full. */
__attribute__((format(printf, 2, 3))) void error_add(struct config_errors *errors,
						     const char *format, ...);

/*
 * What variables must be to each other. Call after all have been parsed: one that was missing or
 * wrong is still zero and provokes no second mistake here.
 */
void rules_check(const struct config *config, struct config_errors *errors);
