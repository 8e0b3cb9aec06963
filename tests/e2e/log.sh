#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# LOG_FORMAT=json: every line is an object that a strict parser takes, from the first mistake in the
# configuration to the end.
# shellcheck disable=SC2154 # set by the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

# judge FILE EXPRESSION: true for `lines`, the objects of FILE in their order.
judge() {
	command -v python3 >/dev/null || skip "no python3 to judge by"
	python3 - "$@" <<-'END' || die "$(head -n 3 "$1")"
		import json, sys
		text = open(sys.argv[1], "rb").read().decode("utf-8")
		lines = [json.loads(line) for line in text.splitlines()]
		for line in lines:
		    assert list(line)[:2] == ["time", "level"] and list(line)[-1] == "message", line
		    assert all(isinstance(value, str) for value in line.values()), line
		assert eval(sys.argv[2]), sys.argv[2]
	END
}

case_events() {
	pair_up LOG_FORMAT=json LOG_LEVEL=debug
	serve target traffic serve "${target[@]}"
	traffic bulk "${dial[@]}" conns=2 up=1000 down=1000
	stop egress
	stop ingress
	judge "$CASE/egress.log" \
		'[line["event"] for line in lines if "event" in line] == ["sandbox", "start", "handshake", "draining", "ended"]'
	judge "$CASE/ingress.log" \
		'[line["endpoint"] for line in lines if line.get("event") == "handshake"][0].startswith("127.0.0.1:")'
}

# What others' dashboards stand on: new keys may be added here, none may go.
case_keys_are_stable() {
	pair_up LOG_FORMAT=json
	wait_for 10 "a handshake" logged egress '"event":"handshake"'
	stop egress
	judge "$CASE/egress.log" '{line["event"]: " ".join(list(line)[2:-1]) for line in lines if "event" in line} == {
		"sandbox": "event seccomp landlock",
		"start": "event version mode io_backend aead_engine",
		"handshake": "event endpoint",
		"draining": "event",
		"ended": "event",
	}'
}

case_keys_are_documented() {
	local word
	sed -n '/^\*\*Log\.\*\*/,/^$/p' README.md >"$CASE/told"
	# Of every LOG_FIELDS() the keys, and the names of events.
	grep -rhA3 'LOG_FIELDS({' src | grep -oE '\{"[a-z_]+", ("[a-z_]+")?' | grep -oE '[a-z_]+' | grep -vx event | sort -u >"$CASE/words"
	(($(wc -l <"$CASE/words") > 12)) || die "found few: $(xargs <"$CASE/words")"
	while read -r word; do
		grep -qF "\`$word\`" "$CASE/told" || die "README does not tell of $word"
	done <"$CASE/words"
}

case_silent_server() {
	pair_prepare
	start_egress LOG_FORMAT=json
	wait_for 10 "a warning" logged egress handshake_unanswered
	stop egress
	judge "$CASE/egress.log" \
		'[line["level"] for line in lines if line.get("event") == "handshake_unanswered"] == ["warn"]'
}

# A mistake repeats what was wrong, whatever that was.
case_mistakes_with_any_bytes() {
	local status=0
	env -i LOG_FORMAT=json WG_MTU=$'\x01\xff\xc3"\\\n' PROXY_MODE=$'\xed\xa0\x80' \
		LISTEN_ADDR=$'caf\xc3\xa9' "$WORK/bin/wg-tinyproxy" --check 2>"$CASE/mistakes" || status=$?
	((status == 2)) || die "status $status"
	judge "$CASE/mistakes" 'len(lines) > 5 and all(line["level"] == "error" for line in lines)'
	judge "$CASE/mistakes" 'any("caf\u00e9" in line["message"] for line in lines)'
}

# Who cannot say how it is to be written gets plain text.
case_unknown_format() {
	env -i LOG_FORMAT=xml "$WORK/bin/wg-tinyproxy" --check 2>"$CASE/mistakes" &&
		die "xml was accepted"
	grep -q 'error LOG_FORMAT "xml" is not known; accepted: text or json$' "$CASE/mistakes"
}

run_cases "$@"
