# Two commands matter: `make quickstart` and `make test`. Both need Python 3.11 and make, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
RUN := runs/quickstart

export NO_ALBUMENTATIONS_UPDATE := 1
export RAY_USAGE_STATS_ENABLED := 0
export HF_HUB_OFFLINE ?= 1
# Images of containers often set it; without bytecode each process compiles all that it imports anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup quickstart test test-slow lint types imports doctest suite coverage docs faults fuzz mutants bench gpu soak scale clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED)  ## the environment in .venv

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

quickstart: $(INSTALLED)  ## the whole main job on real images: search, table, ensemble, submission
	@rm -rf $(RUN)
	$(BIN)/foldtune data digits quickstart
	$(BIN)/foldtune validate examples/quickstart.yaml
	$(BIN)/foldtune search examples/quickstart.yaml
	$(BIN)/foldtune results quickstart
	$(BIN)/foldtune leaderboard quickstart --output leaderboard.csv
	$(BIN)/foldtune ensemble quickstart --top 3 --folds 3 --voting soft --output submission.csv
	$(BIN)/foldtune score quickstart --labels quickstart/test_labels.csv

# The checks use a core each; the suite uses all of them.
test: $(INSTALLED)  ## lint, types, import contracts, examples in docstrings, quick and integration tests
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint types imports doctest
	@$(MAKE) --no-print-directory suite

lint: $(INSTALLED)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## mypy, strict
	$(BIN)/mypy --num-workers auto

imports: $(INSTALLED)  ## which part may import which
	$(BIN)/lint-imports

# Only modules that have examples: importing all of them would take longer than running these.
doctest: $(INSTALLED)  ## examples in docstrings
	$(BIN)/python -m pytest --quiet --import-mode=prepend --doctest-modules $$(grep -Rl --include='*.py' '>>> ' foldtune)

# A core for each process, of which there are as many as cores. OMP_NUM_THREADS=2 make suite tries more threads.
suite test-slow coverage: export OMP_NUM_THREADS ?= 1

# A file's tests stay in one process; those that start Ray or whole commands come after the quick ones.
suite: $(INSTALLED)  ## the tests alone
	$(BIN)/python -m pytest -m "not integration and not faults and not bench and not slow and not fuzz" --numprocesses auto --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m "integration and not faults and not slow" --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED)  ## kills, fresh processes, the built distribution, pages, outside services; half an hour at most
	$(BIN)/python -m pytest -m "slow and not integration and not faults" --timeout 1200 --numprocesses auto --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m "slow and integration and not faults" --timeout 1200 --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest --quiet --hypothesis-profile thorough -m "not fuzz" $$(grep -Rl --include='*.py' '^@given' tests)

coverage: $(INSTALLED)  ## lines and branches that the quick tests run, as a table and in build/coverage
	$(BIN)/python -m pytest -m "not integration and not faults and not bench and not slow and not fuzz" --numprocesses auto --dist loadfile \
		--cov --cov-report term:skip-covered --cov-report html:build/coverage

docs: $(INSTALLED)  ## the documentation as a site in build/site, offline; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Several nodes on this machine, an object store and a database that stop, kills in a row.
faults: $(INSTALLED)  ## kills, lost nodes and services on a cluster of this machine's own; 20 minutes
	$(BIN)/python -m pytest -m faults

# FOLDTUNE_FUZZ_EXAMPLES and FOLDTUNE_FUZZ_COMMANDS give other numbers of inputs.
fuzz: $(INSTALLED)  ## any bytes as input: 10,000 for each reader, 300 for each command; an hour at most
	$(BIN)/python -m pytest -m fuzz --numprocesses auto --timeout 3600 tests/fuzz

mutants: $(INSTALLED)  ## faults put into the core one by one, which the nearest tests are to find; a quarter of an hour
	$(BIN)/python tests/mutants/mutate.py

bench: $(INSTALLED)  ## the benchmarks of benchmarks/, as a table; a quarter of an hour
	$(BIN)/python -m pytest -m bench
	$(BIN)/python -m benchmarks

# Without a GPU it names what it leaves out. PYTHON=… takes an environment that is there already in the place of .venv.
gpu: $(if $(filter file,$(origin PYTHON)),$(INSTALLED))  ## what no CPU can check, on a GPU; five minutes at most
	$(if $(filter file,$(origin PYTHON)),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu

soak: $(INSTALLED)  ## 200 trials while workers and nodes are killed
	$(BIN)/python -m benchmarks.soak

scale: $(INSTALLED)  ## 1,000 trials beside plain Ray Tune
	$(BIN)/python -m benchmarks.scale

clean:  ## remove the environment, builds and the quickstart's files
	rm -rf .venv build runs quickstart leaderboard.csv submission.csv
