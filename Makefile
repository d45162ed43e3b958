# make run: a world that follows its prompt. make test: the tests. make help: the rest.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(CURDIR)/.venv/bin
STAMP := .venv/.installed
LINTED := voxsds stages teacher scripts benchmarks examples tests
# DVC runs the `python` that it finds on PATH.
export PATH := $(BIN):$(PATH)
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: run watch experiments test test-browser check format bench suite viewer plots-page clean help env

run: env no-scm  ## change the world of params.yaml until it follows its prompt, then show where the report is
	dvc repro
	@python -m voxsds.cli.headline out_local/report

watch: env  ## a page on this machine that shows the running training
	voxsds watch

experiments: env  ## the experiments on this commit, a line each
	@python -m voxsds.cli.experiments

# Two workers, as the suite is made for two cores. A file's tests stay together, in the order of tests/conftest.py.
test: env  ## all tests
	python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-browser: env  ## the tests of the report in a browser; needs a Chromium, and installs what drives it
	$(PIP) --no-build-isolation --editable '.[browser]'
	python -m pytest -q -m browser

check: env  ## format, lint, types, import contracts, DVC dependencies
	ruff format --check $(LINTED)
	ruff check $(LINTED)
	pyright
	lint-imports
	python -m pytest -q tests/stages/test_dvc_deps.py

format: env  ## rewrite the code in the project's format
	ruff format $(LINTED)
	ruff check --fix $(LINTED)

bench: env  ## agreement and speed of the renderers
	python -m benchmarks.parity
	python -m benchmarks.render

suite: env  ## all prompts on both maps, and what they are compared with: hours on two cores
	python -m benchmarks.suite

viewer:  ## build the report's script from its sources; needs npm
	scripts/build_viewer.sh

plots-page:  ## build the page of DVC's plots from its sources; needs npm
	scripts/build_plots_page.sh

clean:  ## remove results and caches, keep the environment (checkpoints too: out_local/ckpt)
	rm -rf out_local .pytest_cache .ruff_cache .hypothesis .import_linter_cache dvc_plots
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

env: $(STAMP)

# torch first: where a CPU build lies on a local index, the plain version takes it.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
$(STAMP): requirements.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "voxsds needs Python 3.11: make PYTHON=...")'
	@echo "installing the pinned packages into .venv; the first time takes a few minutes"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(PIP) "$$(grep '^torch==' requirements.txt)"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $(STAMP)

# An unpacked archive is no Git repository, which DVC must be told.
.PHONY: no-scm
no-scm: env
	@git rev-parse --git-dir >/dev/null 2>&1 || dvc config --local core.no_scm true
