# Ticketbridge. `make help` lists what there is to do.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Nothing needs a C compiler but the race detector.
export CGO_ENABLED ?= 0

# What the contract must not break: the last release, or the commit before this one while there is none.
BREAKING_AGAINST ?= $(shell git describe --tags --abbrev=0 2>/dev/null || git rev-parse --verify --quiet HEAD~1 || git rev-parse HEAD)
# How long each fuzz target runs.
FUZZ_TIME ?= 30s

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Run both services on this machine, with embedded SQLite, until Ctrl-C
	@deploy/run-local.sh

.PHONY: build
build: ## Build bin/gateway, bin/ticketsvc and bin/simulator
	@echo "building bin/gateway, bin/ticketsvc and bin/simulator (the first time takes a minute or two)"
	@go build -o bin/ ./gateway/cmd/gateway ./ticketsvc/cmd/ticketsvc ./internal/cmd/simulator

.PHONY: test
test: ## Run all tests
	@echo "running all tests (the first time, building them takes some minutes)"
	@go test -timeout 10m ./...

.PHONY: race
race: ## Run all tests under the race detector; needs a C compiler
	@command -v "$$(go env CC)" >/dev/null || { echo "make race needs a C compiler: apt-get install gcc libc6-dev"; exit 1; }
	@CGO_ENABLED=1 go test -race -timeout 20m ./...

.PHONY: bench
bench: build ## Measure speed and memory against a bare handler; takes some minutes
	@go build -o bin/bench ./internal/cmd/bench
	@bin/bench --gateway bin/gateway --ticketsvc bin/ticketsvc

.PHONY: profile
profile: build ## Measure anew what the gateway is compiled for (default.pgo); takes a minute
	@go build -o bin/bench ./internal/cmd/bench
	@folder=$$(mktemp -d); trap 'rm -r "$$folder"' EXIT; \
		go build -trimpath -o "$$folder/gateway" ./gateway/cmd/gateway; \
		bin/bench --gateway "$$folder/gateway" --ticketsvc bin/ticketsvc --rounds 1 --profile-dir "$$folder" || true; \
		go tool pprof -proto "$$folder"/*-gateway.pprof > gateway/cmd/gateway/default.pgo

.PHONY: bench-quick
bench-quick: build ## Run the benchmark in its short form, which only shows that it works
	@go build -o bin/bench ./internal/cmd/bench
	@bin/bench --gateway bin/gateway --ticketsvc bin/ticketsvc --quick

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZ_TIME
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "fuzzing $$package $$target for $(FUZZ_TIME)"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) $$package; \
		done; \
	done

.PHONY: generate
generate: ## Generate gen/ from proto/
	@echo "generating gen/ (the first time, building buf takes a minute or two)"
	@go tool buf generate

.PHONY: check-generated
check-generated: generate ## Fail when gen/ is not what proto/ gives
	@git status --porcelain -- gen | { ! grep .; } || { echo "gen/ is not what proto/ gives: run make generate and commit gen/"; exit 1; }

.PHONY: lint
lint: ## Check the contract, the code's form, and what the analysers find
	@echo "buf lint and format"
	@go tool buf lint
	@go tool buf format --diff --exit-code
	@echo "buf breaking against $(BREAKING_AGAINST)"
	@go tool buf breaking --against '.git#ref=$(BREAKING_AGAINST)'
	@echo "gofmt"
	@gofmt -l $$(git ls-files '*.go') | { ! grep .; } || { echo "not formatted: run gofmt -w on these"; exit 1; }
	@echo "go vet"
	@go vet ./...
	@echo "staticcheck"
	@go tool staticcheck ./...

.PHONY: check
check: lint check-generated test race bench-quick ## What CI checks, but for a moment of fuzzing (make fuzz)

.PHONY: clean
clean: ## Remove bin/ and data/
	@rm -rf bin data
