# make demo   the main job on generated data: search, report, pick, verify
# make test   the whole test suite
# make coverage  the part of it that shares the cores, with the lines that no test reaches
# make bench  the benchmarks that can run at a small size, as one table
# Threads that wait must not spin: tests start more processes than there are cores.
export OMP_WAIT_POLICY ?= passive

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
DEMO ?= demo
# Where torch comes from; without a GPU https://download.pytorch.org/whl/cpu, or pip fetches gigabytes of CUDA.
TORCH_INDEX ?=
TRIALS ?= 8

.PHONY: install install-dev s3 demo test unit coverage lint type bench clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# torch goes first and pinned: an open range would fetch gigabytes of CUDA libraries on a machine without a GPU.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,openvino,nni,executorch]'
	touch $@

# An environment of its own: the AWS library within moto excludes the python-dateutil that we are tested with.
s3: .venv-s3/.installed
.venv-s3/.installed: constraints-s3.txt
	test -x .venv-s3/bin/python || $(PYTHON) -m venv .venv-s3
	.venv-s3/bin/pip install --quiet --disable-pip-version-check --constraint constraints-s3.txt 'moto[s3]' flask flask-cors
	touch $@

demo: install
	$(BIN)/reid-pareto demo --out $(DEMO) --trials $(TRIALS)

# What starts clusters or goes by the clock has the machine to itself, but for whole programs that start clusters: these
# and all other tests share the cores.
ALONE = ray or clock
SHARED = env OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

test: install-dev s3
	$(SHARED) -m "not ($(ALONE))" --durations=25
	$(SHARED) -m "($(ALONE)) and e2e" --durations=25
	$(BIN)/python -m pytest -m "($(ALONE)) and not e2e" --durations=25

unit: install-dev
	$(SHARED) -m "not (ray or fault or e2e or realdata)"

coverage: install-dev s3
	$(SHARED) -m "not ($(ALONE))" --cov --cov-report=term

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: install-dev
	$(BIN)/mypy

bench: install-dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(DEMO) build .mypy_cache .ruff_cache .pytest_cache
