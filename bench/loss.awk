# SPDX-License-Identifier: MIT
# Tables and a plot of a result file of bench/loss; bench/samples.awk and bench/svg.awk come first.
#
#	awk -v name=build/bench/loss-DATE -f bench/samples.awk -f bench/svg.awk -f bench/loss.awk FILE
#
# prints the tables and writes NAME.svg. A row is way, cell and figure; cells[1..cell_count] are in
# the order in which they came. Ratios are this / that program.

BEGIN {
	WIDTH = 16
	way_count = split("sends receives", ways, " ")
	about["sends"] = "ours sends into the tunnel, Linux behind wireguard-go receives"
	about["receives"] = "Linux behind wireguard-go sends (CUBIC beside ours), ours receives"
	STALL_MAX = 3	# RTOs
	colour["this"] = "#0b5fbf"
	colour["baseline"] = "#1a7f64"
	colour["linux-cubic"] = "#7d8590"
	colour["linux-bbr"] = "#c0392b"
}

/^{"cell"/ {
	cell = value($0, "cell")
	if (!(cell in cell_seen)) {
		cell_seen[cell] = 1
		cells[++cell_count] = cell
	}
	place = value($0, "way") "|" cell "|"
	add_sample(value($0, "program"), place "goodput", value($0, "goodput_mbit"))
	add_sample(value($0, "program"), place "short", value($0, "short_ms"))
	add_sample(value($0, "program"), place "stall", value($0, "stall_rto"))
}

# --- tables -------------------------------------------------------------------------------------

# Of stalls the longest, of all else the median.
function figure_of(program, row)
{
	return part(row, 3) == "stall" ? most_of(program, row) : median_of(program, row)
}

function field(program, row)
{
	if (counts[program, row] && part(row, 3) == "stall")
		return sprintf("%.2f%s", most_of(program, row), most_of(program, row) > STALL_MAX ? " !" : "")
	return with_spread(program, row)
}

function ratio(program, row)
{
	if (!counts["this", row] || !counts[program, row] || figure_of(program, row) <= 0)
		return ""
	return sprintf("%.2f", figure_of("this", row) / figure_of(program, row))
}

function print_row(first, second, row, i, out)
{
	out = sprintf("%6s  %-8s", first, second)
	for (i = 1; i <= program_count; i++) {
		out = out sprintf("  %-*s", WIDTH, row == "" ? programs[i] : field(programs[i], row))
		if (programs[i] != "this")
			out = out sprintf(" %-5s", row == "" ? "ratio" : ratio(programs[i], row))
	}
	sub(/ +$/, "", out)
	print out
}

function print_table(way, figure, title, i, names)
{
	print "\n" title
	print_row("rtt ms", "loss %", "")
	for (i = 1; i <= cell_count; i++) {
		split(cells[i], names, ":")
		print_row(names[1], names[2], way "|" cells[i] "|" figure)
	}
}

function print_tables(i)
{
	printf "%s, commit %s, Linux %s, %s x %s\n", value(header[""], "date"),
		value(header[""], "commit"), value(header[""], "kernel"), value(header[""], "cores"),
		value(header[""], "cpu")
	printf "%s Mbit/s each way, queue of one round trip; medians (furthest of %s rounds); settings of this: %s\n",
		value(header[""], "mbit"), value(header[""], "rounds"),
		value(header[""], "env") == "" ? "none" : value(header[""], "env")
	for (i = 1; i <= way_count; i++) {
		print "\n== " about[ways[i]]
		print_table(ways[i], "goodput", "goodput, Mbit/s")
		print_table(ways[i], "short", "256 KiB on a new connection, ms")
		print_table(ways[i], "stall", "longest time without a byte, RTOs (most of all rounds)")
	}
}

# --- the plot: a panel for each way and round trip, losses side by side -------------------------

BEGIN {
	PANEL_W = 500
	PANEL_H = 190
	PLOT_H = 130
	BAR_W = 14
}

function log10(x)
{
	return log(x) / log(10)
}

# 0.1 Mbit/s is the floor: what is below is drawn there.
function height(mbit)
{
	return mbit <= 0.1 ? 0 : PLOT_H * log10(mbit / 0.1) / log10(value(header[""], "mbit") / 0.1)
}

function draw_scale(x, y, mbit)
{
	for (mbit = 0.1; mbit <= value(header[""], "mbit") + 0; mbit *= 10) {
		line(x, y + PLOT_H - height(mbit), x + PANEL_W - 60, y + PLOT_H - height(mbit),
			"stroke=\"#d8dee4\"")
		text(x - 6, y + PLOT_H - height(mbit) + 4, mbit,
			"text-anchor=\"end\" font-size=\"10\" fill=\"" FAINT "\"")
	}
}

function draw_bar(program, row, x, y, top, low)
{
	if (!counts[program, row])
		return
	top = height(median_of(program, row))
	rect(x, y + PLOT_H - top, BAR_W, top > 1 ? top : 1, colour[program])
	top = height(most_of(program, row))
	low = height(least_of(program, row))
	line(x + BAR_W / 2, y + PLOT_H - top, x + BAR_W / 2, y + PLOT_H - low, "stroke=\"" INK "\"")
}

function draw_panel(way, rtt, x, y, i, k, names, at)
{
	text(x, y - 8, rtt " ms, " (way == "sends" ? "ours sends" : "ours receives"),
		"font-size=\"13\" font-weight=\"600\"")
	draw_scale(x, y)
	at = x + 8
	for (i = 1; i <= cell_count; i++) {
		split(cells[i], names, ":")
		if (names[1] != rtt)
			continue
		for (k = 1; k <= program_count; k++)
			draw_bar(programs[k], way "|" cells[i] "|goodput", at + (k - 1) * BAR_W, y)
		text(at + program_count * BAR_W / 2, y + PLOT_H + 14,
			names[2] == "reorder" ? "reorder" : names[2] " %",
			"text-anchor=\"middle\" font-size=\"10\"")
		at += program_count * BAR_W + 16
	}
}

function draw_legend(i, x)
{
	x = MARGIN + 20
	for (i = 1; i <= program_count; i++) {
		rect(x, HEAD_H - 4, 10, 10, colour[programs[i]])
		text(x + 14, HEAD_H + 5, programs[i] == "this" ? "wg-tinyproxy" : programs[i], "")
		x += 120
	}
}

function plot(i, k, names, rtt_seen)
{
	begin_page("Goodput of one connection, Mbit/s", "medians and ranges, logarithmic; loss each way, " \
		"bottleneck of " value(header[""], "mbit") " Mbit/s with a queue of one round trip")
	draw_legend()
	page_y += 40
	for (i = 1; i <= cell_count; i++) {
		split(cells[i], names, ":")
		if (names[1] in rtt_seen)
			continue
		rtt_seen[names[1]] = 1
		for (k = 1; k <= way_count; k++)
			draw_panel(ways[k], names[1], MARGIN + 20 + (k - 1) * (PANEL_W + 20), page_y)
		page_y += PANEL_H
	}
	end_page(name ".svg")
}

END {
	print_tables()
	if (name != "")
		plot()
}
