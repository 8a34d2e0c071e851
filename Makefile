# make run: skep with the sample functions. make test: all tests. make bench: figures and their baselines.
# make static: fwatchdog as one static file. make images: the same as an image. make test-images: function images, in Docker.

CARGO ?= cargo
DOCKER_BUILD ?= docker build
NATS_SERVER = $$(sh scripts/nats-server.sh)

.PHONY: run build static images test test-images lint bench clean

run: build
	@nats=$(NATS_SERVER) && exec target/release/skep up -f stack.yml --nats-server "$$nats"

build:
	$(CARGO) build --release --locked -p skep-cli -p skep-watchdog

static:
	@CARGO=$(CARGO) sh scripts/static-watchdog.sh

images:
	@version=$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml) && set -x && \
	$(DOCKER_BUILD) --target watchdog -t skep/watchdog:$$version -t skep/watchdog:latest .

test:
	@sh scripts/nats-server.sh >/dev/null
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace --doc
	SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(CARGO) test --locked --workspace --lib --bins --tests

test-images:
	@DOCKER_BUILD="$(DOCKER_BUILD)" sh tests/images.sh

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
