# make run: skep with the sample functions. make test: all tests. make bench: figures and their baselines. make fuzz: a minute of random input for each parser. make scaling-sim: autoscalers side by side in a simulation. make scaling-live: the real one beside its simulation. make sbom: a bill of materials of each program.
# make static: fwatchdog as one static file. make images: the images of skep and of fwatchdog. make pgo: skep and fwatchdog in target/pgo, a few percent faster, in a quarter of an hour.
# make storm: ten minutes of calls while parts are killed at random, and as long again to look for each. make powercut: 50 power cuts, as root. make test-browser: only the tests in Chromium. make lint-ui: checks of the web UI. make screenshots: pictures of it. make test-debian: only the tests with PostgreSQL and inotifywait. make test-collector: only the tests of spans, with a collector. make test-prometheus: only the tests with Prometheus. make dashboards: the dashboards in deploy/grafana. make test-disk: only the tests on disks of their own, as root. make test-swarm: only the tests on a Swarm, as root. make test-ha: only those on a Swarm that take many minutes, as root. make test-upgrade: an update from an older version, as root. make test-certifier CERTIFIER=FILE: the certifier of OpenFaaS on a Swarm, as root. make test-images: function images, in Docker. make dist, make deb: an archive and a Debian package; make test-deb: the package on a Debian of its own, as root.

CARGO ?= cargo
# The folder of the skep and the fwatchdog that are measured or packed, as target/pgo.
PROGRAMS ?= target/release
DOCKER_BUILD ?= docker build
NATS_SERVER = $$(sh scripts/nats-server.sh)

.PHONY: run build static pgo dist deb images dashboards lint-ui screenshots test test-deb test-browser test-debian test-collector test-prometheus test-disk test-swarm test-ha test-upgrade test-certifier test-images storm powercut scaling-sim scaling-live lint sbom bench bench-compare fuzz clean

# Root is usual in a container, where functions may be root too; elsewhere run it as another user.
run: build
	@nats=$(NATS_SERVER) && root= && if [ "$$(id -u)" = 0 ]; then \
		root=--allow-root && echo "You are root, so functions run as root too: skep up --allow-root" >&2; \
	fi && exec target/release/skep up -f stack.yml --nats-server "$$nats" $$root

build:
	$(CARGO) build --release --locked -p skep-cli -p skep-watchdog

static:
	@CARGO=$(CARGO) sh scripts/static-watchdog.sh

pgo:
	@CARGO=$(CARGO) sh scripts/pgo.sh

# An archive for /usr/local, of the programs in PROGRAMS.
dist:
	@if [ "$(PROGRAMS)" = target/release ]; then $(MAKE) --no-print-directory build; fi
	@CARGO=$(CARGO) PROGRAMS="$(PROGRAMS)" sh scripts/dist.sh

# A Debian package of the same.
deb: dist
	@CARGO=$(CARGO) sh scripts/deb.sh

images:
	@version=$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml) && set -x && \
	$(DOCKER_BUILD) --target skep -t skep/skep:$$version -t skep/skep:latest . && \
	$(DOCKER_BUILD) --target watchdog -t skep/watchdog:$$version -t skep/watchdog:latest .

# Programs and tests are built together and of the whole workspace, and tests are run with --bins too, so that no crate is built twice with other features.
BUILD = $(CARGO) build --locked --workspace --bins --tests
E2E = $(CARGO) test --locked --workspace --bins --test e2e

# End-to-end tests mostly wait, so more of them than there are cores run at once.
TEST_THREADS ?= $$(( 2 * $$(nproc) ))
test:
	@sh scripts/nats-server.sh >/dev/null
	$(BUILD)
	$(CARGO) test --locked --workspace --doc
	SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(CARGO) test --locked --workspace --lib --bins --tests -- --skip on_swarm:: --skip on_disk:: --skip in_browser:: --skip of_debian:: --skip of_collector:: --skip with_prometheus:: --test-threads $(TEST_THREADS)
	@$(MAKE) --no-print-directory test-browser
	@$(MAKE) --no-print-directory test-debian
	@$(MAKE) --no-print-directory test-collector
	@$(MAKE) --no-print-directory test-prometheus
	@$(MAKE) --no-print-directory test-disk
	@$(MAKE) --no-print-directory test-swarm

# In a real browser; where there is none, it names the tests that were left out, which fails in CI.
BROWSER_TESTS = $(E2E) in_browser::

test-browser:
	@if why=$$(sh tests/browser.sh); then \
		$(BUILD) && SKEP_TEST_NATS_SERVER=$(NATS_SERVER) SKEP_TEST_AXE="$$why" $(BROWSER_TESTS) -- --test-threads $$(nproc); \
	else \
		echo "$$why, so these tests did not run:" && $(BROWSER_TESTS) -- --list && [ "$$CI" != true ]; \
	fi

# With programs of Debian; where they are missing, it names the tests that were left out, which fails in CI.
DEBIAN_TESTS = $(E2E) of_debian::

