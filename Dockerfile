# docker build .                       the operator; `make docker-build` says which version it is, `make docker-buildx` builds it for every architecture
# docker build --target simulator .    a stand-in for SpreeDB, to try the operator without one
# docker build --target console .      the page of Sound Check: config/components/console
# docker build --target demo .         a stand-in for SpreeDB and for the Supabase project, with a PostgreSQL: config/overlays/demo
#
# The compiler runs on the machine that builds and compiles for the others: nothing is emulated. Go's version is exact, and
# paths and the repository's state stay out of the binary: the same commit gives the same bytes, those of `make build`.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS builder
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY internal internal
ARG TARGETOS
ARG TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOFLAGS="-trimpath -buildvcs=false"

FROM builder AS build-simulator
COPY config/supabase config/supabase
RUN go build -tags noembeddedpostgres -ldflags "-s -w" -o /out/simulator ./cmd/simulator

FROM gcr.io/distroless/static:nonroot AS simulator
LABEL org.opencontainers.image.title="latency-operator simulator" \
      org.opencontainers.image.description="Answers like SpreeDB's latency API" \
      org.opencontainers.image.source="https://github.com/soundcheck-io/latency-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-simulator /out/simulator /simulator
USER 65532:65532
ENTRYPOINT ["/simulator"]

FROM debian:trixie-slim AS demo
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/*
# The data that each start copies. initdb refuses to run as root, and as a user without a name, which is what a container has on
# OpenShift. Everybody may read it: nothing is in it yet.
RUN install -d -o postgres /usr/share/soundcheck && runuser -u postgres -- /usr/lib/postgresql/*/bin/initdb \
      -D /usr/share/soundcheck/database -U postgres --auth=trust --locale=C --encoding=UTF8 --wal-segsize=1 --no-instructions \
 && chmod -R a+rX /usr/share/soundcheck
LABEL org.opencontainers.image.title="latency-operator demo" \
      org.opencontainers.image.description="Stands in for SpreeDB and for the Supabase project, and starts demo jobs. Not for data that matter" \
      org.opencontainers.image.source="https://github.com/soundcheck-io/latency-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-simulator /out/simulator /simulator
USER 65532:0
ENTRYPOINT ["/simulator", "--template=/usr/share/soundcheck/database", "--data=/var/lib/soundcheck/database", "--supabase=:8000", "--jobs"]

# The page is the same on every architecture.
FROM --platform=$BUILDPLATFORM node:24.22.3-slim AS build-page
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-fund --no-audit
COPY web ./
RUN npm run build

FROM builder AS build-console
COPY web/embed.go web/embed.go
COPY --from=build-page /src/web/dist web/dist
ARG VERSION=dev
RUN go build -ldflags "-s -w -X main.version=$VERSION" -o /out/console ./cmd/console

FROM gcr.io/distroless/static:nonroot AS console
ARG VERSION=dev
LABEL org.opencontainers.image.title="Sound Check" \
      org.opencontainers.image.description="The page where latency jobs are started and watched" \
      org.opencontainers.image.source="https://github.com/soundcheck-io/latency-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY LICENSE /licenses/LICENSE
COPY --from=build-console /out/console /console
USER 65532:65532
ENTRYPOINT ["/console"]

FROM builder AS build-manager
ARG VERSION=dev
RUN go build -ldflags "-s -w -X main.version=$VERSION" -o /out/manager ./cmd

# Distroless static is the certificates that the web trusts, time zones and a few names: no shell, no package manager, no
# libc that would need an update. A UBI base would have to be given the certificates, and nothing here needs what it adds.
# Runs under any user: it writes to its mounted volumes only.
FROM gcr.io/distroless/static:nonroot AS manager
ARG VERSION=dev
LABEL org.opencontainers.image.title="latency-operator" \
      org.opencontainers.image.description="Measures the latency of Sound Check's jobs" \
      org.opencontainers.image.source="https://github.com/soundcheck-io/latency-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      name="latency-operator" vendor="Sound Check" version="$VERSION" release="1" \
      summary="Measures the latency of Sound Check's jobs" \
      description="Mirrors the jobs of Sound Check into LatencyJobs, polls SpreeDB for each at its cadence and stores the samples in Supabase." \
      io.k8s.display-name="Latency operator" \
      io.k8s.description="Mirrors the jobs of Sound Check into LatencyJobs, polls SpreeDB for each at its cadence and stores the samples in Supabase."
COPY LICENSE /licenses/LICENSE
COPY --from=build-manager /out/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
