# latency-operator. `make help` lists what there is to do. Needs Go, make and bash; every other tool is built from its
# Go module at a pinned version.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE   := ghcr.io/soundcheck-io/latency-operator# the name in config/manager
IMG     ?= $(IMAGE):$(VERSION)
DEMO_IMG ?= $(IMAGE)-demo:$(VERSION)
CONSOLE_IMG ?= $(IMAGE)-console:$(VERSION)
# What deploy, undeploy and build-installer take: config/overlays/openshift on OpenShift.
OVERLAY ?= config/default

CONTAINER_TOOL ?= docker
KUBECTL        ?= kubectl

TOOL           := go tool -modfile=$(CURDIR)/hack/tools/go.mod
CONTROLLER_GEN := $(TOOL) controller-gen
KUSTOMIZE      := $(TOOL) kustomize
GOVULNCHECK    := $(TOOL) govulncheck
CRD_REF_DOCS   := $(TOOL) crd-ref-docs
CYCLONEDX      := $(TOOL) cyclonedx-gomod
GOLANGCI_LINT  := go tool -modfile=$(CURDIR)/hack/tools/lint/go.mod golangci-lint

LDFLAGS   := -X main.version=$(VERSION)
# What ships is built like this, and like this in the Dockerfile: the same commit, with the same Go, gives the same bytes.
GOBUILD   := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w $(LDFLAGS)'
# The time of every file in an image: that of the commit.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
GENERATED := 'api/*/zz_generated.*.go' api/applyconfiguration config/crd/bases docs/api.md
# The race detector needs a C compiler; Go turns cgo off where it finds none.
RACE      := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

##@ General

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*##"; printf "\nUsage: make \033[36m<target>\033[0m\n"} \
		/^[a-zA-Z0-9_-]+:.*?##/ {printf "  \033[36m%-19s\033[0m %s\n", $$1, $$2} \
		/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)}' $(MAKEFILE_LIST)

##@ See it work

.PHONY: demo
demo: ## Run the whole system on this machine, without a cluster, and open its page. DEMO_FOR=60s ends it by itself, DEMO_SIGN_IN=true has the page ask for a sign-in.
	@$(MAKE) web || echo 'demo: the page could not be built; everything else works without it' >&2
	@exec go run -ldflags '$(LDFLAGS)' ./hack/demo

.PHONY: test
test: assets ## Run all tests. TESTFLAGS are handed to go test.
	@$(if $(RACE),,echo 'test: no C compiler here, so the race detector stays off')
	@export KUBEBUILDER_ASSETS=$$(hack/assets.sh); go test $(RACE) -timeout 15m $(TESTFLAGS) ./...

# Which cluster, how images get into it, and which overlay: hack/e2e/doc.go. With kind:
#   kind create cluster && make test-e2e E2E_LOAD='kind load docker-image "$IMAGE"'
# Its $IMAGE is for the shell: make takes what it is given here as it is written.
override E2E_BUILD := $(value E2E_BUILD)
override E2E_LOAD := $(value E2E_LOAD)
export E2E_BUILD E2E_LOAD E2E_IMG E2E_DEMO_IMG E2E_CONSOLE_IMG E2E_OVERLAY E2E_NAMESPACE E2E_KEEP CONTAINER_TOOL KUBECTL

.PHONY: test-e2e
test-e2e: ## Install the operator with the demo into the cluster in KUBECONFIG, try everything there, and remove it: some minutes.
	@go test -tags e2e -count 1 -timeout 30m -v $(E2EFLAGS) ./hack/e2e

.PHONY: chaos
chaos: assets ## Play every fault around the operator once, and prove that no sample was lost: some minutes.
	@exec go run ./hack/chaos

.PHONY: chaos-long
chaos-long: assets ## Play them at random for CHAOS_FOR=3h, after an hour without Supabase under full load.
	@exec go run ./hack/chaos --duration=$(or $(CHAOS_FOR),3h) --outage=$(or $(CHAOS_OUTAGE),1h)

# The loads of docs/performance.md: those about which something is promised, and smaller ones for the plot.
BENCHFLAGS ?= --targets --json=dist/bench.json --plot=dist/bench.svg --jobs=100,1000,5000,5000+500,20000,50000,3000@second

.PHONY: bench
bench: assets ## Measure the operator under the loads of docs/performance.md: half an hour. BENCHFLAGS=--help shows what else there is.
	@exec go run ./hack/bench $(BENCHFLAGS)

.PHONY: assets
assets: ## Provide kube-apiserver, etcd and kubectl for test and demo: minutes the first time, then nothing.
	@hack/assets.sh >/dev/null

##@ The page of Sound Check

# Node.js is found, or provided, by hack/node.sh.
NPM = path=$$($(CURDIR)/hack/node.sh) && cd web && PATH="$$path:$$PATH" npm

.PHONY: web
web: web/dist/index.html ## Build the page into web/dist, from where the console embeds it.

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@$(NPM) ci --no-fund --no-audit --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules/.package-lock.json $(shell find web/src web/public -type f) web/index.html web/vite.config.ts web/tsconfig.json
	@$(NPM) run build --silent

