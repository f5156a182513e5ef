# Needs Python 3.11 or newer with venv, and make; everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint .ci/constraints.txt
export PIP_ROOT_USER_ACTION := ignore
# For pip's exit status at the end of a pipe.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# A dot for each step that pip prints, so that a long download shows progress.
DOTS := while read -r _; do printf . >&2; done; echo >&2

.PHONY: help run unit test test-long coverage storm soak bench mutants sql-mutants docs migrations image-pins lint check
.PHONY: format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

run: $(VENV)/.demo ## See sample mails flow, on a PostgreSQL of its own (Ctrl-C ends it)
	@$(BIN)/python -m demo

# Tests mostly wait, so more tests than cores run at a time. A file that is named runs in one process.
WORKERS ?= $(if $(TEST),0,6)
PYTEST := $(BIN)/python -m pytest --dist loadgroup

unit: $(VENV)/.dev ## Run the tests of the pure parts, which need no server (15 seconds)
	@$(BIN)/python -m pytest -p no:xdist tests/unit

test: $(VENV)/.dev ## Run the tests, or TEST=tests/unit/test_words.py, on a PostgreSQL of their own (4 minutes)
	@$(PYTEST) --numprocesses $(WORKERS) $(or $(TEST),-m "not long")

test-long: $(VENV)/.dev ## Run the tests that make test leaves out: a storm, and a halt at every step (2 minutes)
	@$(PYTEST) --numprocesses 3 -m long

# Programs that the tests start are measured too. The lines of a killed program are not counted.
coverage: $(VENV)/.dev ## Run the tests of make test, and print which lines and branches they reach (8 minutes)
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m coverage run -m pytest --dist loadgroup --numprocesses $(or $(WORKERS),6) -m "not long"
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

SECONDS ?= 60
SEED ?= 1
storm: $(VENV)/.dev ## Cause failures for SECONDS=60, chosen by SEED=1, and check that the promises hold
	@$(BIN)/python -m tests.storm --seconds $(SECONDS) --seed $(SEED)

TOKENS ?= 1000000
soak: $(VENV)/.dev ## Send TOKENS=1000000 mails, and check that memory, files and tables do not grow
	@$(BIN)/python -m tests.soak --tokens $(TOKENS)

RUNS ?= 5
bench: $(VENV)/.bench ## Measure speed, RUNS=5 times each, beside other queues (45 minutes); into docs
	@$(BIN)/python -m benchmarks --runs $(RUNS) $(if $(ONLY),--only $(ONLY))

mutants: $(VENV)/.mutants ## Change the code in small ways, and list the changes that no test notices (ten minutes)
	@rm -rf mutants # results of an earlier run are old if tests have changed
	@$(BIN)/mutmut run
	@$(BIN)/mutmut results
	@$(BIN)/mutmut results --all true | $(BIN)/python -m tests.mutants

sql-mutants: $(VENV)/.dev ## Make wrong changes of the SQL steps, and list those that no test notices (an hour)
	@$(BIN)/python -m tests.sql_mutants $(ONLY)

docs: $(VENV)/.demo ## Generate the reference, manual pages, shell completion and schema
	@$(BIN)/python docs/generate

migrations: $(VENV)/.pip ## Write the functions of the newest migration, from migrations/functions
	@$(BIN)/python docs/generate/migration.py

PINS := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 \
	--custom-compile-command 'make image-pins' --constraint .ci/constraints.txt
image-pins: $(VENV)/.release ## Write the versions and hashes of what the image installs, by .ci/constraints.txt
	@$(PINS) --output-file .ci/image.txt pyproject.toml
	@echo hatchling | $(PINS) --output-file .ci/image-build.txt -

lint: $(VENV)/.dev ## Run the linters, and find long lines of Markdown and SQL (30 seconds)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.line_lengths

check: lint test test-long ## All that CI does (7 minutes)

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove everything that make created, including the demo's data
	rm -rf $(VENV) .demo output dist mutants .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

# pip supports dependency groups (PEP 735) from 25.1 on, so it is installed first.
$(VENV)/.pip: .ci/constraints.txt
	@echo "Setting up $(VENV), once: about a minute for make run, two for make test." >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mailroom needs Python 3.11 or newer; name one with PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@printf "pip " >&2; $(PIP_INSTALL) pip | { $(DOTS); }
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	@printf "mailroom and a PostgreSQL " >&2; $(PIP_INSTALL) --group demo --editable . | { $(DOTS); }
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@printf "what the tests need " >&2; $(PIP_INSTALL) --group dev | { $(DOTS); }
	@touch $@

$(VENV)/.bench: $(VENV)/.demo
	@printf "what the benchmarks need " >&2; $(PIP_INSTALL) --group bench | { $(DOTS); }
	@touch $@

$(VENV)/.release: $(VENV)/.pip pyproject.toml
	@$(PIP_INSTALL) --group release
	@touch $@

$(VENV)/.mutants: $(VENV)/.dev
	@$(PIP_INSTALL) --group mutants
	@touch $@
