// SPDX-License-Identifier: MIT
/*
 * The one list of system calls: who makes each and what for. The filter of the running process and
 * the profile for container runtimes are both made from it. A name that a machine does not have (poll
 * on ARM) stands beside the one that it has instead.
 *
 * What is not here is the point of it. After the start nothing executes a program or maps code,
 * nothing makes a process, binds a port, opens a ring, traces, mounts, or sends a signal. Operations
 * on a ring do not come by here: the ring itself is restricted (io/uring_restrict.c).
 */
#include "inside.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
	LOOP = CALLER_LOOP,
	URING = CALLER_URING,
	EPOLL = CALLER_EPOLL,
	NAMES = CALLER_NAMES,
	START = CALLER_START,
	RUNTIME = CALLER_RUNTIME,
};

/* The kernel looks at half of the register of an int, and so must we. */
#define INT	    UINT32_MAX
#define SOCKET_TYPE 0xf /* without SOCK_NONBLOCK and SOCK_CLOEXEC: linux/net.h */
#define NEW_NAMESPACE                                                                              \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

/* clang-format off */
#define CALL(name, callers, ...) {name, callers, {__VA_ARGS__}}

const struct call calls[] = {
	/* Files that are open: signals, the log, the service manager, a ring's or epoll's own. */
	CALL("read", LOOP | START | RUNTIME),
	CALL("write", LOOP | START | RUNTIME),
	CALL("close", LOOP | START | RUNTIME),

	/* malloc(), with what it gives back, and buffers. Never code. */
	CALL("brk", LOOP | START | RUNTIME),
	CALL("mmap", LOOP | START | RUNTIME, {2, PROT_EXEC, 0}),
	CALL("munmap", LOOP | START | RUNTIME),
	CALL("mremap", LOOP),
	CALL("madvise", LOOP | START | RUNTIME),

	/* Connections to hosts, and a pair of sockets for a health probe into the tunnel. */
	CALL("socket", LOOP | NAMES | START, {0, INT, AF_INET}, {1, SOCKET_TYPE, SOCK_STREAM}),
	CALL("socket", LOOP | NAMES | START, {0, INT, AF_INET6}, {1, SOCKET_TYPE, SOCK_STREAM}),
	CALL("socketpair", LOOP | START, {0, INT, AF_UNIX}),
	CALL("getsockname", LOOP | NAMES | START),
	CALL("getsockopt", LOOP),
	CALL("setsockopt", LOOP | NAMES | START),
	CALL("shutdown", LOOP),

	/* Keys and numbers that nobody may guess. */
	CALL("getrandom", LOOP | START | RUNTIME),

	/* Clocks, on machines where these are system calls. */
	CALL("clock_gettime", LOOP | START | RUNTIME),
	CALL("gettimeofday", LOOP),
	CALL("time", LOOP),

	/* The end; after a fault of ours with SIGABRT and libc's last words. */
	CALL("exit_group", LOOP | START | RUNTIME),
	CALL("rt_sigprocmask", LOOP | START | RUNTIME),
	CALL("getpid", LOOP | RUNTIME),
	CALL("gettid", LOOP | RUNTIME),
	CALL("tgkill", LOOP, {0, INT, CONDITION_OWN_PID}, {2, INT, SIGABRT}),
	CALL("writev", LOOP | NAMES),

	/* The loop. Everything else of io_uring is on the ring. */
	CALL("io_uring_enter", URING | START),
	CALL("epoll_ctl", EPOLL | RUNTIME),
	CALL("epoll_wait", EPOLL),
	CALL("epoll_pwait", EPOLL | RUNTIME),
	CALL("poll", EPOLL),
	CALL("ppoll", EPOLL),
	CALL("accept4", EPOLL),
	CALL("connect", EPOLL | NAMES | START),
	CALL("recvfrom", EPOLL | NAMES),
	CALL("sendmsg", EPOLL),
	CALL("recvmmsg", EPOLL),
	CALL("sendmmsg", EPOLL),

	/* c-ares: /etc/hosts, resolv.conf and urandom, our name, DNS by UDP and TCP, and which of
	 * our addresses a connection would have. */
	CALL("openat", NAMES | START | RUNTIME),
	CALL("newfstatat", NAMES | START | RUNTIME),
	CALL("fstat", NAMES | START | RUNTIME),
	CALL("lseek", NAMES | START | RUNTIME),
	CALL("uname", NAMES | START | RUNTIME),
	CALL("fcntl", NAMES | START | RUNTIME),
	CALL("socket", NAMES | START, {0, INT, AF_INET}, {1, SOCKET_TYPE, SOCK_DGRAM}),
	CALL("socket", NAMES | START, {0, INT, AF_INET6}, {1, SOCKET_TYPE, SOCK_DGRAM}),
	CALL("sendto", NAMES | START),
	/* Newer ones look whether resolv.conf has changed, and have locks. */
	CALL("stat", NAMES),
	CALL("statx", NAMES | RUNTIME),
	CALL("futex", NAMES | RUNTIME),

	/* libc before main(). */
	CALL("execve", START | RUNTIME),
	CALL("arch_prctl", START | RUNTIME),
	CALL("set_tid_address", START | RUNTIME),
	CALL("set_robust_list", START | RUNTIME),
	CALL("rseq", START | RUNTIME),
	CALL("mprotect", START | RUNTIME),
	CALL("readlink", START | RUNTIME),
	CALL("readlinkat", START | RUNTIME),

	/* Hardening, limits, and memory for keys. */
	CALL("prctl", START | RUNTIME),
	CALL("prlimit64", START | RUNTIME),
	CALL("rt_sigaction", START | RUNTIME),
	CALL("umask", START | RUNTIME),
	CALL("mlock", START),

	/* What is opened once: listeners, the loop, signals; and a pause until a port is free. */
	CALL("bind", START),
	CALL("listen", START),
	CALL("io_uring_setup", START),
	CALL("io_uring_register", START),
	CALL("epoll_create1", START | RUNTIME),
	CALL("signalfd4", START),
	CALL("clock_nanosleep", START),
	CALL("restart_syscall", START | RUNTIME), /* a pause that was stopped goes on */

	/* The sandbox. */
	CALL("seccomp", START | RUNTIME),
	CALL("landlock_create_ruleset", START),
	CALL("landlock_add_rule", START),
	CALL("landlock_restrict_self", START),

	/* runc and crun, the former with Go's threads: the user, its groups and capabilities, the
	 * working directory, descriptors that must not be inherited, the word to begin. */
	CALL("clone", RUNTIME, {0, NEW_NAMESPACE, 0}),
	CALL("exit", RUNTIME),
	CALL("rt_sigreturn", RUNTIME),
	CALL("sigaltstack", RUNTIME),
	CALL("sched_yield", RUNTIME),
	CALL("sched_getaffinity", RUNTIME),
	CALL("nanosleep", RUNTIME),
	CALL("tgkill", RUNTIME),
	CALL("eventfd2", RUNTIME),
	CALL("pipe2", RUNTIME),
	CALL("capget", RUNTIME),
	CALL("capset", RUNTIME),
	CALL("setuid", RUNTIME),
	CALL("setgid", RUNTIME),
	CALL("setgroups", RUNTIME),
	CALL("setresuid", RUNTIME),
	CALL("setresgid", RUNTIME),
	CALL("getuid", RUNTIME),
	CALL("geteuid", RUNTIME),
	CALL("getgid", RUNTIME),
	CALL("getegid", RUNTIME),
	CALL("getppid", RUNTIME),
	CALL("chdir", RUNTIME),
	CALL("fchdir", RUNTIME),
	CALL("getcwd", RUNTIME),
	CALL("faccessat", RUNTIME),
	CALL("faccessat2", RUNTIME),
	CALL("openat2", RUNTIME),
	CALL("getdents64", RUNTIME),
	CALL("statfs", RUNTIME),
	CALL("fstatfs", RUNTIME),
	CALL("fchown", RUNTIME),
	CALL("dup3", RUNTIME),
	CALL("close_range", RUNTIME),
};
/* clang-format on */

const size_t calls_count = sizeof(calls) / sizeof(calls[0]);
