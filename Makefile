# `make demo` and `make test` need nothing but Python 3.11, git, gcc, make and a package registry.

PYTHON ?= python3
VENV ?= .venv
# Windows puts programs elsewhere.
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test check format wheel bench constraints clean
.DEFAULT_GOAL := help

help:  ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## Find duplicates among 1,261 questions, and the groups of 1,110 reviews
	$(BIN)/sbert-cluster dedup sample_data/questions.csv --threshold 0.9 --overwrite
	$(BIN)/sbert-cluster groups sample_data/reviews.parquet --text-column review --layers --overwrite

test: $(VENV)/.installed-dev  ## Run all tests
	$(BIN)/python -m pytest -n auto

check: $(VENV)/.installed-dev  ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(VENV)/.installed-dev  ## Build the wheel, install it alone, and run the demo with it
	rm -rf build/wheel
	$(BIN)/python -m build --wheel --outdir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/$(notdir $(BIN))/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt build/wheel/*.whl
	$(BIN)/python tests/wheel_smoke.py build/wheel/venv/$(notdir $(BIN))

bench: $(VENV)/.installed-dev  ## Measure, and write benchmarks/results/
	$(BIN)/python -m benchmarks

constraints:  ## Pin every version anew, from a fresh environment
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet 'torch==2.13.0' '.[dev]'
	build/constraints/bin/python -m pip freeze --exclude sbert-cluster | sed 's/+cpu//' > constraints.txt

clean:  ## Delete what was built
	rm -rf build dist $(VENV)
