# make run: skep with the sample functions. make test: all tests. make bench: figures and their baselines.

CARGO ?= cargo
NATS_SERVER = $$(sh scripts/nats-server.sh)

.PHONY: run build test lint bench clean

run: build
	@nats=$(NATS_SERVER) && exec target/release/skep up -f stack.yml --nats-server "$$nats"

build:
	$(CARGO) build --release --locked -p skep-cli -p skep-watchdog

test:
	@sh scripts/nats-server.sh >/dev/null
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace --doc
	SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(CARGO) test --locked --workspace --lib --bins --tests

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	sh scripts/layers.sh

bench: build
	$(CARGO) build --release --locked -p skep-benches
	@nats=$(NATS_SERVER) && exec target/release/skep-benches --nats-server "$$nats"

clean:
	$(CARGO) clean
