# `make demo` shows the connector at work, `make test` runs its tests; both set everything up by themselves, in .venv.
# Recipes are for any POSIX shell. PYTHON=python3.13 chooses another interpreter.

PYTHON ?= python3
ARGS ?=
VENV = .venv
QUICK = not slow and not live and not postgres and not deploy and not faults

export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Two installations at once in one .venv would spoil it.
.NOTPARALLEL:
.PHONY: help install demo test test-slow test-postgres test-deploy test-live faults bench lint types check ci clean venv runtime test-tools lint-tools bench-tools deploy-tools

help:
	@echo 'make demo       the connector beside a practice tracker, on this machine only (ARGS="--help" tells more)'
	@echo 'make test       all tests but the slow suites, in under three minutes (ARGS="-k waits" chooses some)'
	@echo 'make test-slow  the slow suites: real processes killed and restarted, many tickets'
	@echo 'make test-postgres  the store on a real PostgreSQL, started on this machine as an ordinary user'
	@echo 'make test-deploy  what deploy/ holds, by the tools made for each (those that are installed)'
	@echo 'make faults     kills, races, broken databases, trackers and clocks, with their figures (CONNECTOR_FAULTS=full: for hours)'
	@echo 'make bench      measure: tables of ratios, in docs/performance.md (ARGS="--quick" for a first look)'
	@echo 'make test-live  against a real Request Tracker, started on this machine (Debian; root installs it once)'
	@echo 'make lint       style, formatting and import rules'
	@echo 'make types      mypy, strict'
	@echo 'make check      lint, types and test: before every commit'
	@echo 'make ci         everything that CI runs'
	@echo 'make install    only set up $(VENV) with what the connector and its tests need'
	@echo 'make clean      remove $(VENV) and all caches'

install: test-tools

demo: runtime
	@$(VENV)/bin/connector demo $(ARGS)

test: test-tools
	@$(VENV)/bin/pytest -n 2 -m "$(QUICK)" $(ARGS)

test-slow: test-tools
	@$(VENV)/bin/pytest -m "slow and not postgres and not deploy" $(ARGS)

test-postgres: test-tools
	@$(VENV)/bin/pytest -m postgres $(ARGS)

test-deploy: deploy-tools
	@$(VENV)/bin/pytest -m deploy $(ARGS)

faults: test-tools
	@$(VENV)/bin/pytest -m faults $(ARGS)

bench: bench-tools
	@$(VENV)/bin/python -m tests.benchmarks $(ARGS)

test-live: test-tools
	@$(VENV)/bin/pytest -m live $(ARGS)

lint: lint-tools
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: lint-tools
	$(VENV)/bin/mypy

check: lint types test

ci:
	bash .ci/run

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Who made an environment, by version and place; an environment without pip was left half made.
WHO = import sys; print(sys.version, sys.base_prefix)

# $(VENV) as this Python makes it in this folder. One of another Python, or moved here, is made anew.
venv:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo 'No $(PYTHON) here. On Debian: apt install python3 python3-venv' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Python 3.11 or later is needed and $(PYTHON) is older. Try: make PYTHON=python3.11 ...' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '$(PYTHON) cannot make virtual environments. On Debian: apt install python3-venv' >&2; exit 1; }
	@made="$$("$(PYTHON)" -c '$(WHO)')" && \
	if [ "$$("$(VENV)/bin/python" -c 'import pip; $(WHO)' 2>/dev/null)" != "$$made" ] || \
	   ! grep -qF "$$(pwd -P)/$(VENV)" "$(VENV)/pyvenv.cfg"; then \
	  if [ -e "$(VENV)" ]; then echo 'Making $(VENV) anew: it is of another Python or another folder, or incomplete'; fi; \
	  "$(PYTHON)" -m venv --clear "$(VENV)"; \
	fi

# Each installs once, and again when pyproject.toml changes.
runtime: EXTRA =
test-tools: EXTRA = [test]
lint-tools: EXTRA = [lint]
bench-tools: EXTRA = [test,bench]
deploy-tools: EXTRA = [test,deploy]
runtime test-tools lint-tools bench-tools deploy-tools: venv
	@now="$$(cksum < pyproject.toml)"; \
	if [ "$$(cat "$(VENV)/installed-$@" 2>/dev/null)" != "$$now" ]; then \
	  echo 'Installing into $(VENV) ($@)'; \
	  "$(VENV)/bin/python" -m pip install --quiet --editable '.$(EXTRA)' && echo "$$now" > "$(VENV)/installed-$@"; \
	fi
