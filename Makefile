# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Taken as it is: neither make nor the shell looks into a file's name.
override FILE := $(value FILE)
export FILE

.DEFAULT_GOAL := help
.PHONY: help demo test lint test-faults test-contract fuzz conformance bench verdicts wheel lock clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

demo: $(INSTALLED)  ## one recording from upload to technical row (FILE=… your own)
	@$(BIN)/c3d-worker demo $${FILE:+-- "$$FILE"}

test: lint  ## format, lint, types, the short faults and every test
	$(BIN)/pytest tests/faults
	$(BIN)/pytest --numprocesses 3 --dist loadfile

lint: $(INSTALLED)  ## format, lint and types only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test-faults: $(INSTALLED)  ## every injected fault, in full; into build/faults.json
	FAULTS=full $(BIN)/pytest tests/faults

test-contract: $(INSTALLED)  ## the contract against a real project (see CONTRIBUTING.md)
	CONTRACT=1 $(BIN)/pytest -m contract tests/integration

fuzz: $(INSTALLED)  ## 100,000 damaged files for each property (an hour)
	FUZZ_EXAMPLES=100000 $(BIN)/pytest tests/unit/extraction/test_mutations.py --timeout 7200

conformance: $(INSTALLED)  ## three readers against a hundred odd shapes of file
	$(BIN)/python -m tests.conformance

bench: $(INSTALLED)  ## each measurement beside its rival (BENCH=quick: tiny)
	$(BIN)/python -m benchmarks

verdicts: $(INSTALLED)  ## precision and recall of the verdicts on the labelled channels
	$(BIN)/python -m benchmarks.verdicts

wheel: $(INSTALLED)  ## the wheel and the sdist, in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist

lock:  ## write both locks anew from pyproject.toml
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-config --upgrade --all-extras --group dev --quiet \
		--custom-compile-command "make lock" --output-file requirements.lock \
		pyproject.toml requirements-build.in
	build/lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-config --quiet \
		--custom-compile-command "make lock" --constraint requirements.lock \
		--output-file deploy/requirements.lock pyproject.toml

clean:  ## remove everything that was installed or built
	rm -rf $(VENV) .local-stack build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %s" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "Installing the locked packages into $(VENV), about 800 MB: this takes a minute or two."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
