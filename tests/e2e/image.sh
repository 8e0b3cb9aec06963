#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The container image: what is in it, that it is the same from the same sources, and the end-to-end
# tests with the program run from it as a strict pod would (tests/e2e/image.bash), first with podman's
# seccomp profile, which leaves it epoll, then with ours, which admits io_uring. Also the program for
# arm64, under qemu. Images and containers are kept in a folder of this run.
# shellcheck disable=SC2154,SC2034 # set by, and for, the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

VERSION=$(wg-tinyproxy --version | cut -d' ' -f2)
MIB=$((1024 * 1024))
PROFILE=k8s/seccomp/wg-tinyproxy.json

printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' \
	"$WORK/storage" "$WORK/run" >"$WORK/storage.conf"
export CONTAINERS_STORAGE_CONF=$WORK/storage.conf
# Containers outlive a podman that was killed: those of this folder end with it.
trap '[[ ! -d $WORK/storage ]] || podman rm -f -a >/dev/null 2>&1; rm -rf "$WORK"' EXIT

# The make that may run this test has options of its own.
make_here() { env -u MAKEFLAGS -u MAKELEVEL make -s "$@"; }

image_id() { podman image inspect -f '{{.Id}}' "wg-tinyproxy:$VERSION"; }
about_image() { podman image inspect -f "$1" "$image"; } # FORMAT

# $image is what was built; $why is why there is none, or why it cannot be run.
build_image() {
	local tool
	why=
	for tool in buildah podman runc; do command -v $tool >/dev/null || why+="no $tool; "; done
	[[ $(id -u) == 0 ]] || why+="needs root; "
	why=${why%; }
	[[ -z $why ]] || return 0
	make_here -o "$BUILD/wg-tinyproxy" B="$BUILD" image >"$WORK/build.log" 2>&1 && image=$(image_id) || {
		echo "FAIL $SUITE.build: $(tail -n 3 "$WORK/build.log" | paste -sd' ')"
		exit 1
	}
	timeout 60 podman --runtime runc run --rm --network host --ulimit nofile=1024:1024 \
		--ulimit nproc=1024:1024 "$image" --version >"$WORK/run.log" 2>&1 ||
		why="podman does not run it here: $(tail -n 1 "$WORK/run.log")"
}

need_podman() { [[ -z $why ]] || skip "$why"; }

# --- the image ----------------------------------------------------------------------------------

# One program, which is everybody's to run and nobody's to change.
case_contents() {
	need_podman
	local folder
	folder=$(podman image mount "$image")
	[[ $(find "$folder" -mindepth 1 -printf '%m %U:%G %y %P\n') == "755 0:0 f wg-tinyproxy" ]] ||
		die "something else than the program: $(find "$folder" -mindepth 1 -ls)"
	cmp "$folder/wg-tinyproxy" "$BUILD/image/wg-tinyproxy"
	podman image unmount "$image" >/dev/null
	podman save -q -o "$CASE/image.tar" "$image"
	(($(stat -c %s "$CASE/image.tar") < 3 * MIB)) || die "$(stat -c %s "$CASE/image.tar") bytes"
}

case_configuration() {
	need_podman
	[[ $(about_image '{{.Config.User}}') == 65532:65532 ]]
	[[ $(about_image '{{.Config.Entrypoint}}') == '[/wg-tinyproxy]' ]]
	[[ $(about_image '{{index .Labels "org.opencontainers.image.version"}}') == "$VERSION" ]]
	[[ $(about_image '{{index .Labels "org.opencontainers.image.licenses"}}') == MIT ]]
	[[ $(about_image '{{.Created.Unix}}') == $(git log -1 --format=%ct 2>/dev/null || echo 0) ]]
}

# What manifests name is what `make image` makes.
case_manifests_name_it() {
	local file
	for file in k8s/components/pod/pod.yaml k8s/sidecar/envoy-proxy.yaml; do
		grep -q "image: wg-tinyproxy:$VERSION\$" "$file" || die "$file names another image"
	done
	grep -q "newTag: $VERSION\$" k8s/example/kustomization.yaml || die "the example names another tag"
}

# All that the image is made from, compiled elsewhere.
build_copy() { # FOLDER BUILD-FOLDER
	mkdir -p "$1"
	cp -R Makefile Containerfile src include third_party tools "$1/"
	make_here -j2 -C "$1" B="$2" LWIP_DIR="$(realpath "$BUILD/lwip")" SOURCE_DATE_EPOCH=1700000000 \
		image >"$1/log" 2>&1 || die "$(tail -n 3 "$1/log")"
	image_id
}

case_reproducible() {
	need_podman
	local one other
	one=$(build_copy "$CASE/one" build)
	other=$(umask 077 && TZ=Asia/Tokyo build_copy "$CASE/another/place" "$CASE/elsewhere")
	cmp "$CASE/one/build/image/wg-tinyproxy" "$CASE/elsewhere/image/wg-tinyproxy" ||
		die "two programs from the same sources"
	[[ $one == "$other" ]] || die "two images from the same sources: $one $other"
}

# --- as a strict pod runs it ----------------------------------------------------------------------

