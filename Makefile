# Everything runs in .venv, which the first target builds from any Python >= 3.11.
#   make demo    train the digits network and draw its picture
#   make test    the test suite            make lint   format, lint, types, layers
#   make bench   side by side with torch where it is installed
#   make help    these lines               make clean  remove .venv and caches

CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for name in $(CANDIDATES); do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$name"; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Running pip through `python -m` keeps working when the checkout's path is longer than a shebang may be.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKERS ?= auto

.PHONY: demo test lint bench help clean
.DEFAULT_GOAL := help

help:
	@sed -n '2,6s/^# *//p' Makefile

$(VENV)/created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, and none is on PATH (set PYTHON=...)."; exit 1; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "venv failed; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/installed: pyproject.toml $(VENV)/created
	@echo "installing lampas and what it needs"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml $(VENV)/installed
	@echo "installing what the tests need"
	@$(PIP) install --editable '.[test]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python -m lampas demo

test: $(VENV)/installed-test
	@$(BIN)/python -m pytest -q -n $(WORKERS) --maxprocesses 8

lint: $(VENV)/installed-test
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python tools/check_layers.py
	@$(BIN)/python -m pyright --pythonpath $(BIN)/python

bench: $(VENV)/installed
	@$(BIN)/python -m lampas bench

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist
