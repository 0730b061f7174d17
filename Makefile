# Everything runs in a virtual environment of its own: .venv
PYTHON ?= python3
BIN := .venv/bin
STORE ?= physlm-store

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train]"
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@ .venv/installed

.PHONY: install
install: .venv/installed ## Make the environment to run experiments in

.PHONY: demo
demo: install ## Answer a question: bits of knowledge per parameter (5 minutes on 2 cores)
	$(BIN)/physlm run pipelines/experiments/capacity.yaml --store $(STORE)

.PHONY: figures
figures: demo ## Draw the README's figure from the main job's result
	cp $(STORE)/experiments/capacity/*/figures/law_capacity.svg docs/capacity.svg

# Tests are spread over processes; within each, libraries keep to one core.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

.PHONY: check
check: lint types fast ## Check style, types and the fast tests: under a minute, before each commit

.PHONY: test
test: .venv/installed-dev lint types docs ## Check everything: style, types, docs and all tests, the slow ones too
	$(BIN)/python .ci/tools
	$(PYTEST) --durations 20

.PHONY: fast
fast: .venv/installed-dev ## Run the fast tests
	$(PYTEST) -m "not slow and not services"

.PHONY: lint
lint: .venv/installed-dev ## Check style, format and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: types
types: .venv/installed-dev ## Check types
	$(BIN)/mypy

.PHONY: format
format: .venv/installed-dev ## Mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: new
new: .venv/installed-dev ## Write a new part from its template: make new KIND=law NAME=broken_power
	@$(BIN)/python -m physlm.scaffold "$(KIND)" "$(NAME)"

.PHONY: docs
docs: .venv/installed-dev ## Build the documentation into site/; a warning is an error
	$(BIN)/python docs/laws.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: hooks
hooks: .venv/installed-dev ## Have git run style, format and types before each commit
	$(BIN)/pre-commit install

.PHONY: bench
bench: .venv/installed-dev ## Run the benchmarks: ratios against named references, side by side
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

.PHONY: clean
clean: ## Remove the environment and caches; results in the store stay
	rm -rf .venv .tools .mypy_cache .ruff_cache .import_linter_cache .pytest_cache build site *.egg-info
