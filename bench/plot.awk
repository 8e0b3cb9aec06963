# SPDX-License-Identifier: MIT
# SVG plots of a result file of bench/run; bench/samples.awk and bench/svg.awk come first.
#
#	awk -v name=build/bench/run-DATE -f bench/samples.awk -f bench/svg.awk -f bench/plot.awk FILE
#
# writes NAME-cpu.svg, NAME-requests.svg, NAME-latency.svg and NAME-memory.svg: grids of panels,
# three in a row, each with one line per program. A panel without samples is not drawn.

BEGIN {
	COLUMNS = 3
	PANEL_W = (PAGE_W - 2 * MARGIN) / COLUMNS
	NAME_W = 150	# the programs' names, left of the bars
	VALUE_W = 58	# the numbers, right of them
	BAR_W = PANEL_W - NAME_W - VALUE_W
	LINE_H = 22
	BAR_H = 13
	dark["this"] = "#0b5fbf"
	light["this"] = "#8fbdf0"
	dark["baseline"] = "#1a7f64"
	light["baseline"] = "#93d1c0"
	DARK = "#7d8590"
	LIGHT = "#ccd1d7"
	LIMIT = "#c0392b"
}

# --- panels in rows -----------------------------------------------------------------------------

function end_row()
{
	page_y += row_h
	row_h = panel_column = 0
}

function row_title(title)
{
	end_row()
	line(MARGIN, page_y + 4, PAGE_W - MARGIN, page_y + 4, "stroke=\"#d0d7de\"")
	text(MARGIN, page_y + 24, title, "font-weight=\"600\" font-size=\"13\"")
	page_y += 32
}

# A panel's place: panel_x and panel_y are where its first bar begins.
function begin_panel(title, lines)
{
	if (panel_column == COLUMNS)
		end_row()
	panel_x = MARGIN + panel_column++ * PANEL_W
	panel_y = page_y + 24
	if (lines * LINE_H + 44 > row_h)
		row_h = lines * LINE_H + 44
	text(panel_x, page_y + 12, title, "font-size=\"13\"")
}

function label(program, y)
{
	text(panel_x + NAME_W - 8, y + BAR_H - 2, program == "this" ? "wg-tinyproxy" : program,
		"text-anchor=\"end\"" (program == "this" ? " font-weight=\"600\"" : ""))
}

# --- bars ---------------------------------------------------------------------------------------

# The sums over a figure's parts: total, least and most over the rounds, and the share of each part.
function sum_parts(program, prefix, count, i, k, row, sum, rounds)
{
	total = 0
	rounds = counts[program, prefix names[1]]
	for (i = 1; i <= count; i++)
		total += share[i] = median_of(program, prefix names[i])
	for (k = 1; k <= rounds; k++) {
		sum = 0
		for (i = 1; i <= count; i++)
			sum += samples[program, prefix names[i], k]
		if (k == 1 || sum < least)
			least = sum
		if (k == 1 || sum > most)
			most = sum
	}
}

function draw_range(from, to, y)
{
	line(from, y + BAR_H / 2, to, y + BAR_H / 2, "stroke=\"" INK "\"")
	line(from, y + 3, from, y + BAR_H - 3, "stroke=\"" INK "\"")
	line(to, y + 3, to, y + BAR_H - 3, "stroke=\"" INK "\"")
}

function draw_bar(program, y, scale, count, divisor, i, x, fill)
{
	label(program, y)
	x = panel_x + NAME_W
	for (i = 1; i <= count; i++) {
		fill = i == 1 ? dark[program] : light[program]
		rect(x, y, share[i] * scale, BAR_H, fill ? fill : i == 1 ? DARK : LIGHT)
		x += share[i] * scale
	}
	x = panel_x + NAME_W
	if (least < most)
		draw_range(x + least * scale, x + most * scale, y)
	text(x + (most > total ? most : total) * scale + 6, y + BAR_H - 2, short(total / divisor), "")
}

function short(x)
{
	return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.2f", x)
}

