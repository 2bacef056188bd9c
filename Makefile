# `make` lists what can be made. A fresh machine needs make and Python 3.11 or newer with its venv module.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -q
# Tests in as many processes as there are processors; PYTEST_ARGS is added to every run.
PARALLEL ?= -n auto --dist loadfile
# Tests of whole processes and pages wait as often as they work.
WAITING ?= -n 4 --dist loadfile
# Fault tests wait more than they work; each of these processes has a PostgreSQL of its own to crash.
FAULTS ?= -n 3 --dist worksteal
CELERY_SELECTION := killed_scheduler or given_back_at_once or midnight
# Development commands on a bare checkout; what the environment or .env sets still wins.
DEVELOP := SETTINGS_PROFILE=$${SETTINGS_PROFILE:-development}

.DEFAULT_GOAL := help
.PHONY: help run test install dev lint migrate seed bench fault schema screenshots docs lock \
        docker-up docker-down refresh-migrate-seed

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: install ## Run the open demo on this machine: web on PORT (8000) and the scheduler
	@exec $(BIN)/python manage.py demo

test: dev lint ## Run every check and test, on SQLite and on PostgreSQL
	@$(BIN)/python -m tests.postgres sh -ec '\
	  echo "== rules, properties, house"; \
	  TEST_DATABASE=sqlite $(PYTEST) $(PARALLEL) $(PYTEST_ARGS) tests/unit tests/property tests/architecture; \
	  echo "== SQLite"; \
	  TEST_DATABASE=sqlite $(PYTEST) $(PARALLEL) $(PYTEST_ARGS) tests/db; \
	  TEST_DATABASE=sqlite $(PYTEST) $(WAITING) $(PYTEST_ARGS) tests/e2e; \
	  if [ -n "$$TEST_DATABASE_URL" ]; then \
	    echo "== PostgreSQL"; \
	    TEST_DATABASE=postgresql $(PYTEST) $(PARALLEL) $(PYTEST_ARGS) tests/db \
	      tests/property/test_lifecycle_machine.py; \
	    TEST_DATABASE=postgresql $(PYTEST) $(WAITING) $(PYTEST_ARGS) tests/e2e; \
	    echo "== Faults, the quick ones (make fault runs all)"; \
	    TEST_DATABASE=postgresql $(PYTEST) $(FAULTS) $(PYTEST_ARGS) -m "not slow" tests/fault; \
	    echo "== The same promise with Celery workers, a selection (make fault runs all)"; \
	    TEST_DATABASE=postgresql FAULT_ENGINE=celery $(PYTEST) $(FAULTS) $(PYTEST_ARGS) -m "promise and not slow" \
	      -k "$(CELERY_SELECTION)" tests/fault tests/e2e/test_reference_scenarios.py; \
	  fi'

install: $(VENV)/.installed ## Make the virtual environment with what the service needs

dev: $(VENV)/.installed-dev ## Add what tests and checks need

lint: dev ## Check style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@find . \( -path ./$(VENV) -o -path ./.cache \) -prune -o -path '*/templates/*.html' -print0 | xargs -0 -r $(BIN)/djade --target-version 5.2 --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

migrate: install ## Bring the database up to date
	@$(DEVELOP) $(BIN)/python manage.py prepare_database

seed: install ## Add the two batch jobs and 1,000 transactions where they are missing
	@$(DEVELOP) $(BIN)/python manage.py seed

refresh-migrate-seed: install ## Drop all data, migrate and seed (refuses outside development)
	@$(DEVELOP) $(BIN)/python manage.py refresh_database

bench: dev ## Measure (bench/README.md tells how to read it)
	@$(BIN)/python -m tests.postgres $(BIN)/python -m bench

fault: dev ## Kill, stop and cut things, and check that the promise holds (FAULT_SEED, FAULT_NEMESIS_SECONDS)
	@$(BIN)/python -m tests.postgres sh -ec '\
	  export TEST_DATABASE=postgresql; \
	  $(PYTEST) $(FAULTS) $(PYTEST_ARGS) tests/fault; \
	  for broker in redis rabbitmq; do \
	    echo "== The same promise with Celery workers on $$broker"; \
	    FAULT_ENGINE=celery FAULT_BROKER=$$broker $(PYTEST) $(FAULTS) $(PYTEST_ARGS) -m promise \
	      tests/fault tests/e2e/test_reference_scenarios.py; \
	  done'

schema: dev ## Write docs/openapi.json and the pages of reference anew from the code
	@APP_ENV=development $(BIN)/python manage.py spectacular --validate --fail-on-warn \
	  --format openapi-json --file docs/openapi.json
	@$(BIN)/python -m docs.reference

screenshots: dev ## Take the pictures of the documentation again
	@$(BIN)/python -m docs.screenshots

docs: dev ## Build the documentation as a site in site/; a dead link is an error
	@$(BIN)/zensical build --clean --strict

lock: dev ## Pin every requirement and its hashes anew
	@for name in requirements requirements-celery requirements-otel requirements-dev; do \
	  $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 \
	    --no-header $$name.in -o $$name.txt || exit 1; \
	done

docker-up: ## Build the image and start web, scheduler and PostgreSQL
	docker compose up --build --detach --wait

docker-down: ## Stop the containers; the data stays
	docker compose down

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@echo "Making the virtual environment …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Is the venv module installed? (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "Installing what the service needs …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements-celery.txt requirements-otel.txt requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing what tests and checks need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements.txt -r requirements-celery.txt -r requirements-otel.txt -r requirements-dev.txt
	@touch $@ $(VENV)/.installed
