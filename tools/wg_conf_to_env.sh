#!/bin/sh
# SPDX-License-Identifier: MIT
# Turns a wg-quick style file into lines that the shell evaluates to wg-tinyproxy's variables:
#
#	vars=$(tools/wg_conf_to_env.sh wg0.conf) && eval "$vars" &&
#		LOCAL_PORT=... TARGET_HOST=... TARGET_PORT=... wg-tinyproxy
#
# A mistake prints nothing to stdout and ends with status 1, so that nothing half is evaluated. The
# variable in between makes the shell see that status: an eval of nothing succeeds.
#
# A value that the file lacks is unset, or off: what an earlier file left in the
# environment must not stay. What has no counterpart here (DNS, PostUp, Table, ...) is left out with
# a note on stderr. Notes and mistakes repeat nothing that could be a key in the wrong place.
set -eu

[ $# -eq 1 ] || {
	echo "usage: wg_conf_to_env.sh FILE" >&2
	exit 2
}
if [ -d "$1" ] || [ ! -r "$1" ]; then
	echo "wg_conf_to_env.sh: cannot read $1" >&2
	exit 1
fi

# Bytes, not characters: a stray Latin-1 comment must not end the run. The file comes on stdin,
# because awk takes an operand with a "=" for an assignment.
LC_ALL=C awk '
function say(text) { print "wg_conf_to_env.sh: line " NR ": " text | "cat >&2" }
function mistake(text) { say(text); mistakes++ }
function trim(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }

# The value in single quotes, which only a single quote ends. What the file does not have must not
# stay from an earlier one.
function emit(name,    text) {
	if (!(name in value)) {
		print "unset " name
		return
	}
	text = value[name]
	gsub(/'\''/, "'\''\\'\'''\''", text)
	print "export " name "='\''" text "'\''"
}

# What may be repeated of an address: nothing of another shape, or longer than IPv6 and its prefix.
function shown(item) {
	return item ~ /^[0-9A-Fa-f:.\/]+$/ && length(item) <= 43 ? ": " item : ""
}

# Appends the items of a list, which may go over several lines of the file.
function add_items(name, list,    items, count, i, item) {
	count = split(list, items, ",")
	for (i = 1; i <= count; i++) {
		item = trim(items[i])
		if (item == "") continue
		if (name == "WG_ADDRESS" && (item ~ /:/ ? v6++ : v4++) > 0) {
			say("note: a second address of its family is left out" shown(item))
			continue
		}
		if (name in value) value[name] = value[name] "," item
		else value[name] = item
	}
}

BEGIN {
	name_max = 20	# of the names that wg-quick knows, the longest has 19 letters; a key has 43
	value["WG_KEEPALIVE"] = "off"	# what wg-quick takes a file without one for
	names["interface privatekey"] = "WG_PRIVATE_KEY"
	names["interface address"] = "WG_ADDRESS"
	names["interface mtu"] = "WG_MTU"
	names["interface listenport"] = "WG_LISTEN_PORT"
	names["peer publickey"] = "WG_PUBLIC_KEY"
	names["peer presharedkey"] = "WG_PRESHARED_KEY"
	names["peer endpoint"] = "WG_ENDPOINT"
	names["peer allowedips"] = "WG_ALLOWED_IP"
	names["peer persistentkeepalive"] = "WG_KEEPALIVE"
}

NR == 1 { sub(/^\357\273\277/, "") }	# the byte order mark of UTF-8
{
	sub(/\r$/, "")
	sub(/#.*/, "")
	line = trim($0)
}
line == "" || line ~ /^;/ { next }

line ~ /^\[.*\]$/ {
	section = tolower(trim(substr(line, 2, length(line) - 2)))
	if (section == "peer" && ++peers == 2) mistake("a second [Peer]; wg-tinyproxy has one")
	if (section != "peer" && section != "interface") say("note: an unknown section is left out")
	next
}

{
	equals = index(line, "=")
	key = trim(substr(line, 1, equals - 1))
	# Not repeated: it is a key where a "=" was forgotten or a line wrapped, for then the first "="
	# found is the padding.
	if (key !~ /^[A-Za-z0-9]+$/ || length(key) > name_max) {
		mistake("neither a section nor \"Key = value\"")
		next
	}
	text = trim(substr(line, equals + 1))
	name = section " " tolower(key)
	if (!(name in names)) {
		if (section == "peer" || section == "interface" || section == "")
			say("note: left out: " key)
		next
	}
	name = names[name]
	if (name == "WG_ADDRESS" || name == "WG_ALLOWED_IP") add_items(name, text)
	else if (text != "") value[name] = text
}

END {
	if (peers == 0) mistake("the file ends without a [Peer]")
	close("cat >&2")
	if (mistakes > 0) exit 1
	emit("WG_PRIVATE_KEY")
	emit("WG_ADDRESS")
	emit("WG_MTU")
	emit("WG_LISTEN_PORT")
	emit("WG_PUBLIC_KEY")
	emit("WG_PRESHARED_KEY")
	emit("WG_ENDPOINT")
	emit("WG_ALLOWED_IP")
	emit("WG_KEEPALIVE")
}' <"$1"