function draw_limit(x, count)
{
	line(x, panel_y - 4, x, panel_y + count * LINE_H - 4, "stroke=\"" LIMIT \
		"\" stroke-dasharray=\"4 3\" stroke-width=\"1.5\"")
}

# parts: the names of the figures that make up a bar, each divided by `divisor` to be shown.
function bars(title, place, parts, divisor, count, shown, i, n, program, largest, scale, limit)
{
	count = split(parts, names, " ")
	largest = shown = limit = 0
	for (i = 1; i <= program_count; i++) {
		program = programs[i]
		if (!counts[program, place names[1]])
			continue
		sum_parts(program, place, count)
		if (program == "limit")
			limit = total
		else
			shown++
		if (most > largest)
			largest = most
	}
	if (shown == 0)
		return
	scale = largest > 0 ? BAR_W / largest : 0
	begin_panel(title (limit ? sprintf(", limit %s", short(limit / divisor)) : ""), shown)
	n = 0
	for (i = 1; i <= program_count; i++) {
		program = programs[i]
		if (program == "limit" || !counts[program, place names[1]])
			continue
		sum_parts(program, place, count)
		draw_bar(program, panel_y + n++ * LINE_H, scale, count, divisor)
	}
	if (limit)
		draw_limit(panel_x + NAME_W + limit * scale, shown)
}

# --- latencies ----------------------------------------------------------------------------------

function log10(x)
{
	return log(x) / log(10)
}

function at_us(us)
{
	return panel_x + NAME_W + (log10(us) - from_decade) * decade_w
}

function decade_name(us)
{
	return us >= 1000000 ? us / 1000000 " s" : us >= 1000 ? us / 1000 " ms" : us " &#181;s"
}

function draw_decades(count, decade, x)
{
	for (decade = from_decade; decade <= to_decade; decade++) {
		x = panel_x + NAME_W + (decade - from_decade) * decade_w
		line(x, panel_y - 2, x, panel_y + count * LINE_H - 4, "stroke=\"#d8dee4\"")
		text(x, panel_y + count * LINE_H + 8, decade_name(10 ^ decade),
			"text-anchor=\"middle\" font-size=\"10\" fill=\"" FAINT "\"")
	}
}

function draw_latency(program, place, y, colour, middle)
{
	label(program, y)
	colour = dark[program] ? dark[program] : DARK
	middle = median_of(program, place "latency_us_p50")
	line(at_us(middle), y + 7, at_us(median_of(program, place "latency_us_p999")), y + 7,
		"stroke=\"" colour "\" stroke-width=\"2\"")
	dot(at_us(middle), y + 7, 5, colour)
	dot(at_us(median_of(program, place "latency_us_p99")), y + 7, 3.5, colour)
	dot(at_us(median_of(program, place "latency_us_p999")), y + 7, 2, colour)
	text(panel_x + NAME_W + BAR_W + 6, y + BAR_H - 2, short(middle), "")
}

# The decades that hold all of them; no time here is below a microsecond.
function latency_panel(title, place, i, n, shown, least_us, most_us, low, high)
{
	shown = 0
	for (i = 1; i <= program_count; i++) {
		if (!counts[programs[i], place "latency_us_p50"])
			continue
		low = median_of(programs[i], place "latency_us_p50")
		high = median_of(programs[i], place "latency_us_p999")
		if (shown++ == 0 || low < least_us)
			least_us = low
		if (shown == 1 || high > most_us)
			most_us = high
	}
	if (shown == 0)
		return
	begin_panel(title, shown + 0.6)
	from_decade = int(log10(least_us))
	to_decade = int(log10(most_us)) + 1
	decade_w = BAR_W / (to_decade - from_decade)
	draw_decades(shown)
	n = 0
	for (i = 1; i <= program_count; i++)
		if (counts[programs[i], place "latency_us_p50"])
			draw_latency(programs[i], place, panel_y + n++ * LINE_H)
}

# --- the four pages -----------------------------------------------------------------------------

