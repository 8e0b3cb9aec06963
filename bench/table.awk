# SPDX-License-Identifier: MIT
# The table of one result file of bench/run: medians over the rounds, least and most beside them.
#
#	awk -f bench/table.awk build/bench/run-DATE.json

# The value of one field of a flat JSON object.
function value(line, name, found)
{
	if (!match(line, "\"" name "\":(\"[^\"]*\"|[^,}]*)"))
		return ""
	found = substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
	gsub(/"/, "", found)
	return found
}

# The samples of `key`, in order: sorted[1..count].
function sort_samples(key, count, i, k, x)
{
	count = counts[key]
	for (i = 1; i <= count; i++) {
		x = samples[key, i]
		for (k = i; k > 1 && sorted[k - 1] > x; k--)
			sorted[k] = sorted[k - 1]
		sorted[k] = x
	}
	return count
}

function median_of(key, count)
{
	count = sort_samples(key)
	return (sorted[int((count + 1) / 2)] + sorted[int(count / 2) + 1]) / 2
}

# Three digits or more: the figures span from CPU seconds to kibibytes.
function brief(x)
{
	return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.3f", x)
}

function summary(key, middle)
{
	if (!counts[key])
		return "-"
	middle = median_of(key)
	return brief(middle) " (" brief(sorted[1]) ".." brief(sorted[counts[key]]) ")"
}

# One sample of each number of a load's line.
function take_load(line, program, row, fields, i, pair, count)
{
	program = value(line, "program")
	gsub(/[{}"]/, "", line)
	count = split(line, fields, ",")
	for (i = 5; i <= count; i++) {
		split(fields[i], pair, ":")
		row = sprintf("%-17s %5s  %-27s", load, conns, pair[1])
		if (!(row in seen)) {
			seen[row] = 1
			rows[++row_count] = row
		}
		samples[program, row, ++counts[program, row]] = pair[2] + 0
	}
}

function print_micro(i)
{
	printf "\n%-18s %-10s %5s  %-28s %8s\n", "micro", "engine", "bytes", "ns per packet", "GB/s"
	for (i = 1; i <= micro_count; i++)
		print micro[i]
}

function print_row(row, ours, theirs, ratio)
{
	ours = "this" SUBSEP row
	theirs = "baseline" SUBSEP row
	if (!baseline) {
		print row, summary(ours)
		return
	}
	ratio = "-"
	if (counts[ours] && counts[theirs] && median_of(theirs) > 0)
		ratio = sprintf("%.2f", median_of(ours) / median_of(theirs))
	printf "%s %-28s %-28s %8s\n", row, summary(ours), summary(theirs), ratio
}

function print_loads(i)
{
	printf "\n%-17s %5s  %-27s ", "load", "conns", "figure"
	if (baseline)
		printf "%-28s %-28s %8s\n", "this: median (min..max)", "baseline", "ratio"
	else
		print "median (min..max)"
	for (i = 1; i <= row_count; i++)
		print_row(rows[i])
}

/^{"date"/ {
	baseline = value($0, "baseline") != ""
	printf "%s, commit %s, kernel %s, %s x %s\n", value($0, "date"), value($0, "commit"),
		value($0, "kernel"), value($0, "cores"), value($0, "cpu")
	printf "%s rounds, %s bytes per bulk load, %s requests\n", value($0, "rounds"),
		value($0, "bytes"), value($0, "requests")
}

/^{"bench"/ {
	micro[++micro_count] = sprintf("%-18s %-10s %5d  %-28s %8s", value($0, "bench"),
		value($0, "engine"), value($0, "size"), brief(value($0, "ns") + 0) " (" \
		brief(value($0, "ns_min") + 0) ".." brief(value($0, "ns_max") + 0) ")",
		value($0, "gbyte_per_s"))
}

/^{"round"/ {
	load = value($0, "load")
	conns = value($0, "conns")
	take_load($0)
}

END {
	if (micro_count)
		print_micro()
	print_loads()
}
