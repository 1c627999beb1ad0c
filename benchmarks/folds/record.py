"""Train 40 configurations on each of five folds, once, and keep the figures of every epoch.

`python -m benchmarks.folds.record {retinamnist|ham10000|mosaic} [--data FOLDER] [--processes 2]`

Writes `benchmarks/folds/NAME.csv` (config, fold, epoch, value, loss, time_s) and `NAME.json` (parameters of each
configuration). A second start continues after the trainings that are complete.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.samplers import RandomSampler

from benchmarks.images import DEFAULT_DATA
from foldtune.search.data.dataset import Labelled, image_plan, open_once
from foldtune.search.runs.validation import Checked, check_file
from foldtune.trainers.fitting.fit import EpochReport, Fit, TrainSpec
from foldtune.trainers.tasks.parsing import parse_settings

HERE = Path(__file__).parent
CONFIGS, FOLDS, EPOCHS, ROWS = 40, 5, 9, 800
COLUMNS = ("config", "fold", "epoch", "value", "loss", "time_s")
GROUPS = {"retinamnist": None, "ham10000": "lesion_id", "mosaic": None}
"""Column whose rows stay together, by data set."""


def thinned(name: str, data: Path, folder: Path) -> Path:
    """Write about ROWS rows of a data set's table, groups whole and drawn at random; RetinaMNIST is kept whole."""
    table = pd.read_csv(data / name / "train.csv", dtype=str)
    if name != "retinamnist":
        key = table[GROUPS[name] or table.columns[0]]
        drawn = key.drop_duplicates().sample(frac=ROWS / len(table), random_state=0)
        table = table[key.isin(set(drawn))]
    table.to_csv(folder / "train.csv", index=False)
    return folder / "train.csv"


@lru_cache(maxsize=1)
def checked_of(name: str, data: Path) -> Checked:
    """Return the example's configuration on the thinned table, at 32 px with `test_resnet`."""
    with tempfile.TemporaryDirectory() as folder:
        table = thinned(name, data, Path(folder))
        return check_file(
            HERE.parents[1] / "examples" / f"{name}.yaml",
            [
                f"data.root={data / name}",
                f"data.train={table}",
                "data.image_size=32",
                "space.model_name=test_resnet",
                "space.amp=off",
                "space.channels_last=true",
                f"search.max_epochs={EPOCHS}",
                f"ensemble.folds={FOLDS}",
            ],
        )


def configurations(checked: Checked) -> list[dict[str, Any]]:
    """Return the parameters of the default configuration and of random ones, CONFIGS in all."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    drawn = [checked.space.suggest(study.ask()) for _ in range(CONFIGS - 1)]
    return [checked.space.default(), *drawn]


def train(name: str, data: Path, work: tuple[int, int]) -> list[tuple[object, ...]]:
    """Train one configuration on all folds but one; return a row of COLUMNS for each epoch."""
    config, fold = work
    checked = checked_of(name, data)
    labelled = Labelled(checked.task, checked.table, checked.folds, image_plan(checked.config.data, 1))
    built = checked.space.build(configurations(checked)[config])
    spec = TrainSpec(
        parse_settings(built, checked.task),
        checked.task,
        labelled.fold(fold, open_once(checked.table.paths, labelled.images)),
        checked.goal.metric,
        EPOCHS,
        seed=0,
    )
    rows: list[tuple[object, ...]] = []

    def keep(report: EpochReport) -> None:
        values = (report.metrics[checked.goal.metric], report.metrics["loss"])
        rows.append((config, fold, report.epoch, *(f"{value:.6f}" for value in values), f"{report.time_s:.2f}"))

    Fit(spec).run(keep)
    return rows


def missing(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the trainings, as (configuration, fold), that a table doesn't hold yet."""
    done = set(pd.read_csv(path).groupby(["config", "fold"]).groups) if path.exists() else set()
    yield from (work for work in product(range(CONFIGS), range(FOLDS)) if work not in done)


def main() -> None:
    """Train what is missing, and append it to the table as it ends."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("name", choices=GROUPS)
    options.add_argument("--data", type=Path, default=DEFAULT_DATA.parent, help="folder of the data sets")
    options.add_argument("--processes", type=int, default=2)
    given = options.parse_args()
    path = HERE / f"{given.name}.csv"
    checked = checked_of(given.name, given.data)
    image_plan(checked.config.data, given.processes).open(checked.table.paths)  # decoded once, for all processes
    path.with_suffix(".json").write_text(json.dumps(configurations(checked), indent=1) + "\n")
    todo = list(missing(path))
    if not path.exists():
        path.write_text(",".join(COLUMNS) + "\n")
    pool = ProcessPoolExecutor(given.processes, get_context("spawn"), initializer=os.nice, initargs=(10,))
    with pool, path.open("a", newline="") as file:
        for rows in pool.map(partial(train, given.name, given.data), todo):
            csv.writer(file, lineterminator="\n").writerows(rows)
            file.flush()


if __name__ == "__main__":
    main()
