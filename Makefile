# `make test` is all that CI runs; `make demo` shows the main job. Both set up what they need.
SHELL := bash
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help setup lock packages lint types test fuzz addons bench demo clean

help: ## Show this text
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: .venv/.ready ## Make the virtual environment in .venv

.venv/.ready: pyproject.toml constraints.txt .ci/setup
	@.ci/setup venv
	@touch $@

lock: .venv/.ready ## Pin the newest releases of all dependencies, with hashes, in constraints.txt
	@$(BIN)/python .ci/lock.py

packages: ## Install the Debian packages that the lab and the checks need (as root)
	@.ci/setup packages

lint: .venv/.ready ## Format, lint, import contracts, shell scripts, YAML
	@.ci/lint

types: .venv/.ready ## Static types
	@$(BIN)/mypy

test: .venv/.ready packages ## Everything CI checks: lint, types, unit, contract and end-to-end tests
	@.ci/test

fuzz: .venv/.ready ## Break input and kill commands far more often than the tests do (KILLS, FUZZ_TIMES, FUZZ_SEED)
	@KILLS=$${KILLS:-200} FUZZ_TIMES=$${FUZZ_TIMES:-50} FUZZ_SEED=$${FUZZ_SEED:-1} \
		$(BIN)/pytest -q --numprocesses 2 tests/fuzz tests/kills/test_random_kills.py

addons: .venv/.ready ## Look for newer releases of the add-ons' charts (pin them: .ci/addons.py --write)
	@$(BIN)/python .ci/addons.py

bench: .venv/.ready packages ## Measure on the lab, beside Ansible and a plain loop, and write docs/performance.md (15 min)
	@.ci/bench

demo: ## Create a cluster of real Linux machines in the lab, show it, remove it (as root; else simulated ones)
	@.ci/demo

clean: ## Remove the virtual environment and caches (not the lab's template)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