.PHONY: test-web
test-web: web ## Check and test the page: its rules and figures, then itself in Chromium against the system of make demo. WEBFLAGS go to Playwright.
	@$(NPM) run check --silent
	@$(NPM) test --silent
	@KUBEBUILDER_ASSETS=$$(hack/assets.sh); export KUBEBUILDER_ASSETS; $(NPM) exec -- playwright test $(WEBFLAGS)

##@ Development

.PHONY: generate
generate: ## Generate deep copies, apply configurations and docs/api.md from the API types.
	@$(CONTROLLER_GEN) object applyconfiguration paths=./api/...
	@$(CRD_REF_DOCS) --source-path=api/v1alpha1 --config=hack/apidocs/config.yaml --templates-dir=hack/apidocs/templates \
		--renderer=markdown --output-path=docs/api.md --log-level=ERROR

.PHONY: manifests
manifests: ## Generate the CRD from the API types.
	@$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases

.PHONY: dashboards
dashboards: ## Generate the dashboards and docs/metrics.md from the metrics.
	@go run ./hack/monitoring

.PHONY: fmt
fmt: ## Format the code and sort its imports.
	@$(GOLANGCI_LINT) fmt

.PHONY: vet
vet: ## Run go vet.
	@go vet -tags e2e ./...

.PHONY: lint
lint: ## Run golangci-lint, which also checks the format.
	@$(GOLANGCI_LINT) run

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what the code calls; skipped where the database cannot be reached.
	@if out=$$($(GOVULNCHECK) ./... 2>&1); then echo 'vuln: none'; \
	elif grep -q '^govulncheck: fetching vulnerabilities:' <<<"$$out"; then echo 'vuln: skipped, vuln.go.dev cannot be reached'; \
	else echo "$$out"; exit 1; fi

.PHONY: verify
verify: verify-generated verify-modules verify-manifests vet lint vuln ## Run every check but the tests, as CI does.

.PHONY: verify-generated
verify-generated: generate manifests ## Check that generated files are committed as they are generated.
	@changed=$$(git -c safe.directory='*' status --porcelain -- $(GENERATED)); \
	[ -z "$$changed" ] || { git -c safe.directory='*' --no-pager diff -- $(GENERATED); echo "$$changed"; \
		echo 'verify: commit what `make generate manifests` changed'; exit 1; }

.PHONY: verify-modules
verify-modules: ## Check that go.mod and go.sum are tidy.
	@for dir in . hack/tools hack/tools/lint hack/tools/scc; do (cd $$dir && go mod tidy -diff); done

.PHONY: verify-manifests
verify-manifests: ## Check that kustomize builds everything below config/ but components: go test ./config/components combines these.
	@for file in $$(grep -rL --include=kustomization.yaml '^kind: Component' config | sort); do $(KUSTOMIZE) build $$(dirname $$file) >/dev/null; done

.PHONY: verify-scc
verify-scc: ## Check that OpenShift's own admission lets the pods in as restricted-v2: minutes to compile, once.
	@cd hack/tools/scc && go test -count=1 ./... # kustomize reads the manifests, which the cache of go test does not know

.PHONY: verify-rules
verify-rules: ## Check the alert rules and play each in promtool, as make test does too.
	@go test -count=1 ./hack/monitoring -run Rules

##@ Build

.PHONY: build
build: ## Build bin/manager and bin/kubectl-soundcheck.
	@$(GOBUILD) -o bin/manager ./cmd
	@$(GOBUILD) -o bin/kubectl-soundcheck ./cmd/kubectl-soundcheck

.PHONY: build-console
build-console: web ## Build bin/console, with the page in it.
	@$(GOBUILD) -o bin/console ./cmd/console

.PHONY: verify-reproducible
verify-reproducible: build ## Build bin/manager again from a copy elsewhere, with an empty cache, and check that it is the same: some minutes.
	@copy=$$(mktemp -d); trap 'chmod -R u+w "$$copy"; rm -rf "$$copy"' EXIT; mkdir "$$copy/source"; \
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$$copy/source"; \
	(cd "$$copy/source" && GOCACHE="$$copy/cache" $(GOBUILD) -o "$$copy/manager" ./cmd); \
	sha256sum bin/manager "$$copy/manager"; cmp bin/manager "$$copy/manager"

# Each names the SHA-256 of its program, every module in it and the licences found there; page.cdx.json names the npm packages that
# bin/console serves to browsers. The same commit gives the same. Modules come from the cache: the build has filled it.
BOMS = manager kubectl-soundcheck console page

