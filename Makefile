# `make` alone lists what there is to do.
.DEFAULT_GOAL := help
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/local.yaml
ACCELERATOR ?= auto
ARGS ?=

# The Python that an existing environment was made with, else the first suitable one; install.py explains a refusal.
SUITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(shell base=$$(sed -n 's/^executable = //p' $(VENV)/pyvenv.cfg 2>/dev/null); \
	for python in $$base python3.11 python3.12 python3.13 python3.14 python3; do \
		"$$python" -c '$(SUITS)' 2>/dev/null && { echo "$$python"; exit; }; \
	done; echo python3)
INSTALL = $(PYTHON) requirements/install.py --venv $(VENV) --accelerator $(ACCELERATOR)

.PHONY: help setup dev run check format test bench chaos loadtest soak simulate train lock clean
.PHONY: types rules redteam redteam-full redteam-calibrate redteam-judge

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PYTHON=python3.12  ACCELERATOR=cpu|cuda  CONFIG=configs/local.yaml  ARGS=..."

setup: ## Install Sluice into .venv; nothing to do the second time
	@$(INSTALL)

run: setup ## Install if need be, then serve CONFIG until Ctrl-C
	@exec $(BIN)/sluice up $(CONFIG) $(ARGS)

dev: ## Install what tests and checks need, too
	@$(INSTALL) --dev

check: dev ## Lint, formatting, types, import rules, workflows, lock files, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --jobs 2 types rules

# Takes as long as all other checks together, and one processor core.
types:
	$(BIN)/mypy

rules:
	$(BIN)/lint-imports --no-cache
	$(BIN)/jactionlint --strict-exit --shellcheck= --pyflakes= .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --strict-collection .github
	$(BIN)/python requirements/lock.py --check
	$(BIN)/python -m pytest -q --durations=0 --durations-min=5 tests/check

format: dev ## Mend what ruff can mend, and format
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

test: check ## The checks, then every test; ARGS="-k name" narrows
	@exec $(BIN)/python -m pytest $(ARGS)

bench: dev ## Overhead beside bare vLLM, side by side on this machine
	@exec $(BIN)/python -m loadtests.bench $(ARGS)

chaos: dev ## Faults under load, one after another; ARGS="--quick" or ARGS="--faults core,cut"
	@exec $(BIN)/python -m loadtests.chaos $(ARGS)

redteam: dev ## Attacks that steal a model: bare vLLM, the guard off, the guard on
	@exec $(BIN)/python -m loadtests.redteam $(ARGS)

redteam-full: dev ## The slow attacks as well: searches by halving, a trained student, the slow drip
	@exec $(BIN)/python -m loadtests.redteam --full $(ARGS)

redteam-calibrate: dev ## Honest simulated traffic → gateway/guard/calibration.json
	@exec $(BIN)/python -m loadtests.evaluation calibrate $(ARGS)

redteam-judge: dev ## False alarms and attackers found, on simulated traffic; ARGS="--split train" while developing
	@exec $(BIN)/python -m loadtests.evaluation judge $(ARGS)

loadtest: dev ## Locust: three minutes of mixed load, judged by loadtests/slo.yaml; ARGS="burst" or ARGS="ramp"
	@exec $(BIN)/python -m loadtests.suite --config $(CONFIG) $(ARGS)

soak: dev ## Locust for 30 minutes: memory growth, leaked slots, files, reservations; ARGS="--minutes 10"
	@exec $(BIN)/python -m loadtests.suite soak --config $(CONFIG) $(ARGS)

simulate: dev ## Autoscaling on traces: ARGS="TRACE.csv --speeds FILE"; ROUTING=TRACE.jsonl replays routing instead
ifdef ROUTING
	@exec $(BIN)/python -m loadtests.simulation.routing $(ROUTING) --strict $(ARGS)
else
	@exec $(BIN)/python -m loadtests.simulation.scaling $(ARGS)
endif

train: setup ## Train the embedded demo model again
	@exec $(BIN)/python -m deployments.demo_model.train $(ARGS)

lock: dev ## Resolve requirements/*.in into the pinned closures
	@$(BIN)/python requirements/lock.py

clean: ## Remove the environment and every cache
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