test-debian:
	@if why=$$(sh tests/debian.sh); then \
		$(BUILD) && SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(DEBIAN_TESTS); \
	else \
		echo "$$why, so these tests did not run:" && $(DEBIAN_TESTS) -- --list && [ "$$CI" != true ]; \
	fi

# With a collector of OpenTelemetry; where it cannot be installed, it names the tests that were left out, which fails in CI.
COLLECTOR_TESTS = $(E2E) of_collector::

test-collector:
	@if collector=$$(sh tests/collector.sh $(CURDIR)/target/collector); then \
		$(BUILD) && \
		SKEP_TEST_COLLECTOR=$$collector SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(COLLECTOR_TESTS); \
	else \
		echo "$$collector, so these tests did not run:" && $(COLLECTOR_TESTS) -- --list && [ "$$CI" != true ]; \
	fi

# With Prometheus as Debian has it; where it is missing, it names the tests that were left out, which fails in CI.
PROMETHEUS_TESTS = $(E2E) with_prometheus::

test-prometheus:
	@if why=$$(sh tests/prometheus.sh); then \
		$(BUILD) && SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(PROMETHEUS_TESTS); \
	else \
		echo "$$why, so these tests did not run:" && $(PROMETHEUS_TESTS) -- --list && [ "$$CI" != true ]; \
	fi

# The dashboards for Grafana, as scripts/dashboards.py has them.
dashboards:
	@python3 scripts/dashboards.py

# The modules of the web UI.
lint-ui:
	@sh scripts/ui-lint.sh

# Pictures of each page of the web UI, and those in docs/images, of the programs in PROGRAMS.
screenshots:
	@PROGRAMS="$(PROGRAMS)" python3 scripts/screenshots.py

# On disks of the tests' own; where those cannot be, it names the tests that were left out, which fails in CI.
DISK_TESTS = $(E2E) on_disk::

test-disk:
	@if why=$$(sh tests/disks.sh); then \
		$(BUILD) && SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(DISK_TESTS) -- --test-threads 1; \
	else \
		echo "$$why, so these tests did not run:" && $(DISK_TESTS) -- --list && [ "$$CI" != true ]; \
	fi

# The power of NATS's machine is cut, CUTS times.
CUTS ?= 50
powercut:
	@sh tests/disks.sh && sh scripts/nats-server.sh >/dev/null
	$(BUILD)
	SKEP_CUTS=$(CUTS) SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(E2E) power_cut -- --nocapture

# On Docker engines of the tests' own; where those cannot run, it names the tests that were left out, which fails in CI.
# The certifier is a program that you bring: see test-certifier.
TESTS ?= on_swarm::
SWARM_TESTS = $(E2E) $(TESTS)

# Those of them that run programs of others.
WITH_PROGRAMS = on_swarm::monitoring on_swarm::registry

test-swarm:
	@if why=$$(sh tests/engines.sh); then \
		without= && why=$$(sh tests/programs.sh) || { \
			echo "$$why, so these tests did not run: $(WITH_PROGRAMS)" && [ "$$CI" != true ] || exit 1; \
			without="$(WITH_PROGRAMS:%=--skip %)"; \
		} && \
		$(BUILD) && watchdog=$$(CARGO=$(CARGO) sh scripts/static-watchdog.sh dev) && \
		SKEP_TEST_NATS_SERVER=$(NATS_SERVER) SKEP_TEST_STATIC_WATCHDOG="$$watchdog" \
			$(SWARM_TESTS) -- --test-threads 2 --skip on_swarm::certifier --skip on_swarm::high_availability --skip on_swarm::node_hook --skip on_swarm::rotation --skip on_swarm::burst --skip on_swarm::upgrade $$without; \
	else \
		echo "$$why, so these tests did not run:" && $(SWARM_TESTS) -- --list && [ "$$CI" != true ]; \
	fi

# Three NATS servers on three engines, nodes that are lost, and nodes that a hook adds: each test takes some minutes.
test-ha:
	@sh tests/engines.sh
	$(BUILD) && watchdog=$$(CARGO=$(CARGO) sh scripts/static-watchdog.sh dev) && \
		SKEP_TEST_NATS_SERVER=$(NATS_SERVER) SKEP_TEST_STATIC_WATCHDOG="$$watchdog" \
		$(E2E) -- on_swarm::high_availability on_swarm::node_hook on_swarm::rotation on_swarm::burst --test-threads 1 --nocapture

# From the version at the commit FROM to this one and back, part by part and under load. It is the last one with a single NATS server.
FROM ?= d028fb5e
test-upgrade:
	@sh tests/engines.sh
	$(BUILD) && before=$$(CARGO=$(CARGO) sh scripts/before.sh $(FROM)) && \
		SKEP_TEST_BEFORE="$$before" SKEP_TEST_NATS_SERVER=$(NATS_SERVER) SKEP_TEST_STATIC_WATCHDOG="$$before/fwatchdog" \
		$(E2E) on_swarm::upgrade -- --nocapture

