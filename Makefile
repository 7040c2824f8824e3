# Each target sets up what it needs; the set-up is skipped when it is done.
SHELL := /bin/bash -o pipefail
unexport PYTHONDONTWRITEBYTECODE  # compiled once, at set-up, imports take a fifth of the time
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup study test lint test-slow test-faults test-scale test-statistics test-gpu test-data test-size docs lock clean

help:  ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
ifdef UV_TORCH_BACKEND  # other builds of torch than the locked ones, such as cpu: the same versions, other files
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-verify-hashes --constraint requirements.lock --editable '.[dev]'
else
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
endif
	@touch $@

setup: $(READY)  ## make the virtual environment
	@printf '%s\n' 'ready; next:' '  . $(BIN)/activate' '  study list'

study: $(READY)  ## run the quickstart study and write its report
	@$(BIN)/study run quickstart

lint: $(READY)  ## formatter, linter, type checker, import contracts
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy & types=$$!; $(BIN)/lint-imports --no-cache | tail -n 3; imports=$$?; wait $$types && exit $$imports

# Tests that start Ray, or count on its place on this machine, run alone; the others side by side, each process with one
# thread.
ALONE := $(addprefix tests/,cluster end_to_end execution tracking/pages)

test: lint  ## linters and tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile $(addprefix --ignore=,$(ALONE))
	@$(BIN)/python -m pytest -q $(ALONE)

test-slow: $(READY)  ## the slow tests, for a weekly run
	@$(BIN)/python -m pytest -q -m slow --ignore=tests/faults --ignore=tests/execution/test_scale.py

test-faults: $(READY)  ## hurt a study in every way of docs/reliability.md, and renew its table (35 minutes)
	@rm -rf build/faults
	@FAULTS=build/faults $(BIN)/python -m pytest -q -m slow tests/faults; \
		failed=$$?; $(BIN)/python -m tests.faults.table build/faults docs/reliability.md && exit $$failed

test-scale: $(READY)  ## run 1,000 trials, and renew the figures of docs/results/scale.md (15 minutes, an idle machine)
	@SCALE=docs/results/scale.md $(BIN)/python -m pytest -q -m slow tests/execution/test_scale.py

test-statistics: $(READY)  ## simulate studies of known truth, and renew the table of docs/results/statistics.md (10 minutes)
	@OMP_NUM_THREADS=1 STATISTICS=docs/results/statistics.md $(BIN)/python -m pytest -q -n logical --dist worksteal \
		-m statistics tests/statistics

test-gpu: $(READY)  ## measure on this machine's GPU, and renew the tables of docs/results/gpu.md (9 minutes)
	@GPU=docs/results/gpu.md $(BIN)/python -m pytest -q -m gpu tests/gpu

test-data: $(READY)  ## read odd images and folders of every kind, and renew the tables of docs/data.md
	@DATA=docs/data.md $(BIN)/python -m pytest -q tests/data/test_data_page.py

test-size: $(READY)  ## decoding by two cores, and 100,000 JPEGs beside a bare DataLoader, on an idle machine; renews docs/data.md
	@SIZE=docs/data.md $(BIN)/python -m pytest -q -s -m slow tests/data/test_decoding_speed.py tests/data/test_imagenet_size.py

docs: $(READY)  ## the API reference, from the docstrings, in build/docs
	@$(BIN)/python docs/reference.py build/docs

lock: $(READY)  ## renew requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra dev --extra aws --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock

clean:  ## remove the virtual environment and what tools cached
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache *.egg-info
