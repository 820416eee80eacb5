#!/usr/bin/env bash
# Prints the folder that holds kube-apiserver, etcd and kubectl for tests and the demo, and makes it if need be:
#   1. $KUBEBUILDER_ASSETS, if it holds them;
#   2. what an earlier run built or downloaded;
#   3. setup-envtest's download;
#   4. a build from the Go modules k8s.io/kubernetes and go.etcd.io/etcd (about 6 minutes, once).
# Everything lives outside the repository: in $LATENCY_OPERATOR_CACHE, else the user's cache folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${K8S_VERSION:=1.37.2}" "${ETCD_VERSION:=3.7.3}"
cache=${LATENCY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/latency-operator}
out=$cache/k8s-$K8S_VERSION-etcd-$ETCD_VERSION
programs=(kube-apiserver etcd kubectl)

say() { echo "assets: $*" >&2; }
complete() { local p; for p in "${programs[@]}"; do [ -x "$1/$p" ] || return 1; done; }
found() { echo "$1"; exit 0; }

[ -z "${KUBEBUILDER_ASSETS:-}" ] || {
  complete "$KUBEBUILDER_ASSETS" && found "$KUBEBUILDER_ASSETS"
  say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks one of: ${programs[*]}; it is not used"
}
complete "$out" && found "$out"

mkdir -p "$cache"
exec 9>"$out.lock"
flock 9 # two makes at once build once
complete "$out" && found "$out"

if [ -z "${LATENCY_OPERATOR_NO_DOWNLOAD:-}" ]; then
  if dir=$(cd "$here/.." && timeout 120 go tool -modfile=hack/tools/go.mod setup-envtest use "${K8S_VERSION%.*}.x" --bin-dir "$cache/envtest" -p path 2>/dev/null) && complete "$dir"; then
    ln -sfn "$dir" "$out"
    found "$out"
  fi
fi

say "setup-envtest cannot download here: building Kubernetes $K8S_VERSION and etcd $ETCD_VERSION from their Go modules into $out, once; this takes about 6 minutes on two cores"
build=$cache/build-$K8S_VERSION-$ETCD_VERSION
mkdir -p "$build/kube" "$build/etcd" "$build/bin"
export GOFLAGS="-buildvcs=false" GOWORK=off

# k8s.io/kubernetes takes its staging modules by relative path: replace each with the published module of the same release.
cd "$build/kube"
if [ ! -s go.sum ]; then
  go_version=$(go env GOVERSION | sed 's/^go//; s/-.*//')
  printf 'module assets/kube\n\ngo %s\n\nrequire k8s.io/kubernetes v%s\n' "${go_version%.*}.0" "$K8S_VERSION" >go.mod
  src=$(go mod download -json "k8s.io/kubernetes@v$K8S_VERSION" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  sed -n 's|^\t\(k8s.io/[a-z0-9-]*\) => ./staging.*|\1|p' "$src/go.mod" |
    while read -r m; do printf 'replace %s => %s v0.%s\n' "$m" "$m" "${K8S_VERSION#1.}"; done >>go.mod
  cat >tools.go <<'GO'
//go:build tools

package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
GO
  go mod tidy >&2
fi
minor=${K8S_VERSION#1.}
ldflags="-s -w -X k8s.io/component-base/version.gitVersion=v$K8S_VERSION -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%.*}"
for p in kube-apiserver kubectl; do
  [ -x "$build/bin/$p" ] || { say "building $p"; go build -trimpath -ldflags "$ldflags" -o "$build/bin/$p" "k8s.io/kubernetes/cmd/$p" >&2; }
done

cd "$build/etcd"
[ -s go.sum ] || { printf 'module assets/etcd\n\ngo 1.26.0\n' >go.mod; go get -tool "go.etcd.io/etcd/server/v3@v$ETCD_VERSION" >&2; }
[ -x "$build/bin/etcd" ] || { say "building etcd"; go build -trimpath -ldflags "-s -w" -o "$build/bin/etcd" go.etcd.io/etcd/server/v3 >&2; }

rm -rf "$out"
mv "$build/bin" "$out" # all or nothing: an interrupted build is taken up where it was
rm -rf "$build"
found "$out"
