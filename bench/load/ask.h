/* SPDX-License-Identifier: MIT */
#pragma once

struct addrinfo;

/* One line on stdout, which the scripts show, and exit status 1. */
__attribute__((format(printf, 1, 2))) _Noreturn void fail(const char *format, ...);

/* A TCP socket that sends at once; `flags` as of socket(2). */
int open_socket(const struct addrinfo *to, int flags);

/* Asks until the server has seen the end of every connection, and fails when one ended badly. */
void check_ends(const struct addrinfo *to);
