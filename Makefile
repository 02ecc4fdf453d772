# Two commands: `make run` and `make test`. Both create .venv and install the pinned dependencies first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCENARIO ?= scenarios/01_rural_feeder.yaml
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# FMUs of other tools, for scenario 03 and the tests: only the files are used, not the package, whose pins are older.
THIRD_PARTY_FMUS := --no-deps gemseo-fmu

.PHONY: run test lint types imports tests bench format clean

run: $(VENV)/.run-ready
	$(BIN)/twin run $(SCENARIO)

test: lint types imports tests

lint: $(VENV)/.test-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test-ready
	$(BIN)/mypy

imports: $(VENV)/.test-ready
	$(BIN)/lint-imports

tests: $(VENV)/.test-ready
	$(BIN)/pytest -m "not bench"

bench: $(VENV)/.test-ready
	$(BIN)/pytest -m bench -s tests/bench

format: $(VENV)/.test-ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gemello needs Python 3.11 or newer; set PYTHON=python3.11 (found $$($(PYTHON) --version))" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run-ready: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) --editable ".[simbench,fmu,hil]"
	$(PIP) $(THIRD_PARTY_FMUS)
	touch $@

$(VENV)/.test-ready: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) --editable ".[simbench,fmu,hil,third-party,bench,dev]"
	$(PIP) $(THIRD_PARTY_FMUS)
	touch $(VENV)/.run-ready $@
