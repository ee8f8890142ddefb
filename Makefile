# Everything a person runs. `make demo` and `make test` set up what they need on Debian and Ubuntu.
VENV ?= .venv
PY := $(VENV)/bin/python
VALIDATION := $(VENV)/bin/validation
export VENV

.PHONY: demo test check lint types floors docs bench clean

# A stamp, so that setting up happens once; it runs again when the lock changes.
$(VENV)/.ready: requirements.lock pyproject.toml .ci/setup
	sh .ci/setup

demo: $(VENV)/.ready
	sh studies/demo.sh low-dose-ct

# A PACS, a database, a browser and checkers that tests use; only `make test` needs them.
$(VENV)/.services: .ci/services $(VENV)/.ready
	sh .ci/services
	touch $@

test: $(VENV)/.ready $(VENV)/.services
	$(PY) -m pytest -n 2 --dist loadfile

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.ready
	$(VENV)/bin/mypy

floors: $(VENV)/.ready
	$(VENV)/bin/lint-imports

check: lint types floors test

docs: $(VENV)/.ready
	$(PY) docs/reference.py

bench: $(VENV)/.ready
	for script in benchmarks/*.py; do echo "== $$script"; $(PY) $$script || exit 1; done

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf studies/*/data studies/*/runs studies/*/keys studies/*/work