# The program under test is in its own words, and the kernel's, what a strict pod makes of it.
confined_on() { # BACKEND
	local status root
	E2E_IMAGE=$image
	source tests/e2e/image.bash
	pair_up
	serve target traffic serve "${target[@]}"
	traffic bulk "${dial[@]}" conns=10 up=$MIB down=$MIB random=1
	status=/proc/$(process_of egress)
	root=$(awk '$5 == "/" {print $6}' "$status/mountinfo")
	[[ $root == ro,* ]] || die "the root file system is $root"
	status=$(cat "$status/status")
	grep -qP '^Uid:\t65532\t65532\t65532\t65532$' <<<"$status" || die "another user: $status"
	grep -qP '^CapEff:\t0+$' <<<"$status" || die "capabilities: $status"
	grep -qP '^CapBnd:\t0+$' <<<"$status" || die "capabilities: $status"
	grep -qP '^NoNewPrivs:\t1$' <<<"$status" || die "may gain privileges: $status"
	grep -qP '^Seccomp:\t2$' <<<"$status" || die "no seccomp filter: $status"
	http here "$health_egress" /metrics >/dev/null
	grep -E "^wg_tinyproxy_.*backend=\"$1\".* 1\$" "$CASE/body" || die "not on $1: $(cat "$CASE/body")"
	stop egress
	[[ $exit_status == 0 ]] || die "ended with $exit_status"
}

case_confined_is_on_epoll() {
	need_podman
	confined_on epoll
}

# Why our profile cannot be shown, if so.
no_profile() {
	local disabled
	[[ -e $PROFILE ]] || { echo "no $PROFILE" && return; }
	disabled=$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)
	[[ $disabled == 0 ]] || echo "kernel.io_uring_disabled is $disabled"
}

case_admitted_is_on_io_uring() {
	need_podman
	[[ -z $(no_profile) ]] || skip "$(no_profile)"
	E2E_IMAGE_SECCOMP=$PROFILE
	confined_on uring
}

# What is run again, with the program from the image, on either profile. E2E_IMAGE_SUITES: other ones.
read -ra again <<<"${E2E_IMAGE_SUITES-pair peer_egress peer_ingress resilience health names metrics}"

all_in_image() {
	local name
	for name in "${again[@]}"; do
		env -u E2E_BACKEND E2E_IMAGE="$image" E2E_PAIR_BYTES=$((64 * MIB)) \
			E2E_BULK_BYTES=$((128 * MIB)) E2E_LONG=0 bash "tests/e2e/$name.sh" ||
			echo "FAIL $SUITE.$name: exit status $?"
	done
}

# Most of it is waiting: both profiles at a time.
suites() {
	if [[ -n $why ]]; then
		echo "SKIP $SUITE.end_to_end: $why"
		return
	fi
	all_in_image >"$WORK/confined" 2>&1 &
	if [[ -n $(no_profile) ]]; then
		echo "SKIP $SUITE.end_to_end_on_io_uring: $(no_profile)"
	else
		E2E_IMAGE_SECCOMP=$PROFILE all_in_image
	fi
	wait $!
	cat "$WORK/confined"
}

# --- arm64 ----------------------------------------------------------------------------------------

qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64)

# $arm64: the program. Its libraries come from the Debian mirror.
need_arm64() {
	[[ -n $qemu ]] || skip "no qemu-aarch64-static"
	command -v aarch64-linux-gnu-gcc >/dev/null || skip "no aarch64-linux-gnu-gcc"
	make_here B="$BUILD" "$BUILD/arm64/have-sysroot" >"$CASE/sysroot.log" 2>&1 ||
		skip "no libraries for arm64: $(tail -n 1 "$CASE/sysroot.log")"
	make_here -j2 -o "$BUILD/have-lwip" B="$BUILD" arm64 >"$CASE/make.log" 2>&1 ||
		die "$(tail -n 3 "$CASE/make.log")"
	arm64=$BUILD/arm64/image/wg-tinyproxy
}

case_arm64_commands() {
	local key
	need_arm64
	[[ $("$qemu" "$arm64" --version) == "$(wg-tinyproxy --version)" ]]
	(($(stat -c %s "$arm64") < 3 * MIB)) || die "$(stat -c %s "$arm64") bytes"
	key=$("$qemu" "$arm64" genkey)
	[[ $("$qemu" "$arm64" pubkey <<<"$key") == $(wg-tinyproxy pubkey <<<"$key") ]]
}

# It at the egress, and ours for this machine at the other end: they have to agree on every byte.
case_arm64_pair() {
	need_arm64
	pair_prepare
	start egress env -i "${egress_env[@]}" "$qemu" "$arm64"
	wait_for 20 "egress to be ready" answers 200 here "$health_egress" /health
	start_ingress
	serve target traffic serve "${target[@]}"
	traffic bulk "${dial[@]}" conns=10 up=$MIB down=$MIB random=1 timeout_ms=60000
	http here "$health_egress" /metrics >/dev/null
	grep -q "engine=\"libsodium\".* 1\$" "$CASE/body" || die "another AEAD engine"
	kill "${pid_of[egress]}"
	expect_status egress 10 0
}

case_arm64_image() {
	need_podman
	need_arm64
	make_here -o "$BUILD/have-lwip" B="$BUILD" image-arm64 >"$CASE/image.log"
	[[ $(podman image inspect -f '{{.Os}}/{{.Architecture}}' "wg-tinyproxy:$VERSION-arm64") == linux/arm64 ]]
}

build_image
run_cases "$@"
[[ $# -gt 0 ]] || suites
