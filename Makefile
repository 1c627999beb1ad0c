# Two commands matter: `make quickstart` and `make test`. Both need Python 3.11 and make, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
RUN := runs/quickstart

export NO_ALBUMENTATIONS_UPDATE := 1
export RAY_USAGE_STATS_ENABLED := 0
export HF_HUB_OFFLINE ?= 1

.PHONY: help setup quickstart test lint types imports suite faults bench soak scale clean

help:
	@echo "make quickstart   the whole main job on real images: search, table, ensemble, submission"
	@echo "make test         lint, types, import contracts and the whole suite"
	@echo "make faults       kills, lost nodes and services on a cluster of this machine's own; minutes"
	@echo "make bench        the benchmarks of benchmarks/, as a table"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

quickstart: $(INSTALLED)
	@rm -rf $(RUN)
	$(BIN)/foldtune data digits quickstart
	$(BIN)/foldtune validate examples/quickstart.yaml
	$(BIN)/foldtune search examples/quickstart.yaml
	$(BIN)/foldtune results quickstart
	$(BIN)/foldtune leaderboard quickstart --output leaderboard.csv
	$(BIN)/foldtune ensemble quickstart --top 3 --folds 3 --voting soft --output submission.csv
	$(BIN)/foldtune score quickstart --labels quickstart/test_labels.csv

test: lint types imports suite

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports

# A file's tests stay in one process; those that start Ray or whole commands come after the quick ones.
suite: $(INSTALLED)
	$(BIN)/python -m pytest -m "not integration and not faults and not bench" --numprocesses auto --dist loadfile
	$(BIN)/python -m pytest -m "integration and not faults" --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Several nodes on this machine, an object store and a database that stop, kills in a row.
faults: $(INSTALLED)
	$(BIN)/python -m pytest -m faults

bench: $(INSTALLED)
	$(BIN)/python -m pytest -m bench
	$(BIN)/python -m benchmarks

soak: $(INSTALLED)
	$(BIN)/python -m benchmarks.soak

scale: $(INSTALLED)
	$(BIN)/python -m benchmarks.scale

clean:
	rm -rf .venv runs quickstart leaderboard.csv submission.csv
