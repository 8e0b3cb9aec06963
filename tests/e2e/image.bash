# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154,SC2034 # variables are shared with the scripts
# Our program from its container image: lib.bash sources this when E2E_IMAGE names one, and then all
# scripts run it as a strict pod would, under podman and runc. It is who the image says, its root file
# system is read-only, and it has no capability nor a way to get any. E2E_IMAGE_SECCOMP: a seccomp
# profile in place of podman's own, which refuses io_uring.

# Locked memory and files as on a node; podman's own limits may be above those that we have.
container=(podman --runtime runc run --rm --log-driver none --read-only
	--cap-drop all --security-opt no-new-privileges --ulimit memlock=8388608:8388608
	--ulimit nofile=16384:16384 --ulimit nproc=1024:1024)
[[ -z ${E2E_IMAGE_SECCOMP-} ]] || container+=(--security-opt "seccomp=$E2E_IMAGE_SECCOMP")

# A container takes a second of the processor to start, and podman seconds to do what is asked of it
# beside others.
PATIENCE=4 AT_ONCE=6

# In place of lib.bash's. podman passes signals, output and exit status on.
proxy() { # NAME PREFIX-ARRAY VARIABLE=VALUE...
	local -n where=$2
	local name=$1 variable network=host resolv_conf given=()
	for variable in LOG_LEVEL="${E2E_LOG_LEVEL:-info}" "${@:3}"; do given+=(--env "$variable"); done
	# The prefix of a network namespace: ip netns exec NAME.
	if [[ ${where[*]} == "ip netns exec "* ]]; then
		network=ns:/run/netns/${where[3]}
		resolv_conf=/etc/netns/${where[3]}/resolv.conf
		[[ ! -e $resolv_conf ]] || given+=(--volume "$resolv_conf:/etc/resolv.conf:ro")
	fi
	rm -f "$CASE/$name.pid"
	start "$name" "${container[@]}" --network "$network" --pidfile "$CASE/$name.pid" "${given[@]}" "$E2E_IMAGE"
}

process_of() { # NAME
	local pid
	pid=$(cat "$CASE/$1.pid" 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == wg-tinyproxy ]] ||
		pid=${pid_of[$1]}
	echo "$pid"
}
