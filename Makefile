# Everything works from a fresh clone with Python 3.11 (or later) and make.
PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PIP_QUIET := --quiet --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types contract bench lock clean

help: ## Show these targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/runtime: requirements/runtime.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Hanse needs Python 3.11 or later: make PYTHON=python3.11 ..."; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(BIN)/python -m pip install $(PIP_QUIET) --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install $(PIP_QUIET) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/runtime
	@echo "Adding test tools ..."
	@$(BIN)/python -m pip install $(PIP_QUIET) --require-hashes -r requirements/dev.txt
	@touch $@

$(BENCH_VENV)/ready: requirements/bench.txt pyproject.toml
	@test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	@echo "Setting up $(BENCH_VENV) ..."
	@$(BENCH_VENV)/bin/python -m pip install $(PIP_QUIET) --require-hashes -r requirements/bench.txt
	@$(BENCH_VENV)/bin/python -m pip install $(PIP_QUIET) --no-build-isolation --no-deps -e .
	@touch $@

demo: $(VENV)/runtime ## Generate two stores and run the whole story
	@$(BIN)/hanse demo -w demo-workspace

test: $(VENV)/dev ## Run the tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/mypy

contract: $(VENV)/dev
	$(BIN)/lint-imports

check: lint contract types test ## What CI runs: lint, import contract, types, tests

bench: $(BENCH_VENV)/ready ## Measure against scikit-learn and Spark MLlib (needs Java 17); writes docs/benchmarks.md
	$(BENCH_VENV)/bin/python -m benchmarks

lock: ## Write requirements/*.txt anew from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --extra build -o requirements/runtime.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --extra dev -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --extra dev --extra bench -c requirements/dev.txt -o requirements/bench.txt pyproject.toml

clean: ## Remove environments, caches and the demo's workspace
	rm -rf $(VENV) $(BENCH_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-workspace
