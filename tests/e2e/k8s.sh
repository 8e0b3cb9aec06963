#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# k8s/: every kustomization is rendered, checked by rules and schemas, and its container is run as a
# pod would run it: an empty root, its user, its variables, its mounted keys. No cluster is needed.
# shellcheck disable=SC2154 # set by the files that it sources
source tests/e2e/lib.bash
source tests/e2e/pair.bash

OLDEST=1.29 # the first Kubernetes with native sidecars switched on
NEWEST=1.37
rendered=$WORK/manifests

# --- tools --------------------------------------------------------------------------------------

# The first Python that has them: Debian's packages, or what `make deps-k8s` installs.
python_with() { # MODULES
	local candidate
	for candidate in "${K8S_PYTHON:-python3}" "$BUILD/k8s/bin/python3" build/k8s/bin/python3 \
		/usr/bin/python3; do
		"$candidate" -c "import $1" 2>/dev/null && echo "$candidate" && return
	done
	return 1
}

check_with() { # MODULES COMMAND ARGUMENT...
	local python
	python=$(python_with "$1") || skip "no Python with $1 (make deps-test deps-k8s)"
	"$python" -B tests/k8s/check.py "${@:2}" || die "tests/k8s/check.py $2"
}

check() { check_with yaml "$@"; } # COMMAND ARGUMENT...

# Kustomize 5 as itself or in kubectl: its command in $kustomize, empty without one.
find_kustomize() {
	local version
	kustomize=()
	version=$(kustomize version 2>/dev/null) && kustomize=(kustomize build)
	[[ $version == v5* ]] && return
	version=$(kubectl version --client 2>/dev/null | grep -i kustomize) && kustomize=(kubectl kustomize)
	[[ $version == *v5* ]] || kustomize=()
}

# A copy of k8s/ in which compositions of ours can stand beside what they are made of.
render_all() {
	local folder
	cp -r k8s "$WORK/k8s"
	mkdir "$rendered"
	compose egress-uring egress io-uring
	compose ingress-uring ingress io-uring
	compose sidecar-uring sidecar io-uring
	compose ingress-policy ingress network-policy
	for folder in egress ingress sidecar example monitoring egress-uring ingress-uring \
		sidecar-uring ingress-policy; do
		"${kustomize[@]}" "$WORK/k8s/$folder" >"$rendered/$folder.yaml" 2>>"$rendered/errors" ||
			echo "k8s/$folder is not rendered" >>"$rendered/errors"
	done
}

compose() { # NAME BASE COMPONENT
	mkdir "$WORK/k8s/$1"
	printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' \
		"resources: [../$2]" "components: [../components/$3]" >"$WORK/k8s/$1/kustomization.yaml"
}

