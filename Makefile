# Each target sets up what it needs; a fresh machine has only Python (3.11 or newer), pip, git and make.
#   make demo    four real workloads, autoexec beside the plain loop (about a minute)
#   make test    the test suite
#   make bench-io  waiting work beside fixed numbers of threads (about twelve minutes)
#   make bench-processes  processes beside five pools: time, memory, deaths, leaks (about half an hour)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

# Without bytecode every import, and every worker that starts, would be two to five times slower.
export PYTHONDONTWRITEBYTECODE :=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint format types bench bench-io bench-processes nox clean
.DELETE_ON_ERROR:

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.demo
	$(BIN)/python -m autoexec demo $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 4 $(ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.test $(VENV)/.lint
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks --plot docs/benchmarks.svg --markdown docs/benchmarks.md $(ARGS)

bench-io: $(VENV)/.bench
	$(BIN)/python -m benchmarks.io --plot docs/benchmarks-io.svg --markdown docs/benchmarks-io.md $(ARGS)

bench-processes: PAGE = docs/benchmarks-processes.md
bench-processes: $(VENV)/.bench
	$(BIN)/python -m benchmarks.processes --plot docs/benchmarks-processes.svg --markdown $(PAGE) $(ARGS)
	$(BIN)/python -m benchmarks.processes cold --markdown $(PAGE)
	$(BIN)/python -m benchmarks.processes faults --markdown $(PAGE)
	$(BIN)/python -m benchmarks.processes faults --retries 3 --markdown $(PAGE)
	$(BIN)/python -m benchmarks.processes leaks --markdown $(PAGE)

nox: $(VENV)/.dev
	$(BIN)/nox $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autoexec needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# One stamp for each extra that has been installed: `.venv/.demo` stands for `pip install -e .[demo]`.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --quiet --compile --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
