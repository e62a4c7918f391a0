# What a clone needs: `make demo` and `make test`. Both install first, into a private .venv; a second time installs nothing.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
EXAMPLE := examples/shirts
DEMO := demo
TRIALS ?= 14
WORKERS ?= 2
unexport PYTHONDONTWRITEBYTECODE # else each process that a test starts compiles all modules again

.PHONY: help install demo test pytest test-all test-postgres lint format faults bench bench-gpu clean

help: ## these lines
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

install: $(INSTALLED) ## a private .venv with the locked versions

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "smallsearch needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## search the example's 110 pictures for the answer to the question, and show the way to the report
	$(BIN)/search run $(EXAMPLE) --preset question --dir $(DEMO) --trials $(TRIALS) --workers $(WORKERS)
	@echo
	@echo "open $(DEMO)/report.html in a browser; again: rm -r $(DEMO)"

test: install ## linter, type checker, tests
	@$(MAKE) --jobs=2 --no-print-directory lint pytest # side by side: for a minute each has a core to spare

pytest: install
	$(BIN)/python -m pytest

test-all: install lint ## those too that repeat whole searches under another kill, sampler or network
	$(BIN)/python -m pytest -m "slow or not slow"

test-postgres: install ## the tests that start a PostgreSQL server (Debian: apt-get install postgresql); without one they are skipped
	$(BIN)/python -m pytest -m "slow or not slow" -rs tests/storage/test_store.py tests/storage/test_server.py \
		tests/storage/test_copying.py tests/search/session/test_server.py tests/search/study/test_place.py \
		tests/search/commands/test_copy.py tests/test_server.py

lint: install ## ruff and a strict type checker over everything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: install ## faults made to happen to real searches, a tenth of docs/faults.md, and random input; minutes
	$(BIN)/python -m tests.faults
	$(BIN)/python -m tests.faults fuzz --minutes 2

bench: install ## ratios against model.fit, Keras Tuner, Optuna and the arithmetic alone; half an hour
	$(BIN)/python -m tests.bench

bench-gpu: install ## fold runs on a GPU, or on the processor where there is none; minutes
	$(BIN)/python -m tests.bench.gpu

format: install ## put all code into one form
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

clean: ## everything that was made here
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis $(DEMO)
