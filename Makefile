# make demo    a simulated night, from raw frames to a report that compares every product with its truth
#              (CAMERA=ztf: one CCD of real size)
# make real    the aperture catalogue of a real quadrant, and its growth curve beside the archive's;
#              PSF photometry of half of its stars, with the PSF of the other half, against apertures
# make serve   Prefect's server, a worker and all deployments on loopback, until Ctrl-C
# make test    every test          make check   style, types, layers          make bench   speed and memory
# make badday  what comes of masters and images when frames are spoilt: fault x product
# make wheel-check   the package as a user installs it, without this checkout
# make coverage   what the tests reach, package by package      make docs   the documentation as pages
# make setup   only the virtual environment, with exactly the versions of constraints.txt

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
CAMERA ?= tiny
# One process a core.
TESTS  := $(BIN)/python -m pytest --numprocesses 2 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder

export DO_NOT_TRACK = 1
export PREFECT_SERVER_ANALYTICS_ENABLED = false
# One thread in linear algebra: the parallelism is over products.
export OPENBLAS_NUM_THREADS = 1
# Images of containers often forbid Python to keep what it compiled: every process would compile Prefect again, for 5 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo real serve test check bench badday wheel-check coverage docs clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Say which: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "This Python has no ensurepip, so it cannot make a virtual environment: install your system's python3-venv package"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo real: export PREFECT_HOME = $(CURDIR)/demo/prefect
demo: $(READY)
	@mkdir -p $(PREFECT_HOME)
	$(BIN)/ztf demo --camera $(CAMERA) --folder demo/$(CAMERA)

real: $(READY)
	@mkdir -p $(PREFECT_HOME)
	$(BIN)/ztf real

serve: $(READY)
	$(BIN)/ztf serve

test: $(READY)
	$(TESTS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typed_seams.py
	$(BIN)/python -m pytest tests/test_layers.py tests/test_language.py

# What a user gets: a wheel, installed without this checkout, the library alone and with the application.
wheel-check: export PREFECT_HOME = $(CURDIR)/build/wheel/prefect
wheel-check: $(READY)
	rm -rf build/wheel && mkdir -p build/wheel/empty
	$(BIN)/uv build --quiet --wheel --out-dir build/wheel .
	for extras in '' '[app,simulate]'; do \
	  $(PYTHON) -m venv --clear build/wheel/venv && \
	  $(BIN)/uv pip install --quiet --python build/wheel/venv/bin/python --constraint constraints.txt \
	    "ztf-in2p3$$extras @ file://$$(ls $(CURDIR)/build/wheel/*.whl)" && \
	  (cd build/wheel/empty && ../venv/bin/python -I $(CURDIR)/tests/installed.py $(CURDIR)/README.md) || exit 1; \
	done

# Lines and branches that the tests reach, package by package. Not within `make test`, which it slows down.
coverage: $(READY)
	rm -rf build/coverage && mkdir -p build/coverage
	$(TESTS) --cov --cov-report=
	$(BIN)/python -m coverage combine --quiet --append  # what commands that the tests started reached
	$(BIN)/python -m tests.coverage_by_package

# Pages in build/site, without the network; the scripts of the examples run.
docs: export PREFECT_HOME = $(CURDIR)/build/prefect
docs: export PREFECT_LOGGING_LEVEL = WARNING
docs: $(READY)
	@mkdir -p $(PREFECT_HOME)
	$(BIN)/python -m mkdocs build --clean  # with --quiet, strict would let broken links and scripts pass
	@echo "open file://$(CURDIR)/build/site/index.html"

# Each says at its top what it measures, and how to ask for more.
bench: $(READY)
	@for each in $(basename $(notdir $(wildcard benchmarks/*.py))); do \
	  echo "== $$each"; case $$each in scene) with=quick ;; *) with= ;; esac; \
	  $(BIN)/python -m benchmarks.$$each $$with || exit 1; done

badday: $(READY)
	$(BIN)/python -m benchmarks.badday

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .grimp_cache
	find lib tasks flows tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +  # with the compiled kernels
