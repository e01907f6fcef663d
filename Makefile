# Ticketbridge. `make help` lists what there is to do.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Nothing needs a C compiler but the race detector.
export CGO_ENABLED ?= 0

# What the contract must not break: its image when its names were frozen, or at the last release.
FROZEN_CONTRACT := proto/frozen.binpb
# How many inputs each fuzz target tries, or how long it runs (30s): then go test fails now and then, because its own time is up.
FUZZ_TIME ?= 20000x
# How long each attack of make attack lasts.
ATTACK_TIME ?= 60s

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Says which tests are left out where there is no PostgreSQL, PgBouncer, Node.js, gRPC for Python or nginx. With TEST_POSTGRES_REQUIRED and
# TEST_CLIENTS_REQUIRED they fail instead, and say so themselves.
say_skipped = { [[ -n "$${TEST_POSTGRES_URL:-}$${TEST_POSTGRES_REQUIRED:-}" ]] || deploy/find-postgres.sh >/dev/null 2>&1 || printf "%s\n" \
	"" \
	"*** THE TESTS WITH POSTGRESQL ARE SKIPPED: this machine has no PostgreSQL server." \
	"*** Install one (on Debian: apt-get install postgresql), which the tests then start themselves," \
	"*** or set TEST_POSTGRES_URL=postgres://user:password@host:port/database, with a user that may create databases." \
	"" >&2; \
	[[ -n "$${TEST_POSTGRES_REQUIRED:-}" ]] || PATH="$$PATH:/usr/sbin" command -v pgbouncer >/dev/null || printf "%s\n" \
	"" \
	"*** THE TESTS WITH A POOLER ARE SKIPPED: PgBouncer is missing; on Debian: apt-get install pgbouncer" \
	"" >&2; \
	[[ -n "$${TEST_CLIENTS_REQUIRED:-}" ]] || for find in clients/find-*.sh; do missing=$$($$find 2>&1 >/dev/null) || printf "%s\n" \
	"" \
	"*** SOME TESTS OF CLIENTS ARE SKIPPED: $$missing" \
	"" >&2; done; }

.PHONY: run
run: build ## Run both services on this machine, with embedded SQLite, until Ctrl-C
	@deploy/run-local.sh

.PHONY: run-postgres
run-postgres: build ## Run two of each service on this machine, with PostgreSQL on RUN_POSTGRES_PORT (5433), until Ctrl-C
	@deploy/run-postgres.sh

.PHONY: build
build: ## Build bin/gateway, bin/ticketsvc and bin/simulator
	@echo "building bin/gateway, bin/ticketsvc and bin/simulator (the first time takes some minutes)"
	@go build -o bin/ ./gateway/cmd/gateway ./ticketsvc/cmd/ticketsvc ./internal/cmd/simulator

.PHONY: test
test: ## Run all tests; those with PostgreSQL where that is installed, or on TEST_POSTGRES_URL
	@$(say_skipped)
	@echo "running all tests (the first time, building them takes some minutes)"
	@trap '$(say_skipped)' EXIT; status=0; go test -timeout 20m ./... || status=$$?; \
		go -C internal/tools test -timeout 20m ./... || status=$$?; exit $$status

# SQLite is C that was translated to Go, by modernc.org, with locks of its own. The race detector does not check it: with the check it takes
# three to five times as long.
race_flags = -race -gcflags=modernc.org/...=-race=false
# make race leaves these tests to make unraced. The first measure the memory of a process: the race detector keeps several bytes for each.
# The others start built programs, which have no race detector.
memory_tests = ^(TestRequestMemory_manyRequests|TestResponseMemory_nobodyReads|TestServer_memoryOfCallsBeforeTheirRequest|$\
	TestRequestBody_gzipBomb|TestStore_List_takesLittleMemory|TestStore_Append_loadsFewLargeTicketsAtOnce)$$
memory_packages = ./ticketsvc/internal/rpc ./ticketsvc/internal/sqlite ./ticketsvc/internal/postgres
program_packages = ./internal/e2e ./clients

