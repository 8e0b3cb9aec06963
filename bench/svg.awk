# SPDX-License-Identifier: MIT
# A page of SVG, for the scripts that plot; bench/samples.awk comes first. The page is PAGE_W wide, and
# page_y is how far down it is full.

BEGIN {
	PAGE_W = 1080
	MARGIN = 28
	HEAD_H = 92
	INK = "#1c2128"
	FAINT = "#6e7781"
}

function text(x, y, what, style)
{
	body = body sprintf("<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, style, what)
}

function rect(x, y, w, h, fill)
{
	body = body sprintf("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
		x, y, w, h, fill)
}

function line(x1, y1, x2, y2, style)
{
	body = body sprintf("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2,
		y2, style)
}

function dot(x, y, r, fill)
{
	body = body sprintf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n", x, y, r, fill)
}

function begin_page(title, legend)
{
	body = ""
	page_y = HEAD_H
	text(MARGIN, 36, title, "font-size=\"20\" font-weight=\"600\"")
	text(MARGIN, 58, legend, "fill=\"" FAINT "\"")
	text(MARGIN, 76, value(header[""], "date") ", commit " value(header[""], "commit") ", " \
		value(header[""], "cores") " x " value(header[""], "cpu") ", Linux " \
		value(header[""], "kernel"), "fill=\"" FAINT "\"")
}

function end_page(file)
{
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" " \
		"font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"%s\">\n" \
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n%s</svg>\n", PAGE_W, page_y + 8,
		INK, body >file
	close(file)
}
