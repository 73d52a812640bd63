# overcast for Go. `make` alone lists what there is.

GO      ?= go
LAB     := .build/lab
# Run by itself and not by "go tool", which keeps signals from it.
GINKGO  := .build/ginkgo
# Packages that need neither libvirt nor Linux: docs/compatibility.md says so.
PORTABLE := ./fixture ./hocon ./matchers ./mount ./provider ./strategy ./suite ./suite/testify
# Everything that needs no hypervisor: all packages but the suites of the lab.
UNIT    := $(shell $(GO) list ./... 2>/dev/null | grep -vE '/itest$$|/itest/outside$$')

# Database of known vulnerabilities. A mirror is as good: a URL or file:///FOLDER.
VULNDB  ?= https://vuln.go.dev

.DEFAULT_GOAL := help
.PHONY: help deps build test demo examples examples-lab pristine-seeds reference itest itest-fast itest-other itest-cloud faults kills lab-test bench bench-parts lint vulnerabilities lab-shell clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install the system packages that are missing (Debian, as root)
	@./itest/lab/deps.sh build lab

# Part of deps: what it takes to compile.
.PHONY: deps-build
deps-build:
	@./itest/lab/deps.sh build

build: deps-build ## build everything, and the command overcast into .build/
	$(GO) build -o .build/ ./...

test: deps-build ## all tests that need no hypervisor, with the race detector
	$(GO) test -race $(UNIT)

demo: deps $(LAB) $(GINKGO) ## the test of README.md with a small guest, shown step by step, in the lab (as root)
	$(LAB) sh -ec 'cd examples/demo && exec ../../$(GINKGO) -v .'

examples: deps-build ## the examples, each a module of its own, without the lab
	@for dir in examples/*/; do \
		(cd $$dir && $(GO) vet ./... && $(GO) mod tidy -diff && $(GO) test -count=1 ./...) || exit 1; \
	done

examples-lab: deps $(LAB) $(GINKGO) ## the examples with real guests, in the lab (as root)
	$(LAB) sh -ec 'for dir in examples/*/; do cd $$dir; \
		if grep -q RunSpecs *_test.go; then ../../$(GINKGO) -p --randomize-all .; else $(GO) test -count=1 ./...; fi; cd ../..; done'

# 1 to 10 where nothing else is said: make pristine-seeds SEEDS="7 8"
SEEDS   ?= 1 2 3 4 5 6 7 8 9 10

pristine-seeds: deps $(LAB) $(GINKGO) ## examples/pristine in 10 random orders, in one process and in two (as root)
	cd examples/pristine && $(GO) test -c -o $(CURDIR)/.build/pristine.test .
	OVERCAST_CONF=$(CURDIR)/examples/pristine/overcast.conf $(LAB) sh -ec 'for procs in 1 2; do for seed in $(SEEDS); do \
		$(GINKGO) --procs=$$procs --seed=$$seed --randomize-all --no-color .build/pristine.test; done; done'

reference: deps-build ## compare package hocon with the reference implementation (as root, installs a JDK)
	@./itest/lab/deps.sh reference
	HOCON_REFERENCE=/usr/share/java/typesafe-config.jar $(GO) test -count=1 ./hocon

# A selection and a load: see TestBenchmark.
bench: deps $(LAB) ## compare overcast with libvirt by hand: prints a table and writes BENCHMARKS.md, in the lab (as root)
	BENCH=$(CURDIR)/BENCHMARKS.md $(LAB) $(GO) test -v -count=1 -timeout 60m -run '^TestBenchmark$$' ./itest