.PHONY: race
race: ## Run the tests under the race detector, except those of make unraced; needs a C compiler
	@command -v "$$(go env CC)" >/dev/null || { echo "make race needs a C compiler: apt-get install gcc libc6-dev"; exit 1; }
	@$(say_skipped)
	@trap '$(say_skipped)' EXIT; export CGO_ENABLED=1; status=0; \
		go test $(race_flags) -timeout 20m -skip '$(memory_tests)' $$(go list ./... | grep -v -E '/(internal/e2e|clients)$$') || status=$$?; \
		go -C internal/tools test $(race_flags) -timeout 20m ./... || status=$$?; exit $$status

.PHONY: unraced
unraced: ## Run the tests that gain nothing from the race detector: of memory, and of built programs
	@$(say_skipped)
	@trap '$(say_skipped)' EXIT; status=0; go test -timeout 20m $(program_packages) || status=$$?; \
		go test -timeout 20m -run '$(memory_tests)' $(memory_packages) || status=$$?; exit $$status

# With TEST_POSTGRES_REQUIRED the benchmark fails where there is no PostgreSQL, as the tests do; otherwise it says what it leaves out.
build_bench = go -C internal/tools build -o "$(CURDIR)/bin/bench" ./bench
bench = bin/bench --gateway bin/gateway --ticketsvc bin/ticketsvc $${TEST_POSTGRES_REQUIRED:+--postgres}
bench_reads = bin/bench reads --ticketsvc bin/ticketsvc $${TEST_POSTGRES_REQUIRED:+--postgres}
# What the order of ticketsvc's log costs on PostgreSQL: the ratio that it prints is "ordered/unordered".
bench_ordering = go test -timeout 10m -run '^$$' -bench '^BenchmarkOrdering$$' ./ticketsvc/internal/postgres

.PHONY: bench
bench: build ## Measure what deliveries and reads cost, with a million tickets and a thousand watchers; takes some twenty minutes
	@$(build_bench)
	@status=0; $(bench) || status=$$?; $(bench_ordering) -benchtime 7x || status=$$?; $(bench_reads) || status=$$?; exit $$status

