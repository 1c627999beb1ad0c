"""The data sets of the comparison: rows to judge that are split off beforehand, and how predictions are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score
from sklearn.model_selection import GroupShuffleSplit

TEST_SHARE = 0.2
RESAMPLES = 1000


@dataclass(frozen=True)
class PeerTask:
    """One data set.

    Attributes:
        kind: `multiclass`, `ordinal` or `multilabel`, labels of the latter joined by "|".
        target, group: columns of its train.csv; a group's rows are split off together.
        metric: foldtune's name of what all sides are judged by.
        size: side of the images in pixels.
        score: function from labels and predictions to the metric, by scikit-learn.
    """

    name: str
    kind: str
    target: str
    metric: str
    size: int
    score: Callable[[npt.NDArray[np.str_], npt.NDArray[np.str_]], float]
    group: str | None = None


def _kappa(labels: npt.NDArray[np.str_], predictions: npt.NDArray[np.str_]) -> float:
    return float(
        cohen_kappa_score(labels.astype(int), predictions.astype(float).round().astype(int), weights="quadratic")
    )


def _macro_f1(labels: npt.NDArray[np.str_], predictions: npt.NDArray[np.str_]) -> float:
    true, given = ([set(text.split("|")) - {""} for text in texts] for texts in (labels, predictions))
    names = sorted(set().union(*true))
    marks = [np.array([[name in each for name in names] for each in sets]) for sets in (true, given)]
    return float(f1_score(*marks, average="macro", zero_division=0))


TASKS = {
    task.name: task
    for task in (
        PeerTask("ham10000", "multiclass", "dx", "balanced_accuracy", 64, balanced_accuracy_score, "lesion_id"),
        PeerTask("retinamnist", "ordinal", "grade", "qwk", 48, _kappa),
        PeerTask("mosaic", "multilabel", "labels", "macro_f1", 64, _macro_f1),
    )
}


def split_off(task: PeerTask, data: Path, folder: Path) -> tuple[Path, Path, pd.DataFrame]:
    """Write train.csv, and test.csv without labels, to a folder; return both paths and the rows with their labels."""
    table = pd.read_csv(data / task.name / "train.csv", dtype=str).fillna("")
    groups = table[task.group] if task.group else table["image"]
    train, test = next(GroupShuffleSplit(1, test_size=TEST_SHARE, random_state=0).split(table, groups=groups))
    paths = folder / "train.csv", folder / "test.csv"
    table.iloc[train].to_csv(paths[0], index=False)
    table.iloc[test][["image"]].to_csv(paths[1], index=False)
    return *paths, table.iloc[test].reset_index(drop=True)


def judge(task: PeerTask, held_back: pd.DataFrame, predictions: Path) -> tuple[float, float, float]:
    """Return the metric on the rows that were split off, and its 95 % bootstrap interval, groups resampled whole."""
    given = pd.read_csv(predictions, dtype=str).fillna("").set_index("image")[task.target]
    labels, predicted = (column.to_numpy(dtype=str) for column in (held_back[task.target], given[held_back["image"]]))
    keys = held_back[task.group or "image"]
    rows = [np.flatnonzero(keys == key) for key in keys.unique()]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[place] for place in rng.integers(0, len(rows), len(rows))])
        values.append(task.score(labels[drawn], predicted[drawn]))
    low, high = np.quantile(values, [0.025, 0.975])
    return task.score(labels, predicted), float(low), float(high)