BEGIN {
	role_title["pair"] = "Two of the same over loopback: client, ingress, tunnel, egress, server"
	role_title["egress"] = "Egress, the peer is wireguard-go"
	role_title["ingress"] = "Ingress, the peer is wireguard-go"
	role_ends["pair"] = "ingress egress"
	role_ends["egress"] = "egress peer"
	role_ends["ingress"] = "ingress peer"
	role_count = split("pair egress ingress", roles, " ")
	bulk_count = split("1 8 64", bulk_conns, " ")
	STACKED = "median and range; dark: ingress, or the proxy under test; light: egress, or its peer"
}

function has_rows(role, i)
{
	for (i = 1; i <= row_count; i++)
		if (part(rows[i], 1) == role)
			return 1
	return 0
}

# "figure_" before each end's name.
function figures_of(figure, role, ends, names)
{
	ends = role_ends[role]
	gsub(/ /, " " figure "_", ends)
	return figure "_" ends
}

function streams(count)
{
	return count == 1 ? "1 stream" : count " streams"
}

function bulk_row(role, direction, i)
{
	for (i = 1; i <= bulk_count; i++)
		bars((direction == "up" ? "client sends, " : "client receives, ") streams(bulk_conns[i]),
			role "|bulk_" direction "|" bulk_conns[i] "|", figures_of("cpu_s_per_gb", role), 1)
}

function cpu_page(i)
{
	begin_page("CPU seconds per gigabyte", STACKED "; dashed: the machine's limit")
	for (i = 1; i <= role_count; i++) {
		if (!has_rows(roles[i]))
			continue
		row_title(role_title[roles[i]])
		bulk_row(roles[i], "up")
		if (roles[i] == "pair")
			end_row()
		bulk_row(roles[i], "down")
	}
	end_row()
	end_page(name "-cpu.svg")
}

function requests_page(i, role)
{
	begin_page("CPU microseconds per request", STACKED)
	for (i = 1; i <= role_count; i++) {
		role = roles[i]
		if (!has_rows(role))
			continue
		row_title(role_title[role])
		bars("keep-alive, 1 connection", role "|http|1|", figures_of("cpu_us_per_request", role), 1)
		bars("keep-alive, 64 connections", role "|http|64|", figures_of("cpu_us_per_request", role), 1)
		bars("a connection each", role "|connect|8|", figures_of("cpu_us_per_connection", role), 1)
	}
	end_row()
	end_page(name "-requests.svg")
}

function latency_page(i, role)
{
	begin_page("Latency of a request", "large, middle and small dot: half, 99 % and 99.9 % of all " \
		"are answered by then; the number is the first, in &#181;s")
	for (i = 1; i <= role_count; i++) {
		role = roles[i]
		if (!has_rows(role))
			continue
		row_title(role_title[role])
		latency_panel("keep-alive, 1 connection", role "|http|1|")
		latency_panel("keep-alive, 64 connections", role "|http|64|")
		latency_panel("a connection each, 8 at a time", role "|connect|8|")
	}
	end_row()
	end_page(name "-latency.svg")
}

function memory_page(i, role, ends)
{
	begin_page("Resident memory", "median and range; two of the same: ingress dark, egress light")
	role_ends["egress"] = "egress"
	role_ends["ingress"] = "ingress"
	for (i = 1; i <= role_count; i++) {
		role = roles[i]
		if (!has_rows(role))
			continue
		row_title(role_title[role])
		bars("at the first byte, MiB", role "|start|1|", figures_of("rss_start_kib", role), 1024)
		bars("high water, 64 streams up, MiB", role "|bulk_up|64|", figures_of("rss_peak_kib", role),
			1024)
		bars("3 s later, MiB", role "|bulk_up|64|", figures_of("rss_after_kib", role), 1024)
		bars("high water, new connections, MiB", role "|connect|8|",
			figures_of("rss_peak_kib", role), 1024)
		bars("1,000 idle connections, KiB each", role "|idle|1000|",
			figures_of("rss_bytes_per_conn", role), 1024)
		bars("10,000 idle connections, KiB each", role "|idle|10000|",
			figures_of("rss_bytes_per_conn", role), 1024)
	}
	end_row()
	end_page(name "-memory.svg")
}

END {
	cpu_page()
	requests_page()
	latency_page()
	memory_page()
}
