# One environment for everything; the first call of any target makes it, later ones find it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests and demo runs are one-threaded processes side by side: two busy processes with two threads
# each are many times slower than with one.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: setup
setup: $(READY) ## make the environment (every other target does so by itself)

.PHONY: demo
demo: $(READY) ## train and prune the whole small MobileNet curve, draw it, and choose for 0.2 MB
	$(BIN)/pruneexp run experiment=table2_small
	@echo
	$(BIN)/pruneexp choose table2_small --budget 200kB

.PHONY: test
test: $(READY) ## run the tests
	$(BIN)/pytest -n auto -m "not slow and not page"

.PHONY: test-slow
test-slow: $(READY) ## run the tests that take minutes
	$(BIN)/pytest -n auto -m slow

.PHONY: test-page
test-page: $(READY) ## try the report's page in a real Chromium (installs Debian's, and Playwright)
	command -v chromium > /dev/null || { apt-get update -q && apt-get install -q -y chromium; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check playwright==1.65.2
	$(BIN)/pytest -m page

.PHONY: test-loggers
test-loggers: $(READY) ## try the loggers with their real packages, offline (an environment of their own)
	$(PYTHON) -m venv $(VENV)-loggers
	$(VENV)-loggers/bin/python -m pip install --quiet --disable-pip-version-check -e '.[loggers,translation]' pytest hypothesis
	$(VENV)-loggers/bin/python -m pytest tests/test_loggers.py

.PHONY: test-kill
test-kill: $(READY) ## kill a sweep two hundred times and compare it with one that nobody disturbed
	$(BIN)/python -m scripts.kill 200

.PHONY: fuzz
fuzz: $(READY) ## forged packed files, records and plans; new examples for the property tests
	$(BIN)/python -m scripts.fuzz 300
	$(BIN)/python -m scripts.fuzz_records 300
	$(BIN)/pytest -n auto --hypothesis-profile=wide $(shell grep -l "@given" tests/test_*.py)

.PHONY: check
check: $(READY) ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

.PHONY: format
format: $(READY) ## format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: $(READY) ## measure speed as ratios against named alternatives
	$(BIN)/python scripts/bench

.PHONY: docs
docs: $(READY) ## build the documentation as a site, build/site/index.html
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m scripts.site

# The results that are committed. What is interrupted goes on, and what is committed counts as made.

.PHONY: results
results: $(READY) ## what is published and what is missing; NAME=table3_small makes it (hours)
	$(BIN)/python -m scripts.results $(NAME)

.PHONY: results-methods
results-methods: $(READY) ## every method of pruning side by side, on both small models (33 hours)
	$(BIN)/python -m scripts.results methods_lstm_90 methods_lstm_small state_of_sparsity_resnet50_small

.PHONY: results-translation
results-translation: $(READY) ## Table 4 on embedded pairs and, with PRUNEEXP_DATA, on real ones (14 hours)
	$(BIN)/python -m scripts.results table4_small ablation_allocation_small \
		transformer_magnitude_small state_of_sparsity_transformer_small tatoeba_small

.PHONY: clean
clean: ## remove the environment and what was built; results stay
	rm -rf $(VENV) $(VENV)-loggers build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
