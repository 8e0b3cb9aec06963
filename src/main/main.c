// SPDX-License-Identifier: MIT
#include "cli.h"

#include "aead.h"
#include "base/log.h"
#include "crypto.h"
#include "proxy.h"
#include "sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The program seen from its shell: one optional word, and variables in the environment.
 *
 * Nothing is read before the process is hardened, because a key that was in memory once may be in a
 * core dump for ever. Then the configuration is read into memory for secrets, and the environment's
 * copies of the keys are overwritten in place: what the kernel shows of it under /proc is the very
 * memory that getenv() returns. From there on the keys exist once, and proxy_run() wipes them when
 * the WireGuard core has taken them over.
 *
 * Keys never come as arguments, since everybody may read those; so none of the messages here
 * repeats an argument either.
 *
 * Exit status: 0 after a clean drain and for commands that worked, 1 when something failed at run
 * time, 2 for a bad configuration or bad usage. An orchestrator may restart after 1; after 2 that
 * is of no use. So all that a start refuses of the configuration alone is found by read_config(),
 * which --check shares with it; what fails later has failed at run time.
 */
static const char usage[] = "usage: wg-tinyproxy [--check | --help | --version | --seccomp-profile "
			    "| genkey | pubkey]\n";

static int finish_output(void)
{
	return fflush(stdout) == 0 && ferror(stdout) == 0 ? 0 : EXIT_RUNTIME;
}

static int show_help(void)
{
	const char *line;

	fputs(usage, stdout);
	puts("\nA userspace WireGuard <-> TCP proxy. Without an argument it runs, configured by\n"
	     "environment variables:\n");
	for (size_t i = 0; (line = config_help(i)) != NULL; i++)
		printf("  %s\n", line);
	puts("\nA key is read from a file where <NAME>_FILE gives a path instead of <NAME>:");
	for (size_t i = 0; (line = config_key_name(i)) != NULL; i++)
		printf("  %s_FILE\n", line);
	puts("\n--check  checks the configuration and opens no socket\n"
	     "--seccomp-profile  prints the profile that lets a container use io_uring\n"
	     "genkey   prints a new private key\n"
	     "pubkey   reads a private key from stdin and prints its public key\n"
	     "\nExit status: 0 ended as asked, 1 failed at run time, 2 bad configuration or usage");
	return finish_output();
}

static int show_version(void)
{
	puts("wg-tinyproxy " VERSION);
	return finish_output();
}

static int show_profile(void)
{
	sandbox_print_profile();
	return finish_output();
}

/* Somebody has pasted the wrong public key. */
static bool is_own_peer(const struct config *config)
{
	uint8_t own[CONFIG_KEY_LEN];

	crypto_public_key(own, config->private_key);
	return crypto_equal(own, config->public_key, sizeof(own));
}

/*
 * Such a point gives the same secret with every private key (RFC 7748, section 6.1). All zero is
 * one, too, but means here that the key was missing or wrong.
 */
static bool is_low_order_peer(const struct config *config)
{
	uint8_t shared[CONFIG_KEY_LEN];
	bool usable = crypto_dh(shared, config->private_key, config->public_key);

	crypto_wipe(shared, sizeof(shared));
	return !usable && !crypto_is_zero(config->public_key, sizeof(config->public_key));
}

/* The mistakes that take cryptography to find. */
static bool judge_peer(const struct config *config)
{
	const char *wrong = is_own_peer(config)		? "is that of our own WG_PRIVATE_KEY"
			    : is_low_order_peer(config) ? "is a point of low order, no key"
							: NULL;

	if (wrong != NULL)
		log_error("WG_PUBLIC_KEY %s; accepted: the server's", wrong);
	return wrong == NULL;
}

/* Which engines there are is a matter of the build and the CPU: the one that is asked for runs from
 * here on. No name: too long, and told. */
static bool choose_engine(const struct config *config)
{
	char names[128] = "auto";
	size_t len = strlen(names);
	const char *name;

	if (config->aead_engine[0] == '\0' || aead_init(config->aead_engine) != NULL)
		return true;
	for (size_t i = 0; (name = aead_engine_name(i)) != NULL && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, ", %s", name);
	log_error("AEAD_ENGINE \"%s\" names no engine that works here; accepted, as far as the "
		  "CPU has them: %s",
		  config->aead_engine, names);
	return false;
}

/* False, with every mistake logged, when the configuration is wrong. */
static bool read_config(struct config *config)
{
	static struct config_errors errors;
	bool ok = config_read(config, &environment_source, &errors);

	environment_wipe_keys();
	log_set_format(config->log_format);
	for (size_t i = 0; i < errors.count && i < CONFIG_ERRORS_MAX; i++)
		log_error("%s", errors.line[i]);
	ok = judge_peer(config) && ok;
	return choose_engine(config) && ok;
}

static int print_summary(struct config *config)
{
	uint8_t public_key[CONFIG_KEY_LEN];
	char text[45];

	crypto_public_key(public_key, config->private_key);
	printf("configuration is valid: %s, our public key is %s\n",
	       config->mode == CONFIG_INGRESS ? "ingress" : "egress",
	       config_format_key(public_key, text));
	return finish_output();
}

static int run_proxy(struct config *config)
{
	log_set_level(config->log_level);
	return proxy_run(config) == 0 ? 0 : EXIT_RUNTIME;
}

/* The configuration lives in memory for secrets while `action` works with it. */
static int with_config(int (*action)(struct config *config))
{
	struct config *config = crypto_secret_alloc(sizeof(*config));
	int status = EXIT_CONFIG;

	if (config == NULL) {
		log_error("no memory for the configuration");
		return EXIT_RUNTIME;
	}
	if (read_config(config))
		status = action(config);
	crypto_secret_free(config, sizeof(*config));
	return status;
}

static int check(void)
{
	return with_config(print_summary);
}

static int run(void)
{
	return with_config(run_proxy);
}

/* A closed stderr would be the first socket's number, and the log would go to a stranger. */
static void open_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

/* What must hold before a secret is read: no core dump, no debugger, no file for others. */
static void harden(void)
{
	const struct rlimit none = {0, 0};

	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGPIPE, SIG_IGN);
	umask(S_IRWXG | S_IRWXO);
}

/* NULL: no such word. */
static int (*find_command(const char *word))(void)
{
	static const struct {
		const char *word;
		int (*command)(void);
	} commands[] = {
		{"--check", check},
		{"--help", show_help},
		{"-h", show_help},
		{"--version", show_version},
		{"genkey", keys_generate},
		{"pubkey", keys_derive_public},
		{"--seccomp-profile", show_profile},
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].word, word) == 0)
			return commands[i].command;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int (*command)(void) = run;

	open_standard_files();
	harden();
	if (argc > 1)
		command = argc == 2 ? find_command(argv[1]) : NULL;
	if (command == NULL) {
		fputs(usage, stderr);
		return EXIT_CONFIG;
	}
	if (!crypto_init()) {
		log_error("the cryptographic library cannot start");
		return EXIT_RUNTIME;
	}
	return command();
}
