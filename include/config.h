/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/addr.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Environment variables -> struct config. Pure: variables and files come through a source, so tests
 * need neither. All mistakes are collected; none of them repeats a secret.
 */
enum {
	CONFIG_KEY_LEN = 32,
	CONFIG_ALLOWED_MAX = 64,
	CONFIG_HOST_MAX = 254, /* RFC 1035: 253 characters and the NUL */
	CONFIG_ENGINE_MAX = 32,
	CONFIG_ERRORS_MAX = 64,
	CONFIG_ERROR_LEN = 256,
};

enum config_mode { CONFIG_EGRESS, CONFIG_INGRESS };
enum config_io { CONFIG_IO_AUTO, CONFIG_IO_URING, CONFIG_IO_EPOLL };
enum config_congestion { CONFIG_CUBIC, CONFIG_BBR };
enum config_accept { CONFIG_ACCEPT_LATE, CONFIG_ACCEPT_EARLY };
enum config_sandbox { CONFIG_SANDBOX_AUTO, CONFIG_SANDBOX_OFF };

/* A host by address or name. addr.family is ADDR_NONE for a name; addr.port is always set. */
struct config_host {
	char name[CONFIG_HOST_MAX]; /* as written, without brackets */
	struct addr addr;
};

struct config {
	uint8_t private_key[CONFIG_KEY_LEN];
	uint8_t public_key[CONFIG_KEY_LEN];    /* the server's */
	uint8_t preshared_key[CONFIG_KEY_LEN]; /* all zero: none */
	struct addr address[2];		       /* ours inside the tunnel: at most one per family */
	size_t address_count;
	struct cidr allowed[CONFIG_ALLOWED_MAX];
	size_t allowed_count;
	struct config_host endpoint;
	uint16_t keepalive_s;	 /* 0: off */
	uint16_t wg_listen_port; /* 0: any */
	uint16_t mtu;
	enum config_mode mode;
	uint16_t local_port;
	struct addr listen_addr; /* ingress; its port is local_port */
	struct config_host target;
	uint16_t health_port; /* 0: none */
	uint32_t connections_max;
	uint64_t memory_limit; /* bytes */
	enum config_accept egress_accept;
	uint64_t connect_timeout_ns;
	enum config_congestion congestion;
	uint64_t idle_timeout_ns;	 /* 0: never */
	uint64_t half_closed_timeout_ns; /* 0: never, or as idle_timeout_ns */
	uint64_t drain_timeout_ns;	 /* 0: connections are cut at once */
	enum config_io io_backend;
	char aead_engine[CONFIG_ENGINE_MAX]; /* "auto" or a name that aead_init() judges */
	enum config_sandbox sandbox;
	enum log_level log_level;
	enum log_format log_format;
};

/* Where values come from. NULL from get(): not set. An empty value counts as not set. */
struct config_source {
	const char *(*get)(void *ctx, const char *name);
	/* The whole file into `text`, NUL-terminated. 0 or a negative errno; -EFBIG when it does
	 * not fit, -EILSEQ when it has a NUL byte inside. */
	int (*read_file)(void *ctx, const char *path, char *text, size_t size);
	void *ctx;
};

struct config_errors {
	size_t count; /* may exceed CONFIG_ERRORS_MAX; further ones are counted only */
	/* They repeat parts of values, control characters too, which log_line() masks. */
	char line[CONFIG_ERRORS_MAX][CONFIG_ERROR_LEN];
};

/* True when there was no mistake. `config` holds secrets: config_wipe() it. */
bool config_read(struct config *config, const struct config_source *source,
		 struct config_errors *errors);
void config_wipe(struct config *config);

/* What keeps a target at this address from being reached through the tunnel, as the end of a
 * sentence about it; NULL: nothing. */
const char *config_why_unreachable(const struct config *config, const struct addr *addr);

/*
 * 64 hex digits or 44 characters of base64 (unused bits zero, as wg(8) wants them), no white space.
 * When false the key is all zero.
 */
bool config_parse_key(uint8_t key[static CONFIG_KEY_LEN], const char *text);

/* Base64 of a key, 44 characters and the NUL. */
char *config_format_key(const uint8_t key[static CONFIG_KEY_LEN], char text[static 45]);

/* The variables that hold keys, for whoever wipes them from the environment; NULL at the end. */
const char *config_key_name(size_t index);

/*
 * The table of all variables, for --help: one line each, NULL at the end. Borrowed until the next
 * call.
 */
const char *config_help(size_t index);
