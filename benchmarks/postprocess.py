"""Thresholds, greedy selection and voting of all trials from stored scores: time, memory, and a grid search to compare.

`python -m benchmarks.postprocess [--quick] [--scratch FOLDER] [--output FILE]`
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.memory import is_known
from benchmarks.peak import watch_memory
from benchmarks.report import Figure, cores, machine_line, parser, publish
from benchmarks.storedscores import METRIC, MappedScores, mapped, write_run
from foldtune.search.assess.refit import Refit, refit
from foldtune.search.runs.run import Run, open_run
from foldtune.search.voting.combiner import EnsembleCombiner
from foldtune.search.voting.evaluation import Objective, metric_of
from foldtune.search.voting.weights import greedy_weights
from foldtune.trainers.tasks import Task

TITLE = "post-processing from stored scores"
MAX_MINUTES, MAX_GB, MIN_TIMES_GRID = 5.0, 4.0, 50.0
GRID = np.linspace(0.0, 1.0, 101)
_PART = 5_000  # rows per voting step


@dataclass(frozen=True)
class Plan:
    """Size of the stored run, and the number of labels on which the grid search is timed."""

    trials: int = 200
    rows: int = 100_000
    labels: int = 20
    grid_labels: int = 2


QUICK = Plan(trials=20, rows=20_000, labels=10, grid_labels=1)


def measure(plan: Plan, scratch: Path, processes: int) -> list[Figure]:
    """Return all figures."""
    size = {"trials": plan.trials, "rows": plan.rows, "labels": plan.labels}
    write_run(scratch, "stored", **size)
    run = open_run("stored", scratch)
    logits = [mapped(_scores_path(run, number), "logits") for number in range(plan.trials)]
    scores = [MappedScores(run.task, each) for each in logits]
    targets = np.array(mapped(_scores_path(run, 0), "targets"))
    seconds: dict[str, float] = {}
    with watch_memory() as peak:
        begun = time.perf_counter()
        refits = refit(run, METRIC, processes=processes)
        seconds["thresholds of all trials"] = time.perf_counter() - begun
        begun = time.perf_counter()
        weights = greedy_weights(Objective(run.task, METRIC, targets), scores)  # type: ignore[arg-type]
        seconds["greedy selection"] = time.perf_counter() - begun
        begun = time.perf_counter()
        values = _vote(run.task, scores, _combiners(refits, weights, run.task), targets)
        seconds["voting: soft, hard, greedy"] = time.perf_counter() - begun
    return [*_figures(plan, seconds, peak.bytes, weights, values), _compare_grid(plan, run.task, scores[0], targets)]


def _scores_path(run: Run, number: int) -> Path:
    return Path(str(run.store.trial(f"{number:04d}").scores_path))


def _combiners(refits: Sequence[Refit], weights: tuple[float, ...], task: Task) -> dict[str, EnsembleCombiner]:
    """Votes of all trials, with the post-processing that was fitted to each."""
    equal = (1.0 / len(weights),) * len(weights)
    own = tuple(each.postprocess for each in sorted(refits, key=lambda each: each.trial_id))
    common = task.default_postprocess()
    return {
        "soft": EnsembleCombiner("soft", None, equal, common),
        "hard": EnsembleCombiner("hard", None, equal, common, own),
        "greedy": EnsembleCombiner("greedy", None, weights, common),
    }


def _vote(
    task: Task, scores: Sequence[MappedScores], combiners: dict[str, EnsembleCombiner], targets: npt.NDArray[Any]
) -> dict[str, float]:
    """Return the metric of each vote, computed in parts of the rows; post-processing of means is fitted to all rows."""
    found: dict[str, list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]] = {name: [] for name in combiners}
    for first in range(0, len(targets), _PART):
        part = [each[first : first + _PART] for each in scores]
        for name, combiner in combiners.items():
            found[name].append(combiner.apply(task, part))
    values = {}
    for name, parts in found.items():
        mean, predictions = (np.concatenate(each) for each in zip(*parts, strict=True))
        if name != "hard":  # whose members have their own post-processing
            predictions = task.predict(mean, task.fit_postprocess(mean, targets, METRIC))
        values[name] = metric_of(task, METRIC, mean, predictions, targets)
    return values


def _figures(
    plan: Plan, seconds: dict[str, float], peak: int, weights: Sequence[float], values: dict[str, float]
) -> list[Figure]:
    whole = f"{plan.trials} trials x {plan.rows:,} rows x {plan.labels} labels"
    detail = {
        "thresholds of all trials": f"{1000 * seconds['thresholds of all trials'] / plan.trials:,.0f} ms a trial",
        "greedy selection": f"{sum(weight > 0 for weight in weights)} of {plan.trials} taken",
        "voting: soft, hard, greedy": ", ".join(f"{name} {value:.3f}" for name, value in values.items()),
    }
    figures = [Figure(name, value, "s", detail=detail[name]) for name, value in seconds.items()]
    figures.append(
        Figure("all of it", sum(seconds.values()) / 60, "min", target=MAX_MINUTES, at_most=True, detail=whole)
    )
    if is_known():
        figures.append(Figure("peak memory", peak / 1e9, "GB", target=MAX_GB, at_most=True))
    return figures


def _compare_grid(plan: Plan, task: Task, scores: MappedScores, targets: npt.NDArray[Any]) -> Figure:
    """Return the ratio of a grid search with scikit-learn, 101 thresholds a label, to one fit of one trial."""
    whole = scores[:]
    fits = [_seconds(lambda: task.fit_postprocess(whole, targets, METRIC)) for _ in range(3)]
    pairs = [(whole[:, label], targets[:, label]) for label in range(plan.grid_labels)]
    grids = [_seconds(partial(_grid, *pair)) for pair in pairs]
    fit, grid = statistics.median(fits), plan.labels * statistics.median(grids)
    return Figure(
        "exact thresholds over a grid of 101 with scikit-learn, one core",
        grid / fit,
        "x",
        target=MIN_TIMES_GRID,
        detail=f"{fit:.2f} s and {grid:.0f} s a trial",
    )


def _grid(scores: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    from sklearn.metrics import f1_score

    return float(GRID[np.argmax([f1_score(targets, scores >= t, zero_division=0) for t in GRID])])


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def run(*, quick: bool, scratch: Path | None = None, processes: int | None = None) -> list[Figure]:
    """Run the benchmark on a temporary run, which takes 6 GB of `scratch` in full."""
    with tempfile.TemporaryDirectory(prefix="foldtune-bench-", dir=scratch) as folder:
        return measure(QUICK if quick else Plan(), Path(folder), processes or min(2, cores()))


def add_scratch(options: argparse.ArgumentParser) -> None:
    """Add the option for the folder of the temporary run."""
    options.add_argument("--scratch", type=Path, metavar="FOLDER", help="folder for 6 GB of stored scores")


def main() -> None:
    """Run the benchmark and print its figures."""
    options = parser(__doc__)
    add_scratch(options)
    given = options.parse_args()
    machine = machine_line()
    publish({TITLE: run(quick=given.quick, scratch=given.scratch)}, machine, given.output)


if __name__ == "__main__":
    main()