.PHONY: profile
profile: build ## Update the profile that the gateway is compiled with (default.pgo): runs the benchmark, takes a minute
	@$(build_bench)
	@folder=$$(mktemp -d); trap 'rm -r "$$folder"' EXIT; \
		go build -trimpath -o "$$folder/gateway" ./gateway/cmd/gateway; \
		bin/bench --gateway "$$folder/gateway" --ticketsvc bin/ticketsvc --rounds 1 --profile-dir "$$folder" || true; \
		go tool pprof -proto "$$folder"/*-gateway.pprof > gateway/cmd/gateway/default.pgo

.PHONY: bench-quick
bench-quick: build ## Run the benchmark in its short form, which only shows that it works
	@$(build_bench)
	@$(bench) --quick
	@$(bench_ordering) -short -benchtime 1x
	@$(bench_reads) --quick

.PHONY: fuzz
fuzz: ## Run every fuzz target on FUZZ_TIME inputs
	@grep --include='*_test.go' -r -o -E '^func Fuzz\w+' gateway ticketsvc internal | sort | while IFS=: read -r file target; do \
		package=./$$(dirname "$$file") target=$${target#func }; \
		echo "fuzzing $$package $$target with $(FUZZ_TIME)"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 1x "$$package" </dev/null || exit 1; \
	done

.PHONY: attack
attack: ## Attack both services for ATTACK_TIME each in every known way, beside good traffic; takes half an hour
	@go test -timeout 60m -count 1 -v -run '^TestAttacks_othersAreServed$$' ./internal/e2e -attack.time=$(ATTACK_TIME)

.PHONY: generate
generate: ## Generate gen/ and ticketsvc's code for each field from proto/, and docs/configuration.md from --help
	@echo "generating gen/, *_generated.go and docs/configuration.md (the first time, building buf takes a minute or two)"
	@go tool buf generate
	@go tool buf build -o - --as-file-descriptor-set | go -C internal/tools run ./ticketgen "$(CURDIR)"
	@$(MAKE) build
	@docs/generate-configuration.sh bin

tickets_proto := $(wildcard proto/allthings/ticket/v1/*.proto)
typescript := clients/typescript

.PHONY: client-typescript
client-typescript: $(typescript)/dist/src/main.js ## Make the TypeScript client, with its generated code; needs Node.js 20 or newer

$(typescript)/dist/src/main.js: $(typescript)/gen/allthings $(wildcard $(typescript)/src/*.ts $(typescript)/test/*.ts) \
		$(typescript)/tsconfig.json
	@clients/find-node.sh >/dev/null
	@$(typescript)/node_modules/.bin/tsc --project $(typescript)
	@touch $@

$(typescript)/gen/allthings: $(typescript)/node_modules/.package-lock.json $(typescript)/buf.gen.yaml buf.yaml $(tickets_proto)
	@echo "generating what the TypeScript client needs (the first time, building buf takes a minute or two)"
	@go tool buf generate --template $(typescript)/buf.gen.yaml
	@touch $@

$(typescript)/node_modules/.package-lock.json: $(typescript)/package-lock.json $(typescript)/package.json
	@clients/find-node.sh >/dev/null
	@echo "installing what the TypeScript client needs"
	@cd $(typescript) && npm ci --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

.PHONY: client-python
client-python: clients/python/allthings ## Make the generated code of the Python client; needs protoc, with gRPC's plugin for Python

clients/python/allthings: clients/python/buf.gen.yaml buf.yaml $(tickets_proto)
	@clients/find-python.sh >/dev/null
	@rm -rf $@
	@echo "generating what the Python client needs (the first time, building buf takes a minute or two)"
	@go tool buf generate --template clients/python/buf.gen.yaml
	@touch $@

.PHONY: check-generated
check-generated: generate ## Fail when a generated file is not up to date
	@git status --porcelain -- gen '*_generated.go' docs/configuration.md | { ! grep .; } || \
		{ echo "these generated files are not up to date: run make generate and commit them"; exit 1; }

# What is generated, or never changed, may have longer lines; so may tables of Markdown and tags of struct fields, which can't be wrapped.
long_lines = LC_ALL=C.UTF-8 git grep -InE '^.{141}' -- ':!gen' ':!*_generated.go' ':!*go.sum' ':!*package-lock.json' ':!*testdata*' \
	':!internal/testkit/samples' ':!ticketsvc/internal/postgres/schema.sql' | grep -vE '^[^:]+\.md:[0-9]+:\||`\w+:"'

.PHONY: lint
lint: ## Check the contract, the code's form, and what the analysers find
	@echo "buf lint and format"
	@go tool buf lint
	@go tool buf format --diff --exit-code
	@echo "buf breaking against $(FROZEN_CONTRACT)"
	@go tool buf breaking --against $(FROZEN_CONTRACT)
	@echo "gofmt"
	@gofmt -l $$(git ls-files '*.go') | { ! grep .; } || { echo "not formatted: run gofmt -w on these"; exit 1; }
	@echo "lines of at most 140 characters"
	@! $(long_lines) || { echo "longer: wrap these"; exit 1; }
	@echo "golangci-lint (the first time, building it takes some minutes)"
	@golangci=$$(go -C internal/tools tool -n golangci-lint); "$$golangci" run ./...; \
		cd internal/tools; "$$golangci" run --config ../../.golangci.yml ./...
	@! clients/find-python.sh >/dev/null 2>&1 || ! command -v mypy >/dev/null || { echo "mypy"; $(MAKE) client-python; \
		mypy --config-file clients/python/mypy.ini clients/python/follow_tickets.py clients/python/test/call.py; }

.PHONY: check
check: lint check-generated race unraced bench-quick ## Run what CI checks, except the short fuzzing (make fuzz)

.PHONY: clean
clean: ## Remove bin/ and data/
	@rm -rf bin data
