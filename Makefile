# Two commands: `make demo` and `make test`. Each sets up what it needs in .venv and runs.
# Needs make, and Python 3.11, 3.12 or 3.13 with venv; choose one with PYTHON=/path/to/python.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
REPO ?=
PYTEST ?=
BENCH ?=
# Two workers where there are two cores; the tests of a file stay together, and share what it starts. Not for some tests
# of one's own choice, which may want a debugger. (nproc is not everywhere, getconf is.)
WORKERS = $(shell [ "$$(getconf _NPROCESSORS_ONLN)" -lt 2 ] || echo --numprocesses 2 --dist loadfile --no-loadscope-reorder)

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit wheel format names reference commands metrics llms docs bench clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY)  ## the history of a git repository through the embedded server (REPO=/path for another one)
	$(BIN)/python -m examples.commit_stream $(if $(REPO),"$(REPO)")

test: lint types unit wheel  ## everything: lint, types, tests, and the built wheel in a fresh environment

lint: $(READY)  ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy --strict on both packages and the wheel's tests
	$(BIN)/mypy

unit: $(READY)  ## the tests (PYTEST="-k name -m slow" for some of them)
	$(BIN)/python -m pytest -m "not slow and not wheel" $(if $(PYTEST),$(PYTEST),$(WORKERS))

wheel: $(READY)  ## build the wheel, install it where the source is out of reach, use it
	$(BIN)/python -m pytest -m wheel tests/packaging

format: $(READY)  ## put the code into ruff's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

names: $(READY)  ## write docs/public-names.md from __all__ and the docstrings
	$(BIN)/python -m tools.write_public_names

reference: $(READY)  ## write docs/reference from the source: configuration, errors, api, wire
	$(BIN)/python -m tools.write_reference

commands: $(READY)  ## write docs/reference/cli.md from the commands of rustok-iggy
	$(BIN)/python -m tools.write_cli_reference

metrics: $(READY)  ## write docs/reference/metrics.md, the dashboard and the alerts from the table of metrics
	$(BIN)/python -m tools.write_metrics

llms: $(READY)  ## write docs/llms.txt from the navigation and the pages
	$(BIN)/python -m tools.write_llms_txt

docs: $(READY)  ## build the documentation into build/site; a warning fails
	$(BIN)/python -m sphinx -q -W --keep-going --fresh-env -d build/doctrees docs build/site
	@echo "open build/site/index.html"

bench: $(READY)  ## ratios to the raw client: benchmarks/results/report.html, ratios.png (BENCH="--rounds 3")
	$(BIN)/python -m benchmarks $(BENCH)

clean:  ## remove everything these commands made
	rm -rf $(VENV) build dist data .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is older than pyproject.toml when the dependencies may have changed: install again.
$(READY): pyproject.toml tools/create_environment.sh
	@sh tools/create_environment.sh "$(VENV)" "$(PYTHON)"
	$(PIP) install --editable ".[dev]"
	@touch $@