bench-parts: deps $(LAB) ## benchmarks of single parts, those of clones in the lab (as root)
	$(GO) test -run '^$$' -bench . ./hocon
	$(LAB) $(GO) test -run '^$$' -bench 'Clone|Pool' -benchtime 10x ./itest
	$(LAB) $(GO) test -run '^$$' -bench 'Warm$$|Revert($$|Memory|Hosts)' -benchtime 10x ./itest
	LAB_DEBIAN=1 $(LAB) $(GO) test -run '^$$' -bench WarmSystemd -benchtime 4x ./itest
	$(LAB) $(GO) test -run '^$$' -bench '^BenchmarkMemory|RevertGrowth' -benchtime 1x ./itest
	$(LAB) $(GO) test -run '^$$' -bench FourProcesses -benchtime 5x ./itest
	$(LAB) $(GO) test -run '^$$' -bench 'CachedLayer|Import|ColdCache' -benchtime 5x ./itest
	$(GO) test -run '^$$' -bench Adapter -benchtime 50x ./suite

itest: deps $(LAB) $(GINKGO) ## the main job: real guests in a private libvirt (as root)
	: > .build/first-failures
	LAB_DEBIAN=1 $(LAB) $(GINKGO) -p --flake-attempts=2 --timeout=2h ./itest; status=$$?; cat .build/first-failures; exit $$status

itest-fast: deps $(LAB) $(GINKGO) ## the specs with the label fast: clones, addresses, mappings, teardown (as root)
	: > .build/first-failures
	$(LAB) $(GINKGO) -p --flake-attempts=2 --label-filter fast ./itest; status=$$?; cat .build/first-failures; exit $$status

itest-other: deps ## itest-fast in a root of another release of Debian: 13 on Debian 12, else 12 (as root)
	./itest/lab/on-debian.sh $$(. /etc/os-release; test "$$VERSION_CODENAME" = bookworm && echo trixie || echo bookworm) make itest-fast

itest-cloud: deps $(LAB) $(GINKGO) ## specs that take minutes where guests are emulated: a cloud image, systemd guests with addresses of their own (as root)
	LAB_CLOUD=1 LAB_DEBIAN=1 $(LAB) $(GINKGO) --focus 'a host of a cloud image|systemd-networkd, in three processes have addresses|on a remote hypervisor with systemd' ./itest

faults: deps $(LAB) $(GINKGO) ## make each libvirt call of a set-up and teardown fail, hang or lose its connection (as root)
	ITEST_FAULTS=1 $(LAB) $(GINKGO) -p --label-filter faults ./itest

# 100 where nothing else is said: make kills KILLS=300
KILLS   ?= 100

kills: deps $(LAB) $(GINKGO) ## kill 100 runs of a small suite, 100 of checkpoints and reverts, and 100 of warm set-ups, at random moments (as root)
	ITEST_KILLS=$(KILLS) $(LAB) $(GINKGO) -v --focus 'small suite that is killed|killed at any moment of' ./itest

lab-test: deps ## the tests of the lab (as root)
	$(GO) test -count=1 ./itest/outside

# A cross build has no cgo, so a package that imports libvirt fails it.
.PHONY: portable
portable: ## compile the packages that need neither libvirt nor Linux for other systems
	@for system in windows/amd64 darwin/arm64 linux/arm64; do \
		CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} $(GO) build $(PORTABLE) || { echo "these must compile for $$system: $(PORTABLE)"; exit 1; }; \
	done

lint: deps-build portable vulnerabilities ## formatting, vet, other systems, staticcheck, tidy modules, guides, licenses, vulnerabilities
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	$(GO) test ./docs ./internal/licenses

# The version is that of the tool; the database is always the newest.
vulnerabilities: ## known vulnerabilities of the dependencies, where the database can be reached
	@if curl -sfo /dev/null --max-time 10 $(VULNDB)/index/db.json; then \
		$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 -db $(VULNDB) ./...; \
	else \
		echo "govulncheck: skipped: $(VULNDB) cannot be reached: run make vulnerabilities where it can"; \
	fi

lab-shell: deps $(LAB) ## a shell in the lab, to look around with virsh and ssh
	$(LAB) $${SHELL:-/bin/sh}

clean: ## remove what was built here
	rm -rf .build artifacts

# go build knows best whether something has changed.
.PHONY: $(LAB) $(GINKGO)
$(LAB):
	@$(GO) build -o $@ ./itest/lab
$(GINKGO):
	@$(GO) build -o $@ github.com/onsi/ginkgo/v2/ginkgo
