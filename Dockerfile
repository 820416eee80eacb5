# docker build .                       the operator
# docker build --target simulator .    a stand-in for SpreeDB, to try the operator without one
FROM --platform=$BUILDPLATFORM golang:1.26 AS builder
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY internal internal
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOFLAGS="-trimpath -buildvcs=false"

FROM builder AS build-simulator
RUN go build -ldflags "-s -w" -o /out/simulator ./cmd/simulator

FROM gcr.io/distroless/static:nonroot AS simulator
LABEL org.opencontainers.image.title="latency-operator simulator" \
      org.opencontainers.image.description="Answers like SpreeDB's latency API" \
      org.opencontainers.image.source="https://github.com/soundcheck-io/latency-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-simulator /out/simulator /simulator
USER 65532:65532
ENTRYPOINT ["/simulator"]

FROM builder AS build-manager
ARG VERSION=dev
RUN go build -ldflags "-s -w -X main.version=$VERSION" -o /out/manager ./cmd

# Runs under any user: it writes to its mounted volumes only.
FROM gcr.io/distroless/static:nonroot AS manager
ARG VERSION=dev
LABEL org.opencontainers.image.title="latency-operator" \
      org.opencontainers.image.description="Measures the latency of Sound Check's jobs" \
      org.opencontainers.image.source="https://github.com/soundcheck-io/latency-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build-manager /out/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
