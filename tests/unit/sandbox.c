// SPDX-License-Identifier: MIT
/* What the sandbox takes and what it leaves, each tried by a process of its own; the profile. */
#include "sandbox.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DONE = 0, UNEXPECTED = 1, WAIT_S = 10 };

static const struct sandbox_needs epoll = {.tcp_port = 1};
static const struct sandbox_needs epoll_names = {.names = true, .tcp_port = 1};
static const struct sandbox_needs uring = {.uring = true};
static const struct sandbox_needs uring_names = {.uring = true, .names = true};

TestSuite(sandbox, .timeout = 120);

/* How a process that does `act` in the sandbox ends: as of wait(2). */
static int end_of(const struct sandbox_needs *needs, int (*act)(void))
{
	pid_t pid = fork();
	int status = 0;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		alarm(WAIT_S);
		log_set_level(LOG_ERROR);
		sandbox_enter(needs);
		/* Not _exit(), in which a sanitizer looks for leaks with calls of its own. */
		syscall(SYS_exit_group, act());
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static bool is_killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static bool is_done(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == DONE;
}

/* --- what nobody may --------------------------------------------------------------------------- */

static int try_execve(void)
{
	static const char path[] = "/bin/true";

	return (int)syscall(SYS_execve, path, NULL, NULL);
}

static int try_clone(void)
{
	return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) < 0 ? UNEXPECTED : DONE;
}

static int try_ptrace(void)
{
	return (int)syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL);
}

static int try_packet_socket(void)
{
	return socket(AF_PACKET, SOCK_DGRAM, 0);
}

static int try_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_raw_socket(void)
{
	return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}

static int try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

static int try_mprotect(void)
{
	return mprotect(NULL, 0, PROT_NONE);
}

static int try_kill(void)
{
	return kill(getppid(), 0);
}

static int try_abort_of_parent(void)
{
	return (int)syscall(SYS_tgkill, 1, 1, SIGABRT);
}

static int try_other_signal(void)
{
	return (int)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGCONT);
}

static int try_bind(void)
{
	return bind(-1, NULL, 0);
}

static int try_listen(void)
{
	return listen(-1, 1);
}

static int try_new_ring(void)
{
	return (int)syscall(SYS_io_uring_setup, 0, NULL);
}

static int try_ring_register(void)
{
	return (int)syscall(SYS_io_uring_register, -1, 0, NULL, 0);
}

static int try_prctl(void)
{
	return prctl(PR_SET_DUMPABLE, 1);
}

static int try_unlink(void)
{
	return unlink("");
}

struct attempt {
	const char *name;
	int (*act)(void);
};

static const struct attempt for_nobody[] = {
	{"execve", try_execve},
	{"clone", try_clone},
	{"ptrace", try_ptrace},
	{"socket(AF_PACKET)", try_packet_socket},
	{"socket(AF_UNIX)", try_unix_socket},
	{"socket(SOCK_RAW)", try_raw_socket},
	{"mmap(PROT_EXEC)", try_code},
	{"mprotect", try_mprotect},
	{"kill", try_kill},
	{"tgkill(another)", try_abort_of_parent},
	{"tgkill(another signal)", try_other_signal},
	{"bind", try_bind},
	{"listen", try_listen},
	{"io_uring_setup", try_new_ring},
	{"io_uring_register", try_ring_register},
	{"prctl", try_prctl},
	{"unlink", try_unlink},
};

static void expect_killed(const struct sandbox_needs *needs, const struct attempt *attempt)
{
	int status = end_of(needs, attempt->act);

	cr_expect(is_killed(status), "%s with%s names on %s: status %#x", attempt->name,
		  needs->names ? "" : "out", needs->uring ? "io_uring" : "epoll", status);
}

Test(sandbox, what_nobody_needs_ends_the_process)
{
	for (size_t i = 0; i < sizeof(for_nobody) / sizeof(for_nobody[0]); i++) {
		expect_killed(&epoll_names, &for_nobody[i]);
		expect_killed(&uring_names, &for_nobody[i]);
	}
}

/* --- what depends ------------------------------------------------------------------------------ */

static int try_ring_enter(void)
{
	return syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0) < 0 ? DONE : UNEXPECTED;
}

static int try_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(-1, &event, 1, 0) < 0 && errno == EBADF ? DONE : UNEXPECTED;
}

static int try_datagram_socket(void)
{
	return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) >= 0 ? DONE
										   : UNEXPECTED;
}

static int try_file(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0 ? DONE : UNEXPECTED;
}

Test(sandbox, each_backend_has_its_own)
{
	cr_expect(is_done(end_of(&uring, try_ring_enter)));
	cr_expect(is_killed(end_of(&epoll, try_ring_enter)));
	cr_expect(is_done(end_of(&epoll, try_epoll)));
	cr_expect(is_killed(end_of(&uring, try_epoll)));
}

