// SPDX-License-Identifier: MIT
#include "base/metrics.h"

#include "base/check.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { NUMBER_SIZE = 32 };

#define ONE_TO_FIVE(unit_ns) (unit_ns), 5 * (unit_ns) / 2, 5 * (unit_ns)

const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS] = {
	ONE_TO_FIVE(NS_PER_MS / 100),
	ONE_TO_FIVE(NS_PER_MS / 10),
	ONE_TO_FIVE(NS_PER_MS),
	ONE_TO_FIVE(NS_PER_MS * 10),
	ONE_TO_FIVE(NS_PER_MS * 100),
	ONE_TO_FIVE(NS_PER_S),
	NS_PER_S * 10,
};

__attribute__((format(printf, 2, 3))) static void append(struct metrics *metrics,
							 const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(metrics->text + metrics->len, metrics->size - metrics->len, format, args);
	va_end(args);
	CHECK(len >= 0 && (size_t)len < metrics->size - metrics->len);
	metrics->len += (size_t)len;
}

/* A double has too few digits for seconds since 1970 with nanoseconds. */
static const char *format_seconds(uint64_t ns, char text[static NUMBER_SIZE])
{
	snprintf(text, NUMBER_SIZE, "%" PRIu64 ".%09" PRIu64, (uint64_t)(ns / NS_PER_S),
		 (uint64_t)(ns % NS_PER_S));
	return text;
}

static void add_sample(struct metrics *metrics, const char *labels, const char *value)
{
	if (labels[0] == '\0')
		append(metrics, "%s %s\n", metrics->name, value);
	else
		append(metrics, "%s{%s} %s\n", metrics->name, labels, value);
}

void metrics_begin(struct metrics *metrics, const char *name, const char *type, const char *help)
{
	metrics->name = name;
	append(metrics, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_add(struct metrics *metrics, const char *labels, uint64_t value)
{
	char text[NUMBER_SIZE];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	add_sample(metrics, labels, text);
}

void metrics_add_time(struct metrics *metrics, const char *labels, uint64_t value_ns)
{
	char text[NUMBER_SIZE];

	add_sample(metrics, labels, format_seconds(value_ns, text));
}

void metrics_counter(struct metrics *metrics, const char *name, const char *help, uint64_t value)
{
	metrics_begin(metrics, name, "counter", help);
	metrics_add(metrics, "", value);
}

void metrics_gauge(struct metrics *metrics, const char *name, const char *help, uint64_t value)
{
	metrics_begin(metrics, name, "gauge", help);
	metrics_add(metrics, "", value);
}

/* Each bucket counts what the ones before it do, too. */
void metrics_histogram(struct metrics *metrics, const char *name, const char *help,
		       const struct histogram *histogram)
{
	char text[NUMBER_SIZE];
	uint64_t count = 0;

	metrics_begin(metrics, name, "histogram", help);
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		count += histogram->counts[i];
		append(metrics, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
		       (double)histogram_bounds_ns[i] / (double)NS_PER_S, count);
	}
	count += histogram->counts[HISTOGRAM_BOUNDS];
	append(metrics, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
	append(metrics, "%s_sum %s\n", name, format_seconds(histogram->sum_ns, text));
	append(metrics, "%s_count %" PRIu64 "\n", name, count);
}
