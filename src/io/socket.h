/* SPDX-License-Identifier: MIT */
#pragma once

#include "io.h"

/* Host sockets as the kernel has them: the same for every backend that is no simulation. */
int socket_open(struct io *io, uint8_t family);
void socket_tune(struct io *io, int fd);
void socket_shutdown(struct io *io, int fd);
void socket_close(struct io *io, int fd);
void socket_reset(struct io *io, int fd);
enum io_peer socket_peer(struct io *io, int fd, uint64_t silence_ns);

/* The length of each merged datagram, as UDP_GRO tells it; 0 for a datagram that came alone. */
uint32_t socket_gro_segment(struct msghdr *msg);
