PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow lint bench-games bench-learning clean

# Installed once; again whenever the declared dependencies change.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/debate train runs/quickstart.yaml --resume

test: $(STAMP) lint
	$(BIN)/python -m pytest -m 'not slow and not gpu'

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m 'slow and not gpu'

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench-games: $(STAMP)
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks.games

bench-learning: $(STAMP)
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks.learning

clean:
	rm -rf $(VENV) runs/out build *.egg-info
