# Two commands are enough on a fresh machine: `make demo` and `make test`. Both set up what they need, with uv where it is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEVELOPED := $(VENV)/.developed

ifneq ($(shell command -v uv),)
# What is fetched by name is looked up where pip is configured to look, so the environment needs a pip.
CREATE := uv venv --quiet --allow-existing --seed --python '>=3.11' $(VENV)
INSTALL := uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
BUILD := uv build --quiet
else
CREATE := $(PYTHON) -m venv $(VENV)
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
BUILD := $(BIN)/python -m build
endif

.PHONY: demo test test-long check bench dist docs format clean

demo: $(READY)
	$(BIN)/spillover demo

test: $(DEVELOPED)
	$(BIN)/python -m pytest

test-long: $(DEVELOPED)
	$(BIN)/python -m pytest -m long

check: $(DEVELOPED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(DEVELOPED)
	$(INSTALL) --editable '.[dev,benchmark]'
	$(BIN)/python benchmarks/scoring.py --quick
	$(BIN)/python benchmarks/generation.py --quick
	$(BIN)/python benchmarks/training.py --quick

dist: $(DEVELOPED)
	$(BUILD)

docs: $(DEVELOPED)
	$(INSTALL) --editable '.[dev,docs]'
	$(BIN)/python docs/findings.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(DEVELOPED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	$(CREATE)
	$(INSTALL) --editable .
	touch $(READY)

$(DEVELOPED): $(READY)
	$(INSTALL) --editable '.[dev]'
	touch $(DEVELOPED)

clean:
	rm -rf $(VENV) store report site dist quickstart.yaml .mypy_cache .ruff_cache .pytest_cache
