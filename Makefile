# Bare `make` lists the targets. CI calls these and nothing else (see .ci/run).

GO         ?= go
FUZZTIME   ?= 100000x # a number of runs: until Go 1.27 a time may end in "context deadline exceeded" with nothing found (go.dev/issue/75804)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
TOOLS       = $(CURDIR)/.tools
PEERS       = $(GO) -C bench/peers # the rivals' module; cgo
REAL        = ./internal/eventfile ./bench/... # whose tests know shards of 10,000 positions; all others are run with the tag smallshards, in which a store of a few dozen events has packs
STEPPING    = ./internal/step ./internal/storage ./wal ./internal/pack ./ledger ./recovery ./projection # whose tests, with the tag crashlab, watch the order of the steps

.DEFAULT_GOAL := help
.PHONY: help run test test-short crash crash-tools mutants check format vet lint cross fuzz bench bench-report bench-compare bench-floors bench-strategies clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the demo: a course enrolment under load, killed and recovered, in ./demo-data (ARGS="--events 10000")
	$(GO) build -o bin/opossum ./cmd/opossum
	./bin/opossum demo --dir demo-data $(ARGS)

# CI lets no test off for a missing file system.
test: $(if $(CI),$(if $(filter Linux,$(shell uname -s)),crash-tools)) ## all tests, with the race detector and in shuffled order
	$(GO) test -race -shuffle=on -timeout 15m -tags smallshards $$($(GO) list ./... | grep -vx "$$($(GO) list $(REAL))")
	$(GO) test -race -shuffle=on -timeout 15m $(REAL)
	$(GO) test -run 'RealShards' .
	$(GO) test -tags crashlab -short $(STEPPING)
	$(GO) test -tags crashlab,smallshards -run '^Test(Root|Pack)Steps' .
	$(PEERS) test -race -shuffle=on -timeout 5m ./...

test-short: ## a quick pass without the race detector
	$(GO) test -short -tags smallshards $$($(GO) list ./... | grep -vx "$$($(GO) list $(REAL))")
	$(GO) test -short $(REAL)
	$(GO) test -tags crashlab -short $(STEPPING)
	$(GO) test -tags crashlab,smallshards -short -run '^Test(Root|Pack)Steps' .

crash: crash-tools ## the crash lab, in the size of CI: power cuts, replayed disks, I/O errors, kills, rot, sabotages (Linux, root)
	$(GO) run ./crashlab ci

crash-tools: ## install the file systems that the crash lab formats, if they are missing (apt or dnf)
	@missing=; for tool in mkfs.ext4 mkfs.xfs mkfs.btrfs; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	test -n "$$missing" || exit 0; echo "missing:$$missing"; \
	if command -v apt-get >/dev/null; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy e2fsprogs xfsprogs btrfs-progs; \
	elif command -v dnf >/dev/null; then dnf install -qy e2fsprogs xfsprogs btrfs-progs; \
	else echo "install mkfs.ext4, mkfs.xfs and mkfs.btrfs: the crash lab needs them" >&2; exit 1; fi

mutants: ## small bugs, one at a time: do the tests notice? (Linux; half an hour; MUTANTS="--sample 20 wal")
	$(GO) run ./crashlab/mutate $(MUTANTS)

check: format vet lint cross ## format, vet, lint, and the builds for other systems

format: ## fail if a file is not gofmt-ed
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not gofmt-ed:"; echo "$$files"; exit 1; }

vet: ## go vet
	$(GO) vet ./...
	$(GO) vet -tags crashlab,smallshards ./...
	$(PEERS) vet ./...

lint: ## staticcheck, at the pinned version
	@test -x $(TOOLS)/$(STATICCHECK) || { \
		mkdir -p $(dir $(TOOLS)/$(STATICCHECK)) && GOBIN=$(TOOLS) $(GO) install $(STATICCHECK) && \
		mv $(TOOLS)/staticcheck $(TOOLS)/$(STATICCHECK); }
	$(TOOLS)/$(STATICCHECK) ./...
	$(TOOLS)/$(STATICCHECK) -tags crashlab,smallshards ./...
	cd bench/peers && $(TOOLS)/$(STATICCHECK) ./...

cross: ## compile and vet for macOS and Windows
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...

# What is new is made small in ten steps, not for up to a minute (Go's default), in which a target is hardly fuzzed.
fuzz: ## every fuzz target for FUZZTIME each
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "fuzz $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
		done; \
	done

bench: ## what durability costs, five ways, and what reads cost beside a scan and a map in memory
	$(GO) run ./bench/table
	$(GO) run ./bench/table --reads

bench-report: ## the whole report, beside rivals, with pictures, in ./bench-report (ARGS=--quick: does it work here? 3 minutes)
	$(GO) run ./bench $(ARGS)

bench-compare: ## the benchmarks of REF=commit beside those of the files as they are, in turn (ARGS="--bench 'Append/way=opossum'")
	@test -n "$(REF)" || { echo "which commit? make bench-compare REF=main" >&2; exit 2; }
	$(GO) run ./bench/compare $(ARGS) $(REF)

bench-floors: ## appends beside the bare log, at 1 to 1,024 writers
	$(GO) run ./bench/table --floors

bench-strategies: ## what each flush strategy costs, beside the bare file and a file per event
	$(GO) run ./bench/table --strategies --rounds 5 --seconds 0.7

clean: ## remove what run, lint and the benchmarks leave behind
	rm -rf bin demo-data .tools bench-data bench-report crash-report.json crash-report.md
