# imgopt. `make help` lists the targets; people and CI use the same ones.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# pinned: the libvips that Next.js uses, from npm. system: the distribution's (8.14 or newer).
VIPS ?= pinned
PORT ?= 3000
ADMIN_PORT ?= 9090
FUZZTIME ?= 60s
SOAK ?= 20m

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO := . scripts/env && go
LDFLAGS := -s -w -X main.version=$(VERSION)
export VIPS

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: deps
deps: ## install what a build needs (libvips from npm, or the distribution's with VIPS=system)
	@scripts/deps

.PHONY: build
build: deps ## build bin/imgopt
	@scripts/build "$(LDFLAGS)"

.PHONY: run
run: build ## build and start the service with testdata/images as its origin, and print urls to try
	@scripts/run $(PORT) $(ADMIN_PORT)

.PHONY: test
test: build ## install what the tests need and run them all, the differential test against Next.js included
	@scripts/test-deps
	@$(GO) test -count=1 ./...
	@$(GO) -C bench/plot test -count=1 -timeout 5m ./...
	@$(MAKE) --no-print-directory e2e stress

.PHONY: unit
unit: deps ## only the tests that need no other program
	@$(GO) test ./...

.PHONY: race
race: deps ## the unit tests under the race detector
	@$(GO) test -race ./...

.PHONY: e2e
e2e: build ## the same requests to the real Next.js and to imgopt: everything must be equal
	@scripts/test-deps
	@e2e/setup
	@$(GO) test -tags e2e -count=1 -timeout 20m ./e2e/... ./prewarm/...

.PHONY: stress
stress: build ## hostile images, origins and clients, killed codecs, overload: nothing may hurt the service
	@scripts/test-deps
	@$(GO) test -tags e2e -count=1 -timeout 20m -skip TestSoak ./stress/...

.PHONY: soak
soak: build ## an endurance run of SOAK (default 20m): memory, goroutines and descriptors stay flat
	@export SOAK=$(SOAK); $(GO) test -tags e2e -count=1 -timeout 0 -v -run TestSoak ./stress/...

.PHONY: recipes
recipes: build ## every recipe in deploy/, and the commands of the READMEs as a new user types them (root; minutes the first time)
	@deploy/validate/install
	@$(GO) -C deploy/validate test -count=1 -timeout 30m ./...
	@scripts/recipes

.PHONY: lint
lint: deps ## gofmt, go vet, staticcheck, shell syntax, things that must not be in the repository
	@scripts/lint

.PHONY: fuzz
fuzz: deps ## every fuzz target for FUZZTIME (default 60s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: build ## imgopt beside Next.js and other optimizers, an hour on a quiet machine; results in bench/results
	@bench/run

.PHONY: bench-quick
bench-quick: build ## the same with few images and short runs, in .build/bench/quick: it shows that all works, not how fast
	@bench/run -quick -out .build/bench/quick

.PHONY: images
images: deps ## make testdata/images anew and say what changed
	@$(GO) run ./testdata/generate

.PHONY: clean
clean: ## remove everything that was built or installed inside the repository
	@rm -rf bin .build deps/libvips/node_modules e2e/next/node_modules e2e/next/.next-* e2e/next/.assets e2e/next/public e2e/next/next-env.d.ts e2e/results \
		bench/peers/{node_modules,.next,next-env.d.ts} bench/quality/node_modules \
		e2e/browser/app/{node_modules,.next-*,.assets,.remote,public,next-env.d.ts}