need_rendered() {
	[[ ${#kustomize[@]} -gt 0 ]] || skip "no kustomize 5, and no kubectl with it"
}

# --- manifests ----------------------------------------------------------------------------------

case_rendered() {
	need_rendered
	! [[ -s $rendered/errors ]] || die "$(cat "$rendered/errors")"
}

case_rules() {
	need_rendered
	check rules "$rendered"/*.yaml
}

case_each_rule_can_fail() {
	need_rendered
	check violations "$rendered" tests/k8s/violations.yaml
}

case_kubernetes_types() {
	local version
	need_rendered
	for version in "$OLDEST" "$NEWEST"; do
		check_with kubernetes_validate schemas "$version" "$rendered"/*.yaml
	done
	sed 's/periodSeconds: 2$/periodSecond: 2/' "$rendered/sidecar.yaml" >"$CASE/typo.yaml"
	! (check_with kubernetes_validate schemas "$NEWEST" "$CASE/typo.yaml") || die "a typo passes"
}

case_custom_types() {
	need_rendered
	check_with yaml,jsonschema custom tests/k8s/custom.yaml "$rendered"/*.yaml
	sed 's/interval: /intervall: /' "$rendered/monitoring.yaml" >"$CASE/typo.yaml"
	! (check_with yaml,jsonschema custom tests/k8s/custom.yaml "$CASE/typo.yaml") ||
		die "a typo passes"
}

case_alerts() {
	need_rendered
	command -v promtool >/dev/null || skip "no promtool"
	check alerts "$rendered/monitoring.yaml" >"$CASE/alerts.yaml"
	promtool check rules "$CASE/alerts.yaml"
}

# Who has no Prometheus Operator finds the same in the documentation.
case_alerts_are_documented() {
	local name expression
	need_rendered
	check alerts "$rendered/monitoring.yaml" list >"$CASE/alerts"
	[[ -s $CASE/alerts ]] || die "no alerts"
	while IFS=$'\t' read -r name expression; do
		grep -qF "| \`$name\` | \`$expression\` |" docs/operations.md || die "$name: $expression"
	done <"$CASE/alerts"
}

# What the alerts ask for is what the program tells.
case_alerts_name_our_metrics() {
	local name
	need_rendered
	pair_up
	answers 200 here "$health_egress" /metrics || die "no /metrics"
	grep -o '\bw\(g_tinyproxy\|ireguard\)_[a-z_]*' "$rendered/monitoring.yaml" | sort -u >"$CASE/names"
	[[ -s $CASE/names ]] || die "no alert has a metric of ours"
	while read -r name; do
		grep -q "^# TYPE $name " "$CASE/body" || die "/metrics has no $name"
	done <"$CASE/names"
}

case_image_is_this_version() {
	local version
	need_rendered
	version=$(wg-tinyproxy --version)
	! grep -h 'image: .*wg-tinyproxy' "$rendered"/*.yaml | grep -v ":${version##* }$" ||
		die "not ${version##* }"
}

case_seccomp_profile() {
	local name
	need_rendered
	name=$(sed -n 's/.*localhostProfile: //p' "$rendered"/*-uring.yaml | sort -u)
	[[ $(grep -l "localhostProfile: $name" "$rendered"/*.yaml | wc -l) == 3 ]] ||
		die "not in all three"
	[[ -e k8s/seccomp/$name ]] || skip "k8s/seccomp/$name is not there"
	python3 -m json.tool "k8s/seccomp/$name" >/dev/null || die "$name is no JSON"
}

# --- what runs in the pod -----------------------------------------------------------------------

# A root file system as the image has it, and what is mounted there: $CASE/POD, its variables in
# $CASE/POD.env.
use_container() { # OVERLAY POD SECRETS
	[[ $(id -u) == 0 ]] || skip "only root can make the container's root"
	! readelf -l "$WORK/bin/wg-tinyproxy" | grep -q INTERP || skip "this build is not static"
	mkdir -p "$CASE/$2"
	chmod 0755 "$CASE" "$CASE/$2"
	check container "$rendered/$1.yaml" "$2" "$3" "$CASE/$2" >"$CASE/$2.env"
	install -m 0755 "$WORK/bin/wg-tinyproxy" "$CASE/$2/"
}

# The same with what a user has to add: an overlay's Secret with these keys, and settings.
container() { # OVERLAY POD PRIVATE-KEY PRESHARED-KEY
	sed -e "s|<private key[^>]*>|$3|" -e "s|<preshared key>|$4|" "k8s/$1/secret.example.yaml" \
		>"$CASE/$2.secret"
	use_container "$1" "$2" "$CASE/$2.secret"
	# Each overlay has the last word on what it sets.
	sed -i -e '1i WG_PUBLIC_KEY='"${public_of[peer]}" -e '1i WG_ENDPOINT=vpn.example.org:51820' \
		-e '1i TARGET_HOST=10.77.0.5' -e '1i TARGET_PORT=80' "$CASE/$2.env"
}

# The command that runs it: $as_pod.
container_command() { # POD [VARIABLE=VALUE...]
	local variables
	mapfile -t variables <"$CASE/$1.env"
	as_pod=("$(command -v env)" -i "${variables[@]}" "${@:2}" "$(command -v chroot)"
		--userspec="$UNPRIVILEGED:$UNPRIVILEGED" --groups= "$CASE/$1" /wg-tinyproxy)
}

check_container() { # POD: its exit status and, in $CASE/said, what --check says of its variables
	container_command "$1"
	"${as_pod[@]}" --check >"$CASE/said" 2>&1
}

# Each pod finds its own key and has its own address.
case_the_program_accepts_the_environment() {
	local overlay pod address
	need_rendered
	for name in us psk peer; do make_key "$name"; done
	while read -r overlay pod address; do
		container "$overlay" "$pod" "${key_of[us]}" "${key_of[psk]}"
		check_container "$pod" || die "$pod: $(cat "$CASE/said")"
		grep -qF "${public_of[us]}" "$CASE/said" || die "$pod: not its key: $(cat "$CASE/said")"
		grep -qx "WG_ADDRESS=$address" "$CASE/$pod.env" || die "$pod: not $address"
	done <<-'EOF'
		egress wg-egress-2 10.77.0.2
		egress wg-egress-3 10.77.0.3
		ingress wg-ingress-5b6c7d8e9f-abcde 10.77.0.100
		sidecar envoy-5b6c7d8e9f-abcde 10.77.0.200
	EOF
}

# --- README's quick start -----------------------------------------------------------------------

# What a cluster would get is kept: secret.yaml and manifests.yaml.
write_kubectl() {
	cat >"$CASE/bin/kubectl" <<-END
		#!/bin/bash
		case "\$*" in
		"apply -f "*) exec test -s "\$3" ;;
		"apply -k "*) exec "$(command -v kubectl)" kustomize "\$3" >"$CASE/manifests.yaml" ;;
		*" create secret "*) exec "$(command -v kubectl)" "\$@" --dry-run=client -o yaml >"$CASE/secret.yaml" ;;
		*" rollout status statefulset/"*) exec grep -qx "  name: \${5#*/}" "$CASE/manifests.yaml" ;;
		*) exit 1 ;;
		esac
	END
	chmod 0755 "$CASE/bin/kubectl"
}

# The commands as they stand there, but for the image and its registry, run by somebody who edits the
# file as it asks.
case_quick_start() {
	need_rendered
	command -v kubectl >/dev/null || skip "no kubectl"
	[[ $(id -u) == 0 ]] || skip "only root can make the container's root"
	make_key peer
	mkdir "$CASE/bin" "$CASE/user"
	write_kubectl
	sed -n '/^## Quick start: Kubernetes/,/^## /p' README.md | sed -n '/^```sh/,/^```/p' |
		grep -v '^```\|make image\|^buildah push' >"$CASE/commands"
	printf '#!/bin/sh\nsed -i "s|<public key of the server>|%s|" "$1"\n' "${public_of[peer]}" \
		>"$CASE/bin/editor"
	chmod 0755 "$CASE/bin/editor"
	cp -r k8s "$CASE/user/"
	ln -s "$(realpath "$BUILD")" "$CASE/user/build"
	# Where no program of ours has been installed.
	(cd "$CASE/user" && PATH=$CASE/bin:${PATH#"$WORK/bin:"} EDITOR=editor bash -e "$CASE/commands") >"$CASE/public"
	cp "$CASE/manifests.yaml" "$rendered/quick-start.yaml"
	use_container quick-start wg-egress-2 "$CASE/secret.yaml"
	check_container wg-egress-2 || die "$(cat "$CASE/said")"
	grep -qFf "$CASE/public" "$CASE/said" || die "not the key that was made: $(cat "$CASE/said")"
}

# Whoever applies an example as it is learns why nothing runs.
case_the_program_refuses_the_placeholders() {
	local overlay status
	need_rendered
	make_key peer
	for overlay in egress ingress sidecar; do
		container "$overlay" wg-egress-2 "<private key>" "<preshared key>"
		status=0
		check_container wg-egress-2 || status=$?
		[[ $status == 2 ]] || die "$overlay: status $status"
		grep -q 'WG_PRIVATE_KEY' "$CASE/said" || die "$overlay: $(cat "$CASE/said")"
		grep -q 'WG_PRESHARED_KEY' "$CASE/said" || die "$overlay: $(cat "$CASE/said")"
	done
}

# An egress and an ingress pod, each the other's server: settings of a user, and ports that are free.
start_pods() {
	local udp_egress udp_ingress name
	for name in egress ingress psk peer; do make_key "$name"; done
	udp_egress=$(free_port) udp_ingress=$(free_port)
	health_egress=$(free_port) health_ingress=$(free_port)
	dial=(127.0.0.1 "$(free_port)") target=(127.0.0.1 "$(free_port)")
	container egress wg-egress-2 "${key_of[egress]}" "${key_of[psk]}"
	container_command wg-egress-2 WG_PUBLIC_KEY="${public_of[ingress]}" \
		WG_LISTEN_PORT="$udp_egress" WG_ENDPOINT="127.0.0.1:$udp_ingress" \
		HEALTH_PORT="$health_egress" TARGET_HOST="${target[0]}" TARGET_PORT="${target[1]}"
	start egress "${as_pod[@]}"
	container ingress wg-ingress-0 "${key_of[ingress]}" "${key_of[psk]}"
	container_command wg-ingress-0 WG_PUBLIC_KEY="${public_of[egress]}" \
		WG_LISTEN_PORT="$udp_ingress" WG_ENDPOINT="127.0.0.1:$udp_egress" \
		HEALTH_PORT="$health_ingress" LOCAL_PORT="${dial[1]}" \
		TARGET_HOST=10.77.0.2 TARGET_PORT=80
	start ingress "${as_pod[@]}"
}

case_pods_carry_traffic() {
	need_rendered
	start_pods
	wait_for 10 "ingress to be ready" answers 200 here "$health_ingress" /health
	serve target traffic serve "${target[@]}"
	traffic bulk "${dial[@]}" conns=5 up=1000000 down=1000000
	grep -q "^Uid:.$UNPRIVILEGED" "/proc/${pid_of[egress]}/status" || die "not as $UNPRIVILEGED"
}

# With a tunnel, all that the manifests probe is green.
case_probes() {
	local path
	need_rendered
	start_pods
	wait_for 10 "egress to be ready" answers 200 here "$health_egress" /health
	while read -r path; do
		wait_for 10 "$path" answers 200 here "$health_egress" "$path"
	done < <(sed -n 's/^ *path: \(.*z\)$/\1/p' "$rendered/egress.yaml" | sort -u)
}

find_kustomize
[[ ${#kustomize[@]} == 0 ]] || render_all
run_cases "$@"
