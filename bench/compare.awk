# SPDX-License-Identifier: MIT
# Two result files of bench/run side by side: bench/compare calls this, with bench/samples.awk first.

BEGIN {
	LEAST_CHANGE = 0.03
}

function range(program, row)
{
	return sprintf("%s (%s..%s)", brief(median_of(program, row)), brief(least_of(program, row)),
		brief(most_of(program, row)))
}

function overlap(a, b, row)
{
	return least_of(a, row) <= most_of(b, row) && least_of(b, row) <= most_of(a, row)
}

function verdict(a, b, row, change, grew_is_good)
{
	if (!has_range(a, row) || !has_range(b, row))
		return "one sample"
	if (overlap(a, b, row) || (change < 0 ? -change : change) <= LEAST_CHANGE)
		return ""
	grew_is_good = row ~ /_per_s$/
	return (change > 0) == grew_is_good ? "BETTER" : "WORSE"
}

function compare(program, row, a, b, change, found)
{
	a = program
	b = "B " program
	if (!counts[a, row] || !counts[b, row] || median_of(a, row) == 0)
		return
	change = median_of(b, row) / median_of(a, row) - 1
	found = verdict(a, b, row, change)
	beyond += found == "BETTER" || found == "WORSE"
	compared++
	printf "%-8s %-18s %6s %-28s %-26s %-26s %+7.1f %%  %s\n", part(row, 1), part(row, 2),
		part(row, 3), part(row, 4), range(a, row), range(b, row), 100 * change, found
}

function compare_program(program, i)
{
	printf "\n%s\n", program
	for (i = 1; i <= row_count; i++)
		compare(program, rows[i])
}

END {
	for (file in header)
		described[file == "" ? "A" : "B"] = value(header[file], "date") ", commit " \
			value(header[file], "commit") ", " value(header[file], "cpu")
	print "A: " described["A"] "\nB: " described["B"]
	for (i = 1; i <= program_count; i++)
		if (programs[i] !~ /^B /)
			compare_program(programs[i])
	printf "\n%d figures compared, %d beyond the noise\n", compared, beyond
}
