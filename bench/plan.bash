# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the files beside it
# What bench/run does in which order, and what fits into its time.
#
# The plan is a list of measurements, "ROUND ROLE LOAD CONNS PROGRAM" each. Within a round the
# programs take turns load by load, in odd rounds in one order and in even ones in the other, so
# that a machine that warms up or gets busy treats all alike.
#
# How long a measurement takes is known once it was made. Before each round but the first the plan
# is cut to what is left of the time, from its end: first the rounds of other programs, then those
# of ours.

AROUND_MS=1000 # to set up and tear down, as long as nothing is known

plan=()
declare -A took_ms # by "ROLE LOAD CONNS PROGRAM"

# LOAD:CONNS by role.
beside_peer="bulk_up:1 bulk_down:1 http:1 http:64 connect:8 idle:1000"
declare -A loads_of=(
	[pair]="bulk_up:1 bulk_down:1 bulk_up:8 bulk_down:8 bulk_up:64 bulk_down:64
		http:1 http:64 connect:8 idle:1000 idle:10000 start:1"
	[egress]=$beside_peer
	[ingress]="$beside_peer start:1"
)

# The limit program carries bulk data and nothing else; wireguard-go is set up by many commands.
can_do() { # PROGRAM LOAD
	case $1:$2 in
	limit:bulk_*) ;;
	limit:* | wireguard-go+haproxy:start) return 1 ;;
	esac
}

# Is the word among those of the list? An empty list has all.
listed() { # WORD LIST
	[[ -z $2 || " $2 " == *" $1 "* ]]
}

in_order() { # ROUND
	if (($1 % 2 == 1)); then cat; else tac; fi
}

# Every load of a role with every program, for one round.
plan_role() { # ROUND ROLE
	local item load program turns
	mapfile -t turns < <(printf '%s\n' "${programs[@]}" | in_order "$1")
	for item in ${loads_of[$2]}; do
		load=${item%:*}
		listed "$load" "$only" || continue
		for program in "${turns[@]}"; do
			[[ " ${roles_of[$program]} " == *" $2 "* ]] || continue
			can_do "$program" "$load" && plan+=("$1 $2 $load ${item#*:} $program")
		done
	done
}

make_plan() { # ROUNDS ROLES
	local number role
	plan=()
	for ((number = 1; number <= $1; number++)); do
		for role in $2; do plan_role "$number" "$role"; done
	done
}

is_own_item() { # ITEM
	[[ $1 == *" pair "* && $1 =~ \ (this|this-epoll|baseline|limit)$ ]]
}

# Keeps the items for which the command fails.
drop_items() { # COMMAND...: is given an item behind its arguments
	local item kept=()
	for item in "${plan[@]}"; do "$@" "$item" || kept+=("$item"); done
	plan=("${kept[@]}")
}

plan_ms() {
	local item sum=0
	for item in "${plan[@]}"; do sum=$((sum + ${took_ms[${item#* }]:-load_ms + AROUND_MS})); done
	echo "$sum"
}

is_of_round() { # ROUND other|all ITEM
	[[ $3 == "$1 "* ]] || return 1
	[[ $2 == all ]] || ! is_own_item "$3"
}

# Cuts the plan to the milliseconds, but not within the round that is about to begin.
fit_plan() { # MILLISECONDS ROUND
	local number whose before
	for whose in other all; do
		for ((number = rounds; number > $2; number--)); do
			(($(plan_ms) > $1)) || return 0
			before=${#plan[@]}
			drop_items is_of_round "$number" "$whose"
			((${#plan[@]} == before)) || leave_out "round $number of $whose programs" \
				"no more than $limit_s s in all"
		done
	done
}

# --- telling about it ---------------------------------------------------------------------------

clock() { # MILLISECONDS
	printf '%d:%02d' $(($1 / 60000)) $(($1 / 1000 % 60))
}

progress() {
	if [[ -t 2 ]]; then printf '\r\e[K%s' "$*" >&2; else echo "$*" >&2; fi
}

progress_of_plan() { # WHAT
	local left_ms done_ms=$(((EPOCHSECONDS - began_at_s) * 1000))
	left_ms=$(plan_ms)
	progress "[$((done_ms * 100 / (done_ms + left_ms + 1)))%, $(clock "$left_ms") left] $*"
}

# What the reader of the table has to know: said at once, and again behind the table.
remarks=()
remark() { # "LEFT OUT"|"TRIED AGAIN" WHAT WHY
	remarks+=("$1: $2: $3")
	progress "$1: $2: $3"
	[[ ! -t 2 ]] || echo >&2
}

leave_out() { remark "LEFT OUT" "$@"; } # WHAT WHY