.PHONY: sbom
sbom: build build-console ## Write dist/NAME.cdx.json for manager, kubectl-soundcheck, console and page: what is in the programs, in CycloneDX.
	@mkdir -p dist
	@for name in $(filter-out page,$(BOMS)); do \
		out=$$(GOPROXY=off $(CYCLONEDX) bin -json -std -licenses -noserial -notimestamp -version $(VERSION) -output dist/$$name.cdx.json bin/$$name 2>&1) || { echo "$$out"; exit 1; }; \
	done
	@$(NPM) sbom --package-lock-only --omit=dev --sbom-format=cyclonedx | \
		sed '/^  "serialNumber": /d; /^    "timestamp": /d; s/\(soundcheck-web@\|^      "version": "\)0\.0\.0"/\1$(VERSION)"/' >../dist/page.cdx.json

.PHONY: run
run: ## Run the operator on this machine with the variables of .env, against the cluster in KUBECONFIG.
	@set -a; [ ! -f .env ] || . ./.env; exec go run -ldflags '$(LDFLAGS)' ./cmd

.PHONY: docker-build
docker-build: ## Build the image IMG.
	@$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) --tag $(IMG) .

# With podman: podman build --platform $PLATFORMS --timestamp $SOURCE_DATE_EPOCH --build-arg VERSION=$VERSION --manifest $IMG .
# and podman manifest push --all $IMG; before podman 4.5, with --build-arg BUILDPLATFORM=linux/amd64 or whatever this machine is.
# Docker takes SOURCE_DATE_EPOCH from the environment.
PLATFORMS ?= linux/amd64,linux/arm64,linux/ppc64le,linux/s390x

BUILDX = docker buildx build --platform $(PLATFORMS) --build-arg VERSION=$(VERSION) --provenance=mode=max --sbom=true \
	--target $(1) --output type=image,name=$(2),push=true,rewrite-timestamp=true .

.PHONY: docker-buildx
docker-buildx: ## Build the image IMG for all PLATFORMS and push it, with its provenance and bill of materials attached.
	@$(call BUILDX,manager,$(IMG))

.PHONY: docker-buildx-console
docker-buildx-console: ## The same with the image CONSOLE_IMG.
	@$(call BUILDX,console,$(CONSOLE_IMG))

.PHONY: docker-build-demo
docker-build-demo: ## Build the image DEMO_IMG, which config/components/demo runs.
	@$(CONTAINER_TOOL) build --target demo --tag $(DEMO_IMG) .

.PHONY: docker-build-console
docker-build-console: ## Build the image CONSOLE_IMG, which config/components/console runs.
	@$(CONTAINER_TOOL) build --target console --build-arg VERSION=$(VERSION) --tag $(CONSOLE_IMG) .

.PHONY: docker-push
docker-push: ## Push the image IMG.
	@$(CONTAINER_TOOL) push $(IMG)

.PHONY: build-installer
build-installer: ## Write dist/install.yaml: OVERLAY with the image IMG, in one file.
	@rm -rf dist/install && mkdir -p dist/install
	@cd dist/install && $(KUSTOMIZE) create --resources ../../$(OVERLAY) && $(KUSTOMIZE) edit set image $(IMAGE)=$(IMG) $(IMAGE)-demo=$(DEMO_IMG) $(IMAGE)-console=$(CONSOLE_IMG) && \
		$(KUSTOMIZE) edit add label --without-selector app.kubernetes.io/version:$(VERSION)
	@$(KUSTOMIZE) build dist/install >dist/install.yaml

# With the Go of the Dockerfile, whatever this machine has, so that everybody gets the same bytes.
.PHONY: release
release: export GOTOOLCHAIN = go$(shell sed -n 's/^FROM .* golang:\([0-9.]*\) .*/\1/p' Dockerfile)
release: sbom ## Write dist/release: kubectl-soundcheck for every platform, the manifests with the image IMG, bills of materials, checksums.
	@rm -rf dist/release && mkdir -p dist/release && cp $(BOMS:%=dist/%.cdx.json) dist/release
	@for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		$(GOBUILD) -o "dist/release/kubectl-soundcheck-$$GOOS-$$GOARCH$$(go env GOEXE)" ./cmd/kubectl-soundcheck; \
	done
	@for overlay in default overlays/openshift cluster namespaced; do \
		$(MAKE) --no-print-directory build-installer OVERLAY=config/$$overlay; \
		cp dist/install.yaml "dist/release/latency-operator-$${overlay#*/}.yaml"; \
	done
	@cd dist/release && sha256sum * >SHA256SUMS && ls -l

##@ Deployment, to the cluster in KUBECONFIG

.PHONY: install
install: ## Install the CRD.
	@$(KUBECTL) apply -k config/crd

.PHONY: uninstall
uninstall: ## Remove the CRD and with it every LatencyJob. The jobs and samples in Supabase stay.
	@$(KUBECTL) delete --ignore-not-found -k config/crd

.PHONY: deploy
deploy: build-installer ## Install OVERLAY with the image IMG.
	@$(KUBECTL) apply -f dist/install.yaml

.PHONY: undeploy
undeploy: ## Remove OVERLAY: the operator, its namespace and every LatencyJob.
	@$(KUBECTL) delete --ignore-not-found -k $(OVERLAY)