# The certifier of OpenFaaS, whose test binary is at CERTIFIER (tests/README.md says how to build it).
test-certifier:
	@sh tests/engines.sh && sh tests/programs.sh
	@[ -x "$(CERTIFIER)" ] || { echo "make test-certifier CERTIFIER=FILE: FILE is the certifier's test binary"; exit 1; }
	$(BUILD) && watchdog=$$(CARGO=$(CARGO) sh scripts/static-watchdog.sh dev) && \
		SKEP_TEST_CERTIFIER=$(abspath $(CERTIFIER)) SKEP_TEST_NATS_SERVER=$(NATS_SERVER) SKEP_TEST_STATIC_WATCHDOG="$$watchdog" \
		$(E2E) on_swarm::certifier -- --nocapture

# Calls, callbacks, and parts that are killed at random, for STORM_SECONDS.
STORM_SECONDS ?= 600
storm:
	@sh scripts/nats-server.sh >/dev/null
	$(BUILD)
	SKEP_STORM_SECONDS=$(STORM_SECONDS) SKEP_TEST_NATS_SERVER=$(NATS_SERVER) $(E2E) storm -- --nocapture

# The Debian package on a Debian of the test's own: installed, upgraded with queued calls, purged.
test-deb: deb
	@if why=$$(sh tests/deb/machines.sh); then \
		version=$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml) && mv target/dist/skep_*.deb target/first.deb && \
		VERSION=$$version-2 sh scripts/deb.sh && timeout 600 sh tests/deb/run.sh target/first.deb target/dist/skep_*.deb; \
	else \
		echo "$$why, so the package was not tried" && [ "$$CI" != true ]; \
	fi

test-images:
	@DOCKER_BUILD="$(DOCKER_BUILD)" sh tests/images.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	sh scripts/layers.sh
	sh scripts/lengths.sh
	@CARGO=$(CARGO) sh scripts/rust-version.sh
	@CARGO=$(CARGO) sh scripts/deny.sh

# A bill of materials of each program.
sbom:
	@CARGO=$(CARGO) sh scripts/sbom.sh

bench: build
	$(CARGO) build --release --locked -p skep-benches
	@nats=$(NATS_SERVER) && target/release/skep-benches --nats-server "$$nats" --programs "$(PROGRAMS)"
	@if why=$$(sh tests/engines.sh); then \
		watchdog=$$(CARGO=$(CARGO) sh scripts/static-watchdog.sh) && SKEP_TEST_NATS_SERVER=$(NATS_SERVER) \
			SKEP_TEST_STATIC_WATCHDOG="$$watchdog" $(CARGO) test --release --locked -p skep-tests --test e2e on_swarm::cold_start -- --nocapture; \
	else \
		echo "$$why, so the cold start on a Swarm is left out"; \
	fi

# What has changed since a saved result: make bench-compare BEFORE=FILE, where FILE is a copy of target/bench.json.
BEFORE ?= target/bench-before.json
bench-compare:
	@test -f "$(BEFORE)" || { echo "$(BEFORE) is missing: name a saved result with BEFORE=FILE"; exit 1; }
	@$(MAKE) --no-print-directory bench
	@target/release/skep-benches compare "$(BEFORE)" target/bench.json

# Autoscalers side by side, on synthetic workloads and on a trace of OrcBench for each of SEEDS.
SEEDS ?= 3 4 5 11
SCALING_MAX ?= 400
scaling-sim:
	@traces=$$(sh scripts/orcbench.sh target/orcbench $(SEEDS)) && \
		$(CARGO) run --locked -q -p skep-scaling-sim -- --max $(SCALING_MAX) $$(printf ' --seed %s' $(SEEDS)) $$(printf ' --trace %s' $$traces)

# A load on a skep of its own, and its replicas beside those that the simulator gives the same calls: six minutes.
scaling-live: build
	@$(CARGO) build --locked -q -p skep-scaling-sim && for load in step on-off; do \
		target/debug/scaling-sim live $$load --programs $(PROGRAMS) --nats-server "$(NATS_SERVER)" || exit 1; \
	done

# What a fuzzer needs of the compiler, without an unstable flag.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= request fast_path stack filter template reference signature_header headers cgi frames trace_context
FUZZ_FLAGS = --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
	-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares

# Each of FUZZ_TARGETS for FUZZ_SECONDS; what one finds is in target/fuzz/TARGET-crash-….
fuzz:
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --release --manifest-path fuzz/Cargo.toml \
		--target $$(rustc --print host-tuple) --target-dir target/fuzz
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p target/fuzz/corpus/$$target && echo "fuzzing $$target for $(FUZZ_SECONDS) s" && \
		target/fuzz/$$(rustc --print host-tuple)/release/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -verbosity=0 \
			-print_final_stats=1 -artifact_prefix=target/fuzz/$$target- target/fuzz/corpus/$$target fuzz/seeds/$$target || exit 1; \
	done

clean:
	$(CARGO) clean
