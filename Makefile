# A thin front: Meson and Ninja do the work, tools/ holds what is more than a line.
BUILD ?= build
MESON ?= meson
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
setup = tools/setup-build

.PHONY: all run test test-long fuzz lint bench coverage install uninstall clean format deps help
.NOTPARALLEL:

all: ## build build/release (what install installs)
	@tools/deps build
	@$(setup) $(BUILD)/release release
	@ninja -C $(BUILD)/release -j$(JOBS)

run: ## install what is missing, build, and show a mounted volume
	@tools/deps run
	@$(setup) $(BUILD)/release release
	@ninja -C $(BUILD)/release -j$(JOBS)
	@tools/run-demo $(BUILD)/release

test: ## every test of the fast tier, under ASan and UBSan
	@tools/deps test
	@tools/run-tests --build $(BUILD) -j $(JOBS) $(TESTS)

test-long: ## all tests, the long tier too, with a fresh seed
	@tools/deps test
	@tools/run-tests --build $(BUILD) -j $(JOBS) --long $(TESTS)

fuzz: ## the fuzzers for TIME seconds each (600), with libFuzzer where clang is installed; FUZZ="volume fuse" chooses
	@tools/deps test
	@tools/fuzz --build $(BUILD) -j $(JOBS) --seconds $(or $(TIME),600) $(FUZZ)

lint: ## layers, sizes, banned calls, format, clang-tidy, cppcheck, warning-free with gcc and clang
	@tools/deps lint
	@tools/lint --build $(BUILD) -j $(JOBS)

bench: ## measure against the peers; writes bench/results
	@tools/deps bench
	@$(setup) $(BUILD)/release release
	@ninja -C $(BUILD)/release -j$(JOBS)
	@bench/run --build $(BUILD)/release $(BENCH)

coverage: ## line and branch coverage of the fast tests; build/coverage-report/index.html
	@tools/deps coverage
	@tools/coverage $(BUILD) $(JOBS)

install: all ## into PREFIX (/usr/local) below DESTDIR
	@$(MESON) configure $(BUILD)/release -Dprefix=$(PREFIX) >/dev/null
	@$(MESON) install -C $(BUILD)/release

uninstall:
	@ninja -C $(BUILD)/release uninstall

format: ## clang-format over the whole tree
	@tools/deps lint
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

deps: ## install everything the other targets need
	@tools/deps build run test bench lint coverage

clean:
	@rm -rf $(BUILD)

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20
