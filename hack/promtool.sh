#!/usr/bin/env bash
# Prints the path of promtool, with which the alert rules are tested, and provides it if need be:
#   1. the one in the PATH;
#   2. what an earlier run built or unpacked;
#   3. Debian's package prometheus, unpacked beside the system: nothing is installed or started (a few seconds);
#   4. a build from the Go module github.com/prometheus/prometheus (about 5 minutes on two cores, once).
# Everything lives outside the repository: in $LATENCY_OPERATOR_CACHE, else the user's cache folder.
set -euo pipefail
: "${PROMETHEUS_VERSION:=0.316.0}" # the module's version of Prometheus 3.16
cache=${LATENCY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/latency-operator}
out=$cache/promtool

say() { echo "promtool: $*" >&2; }
found() { echo "$1"; exit 0; }

if path=$(command -v promtool); then found "$path"; fi
[ ! -x "$out/promtool" ] || found "$out/promtool"

mkdir -p "$out"
exec 9>"$out.lock"
flock 9 # two makes at once provide it once
[ ! -x "$out/promtool" ] || found "$out/promtool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

unpack() { timeout 120 apt-get download -qq prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool; }
if command -v apt-get dpkg-deb >/dev/null && (cd "$work" && { unpack || { timeout 120 apt-get update -qq && unpack; }; }) >&2 2>/dev/null; then
  mv "$work/usr/bin/promtool" "$out/promtool"
  found "$out/promtool"
fi

say "Debian's package prometheus cannot be had here: building promtool from its Go module into $out, once; this takes about 5 minutes on two cores"
GOBIN=$work GOFLAGS=-buildvcs=false GOWORK=off go install -ldflags='-s -w' "github.com/prometheus/prometheus/cmd/promtool@v$PROMETHEUS_VERSION" >&2
mv "$work/promtool" "$out/promtool"
found "$out/promtool"
