/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * What is counted, and how that is told. Modules count in plain integers of their own, and how long
 * things take in histograms; a writer turns these into the text that Prometheus reads (exposition
 * format 0.0.4). Neither allocates.
 *
 * Names and label values are ours, so none has a character that the format would have escaped.
 */
enum { HISTOGRAM_BOUNDS = 19 };

/* From 10 us, what a short turn takes, to 10 s, what a distant target may; ascending. */
extern const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS];

/* Zeroed it is empty. */
struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* up to each bound; the last one: longer */
	uint64_t sum_ns;
};

static inline void histogram_add(struct histogram *histogram, uint64_t took_ns)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && took_ns > histogram_bounds_ns[i])
		i++;
	histogram->counts[i]++;
	histogram->sum_ns += took_ns;
}

/* The text is the caller's, and must be large enough for all that is written: CHECKed. */
struct metrics {
	char *text;
	size_t size, len;
	const char *name; /* of the family that was begun last */
};

/* Begins a family: `type` is counter, gauge or histogram. */
void metrics_begin(struct metrics *metrics, const char *name, const char *type, const char *help);

/* One of its samples. `labels` is empty or like a="b",c="d". */
void metrics_add(struct metrics *metrics, const char *labels, uint64_t value);

/* The same, in seconds. */
void metrics_add_time(struct metrics *metrics, const char *labels, uint64_t value_ns);

/* Families of one sample without labels. */
void metrics_counter(struct metrics *metrics, const char *name, const char *help, uint64_t value);
void metrics_gauge(struct metrics *metrics, const char *name, const char *help, uint64_t value);
void metrics_histogram(struct metrics *metrics, const char *name, const char *help,
		       const struct histogram *histogram);
