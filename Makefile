# The commands of the course. `make` lists them. The first one sets up .venv; the next ones start at once.

PYTHON ?=
ARGS =
RUN = .venv/bin/python
FLOOR = jax==0.7.2 jaxlib==0.7.2 flax==0.11.2 optax==0.2.8 numpy==2.1.3
# A worker gets whole files. tests/conftest.py says more; it is not read where ARGS names a notebook alone.
PYTEST = -m pytest -n 2 --dist loadfile
NOTEBOOKS = --nbval-lax --nbval-current-env --nbval-cell-timeout=300

# Large memory pages on Linux: a DCGAN's step fills fresh memory, and saves a fifth of its time. Elsewhere without effect.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

# $(call ready,VENV,CONSTRAINTS,PYTHONS) sets up VENV, or stops with one line that says what to do. `make -n` only shows how.
dry = $(findstring n,$(firstword -$(MAKEFLAGS)))
stop = $(if $(1),$(error $(1)))
set-up = PYTHON='$(subst ','\'',$(PYTHON))' sh .ci/setup.sh $(1) $(2) $(3)
ready = $(if $(dry),$(set-up),$(call stop,$(shell $(set-up))):)

# No virtual environment runs with the standard library of another Python.
unexport PYTHONHOME

.PHONY: help lab published test test-fast run bench notebooks site links lint format test-floor test-newest constraints setup \
	setup-site setup-floor setup-newest

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Options: PYTHON=/path/to/python3.12 for the set-up; ARGS="..." is handed on, as in make notebooks ARGS="01 --force"'

lab: setup ## open JupyterLab at your copy of the first notebook, in mine/; a newer course joins your answers there
	@$(RUN) notebooks/source/mine.py
	@cd mine && JUPYTER_CONFIG_PATH=../.ci/jupyter ../$(RUN) -m jupyterlab --LabApp.default_url=/lab/tree/00_start_here.ipynb $(ARGS)

test: published lint ## check the course as published: style, library, exercises, notebooks (half an hour on two cores)
	@$(RUN) $(PYTEST) $(NOTEBOOKS) $(ARGS)

test-fast: published lint ## what breaks most often, in a minute or two: no notebook runs, no long training
	@$(RUN) $(PYTEST) -q -m "not slow" tests $(ARGS)

run: setup ## check your answers: execute your notebooks, in order, into build/, with a table of exercises and times
	@$(RUN) notebooks/source/build.py --run build $(ARGS)

bench: setup ## time a training step of each network, one JSON line each
	@$(RUN) benchmarks/step.py dcgan 128 && $(RUN) benchmarks/step.py dcgan 128 --naive --steps 5
	@$(RUN) benchmarks/step.py mlp 128 && $(RUN) benchmarks/step.py small 128

notebooks: setup ## build the notebooks whose text in notebooks/source/ changed, or the library that they import
	@$(RUN) notebooks/source/build.py $(ARGS)

site: setup-site ## build the pages for reading, from the notebooks as they are stored, into build/site (half a minute)
	@$(RUN) site/make.py $(ARGS)

links: setup ## after a change of the course's address in pyproject.toml: setup cells and badges that name it
	@$(RUN) notebooks/source/links.py

published: setup
	@$(RUN) notebooks/source/build.py --published

lint: setup ## check the style of library, tests and notebooks
	@$(RUN) -m ruff check --quiet && $(RUN) -m ruff format --check --quiet || \
		{ echo '`make format` mends most of this; after it, `make notebooks` builds what changed.'; exit 1; }

format: setup ## format library, tests and the text of the notebooks
	@$(RUN) -m ruff check --fix-only --quiet --exclude '*.ipynb' && $(RUN) -m ruff format --quiet --exclude '*.ipynb'
	@$(RUN) notebooks/source/build.py --format $(ARGS)

test-floor: ## check library and notebooks with the oldest supported versions
	@mkdir -p build
	@grep -vE '^(jax|jaxlib|flax|optax|numpy)==' constraints.txt >build/floor.txt
	@printf '%s\n' $(FLOOR) >>build/floor.txt
	@$(MAKE) --no-print-directory setup-floor
	@.venv-floor/bin/python $(PYTEST) $(NOTEBOOKS) $(ARGS)

test-newest: setup-newest ## what breaks most often, on the newest versions, which Python 3.12 and newer get
	@.venv-newest/bin/python $(PYTEST) -q -m "not slow" tests $(ARGS)

constraints: setup ## write constraints.txt anew, keeping versions that still fit together (ARGS=--upgrade: the newest)
	@mkdir -p build && cp constraints.txt build/constraints.txt
	@$(RUN) -m pip install --quiet --upgrade --target build/uv uv
	@sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | \
		build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --only-binary :all: --no-annotate --no-header \
			--extra lab --extra test --extra site --output-file build/constraints.txt $(ARGS) pyproject.toml -
	@{ grep "^#" constraints.txt; cat build/constraints.txt; } >build/whole.txt && mv build/whole.txt constraints.txt

setup:
	@$(call ready,.venv,constraints.txt,python3.14 python3.13 python3.12 python3.11 python3 python)

setup-site:
	@$(call ready,.venv,constraints.txt,--site python3.14 python3.13 python3.12 python3.11 python3 python)

setup-floor:
	@$(call ready,.venv-floor,build/floor.txt,python3.13 python3.12 python3.11 python3 python)

setup-newest:
	@$(call ready,.venv-newest,constraints.txt,python3.14 python3.13 python3.12)
