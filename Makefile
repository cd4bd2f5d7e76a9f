# Everything a newcomer needs, on a bare Debian with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
AXE := $(VENV)/axe-core/package/axe.min.js
AXE_VERSION := 4.14.1
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
BENCHES := embedding ingest freshness serving snapshot pages
LONG_BENCHES := retrieval start restore growth soak
.DEFAULT_GOAL := help
.PHONY: help install browser axe prometheus demo test crash fuzz outage kafka-outages check bench bench-quality screenshots clean $(addprefix bench-,$(BENCHES) $(LONG_BENCHES))

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo "bench-NAME    One bench: $(BENCHES);"
	@echo "              those that take minutes and a machine of their own: $(LONG_BENCHES)"

install: $(STAMP) ## Make the virtual environment in .venv

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Freshet needs Python 3.11 or newer, this is %s" % sys.version.split()[0])'
	@echo "Making $(VENV): about 2.2 GB, a few minutes the first time."
	@$(PYTHON) -m venv $(VENV) || { echo "No venv module: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[server,traces,dev]'
	@echo "Compiling the loops of the request path: some seconds." && $(BIN)/python -c 'import serving.pipeline'
	@touch $(STAMP)

$(PEERS_STAMP): bench/peers-requirements.txt # What bench/quality_peers runs in; apart from ours, as RecBole needs an older NumPy
	@echo "Making $(PEERS): about 1.6 GB, a few minutes the first time."
	@$(PYTHON) -m venv $(PEERS) && echo '*' > $(PEERS)/.gitignore
	@$(PEERS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

browser: # The page tests drive Debian's Chromium; where it cannot be installed they are skipped and say so
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		{ echo "Installing Chromium for the page tests."; apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }; } || \
		echo "No Chromium: the page tests will be skipped (apt-get install chromium)."

axe: $(STAMP) # axe-core looks for what keeps people from using the pages; without npm that test is skipped and says so
	@test -e $(AXE) || { command -v npm >/dev/null && mkdir -p $(VENV)/axe-core && cd $(VENV)/axe-core && \
		npm pack --silent axe-core@$(AXE_VERSION) >/dev/null && tar -xzf axe-core-$(AXE_VERSION).tgz; } || \
		echo "No axe-core: the accessibility test will be skipped (apt-get install npm)."

prometheus: # The dashboards and alerts are tried on Debian's Prometheus; installed without its service being started or enabled
	@command -v prometheus >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		{ echo "Installing Prometheus for the test of the dashboards."; apt-get update -qq && \
		sh tests/install_prometheus.sh >/dev/null; }; } || \
		echo "No Prometheus: the test of the dashboards will be skipped (apt-get install prometheus)."

demo: $(STAMP) ## Start everything here and replay a real history; then open the page it names
	@$(BIN)/freshet demo

test: $(STAMP) browser axe prometheus ## Run the whole suite
	@$(BIN)/pytest

crash: $(STAMP) ## Kill 50 processes while a log flows, compare with a calm run: SEED=1 KILLS=50; some four minutes
	@$(BIN)/python -m tests.crash --seed $(or $(SEED),1) --kills $(or $(KILLS),50)

fuzz: $(STAMP) ## Ten thousand hostile requests to a running replica; some minutes
	@$(BIN)/pytest -m long tests/integration/test_api_schema.py

outage: $(STAMP) ## Kill replicas and start them from their snapshots, on both brokers; a minute or two
	@$(BIN)/pytest -m long tests/integration/test_snapshot.py

kafka-outages: $(STAMP) # Apache Kafka in KAFKA_HOME killed ten times, frozen, its disk full, topics deleted, a minute's overload; ten minutes
	@$(BIN)/pytest -m long tests/kafka

check: $(STAMP) ## Types, style, imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(addprefix bench-,$(BENCHES)) ## Run every bench, one after the other; one table at the end
	@echo && $(BIN)/python -m bench.summary

.NOTPARALLEL: # with -j the benches would measure each other
$(addprefix bench-,$(BENCHES) $(filter-out soak,$(LONG_BENCHES))): bench-%: $(STAMP)
	@$(BIN)/python -m bench.$*

bench-soak: $(STAMP) # MINUTES=15
	@$(BIN)/python -m bench.soak $(or $(MINUTES),15)

bench-quality: $(STAMP) $(PEERS_STAMP) ## How good the recommendations are, beside other recommenders; half an hour
	@$(BIN)/python -m bench.quality

screenshots: $(STAMP) browser ## Take the README's pictures of the pages again; some three minutes
	@$(BIN)/python -m tests.screenshots

clean: ## Remove what was made
	rm -rf $(VENV) $(PEERS) bench/results *.egg-info .mypy_cache .ruff_cache .hypothesis
	find . -name '*.nb[ic]' -delete
