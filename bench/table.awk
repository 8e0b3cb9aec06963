# SPDX-License-Identifier: MIT
# The table of a result file of bench/run; bench/samples.awk comes first. A figure is the median, in
# brackets how far the furthest sample is from it; the ratio is this / that program.

BEGIN {
	WIDTH = 14
	about["pair"] = "pair: client -> ingress == UDP over loopback == egress -> server"
	about["egress"] = "egress: client -> wireguard-go (peer) == UDP == program -> server"
	about["ingress"] = "ingress: client -> program == UDP == wireguard-go (peer) -> server"
}

function ratio(program, row)
{
	if (!counts["this", row] || !counts[program, row] || median_of(program, row) <= 0)
		return ""
	return sprintf("%.2f", median_of("this", row) / median_of(program, row))
}

function has_role(program, role, i)
{
	for (i = 1; i <= row_count; i++)
		if (part(rows[i], 1) == role && counts[program, rows[i]])
			return 1
	return 0
}

# "this" first: the others are compared with it.
function columns_of(role, i, count)
{
	count = 0
	if (has_role("this", role))
		column[++count] = "this"
	for (i = 1; i <= program_count; i++)
		if (programs[i] != "this" && has_role(programs[i], role))
			column[++count] = programs[i]
	return count
}

function print_line(first, texts, ratios, count, line, i)
{
	line = sprintf("%-49s", first)
	for (i = 1; i <= count; i++) {
		line = line sprintf("  %-*s", width[i], texts[i])
		if (column[i] != "this")
			line = line sprintf(" %-6s", ratios[i])
	}
	sub(/ +$/, "", line)
	print line
}

function print_role(role, count, i, k, row, texts, ratios)
{
	count = columns_of(role)
	if (count == 0)
		return
	print "\n" about[role]
	for (k = 1; k <= count; k++) {
		texts[k] = column[k]
		ratios[k] = "ratio"
		width[k] = length(column[k]) > WIDTH ? length(column[k]) : WIDTH
	}
	print_line(sprintf("%-10s %5s  %s", "load", "conns", "figure"), texts, ratios, count)
	for (i = 1; i <= row_count; i++) {
		row = rows[i]
		if (part(row, 1) != role)
			continue
		for (k = 1; k <= count; k++) {
			texts[k] = with_spread(column[k], row)
			ratios[k] = ratio(column[k], row)
		}
		print_line(sprintf("%-10s %5s  %s", part(row, 2), part(row, 3), part(row, 4)), texts,
			ratios, count)
	}
}

# What works on bytes, and not for connections, has a throughput.
function throughput(row, words, bytes)
{
	bytes = words[split(part(row, 4), words, " ")]
	if (part(row, 3) > 0 || bytes == 0)
		return ""
	return sprintf("%.2f GB/s", bytes / median_of("this", row))
}

function print_micro(i, row, title)
{
	for (i = 1; i <= row_count; i++) {
		row = rows[i]
		if (part(row, 1) != "micro")
			continue
		if (!title++)
			printf "\n%-20s %-16s %6s  %s\n", "micro", "variant, bytes", "conns",
				"ns each (spread)"
		printf "%-20s %-16s %6s  %-14s %s\n", part(row, 2), part(row, 4), part(row, 3),
			with_spread("this", row), throughput(row)
	}
}

END {
	printf "%s, commit %s, Linux %s, %s x %s\n", value(header[""], "date"),
		value(header[""], "commit"), value(header[""], "kernel"), value(header[""], "cores"),
		value(header[""], "cpu")
	printf "wireguard-go: %s; settings of this: %s\n", value(header[""], "wireguard_go"),
		value(header[""], "env") == "" ? "none" : value(header[""], "env")
	print_micro()
	print_role("pair")
	print_role("egress")
	print_role("ingress")
}
