// SPDX-License-Identifier: MIT
/* Lines of the log, read back from a pipe in the place of stderr. */
#include "base/log.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES_MAX = 2000, TIME_LEN = 24 };

static int pipe_fds[2], stderr_fd;
static char line[PIPE_BUF + 1];

static void start(void)
{
	cr_assert_eq(pipe(pipe_fds), 0);
	stderr_fd = dup(STDERR_FILENO);
	log_set_format(LOG_JSON);
}

static void stop(void)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

TestSuite(log, .init = start, .fini = stop, .timeout = 60);

/* What was logged between these two is `line`. */
static void divert(void)
{
	dup2(pipe_fds[1], STDERR_FILENO);
}

static void read_back(void)
{
	ssize_t len;

	dup2(stderr_fd, STDERR_FILENO);
	len = read(pipe_fds[0], line, sizeof(line) - 1);
	cr_assert_gt(len, 0);
	line[len] = '\0';
}

static void expect_message(const char *message, const char *as_json)
{
	static const char begin[] = "{\"time\":\"....-..-..T..:..:......Z\",\"level\":\"info\","
				    "\"message\":\"";
	const char *rest = line + strlen(begin);

	divert();
	log_info("%s", message);
	read_back();
	for (size_t i = 0; i < strlen(begin); i++)
		cr_assert(begin[i] == '.' || begin[i] == line[i], "%s", line);
	cr_assert_eq(strncmp(rest, as_json, strlen(as_json)), 0, "%s", line);
	cr_expect_str_eq(rest + strlen(as_json), "\"}\n");
}

Test(log, json_escapes)
{
	expect_message("plain", "plain");
	expect_message("", "");
	expect_message("say \"hi\" \\ there", "say \\\"hi\\\" \\\\ there");
	expect_message("two\nlines\r\ttab \x1b[31mred\x7f", "two\\u000alines\\u000d\\u0009tab "
							    "\\u001b[31mred\\u007f");
}

/* RFC 3629: what is UTF-8 stays, what only looks like it does not. */
Test(log, json_utf8)
{
	static const struct {
		const char *bytes, *json;
	} cases[] = {
		{"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
		 "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf",
		 "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"},
		{"\xff", "\\ufffd"},
		{"\x80x", "\\ufffdx"},
		{"\xc3", "\\ufffd"},				      /* cut off */
		{"\xe2\x82", "\\ufffd\\ufffd"},			      /* cut off */
		{"\xc0\xaf", "\\ufffd\\ufffd"},			      /* overlong */
		{"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"},	      /* overlong */
		{"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},	      /* a surrogate */
		{"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* beyond U+10FFFF */
		{"\xe2\x82\"", "\\ufffd\\ufffd\\\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_message(cases[i].bytes, cases[i].json);
}

Test(log, json_fields_stand_before_the_message)
{
	const char *fields;

	divert();
	log_event(LOG_WARN, LOG_FIELDS({"event", "moved"}, {"endpoint", "a\"b"}), "it %s", "moved");
	read_back();
	fields = strstr(line, "\"level\":\"warn\",");
	cr_assert_not_null(fields, "%s", line);
	cr_expect_str_eq(fields, "\"level\":\"warn\",\"event\":\"moved\",\"endpoint\":\"a\\\"b\","
				 "\"message\":\"it moved\"}\n");
}

/* One write that no other writer can tear apart, and whole in itself, however much was to be said. */
Test(log, json_lines_are_bounded_and_whole)
{
	char controls[3000], fields[5000];

	memset(controls, '\1', sizeof(controls) - 1);
	controls[sizeof(controls) - 1] = '\0';
	memset(fields, 'f', sizeof(fields) - 1);
	fields[sizeof(fields) - 1] = '\0';
	divert();
	log_info("%s", controls);
	read_back();
	cr_expect_leq(strlen(line), PIPE_BUF);
	cr_expect_str_eq(line + strlen(line) - 9, "\\u0001\"}\n");
	divert();
	log_event(LOG_INFO, LOG_FIELDS({"event", fields}, {"more", "x"}), "hidden");
	read_back();
	cr_expect_eq(strlen(line), PIPE_BUF);
	cr_expect_str_eq(line + strlen(line) - 4, "f\"}\n");
}

Test(log, text_has_no_fields_and_masks_control_characters)
{
	log_set_format(LOG_TEXT);
	divert();
	log_event(LOG_WARN, LOG_FIELDS({"event", "moved"}), "one\nline \x1b[31m");
	read_back();
	cr_expect_str_eq(line + TIME_LEN, " warn  one?line ?[31m\n");
}

Test(log, levels)
{
	log_set_level(LOG_WARN);
	divert();
	log_info("not this");
	log_event(LOG_INFO, LOG_FIELDS({"event", "x"}), "nor this");
	log_warn("this");
	read_back();
	cr_expect_null(strstr(line, "not"), "%s", line);
	cr_expect(strstr(line, "\"level\":\"warn\",\"message\":\"this\""), "%s", line);
}

/* Any bytes, judged by a parser that is not ours and is strict about UTF-8. */
Test(log, json_of_any_bytes)
{
	static const char judge[] =
		"python3 -c 'import json, sys\n"
		"lines = sys.stdin.buffer.read().decode(\"utf-8\").split(\"\\n\")\n"
		"assert len(lines) == 2001 and lines.pop() == \"\"\n"
		"for line in lines:\n"
		"    keys = [key for key, _ in json.loads(line, object_pairs_hook=list)]\n"
		"    assert keys == [\"time\", \"level\", \"event\", \"message\"], keys'";
	FILE *python;

	if (system("python3 -c pass 2>/dev/null") != 0) {
		fprintf(stderr, "SKIP log/json_of_any_bytes: no python3\n");
		return;
	}
	python = popen(judge, "w");
	dup2(fileno(python), STDERR_FILENO);
	srandom(1);
	for (int i = 0; i < LINES_MAX; i++) {
		char bytes[64] = "";

		for (long n = random() % (long)sizeof(bytes); n > 0; n--)
			bytes[n - 1] = (char)(random() % 3 == 0 ? random() : 0x80 | random());
		bytes[sizeof(bytes) - 1] = '\0';
		log_event(LOG_INFO, LOG_FIELDS({"event", bytes}), "%s %s", bytes, bytes);
	}
	dup2(stderr_fd, STDERR_FILENO);
	cr_expect_eq(pclose(python), 0);
}
