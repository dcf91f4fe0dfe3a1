.DEFAULT_GOAL := help
.NOTPARALLEL:

CARGO ?= cargo
ADDR ?= 127.0.0.1:6000

# All but `tracing`, under which every park takes its slow path: that one is tested by itself.
FEATURES := evy/futures,evy/http,evy/hyper,evy/patched,evy/tls,evy/tokio,evy/websocket

.PHONY: help test test-release acceptance check fmt fix lint layers doc bench bench-check bench-page bench-peers bench-scale run dev asan valgrind loom audit spell

help: ## list the targets (default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: ## unit, integration and doc tests; builds every example
	$(CARGO) test --workspace --features $(FEATURES)
	$(CARGO) test -p evy-runtime --features tracing --test tracing --test switch_hook

test-release: ## the same without debug assertions
	$(CARGO) test --workspace --features $(FEATURES) --release

acceptance: ## installs what is missing (apt), then valgrind, asan, loom and the long tests
	.ci/acceptance

check: fmt lint test doc layers ## before a commit: fmt lint test doc layers

fmt: ## is everything formatted?
	$(CARGO) fmt --all --check

fix: ## apply the lints' own fixes, then format
	$(CARGO) clippy --fix --allow-dirty --allow-staged --workspace --all-targets --all-features
	$(CARGO) fmt --all

lint: ## clippy on all targets, warnings are errors
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings

layers: ## print who depends on whom; fails where the layering is broken
	@.ci/layers

doc: ## rustdoc, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace --all-features

# The glob takes all benches, and leaves out the libraries' unit tests, which --benches would run too.
bench: ## ratios against a baseline of the same run
	$(CARGO) bench --workspace --features $(FEATURES) --bench '*'

bench-scale: ## how cost grows with idle connections, parked green threads, timers and items
	$(CARGO) bench --features $(FEATURES) --bench idle_memory -- 1000,10000,19000
	$(CARGO) bench --features $(FEATURES) --bench memory -- 1000,10000,100000,1000000
	@for live in 1000 100000 1000000; do \
	  $(CARGO) bench --features $(FEATURES) --bench timers -- $$live || exit; \
	done
	@for items in 100000 1000000 10000000; do \
	  $(CARGO) bench --features $(FEATURES) --bench imap -- $$items || exit; \
	done

# Incremental compilation cuts crates into other pieces, and so inlines other functions.
bench-check: ## has an operation become dearer, in instructions? (needs valgrind; ARGS=--bless accepts what is)
	@command -v valgrind >/dev/null || { echo "bench-check: valgrind is not installed"; exit 1; }
	CARGO_INCREMENTAL=0 $(CARGO) bench --workspace --features $(FEATURES) --bench counts -- $(ARGS)

bench-peers: ## evy beside epoll, tokio, may, smol, monoio, Go, gevent, eventlet (ARGS="http --rounds 9")
	.ci/bench-peers $(ARGS)

# It starts where bench-peers does, so that --out of the one and ARGS of the other name the same folder.
bench-page: ## the figures of bench-peers into README.md and docs/ (ARGS="target/bench-peers again": later ones win)
	cd benches/peers && CARGO_TARGET_DIR=target $(CARGO) run -q --release -p peers-runner -- --page $(ARGS)

run: ## the bundled echo server (ADDR=127.0.0.1:6000)
	$(CARGO) run --release --bin evy-echo -- $(ADDR)

dev: ## run the tests again on each save (needs entr)
	@command -v entr >/dev/null || { echo "dev: entr is not installed"; exit 1; }
	git ls-files --cached --others --exclude-standard '*.rs' '*.toml' '*.md' | entr -c $(MAKE) test

# One test at a time, so that a crash has a name. --target keeps the flags away from build scripts and
# proc macros. No leak check: the green threads of an OS thread that ends are leaked on purpose.
asan: ## the runtime's tests under AddressSanitizer, on the stable toolchain
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$(CURDIR)/target/asan \
	ASAN_OPTIONS="detect_leaks=0:$$ASAN_OPTIONS" \
	$(CARGO) test --target "$$(rustc -vV | sed -n 's/^host: //p')" -p evy-runtime \
		--features corosensei/sanitizer --lib --tests --no-fail-fast -- --test-threads=1

# As cargo's runner, valgrind gets each test program with the folder and the environment cargo gives it.
valgrind: ## the runtime's tests under valgrind
	@command -v valgrind >/dev/null || { echo "valgrind: not installed"; exit 1; }
	export "CARGO_TARGET_$$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER=valgrind \
	--error-exitcode=9 --leak-check=no -q"; \
	$(CARGO) test -p evy-runtime --lib --tests --no-fail-fast -- --test-threads=1

# A cfg of our own: dependencies have a meaning of theirs for --cfg loom.
loom: ## the sleep and wake handshakes, under every interleaving of their OS threads
	RUSTFLAGS="--cfg evy_loom" CARGO_TARGET_DIR=$(CURDIR)/target/loom \
	$(CARGO) test --release -p evy-hub -p evy-runtime --lib loom_

audit: ## known vulnerabilities of the dependencies (needs cargo-deny or cargo-audit)
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check advisories; \
	elif command -v cargo-audit >/dev/null; then $(CARGO) audit; \
	else echo "audit: neither cargo-deny nor cargo-audit is installed; nothing was checked"; fi

spell: ## spelling (needs typos)
	@if command -v typos >/dev/null; then typos; \
	else echo "spell: typos is not installed; nothing was checked"; fi
