# SPDX-License-Identifier: MIT
# Reads result files of bench/run; comes before the script that shows them:
#
#	awk -f bench/samples.awk -f bench/table.awk FILE
#
# A row is role, load, connections and figure, joined by "|"; rows[1..row_count] are in the order in
# which they came, programs[1..program_count] too. The samples of a row belong to a program; a line
# of bench/micro is one of "this" in the role "micro", with its least and most given. What a second
# file says of a program goes under its name with "B " before it.

# The value of one field of a flat JSON object.
function value(line, name, found)
{
	if (!match(line, "\"" name "\":(\"[^\"]*\"|[^,}]*)"))
		return ""
	found = substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
	gsub(/"/, "", found)
	return found
}

function add_sample(program, row, x)
{
	if (!(row in row_seen)) {
		row_seen[row] = 1
		rows[++row_count] = row
	}
	if (!(program in program_seen)) {
		program_seen[program] = 1
		programs[++program_count] = program
	}
	samples[program, row, ++counts[program, row]] = x + 0
}

# The samples of a row, in order: sorted[1..count].
function sort_samples(program, row, count, i, k, x)
{
	count = counts[program, row] + 0
	for (i = 1; i <= count; i++) {
		x = samples[program, row, i]
		for (k = i; k > 1 && sorted[k - 1] > x; k--)
			sorted[k] = sorted[k - 1]
		sorted[k] = x
	}
	return count
}

function median_of(program, row, count)
{
	count = sort_samples(program, row)
	return (sorted[int((count + 1) / 2)] + sorted[int(count / 2) + 1]) / 2
}

function least_of(program, row)
{
	if ((program, row) in given_least)
		return given_least[program, row]
	sort_samples(program, row)
	return sorted[1]
}

function most_of(program, row, count)
{
	if ((program, row) in given_most)
		return given_most[program, row]
	count = sort_samples(program, row)
	return sorted[count]
}

# More than one sample, or a line of bench/micro, which is the median of some.
function has_range(program, row)
{
	return counts[program, row] > 1 || (program, row) in given_least
}

# Three digits, at least: the figures span from CPU seconds to kibibytes.
function brief(x)
{
	return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.3f", x)
}

function spread(program, row, middle, up, down)
{
	middle = median_of(program, row)
	up = most_of(program, row) - middle
	down = middle - least_of(program, row)
	return middle == 0 ? 0 : 100 * (up > down ? up : down) / (middle < 0 ? -middle : middle)
}

# The median, and in brackets how far the furthest sample is from it.
function with_spread(program, row)
{
	if (!counts[program, row])
		return "-"
	if (!has_range(program, row))
		return brief(median_of(program, row))
	return sprintf("%s (%.0f%%)", brief(median_of(program, row)), spread(program, row))
}

function part(row, index_of, words)
{
	split(row, words, "|")
	return words[index_of]
}

# Every number behind round, role, program, load and connections is a figure.
function take_load(line, fields, pair, count, i, prefix)
{
	prefix = value(line, "role") "|" value(line, "load") "|" value(line, "conns") "|"
	count = split(line, fields, ",")
	for (i = 6; i <= count; i++) {
		split(fields[i], pair, ":")
		gsub(/[{}"]/, "", pair[1])
		add_sample(origin value(line, "program"), prefix pair[1], pair[2])
	}
}

function take_micro(line, row)
{
	row = "micro|" value(line, "bench") "|" (value(line, "conns") + 0) "|" value(line, "engine") \
		" " value(line, "size")
	add_sample(origin "this", row, value(line, "ns"))
	given_least[origin "this", row] = value(line, "ns_min") + 0
	given_most[origin "this", row] = value(line, "ns_max") + 0
}

FNR == 1 {
	origin = NR == 1 ? "" : "B "
}

/^{"date"/ {
	header[origin] = $0
}

/^{"bench"/ {
	take_micro($0)
}

/^{"round"/ {
	take_load($0)
}
