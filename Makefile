# Everything sets itself up: python3 (3.11 or newer), make and the package registries are enough.
.PHONY: setup demo test check docs screenshots soak bench bench-detection clean
.DEFAULT_GOAL := help
PY := .venv/bin/python
STAMP := .venv/.installed

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

$(STAMP): pyproject.toml
	python3 -c 'import sys; sys.exit("chainwarden needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(PY) -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

setup: $(STAMP)  ## a virtual environment with everything in it

demo: $(STAMP)  ## a simulated chain, scored while you watch
	$(PY) -m chainwarden.cli demo

test: $(STAMP) check  ## every test, on a real broker and a real node
	tests/setup.sh
	$(PY) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

check: $(STAMP)  ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: $(STAMP)  ## the pages of docs/ that are made from the code
	$(PY) -m tests.docs

screenshots: $(STAMP)  ## of the console, into docs/screenshots
	tests/setup.sh
	CHAINWARDEN_SCREENSHOTS=docs/screenshots $(PY) -m pytest -q tests/console/test_screenshots.py

soak: $(STAMP)  ## hours of chain under random faults, MINUTES=20; then all must be equal
	tests/setup.sh
	$(PY) -m tests.soak --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED))

bench: $(STAMP)  ## the performance figures, as ratios
	$(PY) -m benchmarks

bench-detection: $(STAMP)  ## what is caught, beside reference models; about thirteen minutes
	$(PY) -m benchmarks.detection

clean:  ## remove what the targets made
	rm -rf .venv .cache build dist demo-out out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
