# Every target sets up what it needs: a virtual environment in .venv from the pinned, hashed lists, of which
# tests/serving.txt is the part that `make run` and `make demo` need. Only Python 3.11 or newer and a package
# index are asked of the machine.

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
SERVING := $(VENV)/.serving
PORT := 8000

# The first of these that is new enough and can make virtual environments; PYTHON3=... overrides.
CANDIDATES := $(PYTHON3) python3.11 python3.12 python3.13 python3 python3.14 python
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PYTHONUNBUFFERED := 1

.PHONY: run test demo bench soak fmt docs
.DEFAULT_GOAL := test

run: $(SERVING)
	@$(VENV)/bin/authkit serve --dev --port $(PORT)

demo: $(SERVING)
	@$(VENV)/bin/authkit demo

# One process more than small machines have processors: a third of the time tests wait for servers and commands.
test: $(READY)
	@$(PYTHON) -m pytest -n 3 --dist worksteal || $(PYTHON) tests/second_try.py $$?

soak: $(READY)
	SOAK=1 $(PYTHON) -m pytest -n 2 --dist worksteal --timeout 1800

bench: $(READY)
	@failed=0; for script in benchmarks/*.py; do \
	  echo "== $$script"; $(PYTHON) "$$script" || failed=1; \
	done; exit $$failed

docs: $(READY)
	PYTHONPATH=docs $(PYTHON) -m generate
	$(PYTHON) -m sphinx --builder html --fail-on-warning --keep-going --quiet docs .runtime/site
	@echo "the site is in .runtime/site/index.html"

fmt: $(READY)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

$(READY): $(SERVING) tests/constraints.txt
	@$(PYTHON) -m pip install --quiet --no-deps --require-hashes --requirement tests/constraints.txt
	@touch $@

$(SERVING): pyproject.toml tests/serving.txt
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { \
	  for python in $(CANDIDATES); do \
	    if "$$python" -c '$(USABLE)' >/dev/null 2>&1; then \
	      exec "$$python" -m venv --clear $(VENV); \
	    fi; \
	  done; \
	  echo "Python 3.11 or newer with its venv module is needed (make PYTHON3=/path/to/python)." >&2; exit 1; }
	@$(PYTHON) -m pip install --quiet --no-deps --require-hashes --requirement tests/serving.txt
	@$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
