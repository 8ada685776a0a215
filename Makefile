# Everything works from a clean clone with CPython 3.11+ and make. Nothing is installed outside .venv.
# PYTHON=python3.12 make setup    chooses the interpreter
# make demo ARGS=--kill-worker    hands arguments on (also test, bench)
# make test PROCESSES=2           chooses how many run tests: three keep two cores busy, as tests wait for most of their time

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
READY  := $(VENV)/.ready-to-run
OURS   := orchestrator brokers task_workers tests
ARGS   ?=
PROCESSES ?= 3
EXTRAS ?= dev

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint format docs bench bench-peers chaos soak fuzz peers prefect screenshots clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything in it (uv if there is one, else venv and pip)

# What the demo needs, and what tests, lint and documentation need, are two installations: `make demo` waits for the first
# only. uv installs both in seconds; where it cannot be had, or fails (a proxy's certificate that only pip trusts), pip does the same.
# Modules are compiled then, and ours too: where Python writes no bytecode (PYTHONDONTWRITEBYTECODE), each process that is
# started would compile all that it imports, which is most of its start.
define install
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
	uv="$$(command -v uv || true)"; \
	if [ -z "$$uv" ]; then \
	  [ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv >/dev/null 2>&1 || true; \
	  if [ -x $(BIN)/uv ]; then uv=$(BIN)/uv; fi; \
	fi; \
	add() { \
	  if [ -n "$$uv" ] && "$$uv" pip install --quiet --compile-bytecode --python $(BIN)/python "$$@"; then return; fi; \
	  if [ -n "$$uv" ]; then echo "uv could not install them (its message is above): pip does it now"; fi; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$@"; \
	}; \
	$(1); \
	$(BIN)/python -m compileall -q -j 0 $(OURS); \
	touch $@
endef

$(READY): pyproject.toml
	$(call install,add --editable .)

# OpenTelemetry's SDK is for tests/tracing only, and beside the rest: redis-py loads it in every process that finds it.
$(STAMP): pyproject.toml
	$(call install,add --editable '.[$(EXTRAS)]'; add --target $(VENV)/spans 'opentelemetry-sdk>=1.27')
	@touch $(READY)

demo: $(READY) ## count the standard library on two worker processes
	$(BIN)/orchestrator demo $(ARGS)

test: $(STAMP) ## run the tests; servers and engines that others stand for run the marked ones only
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal $(ARGS)

test-all: $(STAMP) ## run every test on every server and engine
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal --every-row $(ARGS)

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
	$(BIN)/python -m benchmarks.schedules
	$(BIN)/python -m benchmarks.artifacts

bench-peers: $(STAMP) ## measure nine other task queues beside us (15 minutes; ARGS="--only celery,orchestrator --rounds 1")
	$(BIN)/python -m benchmarks.speed --peers --million $(ARGS)

chaos: $(STAMP) ## 20,000 calls and ticks while everything is killed, frozen and cut; CHAOS_CALLS, CHAOS_SECONDS, CHAOS_SEED
	$(BIN)/python -m chaos $(ARGS)

soak: $(STAMP) ## 10 minutes of every kind of call, and the store's sizes, which must end flat; SOAK_SECONDS, SOAK_RATE
	$(BIN)/python -m chaos.soak $(ARGS)

fuzz: $(STAMP) ## let a fuzzer make up bytes for the decoders; FUZZ_SECONDS (60)
	$(BIN)/python tests/fuzz/fuzz_decoder.py --seconds $(or $(FUZZ_SECONDS),60) $(ARGS)

peers: $(STAMP) ## three faults, put to Celery, Dramatiq, RQ, taskiq and us (6 minutes; environments in .venv-peers)
	$(BIN)/python -m benchmarks.peers.faults $(ARGS)

.venv-prefect/bin/python: $(STAMP)
	$(BIN)/python -m venv .venv-prefect
	.venv-prefect/bin/python -m pip install -q --disable-pip-version-check 'prefect>=3.9,<4' || { rm -rf .venv-prefect; exit 1; }

prefect: .venv-prefect/bin/python ## install Prefect beside us (40 s), so that the tests ask our server with its client

screenshots: $(STAMP) ## take the pictures of docs/screenshots again (5 minutes; needs chromium)
	$(BIN)/python -m tests.server.pages.screenshots $(ARGS)

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-peers .venv-prefect build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
