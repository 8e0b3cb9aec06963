// SPDX-License-Identifier: MIT
/*
 * Landlock: the files and ports that are left. Unlike the filter it knows paths, and sees what a ring
 * does. Names and numbers are the kernel's (linux/landlock.h), whose headers may be older than the
 * kernel that we run on.
 */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CREATE_RULESET_VERSION = 1 << 0,
	RULE_PATH_BENEATH = 1,
	RULE_NET_PORT = 2,
	DNS_PORT = 53,
};

#define FS_READ_FILE   (UINT64_C(1) << 2)
#define FS_READ_DIR    (UINT64_C(1) << 3)
#define FS_VERSION_1   ((UINT64_C(1) << 13) - 1)
#define FS_REFER       (UINT64_C(1) << 13) /* version 2 */
#define FS_TRUNCATE    (UINT64_C(1) << 14) /* version 3 */
#define NET_BIND_TCP   (UINT64_C(1) << 0)  /* version 4 */
#define NET_CONNECT    (UINT64_C(1) << 1)  /* version 4 */
#define FS_IOCTL_DEV   (UINT64_C(1) << 15) /* version 5 */
#define SCOPE_ABSTRACT (UINT64_C(1) << 0)  /* version 6: sockets of others */
#define SCOPE_SIGNAL   (UINT64_C(1) << 1)  /* version 6 */

struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

struct net_port {
	uint64_t allowed, port;
};

static int get_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return version < 0 ? -errno : (int)version;
}

/* All that this version can deny. */
static int create_ruleset(int version)
{
	struct ruleset ruleset = {.fs = FS_VERSION_1};
	long fd;

	if (version >= 2)
		ruleset.fs |= FS_REFER;
	if (version >= 3)
		ruleset.fs |= FS_TRUNCATE;
	if (version >= 4)
		ruleset.net = NET_BIND_TCP | NET_CONNECT;
	if (version >= 5)
		ruleset.fs |= FS_IOCTL_DEV;
	if (version >= 6)
		ruleset.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
	fd = syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
	return fd < 0 ? -errno : (int)fd;
}

/* What is not there needs no rule. */
static void allow_reading(int ruleset, const char *path, uint64_t access)
{
	struct path_beneath rule = {.allowed = access};

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return;
	(void)syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
}

/* The folder that a link leads to, since whoever keeps the file replaces it there. */
static void allow_folder_of(int ruleset, const char *path)
{
	char real[PATH_MAX];
	char *slash;

	if (realpath(path, real) == NULL)
		return;
	slash = strrchr(real, '/');
	if (slash == real)
		return; /* all of the file system would be beneath it */
	*slash = '\0';
	allow_reading(ruleset, real, FS_READ_FILE);
}

/*
 * c-ares reads them anew for each question. Folders, because container runtimes replace files in
 * /etc, and resolv.conf may be a link into /run. Without urandom, old c-ares falls back on rand().
 */
static void allow_files_of_names(int ruleset)
{
	allow_reading(ruleset, "/etc", FS_READ_FILE | FS_READ_DIR);
	allow_folder_of(ruleset, "/etc/resolv.conf");
	allow_folder_of(ruleset, "/etc/hosts");
	allow_reading(ruleset, "/dev/urandom", FS_READ_FILE);
}

static void allow_connecting(int ruleset, uint16_t port)
{
	const struct net_port rule = {.allowed = NET_CONNECT, .port = port};

	(void)syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0);
}

int landlock_enter(const struct sandbox_needs *needs)
{
	int version = get_version();
	int ruleset = version < 0 ? version : create_ruleset(version);
	int error = 0;

	if (ruleset < 0)
		return ruleset;
	if (needs->names)
		allow_files_of_names(ruleset);
	/* Versions that know no ports refuse these, and deny none. */
	if (needs->names)
		allow_connecting(ruleset, DNS_PORT);
	if (needs->tcp_port != 0)
		allow_connecting(ruleset, needs->tcp_port);
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		error = -errno;
	close(ruleset);
	return error < 0 ? error : version;
}
