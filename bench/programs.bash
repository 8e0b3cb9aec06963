# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the files beside it
# The programs that bench/run knows: where they are found, in which roles they can stand, and how
# each is told what we tell ours by variables.
#
#	this			  the build under test
#	this-epoll		  the same with IO_BACKEND=epoll
#	baseline		  another one, BASELINE=path
#	limit			  bench/limit.c: what this machine allows
#	netstack		  bench/peers/netstack: the engine of the Go proxies
#	wg-tinyproxy-go		  the Go tool of that name, with the same variables
#	wireproxy
#	onetun			  only ingress: it does not listen in the tunnel
#	wireguard-go+haproxy	  a TUN device, the kernel's TCP and a TCP proxy; needs root

all_programs=(this this-epoll limit baseline netstack wg-tinyproxy-go wireproxy onetun wireguard-go+haproxy)

declare -A roles_of=(
	[this]="pair egress ingress" [this-epoll]="pair" [limit]="pair"
	[baseline]="pair egress ingress"
	[netstack]="pair egress ingress" [wg-tinyproxy-go]="pair egress ingress"
	[wireproxy]="pair egress ingress" [onetun]="ingress"
	[wireguard-go+haproxy]="egress ingress"
)

is_ours() { [[ $program == this* || $program == baseline ]]; }

# --- finding them -------------------------------------------------------------------------------

# Copies it to where every user may run it; cargo and go install to folders beside the usual ones.
find_on_path() { # NAME
	local path
	path=$(PATH=$PATH:$HOME/.cargo/bin:$HOME/go/bin:${GOBIN:-} type -P "$1") || {
		echo "$1 is not on PATH"
		return
	}
	install -m 0755 "$path" "$WORK/bin/$1"
}

# Modules come through go's ordinary client, once; a newer toolchain is not fetched.
go_build() { # NAME PACKAGE
	local log=$WORK/$1.log
	command -v go >/dev/null || { echo "go is not installed" && return; }
	progress "building $1"
	(cd bench/peers/netstack && GOTOOLCHAIN=local \
		timeout 120 go build -buildvcs=false -o "$WORK/bin/$1" "$2") >"$log" 2>&1 ||
		echo "go build failed: $(tail -n 1 "$log")"
}

# The one that BENCH_WIREGUARD_GO names, else the current one, else that on PATH: Debian 12's is of
# 2022, before it learnt to send and receive trains, and would make a poor comparison.
find_wireguard_go() {
	local path=${BENCH_WIREGUARD_GO-}
	[[ -n $path || -n $(go_build wireguard-go golang.zx2c4.com/wireguard) ]] || return 0
	path=${path:-$(type -P wireguard-go)} || return 1
	install -m 0755 "$path" "$WORK/bin/wireguard-go"
}

find_limit() {
	if [[ -x $BUILD/release/bench/limit ]]; then
		install -m 0755 "$BUILD/release/bench/limit" "$WORK/bin/limit"
	else
		echo "$BUILD/release/bench/limit is not built"
	fi
}

# Prints why the program cannot run here; nothing when it can.
find_program() { # PROGRAM
	case $1 in
	this*) ln -sf wg-tinyproxy "$WORK/bin/$1" ;;
	baseline) install -m 0755 "$BASELINE" "$WORK/bin/baseline" 2>&1 ;;
	limit) find_limit ;;
	netstack) go_build netstack . ;;
	wireguard-go+haproxy) command -v haproxy >/dev/null || echo "haproxy is not installed" ;;
	*) find_on_path "$1" ;;
	esac
}

# --- starting them ------------------------------------------------------------------------------

# $program as END of the role, $WHERE a prefix of commands, with the variables of ours.
launch() { # END WHERE VARIABLE=VALUE...
	case $program in
	this) launch_by_variables "$@" "${extra_env[@]}" ;;
	this-epoll) launch_by_variables "$@" "${extra_env[@]}" IO_BACKEND=epoll ;;
	baseline | netstack | wg-tinyproxy-go) launch_by_variables "$@" ;;
	limit) launch_limit "$@" ;;
	wireproxy) launch_wireproxy "$@" ;;
	onetun) launch_onetun "$@" ;;
	wireguard-go+haproxy) launch_haproxy "$@" ;;
	esac
}

start_at() { # END WHERE COMMAND...
	local -n prefix=$2
	start "$1" "${prefix[@]}" "${as[@]}" "${@:3}"
}

launch_by_variables() { # END WHERE VARIABLE=VALUE...
	start_at "$1" "$2" env -i LOG_LEVEL=warn "${@:3}" "$WORK/bin/$program"
}

