# make demo | make test | make lint: each needs Python 3.11 (with venv) and make, nothing else.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SOURCES := elm_jax configs data_prep tests benchmarks launch setup.py

.PHONY: demo test lint format install clean

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.install-%: setup.py constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e $(if $(filter base,$*),.,".[$*]")
	@touch $@

install: $(VENV)/.install-base

demo: $(VENV)/.install-base
	$(BIN)/python -m elm_jax.main --config configs/elm_5s.py --workdir runs/demo

test: $(VENV)/.install-test
	$(BIN)/python -m pytest -n 2 --dist loadfile tests

lint: $(VENV)/.install-lint
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(VENV)/.install-lint
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:
	rm -rf $(VENV) build dist *.egg-info
