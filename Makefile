# Everything works from a clean clone with CPython 3.11+ and make. Nothing is installed outside .venv.
# PYTHON=python3.12 make setup    chooses the interpreter
# make demo ARGS=--kill-worker    hands arguments on (also test, bench)

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
ARGS   ?=
EXTRAS ?= dev

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format docs bench bench-peers chaos fuzz peers screenshots clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything in it (uv if there is one, else venv and pip)

# OpenTelemetry's SDK is for tests/tracing only, and beside the rest: redis-py loads it in every process that finds it.
$(STAMP): pyproject.toml
	@set -eu; \
	if [ ! -x $(BIN)/python ]; then \
	  found=""; \
	  for name in $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3 python; do \
	    if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	      found="$$name"; break; \
	    fi; \
	  done; \
	  if [ -n "$$found" ]; then \
	    echo "making $(VENV) with $$("$$found" --version)"; "$$found" -m venv $(VENV); \
	  elif command -v uv >/dev/null 2>&1; then \
	    uv venv --python '>=3.11' $(VENV); \
	  else \
	    echo "No Python 3.11 or newer with the venv module was found. Install one (on Debian: python3 and" >&2; \
	    echo "python3-venv), or say which: PYTHON=/path/to/python3.12 make setup" >&2; exit 1; \
	  fi; \
	fi; \
	if command -v uv >/dev/null 2>&1; then \
	  uv pip install --quiet --python $(BIN)/python --editable '.[$(EXTRAS)]'; \
	  uv pip install --quiet --python $(BIN)/python --target $(VENV)/spans 'opentelemetry-sdk>=1.27'; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/spans 'opentelemetry-sdk>=1.27'; \
	fi; \
	touch $(STAMP)

demo: $(STAMP) ## count the standard library on two worker processes
	$(BIN)/orchestrator demo $(ARGS)

test: $(STAMP) ## run every test
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(STAMP) ## check style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## build the documentation in build/site; a warning is an error
	$(BIN)/python -m docs.code.reference
	$(BIN)/python -m docs.code.gather
	$(BIN)/zensical build --clean --strict

bench: $(STAMP) ## measure us and the bare limit (3 minutes; ARGS=--million: 2 more, --quick, --profile)
	$(BIN)/python -m benchmarks.speed $(ARGS)
	$(BIN)/python -m benchmarks --celery --rounds 1

bench-peers: $(STAMP) ## measure eight other task queues beside us (12 minutes; ARGS="--only celery,orchestrator --rounds 1")
	$(BIN)/python -m benchmarks.speed --peers --million $(ARGS)

chaos: $(STAMP) ## 20,000 calls while everything is killed, frozen and cut; CHAOS_CALLS, CHAOS_SECONDS, CHAOS_SEED
	$(BIN)/python -m chaos $(ARGS)

fuzz: $(STAMP) ## let a fuzzer make up bytes for the decoders; FUZZ_SECONDS (60)
	$(BIN)/python tests/fuzz/fuzz_decoder.py --seconds $(or $(FUZZ_SECONDS),60) $(ARGS)

peers: $(STAMP) ## three faults, put to Celery, Dramatiq, RQ, taskiq and us (6 minutes; environments in .venv-peers)
	$(BIN)/python -m benchmarks.peers.faults $(ARGS)

screenshots: $(STAMP) ## take the pictures of docs/screenshots again (5 minutes; needs chromium)
	$(BIN)/python -m tests.server.pages.screenshots $(ARGS)

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-peers build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
