# Fresh machine: Python 3.11 or newer and git are enough.
#   make demo   the main job on the built-in phantom cohort, to a finished report
#   make test   the test suite; make test-all with the tests that take minutes each
#   make lint   ruff, codespell and mypy
#   make docs   the documentation site, into build/site
#   make bench  measurements against peers (minutes to hours; see benchmarks/)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.PHONY: demo test test-all lint docs bench clean

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

$(VENV)/.run: $(BIN)/uv pyproject.toml constraints.txt
	$(INSTALL) --editable ".[deploy]"
	@touch $@

$(VENV)/.dev: $(BIN)/uv pyproject.toml constraints.txt
	$(INSTALL) --editable ".[dev]"
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run
	$(BIN)/python jobs/nas_hecktor.py --demo
	@rm -rf demo
	$(BIN)/branchpoint bundle create --study hecktor-2021 --out demo/hecktor.bp
	$(BIN)/branchpoint make-phantom hecktor --patients 1 --seed 2026 --out demo/new-patient
	@mv demo/new-patient/hecktor_nii/*_ct.nii.gz demo/ct.nii.gz
	@mv demo/new-patient/hecktor_nii/*_pt.nii.gz demo/pt.nii.gz
	$(BIN)/branchpoint predict demo/hecktor.bp --input CT=demo/ct.nii.gz,PET=demo/pt.nii.gz --id new-patient --out demo/predictions

test: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(TESTS)

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow or not slow" $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

$(VENV)/.docs: $(VENV)/.dev
	$(INSTALL) --editable ".[docs]"
	@touch $@

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(VENV)/.dev
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) build dist results report.html
