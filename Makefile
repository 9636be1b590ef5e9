# Two commands are enough on a fresh machine: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup

.PHONY: demo test test-long check bench docs format clean

demo: $(SETUP)
	$(BIN)/spillover run examples/quickstart.yaml --store store --threads 1

test: $(SETUP)
	$(BIN)/python -m pytest

test-long: $(SETUP)
	$(BIN)/python -m pytest -m long

check: $(SETUP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(SETUP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,benchmark]'
	$(BIN)/python benchmarks/scoring.py --quick
	$(BIN)/python benchmarks/generation.py --quick
	$(BIN)/python benchmarks/training.py --quick

docs: $(SETUP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	$(BIN)/python docs/findings.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(SETUP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(SETUP)

clean:
	rm -rf $(VENV) store report site .mypy_cache .ruff_cache .pytest_cache