Test(sandbox, files_and_datagrams_are_for_names)
{
	cr_expect(is_done(end_of(&epoll_names, try_file)));
	cr_expect(is_done(end_of(&uring_names, try_datagram_socket)));
	cr_expect(is_killed(end_of(&epoll, try_file)));
	cr_expect(is_killed(end_of(&uring, try_datagram_socket)));
}

/* --- what all need ----------------------------------------------------------------------------- */

/* The heap's end, a mapping of its own, one that moves, and all of it back. */
static int use_memory(void)
{
	char *small = malloc(1 << 10), *large = malloc(1 << 22);
	char *larger = realloc(large, 1 << 24);

	if (small == NULL || larger == NULL)
		return UNEXPECTED;
	free(small);
	free(larger);
	return DONE;
}

static int use_sockets(void)
{
	int pair[2], fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || shutdown(fd, SHUT_WR) == 0 || close(fd) < 0)
		return UNEXPECTED;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 ? DONE : UNEXPECTED;
}

static int use_log(void)
{
	log_error("a line of the log, from inside the sandbox");
	return DONE;
}

static int use_abort(void)
{
	abort();
}

Test(sandbox, what_all_need_works)
{
	cr_expect(is_done(end_of(&uring, use_memory)));
	cr_expect(is_done(end_of(&uring, use_sockets)));
	cr_expect(is_done(end_of(&epoll, use_sockets)));
	cr_expect(is_done(end_of(&uring, use_log)));
}

Test(sandbox, a_fault_ends_as_one)
{
	int status;

#ifdef __SANITIZE_ADDRESS__
	printf("SKIP sandbox.a_fault_ends_as_one: a sanitizer's abort() makes calls of its own\n");
	return;
#endif
	status = end_of(&uring, use_abort);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x", status);
}

/* --- Landlock ---------------------------------------------------------------------------------- */

static long landlock_version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

static bool has_landlock(const char *test, long version)
{
	if (landlock_version() >= version)
		return true;
	printf("SKIP sandbox.%s: no Landlock of version %ld\n", test, version);
	return false;
}

static bool is_refused(const char *path, int flags)
{
	return open(path, flags, 0600) < 0 && errno == EACCES;
}

static int try_files(void)
{
	if (!is_refused("/", O_RDONLY | O_DIRECTORY) || !is_refused("/bin/sh", O_RDONLY) ||
	    !is_refused("/proc/self/environ", O_RDONLY))
		return UNEXPECTED;
	if (!is_refused("/etc/passwd", O_RDWR) || !is_refused("/tmp/wgtp", O_CREAT | O_WRONLY))
		return UNEXPECTED;
	return open("/dev/urandom", O_RDONLY) >= 0 ? DONE : UNEXPECTED;
}

Test(sandbox, files_are_those_for_names)
{
	if (has_landlock("files_are_those_for_names", 1))
		cr_expect(is_done(end_of(&epoll_names, try_files)));
}

/* Nobody listens on these: what may be tried is refused, or not routed, by the network. */
static int error_of_connect(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
}

static int try_ports(void)
{
	if (error_of_connect(2) != EACCES)
		return UNEXPECTED;
	return error_of_connect(1) != EACCES && error_of_connect(53) != EACCES ? DONE : UNEXPECTED;
}

static int try_dns_port(void)
{
	return error_of_connect(53) == EACCES ? DONE : UNEXPECTED;
}

Test(sandbox, ports_are_the_targets_and_dns)
{
	if (!has_landlock("ports_are_the_targets_and_dns", 4))
		return;
	cr_expect(is_done(end_of(&epoll_names, try_ports)));
	cr_expect(is_done(end_of(&epoll, try_dns_port)), "without names there is no DNS");
}

/* --- the profile ------------------------------------------------------------------------------- */

static size_t read_whole(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t len;

	cr_assert_not_null(file, "%s: %s", path, strerror(errno));
	len = fread(text, 1, size - 1, file);
	text[len] = '\0';
	fclose(file);
	return len;
}

/* The committed one is what the program prints. */
Test(sandbox, profile_is_up_to_date)
{
	static char committed[1 << 16], printed[1 << 16];
	char path[] = "/tmp/wgtp-profile.XXXXXX";
	int fd = mkstemp(path), saved = dup(STDOUT_FILENO);

	cr_assert_geq(fd, 0);
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	sandbox_print_profile();
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	read_whole(path, printed, sizeof(printed));
	unlink(path);
	read_whole("k8s/seccomp/wg-tinyproxy.json", committed, sizeof(committed));
	cr_expect_str_eq(printed, committed,
			 "build/wg-tinyproxy --seccomp-profile >k8s/seccomp/wg-tinyproxy.json");
}
