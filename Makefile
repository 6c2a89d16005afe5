# Postroad: everything a developer or a newcomer types. `make help` lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Tests wait more than they compute: one process more than there are cores; files stay together, with their servers.
BESIDE := -n $(shell echo $$(($$(nproc) + 1))) --dist loadfile
COMPILED := smtp listener queue delivery spool net policy policies observe model

.PHONY: run
run: $(VENV)/.run.stamp ## start the relay on 127.0.0.1:2525; mail lands in quickstart/data, nothing leaves the machine
	@exec $(BIN)/python tools/run.py

.PHONY: test
test: $(VENV)/.dev.stamp ## install what the tests need and run them all (LONG=1: the long mode; ARGS=...: for pytest)
	@tools/debian.sh tests
	@$(if $(LONG),tools/debian.sh image)
	@tools/node.sh tests/interop/node
	@$(if $(LONG),POSTROAD_LONG=1) $(BIN)/python -m pytest $(or $(ARGS),$(BESIDE))
	@$(if $(ARGS),,folder=$$($(BIN)/python tools/compile.py) && echo "What touches compiled modules, compiled:" && \
		PYTHONPATH=$$folder $(BIN)/python -m pytest $(BESIDE) tests/dialogs tests/fuzz $(wildcard tests/scenarios/test_queue_*.py) \
			tests/scenarios/test_delivery_hosts.py $(COMPILED:%=tests/unit/%))

.PHONY: check
check: $(VENV)/.dev.stamp ## format, lint, types and the house rules, in under a minute
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --strict src tests
	$(BIN)/python -m pytest -q tests/meta

.PHONY: soak
soak: $(VENV)/.dev.stamp ## under load and fire for five minutes, as root (LONG=1: for forty; ARGS=...: for tests.soak)
	@tools/debian.sh tests
	@folder=$$($(BIN)/python tools/compile.py) && \
		PYTHONPATH=$$folder $(if $(LONG),POSTROAD_LONG=1) $(BIN)/python -m tests.soak $(ARGS)

.PHONY: bench
bench: $(VENV)/.dev.stamp ## measure against a well-tuned Postfix on this machine (ARGS=...: for tests.bench)
	@tools/debian.sh bench
	@$(BIN)/python tools/compile.py >/dev/null
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: deb
deb: $(VENV)/.dev.stamp ## build the Debian packages into dist/
	@tools/debian.sh compile
	@MACHINE_CODE=$$($(BIN)/python tools/compile.py) tools/deb.sh

.PHONY: image
image: ## build the container image with podman, buildah or docker (ARGS=...: for the build)
	@tools/image.sh $(ARGS)

.PHONY: compile
compile: $(VENV)/.dev.stamp ## make machine code of what every message passes; prints the folder to put first in PYTHONPATH
	@tools/debian.sh compile
	@$(BIN)/python tools/compile.py

.PHONY: docs
docs: $(VENV)/.dev.stamp ## write the reference pages from the code, then the site into site/
	$(BIN)/python -m postroad.cli.document docs/reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

.PHONY: format
format: $(VENV)/.dev.stamp ## format the code and repair what the linter can repair
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

.PHONY: venv
venv: $(VENV)/.dev.stamp ## the virtual environment, with everything for development

.PHONY: lock
lock: ## pin the newest allowed dependencies, with hashes (ARGS="--upgrade-package NAME" for one)
	@tools/lock.sh $(or $(ARGS),--upgrade)

.PHONY: clean
clean: ## remove what was built and cached, but neither .venv nor captured mail
	rm -rf site dist build .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name what; do printf 'make %-8s %s\n' "$$name" "$$what"; done

$(VENV)/.run.stamp: requirements/run.lock pyproject.toml tools/venv.sh
	@tools/venv.sh run

$(VENV)/.dev.stamp: requirements/dev.lock requirements/run.lock pyproject.toml tools/venv.sh
	@tools/venv.sh dev