launch_limit() { # END WHERE VARIABLE=VALUE...
	local "${@:3}"
	local here_to=("$TARGET_HOST" "$TARGET_PORT")
	[[ $PROXY_MODE == egress ]] || here_to=("$LISTEN_ADDR" "$LOCAL_PORT")
	start_at "$1" "$2" "$WORK/bin/limit" "$PROXY_MODE" 127.0.0.1 "$WG_LISTEN_PORT" \
		"${WG_ENDPOINT%:*}" "${WG_ENDPOINT##*:}" "${here_to[@]}"
}

# https://github.com/windtf/wireproxy: sample config file
launch_wireproxy() { # END WHERE VARIABLE=VALUE...
	local WG_PRESHARED_KEY='' WG_LISTEN_PORT='' "${@:3}"
	{
		printf '[Interface]\nAddress = %s/32\nPrivateKey = %s\nMTU = 1420\n' \
			"$WG_ADDRESS" "$WG_PRIVATE_KEY"
		[[ -z $WG_LISTEN_PORT ]] || echo "ListenPort = $WG_LISTEN_PORT"
		printf '[Peer]\nPublicKey = %s\nEndpoint = %s\nAllowedIPs = %s\n' \
			"$WG_PUBLIC_KEY" "$WG_ENDPOINT" "$WG_ALLOWED_IP"
		echo 'PersistentKeepalive = 25'
		[[ -z $WG_PRESHARED_KEY ]] || echo "PresharedKey = $WG_PRESHARED_KEY"
		if [[ $PROXY_MODE == egress ]]; then
			printf '[TCPServerTunnel]\nListenPort = %s\n' "$LOCAL_PORT"
		else
			printf '[TCPClientTunnel]\nBindAddress = 127.0.0.1:%s\n' "$LOCAL_PORT"
		fi
		echo "Target = $TARGET_HOST:$TARGET_PORT"
	} >"$CASE/$1.conf"
	start_at "$1" "$2" "$WORK/bin/wireproxy" --silent --config "$CASE/$1.conf"
}

# https://github.com/aramperes/onetun: usage
launch_onetun() { # END WHERE VARIABLE=VALUE...
	local "${@:3}"
	start_at "$1" "$2" env ONETUN_PRIVATE_KEY="$WG_PRIVATE_KEY" "$WORK/bin/onetun" \
		"127.0.0.1:$LOCAL_PORT:$TARGET_HOST:$TARGET_PORT:TCP" --log error \
		--endpoint-addr "$WG_ENDPOINT" --endpoint-public-key "$WG_PUBLIC_KEY" \
		--source-peer-ip "$WG_ADDRESS" --keep-alive 25 --max-transmission-unit 1420
}

# A TUN device with our address, where our program would be.
launch_device() { # NAME VARIABLE=VALUE...
	local device=px$BASHPID "${@:2}"
	start "$1" "${at_proxy[@]}" env LOG_LEVEL=error wireguard-go -f "$device"
	wait_for 5 "wireguard-go" listens_to_wg "$device" "${at_proxy[@]}"
	wg set "$device" private-key "$CASE/us.key" peer "$WG_PUBLIC_KEY" \
		endpoint "$WG_ENDPOINT" allowed-ips "$WG_ALLOWED_IP" persistent-keepalive 25
	add_address "$proxy_ns" "$WG_ADDRESS/24" "$device"
	ip -n "$proxy_ns" link set "$device" mtu 1420 up
}

# As Debian configures them, but for the timeouts, which haproxy wants to be given.
launch_haproxy() { # END WHERE VARIABLE=VALUE...
	local at "${@:3}"
	members[$1]="$1-tunnel $1-haproxy"
	launch_device "$1-tunnel" "${@:3}"
	at=$WG_ADDRESS
	[[ $PROXY_MODE == egress ]] || at=127.0.0.1
	printf '%s\n' defaults '	mode tcp' '	timeout connect 5s' '	timeout client 1h' \
		'	timeout server 1h' 'listen forward' "	bind $at:$LOCAL_PORT" \
		"	server target $TARGET_HOST:$TARGET_PORT" >"$CASE/haproxy.cfg"
	start "$1-haproxy" "${at_proxy[@]}" haproxy -db -f "$CASE/haproxy.cfg"
}

# --- where they are -----------------------------------------------------------------------------

# The Go tool takes no WG_LISTEN_PORT.
udp_port() { # END VARIABLE=VALUE...
	local "${@:2}"
	if [[ $program == wg-tinyproxy-go ]]; then
		ss -Hlunp | sed -n "s/.*:\([0-9]*\) .*pid=${pid_of[$1]},.*/\1/p" | head -n 1
	else
		echo "$WG_LISTEN_PORT"
	fi
}

has_udp_port() { # END VARIABLE=VALUE...
	local port
	port=$(udp_port "$@")
	[[ -n $port && -n $(ss -Hlun "sport = :$port") ]]
}
