# make demo    erase "church" from the embedded model and say where the report is
# make docs    the documentation as a site, in build/docs; warnings are errors
# make test    lint, types and tests
# make package the wheel and the source distribution in dist, installed with all extras in an environment of their own and tried
# make format  put the code into the one form
# make notebooks  run those of docs/ anew, and store what their cells give
# make clean   remove the environment and what the tools left behind
#
# Each makes its own environment in .venv. pip's settings (PIP_INDEX_URL, PIP_FIND_LINKS, pip.conf) are respected.

# Any Python from 3.11 on will do: make PYTHON=python3.12 test
PYTHON ?= $(shell command -v python3.11 || echo python3)
PYTEST_ARGS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder
VENV := .venv
BIN := $(VENV)/bin
PACKED := build/package/bin/python
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo docs test package format notebooks clean

demo: $(VENV)/installed
	$(BIN)/turpentine erase church

# All pages each time: what is wrong in one is said only when it is read.
docs: $(VENV)/installed-dev
	$(BIN)/python -m sphinx -W --keep-going --fresh-env --builder html docs build/docs
	@echo "The site is build/docs/index.html"

# Two processes of tests with one thread each are faster than one with two. A file's tests go to one of them, which then
# makes what they share once; those that take long begin first. Types are checked beside them. Compiled files are kept:
# some fifty processes that the tests start import the package.
test: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@mkdir -p build
	$(BIN)/mypy > build/types.txt & types=$$!; \
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --quiet $(PYTEST_ARGS); tests=$$?; \
	wait $$types; types=$$?; cat build/types.txt; exit $$((tests || types))

package:
	rm -rf dist build/package
	$(PYTHON) -m venv build/package
	$(PACKED) -m pip install --quiet hatchling
	$(PACKED) -m hatchling build
	$(PACKED) -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(PACKED) -m pip install --quiet --constraint constraints.txt "turpentine[nudenet,ray,sign,studio,study] @ file://$$(echo $(CURDIR)/dist/*.whl)"
	$(PACKED) -m pip check
	$(PACKED) tools/check_package.py dist --smoke

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

notebooks: $(VENV)/installed-dev
	cd docs/notebooks && PYTHONWARNINGS=ignore $(abspath $(BIN))/jupyter execute --inplace *.ipynb
	rm -f docs/notebooks/*.safetensors

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find src tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +

# torch comes first and by its exact release: only that spelling finds a CPU build that lies in pip's find-links.
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Making the environment in $(VENV): some minutes and about 2 GB, more where pip takes a CUDA build of PyTorch, this once."
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@
