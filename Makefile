# Everything here needs python3, make and a package registry, and nothing else of the machine.
# Each target makes the environment that it needs, from pyproject.toml, and makes it again when that changes.
#
#   make test                        in .venv, with python3
#   make test PYTHON=python3.13      in .venv-3.13, with that interpreter (a name or a path)
#   make test ARGS="-k parking"      some tests only, and no look at their coverage
#   make bench ARGS="--help"         whatever the benchmarks take
#   make torture ARGS="--only loris" one kind of harm
#   make demo ARGS="--trio --plain"  on trio, and in plain lines on a terminal, too
#   make chat ARGS="--port 8000"     whatever docs/examples/chat/server.py takes
#   make latency ARGS="--port 0"     a page, at any port that is free

PYTHON ?= python3
ARGS ?=

# A chosen interpreter gets an environment of its own, so that none replaces another's.
ifneq ($(filter file default undefined,$(origin PYTHON)),)
VENV := .venv
else
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(VERSION),)
$(error PYTHON=$(PYTHON) does not run)
endif
VENV := .venv-$(VERSION)
endif

BIN := $(VENV)/bin
MADE := $(VENV)/made
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo chat latency test test-elsewhere simulate fuzz mutants hostile torture bench lint docs clean

help:
	@echo "make demo     what the library does, over every transport, to look at"
	@echo "make chat     a chat for browsers and terminals, to play with"
	@echo "make latency  a page that calls Python, and is called by it, and draws how long that takes"
	@echo "make test     all tests, and branch coverage of core, which must be whole"
	@echo "make test-elsewhere PYTHON=python3.13   of the tests what another interpreter could change"
	@echo "make simulate ARGS=\"--seeds 100000\"   the large simulation, for so many seeds"
	@echo "make fuzz     any bytes against all that reads bytes, for minutes; ARGS=\"--help\" says more"
	@echo "make mutants  small defects in the state machine: does a test of the core notice each? ARGS=\"--help\" says more"
	@echo "make hostile  what hostile payloads cost, into docs/reliability.md"
	@echo "make torture  real faults with real processes: what is held meanwhile, and what is left"
	@echo "make bench    the benchmarks"
	@echo "make lint     ruff, mypy, pyright"
	@echo "make docs     are the generated parts of docs/ up to date?"
	@echo "make clean    remove the environments and what the tools left behind"
	@echo
	@echo "PYTHON=python3.13 chooses an interpreter, ARGS=\"...\" goes to pytest, to the benchmarks, to the demo or to the page."

demo: $(MADE)-all
	$(BIN)/duologue demo $(ARGS)

chat: $(MADE)-all
	$(BIN)/python docs/examples/chat/server.py $(ARGS)

latency: $(MADE)-all
	$(BIN)/python docs/examples/latency/server.py $(ARGS)

# Coverage is looked at only when all tests run, and only by the tests that are about the core: what a test of an adapter happens to run
# is not tested by that. The slow ones among them do the same again thousands of times, for which coverage would take minutes.
# Files of an earlier, aborted run must not count. Each process that runs tests in a browser starts one: two are enough.
SLOW_IN_CORE := %/test_chunking.py %/test_loops.py %/test_properties.py %/test_stateful.py
ABOUT_CORE := $(filter-out $(SLOW_IN_CORE),$(wildcard tests/core/test_*.py)) tests/plugins_registry tests/services

# Most of the other tests wait, for processes, for time-outs: so more of them run at once than there are processors.
AT_ONCE = $(shell $(PYTHON) -c 'import os; n = os.cpu_count() or 1; print(min(3 * n, n + 6))')

test: $(MADE)-test
ifeq ($(ARGS),)
	$(BIN)/coverage erase
	$(BIN)/python -m pytest --numprocesses=auto --cov --cov-report= $(ABOUT_CORE)
	$(BIN)/coverage report --include='core/*' --fail-under=100
	$(BIN)/python -m pytest --numprocesses=$(AT_ONCE) $(addprefix --ignore=,$(ABOUT_CORE) tests/browser)
	$(BIN)/python -m pytest --numprocesses=2 tests/browser
else
	$(BIN)/python -m pytest $(ARGS)
endif

# What another interpreter has to show: the suites that every adapter and every wire format must pass, and what has to do with how
# it runs tasks, reads annotations and finds plug-ins. The rest is bytes and numbers, or other programs, and the same everywhere.
ON_ENGINES := calls closing conformance events failures handlers isolation lifetimes over_stream server shutdown tls
ELSEWHERE := $(ABOUT_CORE) tests/wireformats/test_conformance.py $(ON_ENGINES:%=tests/adapters/test_%.py) tests/simulation/test_world.py

test-elsewhere: $(MADE)-test
	$(BIN)/python -m pytest --numprocesses=$(AT_ONCE) $(ELSEWHERE)

simulate: $(MADE)-test
	$(BIN)/python tests/simulation/everything.py $(ARGS)

fuzz: $(MADE)-fuzz
	$(BIN)/python tests/fuzz $(ARGS)

# Half an hour and more for all of it; ARGS="budget line" for some files. It goes on where it was stopped.
mutants: $(MADE)-mutants
	$(BIN)/python tests/mutation $(ARGS)

hostile: $(MADE)-test
	$(BIN)/python tests/hostile $(ARGS)

# Some minutes, on Linux. A short form of each is among the tests.
torture: $(MADE)-test
	$(BIN)/python tests/torture $(ARGS)

bench: $(MADE)-bench
	$(BIN)/python tests/benchmarks $(ARGS)

# The type checkers look twice: code for newer interpreters is invisible to a look at 3.11.
lint: $(MADE)-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.13
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pyright --pythonpath $(BIN)/python --pythonversion 3.13

docs: $(MADE)-all
	@if [ -f docs/generate.py ]; then \
		echo "$(BIN)/python docs/generate.py --check"; \
		$(BIN)/python docs/generate.py --check; \
	else \
		echo "docs/generate.py is not there: nothing is generated, so nothing is checked"; \
	fi

clean:
	rm -rf .venv .venv-* .fuzz .mutants .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find core adapters wireformats contrib tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

# One stamp for each set of extras; what one has installed the next finds there.
$(MADE)-%: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable ".[$*]"
	@touch $@
