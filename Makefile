# Every target that needs something sets it up by itself. `make` alone says what there is.

SHELL := /usr/bin/env bash
BIN := .venv/bin
ARGS ?=
CONTRACTS := $(shell find contracts -name '*.sol' -not -path '*/.cache/*')

.DEFAULT_GOAL := help
.PHONY: help setup compile demo test lint fmt analyse bench lock clean

help: ## say what there is
	@echo 'Assay: a marketplace for machine-learning compute in which nobody has to be trusted.'
	@echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'
	@echo
	@echo '  ARGS go to the tool behind a target:'
	@echo '    make test ARGS="tests/exact -x"      some tests, up to the first that fails'
	@echo '    make test ARGS="-n 2 -m '"'not slow'"'"  in two processes, without the slow ones'
	@echo '  A GPU is used where torch sees one. To use the tools by hand: source .venv/bin/activate'

setup: ## make .venv and node_modules; fast when nothing has changed
	@scripts/setup.sh

compile: setup ## compile the contracts, where one has changed
	@$(MAKE) -s --no-print-directory .build/compiled

# By force: left to itself ape compiles only the files that changed, and not those that import them.
.build/compiled: $(CONTRACTS) ape-config.yaml package-lock.json
	$(BIN)/ape compile --force
	@touch $@

demo: compile ## play a whole market on a local chain: train, verify, cheat, dispute, pay
	$(BIN)/ape run demo $(ARGS)

test: compile ## compile the contracts and run the tests
	$(BIN)/ape test $(or $(ARGS),tests -n 2 --dist loadfile)

lint: setup ## check style and types, change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy worker scripts
	node_modules/.bin/forge fmt --check contracts

fmt: setup ## format the Python and the Solidity
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	node_modules/.bin/forge fmt contracts

# In an environment of its own: it pins other versions of what the worker uses.
analyse: setup ## look for faults in the contracts with slither
	@test -x .cache/slither/bin/slither || { $(BIN)/python -m venv .cache/slither && .cache/slither/bin/pip install --quiet slither-analyzer==0.11.6; }
	$(BIN)/python -m scripts.analyse

bench: setup ## measure what the README states
	$(BIN)/python -m benchmarks $(ARGS)

lock: ## find the newest versions that fit requirements.in and package.json, and pin them
	scripts/lock.sh

clean: ## remove what was made, except the lock files
	rm -rf .venv node_modules .build contracts/.cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
