"""A stored estimate against the out-of-fold rows that it was made of."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import RunCorrupt
from foldtune.results.records.trials import Scores
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.storage.paths import StorePath
from foldtune.search.assess.gates import CLASS_FIGURES
from foldtune.search.runs.trusted_metrics import own_function
from foldtune.trainers.arrays.lazy import as_lazy
from foldtune.trainers.tasks import Task
from foldtune.wording import shortened, unknown

TOLERANCE = 1e-6
"""Largest difference of a figure of predictions, which are whole numbers, between two machines."""
TOLERANCE_OF_SCORES = 1e-3
"""Largest difference of a figure of scores, which are stored in single precision."""

_ROWS = ("ids", "folds", "targets", "scores", "predictions", "groups")


def check_lengths(stored: Mapping[str, npt.NDArray[Any]], directory: EnsembleDir) -> None:
    """Raise RunCorrupt where the arrays of oof.npz are not of the same rows."""
    rows = {name: len(stored[name]) if stored[name].ndim else 0 for name in _ROWS if name in stored}
    if len(set(rows.values())) > 1 or not all(rows.values()):
        listed = ", ".join(f"{name} {number}" for name, number in rows.items())
        raise RunCorrupt(f"{directory.oof_path}: its arrays have other numbers of rows: {listed}")


def check_trial_scores(task: Task, stored: Scores, path: StorePath) -> None:
    """Raise RunCorrupt where a trial's validation scores are not those of a task of labels with these labels."""
    if task.has_spatial_targets:
        return
    targets, labels = stored.targets, len(task.trained_names)
    rows = {len(each) for each in (stored.ids, stored.logits, targets) if each is not None}
    width = stored.logits.shape[1] if stored.logits.ndim > 1 else 1
    if len(rows) > 1 or width != task.head_size:
        raise RunCorrupt(f"{path}: {len(stored.logits)} rows of {width} outputs are none of task {task.name}")
    if targets is None or not targets.size:
        return
    fits = targets.shape[1] == labels if targets.ndim > 1 else targets.min() >= 0 and targets.max() < labels
    if not fits:
        raise RunCorrupt(f"{path}: holds labels that the task, of {labels}, has not")


def check_estimate(
    task: Task, description: Mapping[str, Any], stored: Mapping[str, npt.NDArray[Any]], directory: EnsembleDir
) -> None:
    """Compare the figures of ensemble.json with those of its out-of-fold rows, where the predictions are stored.

    Raises:
        RunCorrupt: a figure that the rows contradict, or rows that are none of the task's.
    """
    figures = description.get("estimate")
    if not figures or not {"predictions", "scores", "targets"} <= set(stored):
        return
    try:
        found = task.evaluate(as_lazy(stored["scores"]), stored["predictions"], stored["targets"])
    except (IndexError, TypeError, ValueError) as error:
        raise RunCorrupt(f"{directory.oof_path}: no rows of task {task.name}: {error}") from None
    for metric, value in figures.items():
        if value is None or not _is_comparable(metric, found, task, stored):
            continue
        tolerance = TOLERANCE if metric in task.tunable_metrics else TOLERANCE_OF_SCORES
        if not math.isclose(found[metric], value, rel_tol=tolerance, abs_tol=tolerance):
            raise RunCorrupt(
                f"{directory.json_path}: estimate.{metric}: is {value:.4g}, but its own out-of-fold rows give "
                f"{found[metric]:.4g}; foldtune ensemble writes it again"
            )
    _check_classes(task, description.get("per_class") or (), stored, directory)


def unverified(task: Task, description: Mapping[str, Any], stored: Mapping[str, npt.NDArray[Any]]) -> frozenset[str]:
    """Return the metrics of the estimate that `check_estimate` cannot compare with the stored rows."""
    figures = description.get("estimate") or {}
    if not {"predictions", "scores", "targets"} <= set(stored):
        return frozenset(figures)
    return frozenset(metric for metric in figures if not _is_comparable(metric, task.metrics, task, stored))


def _is_comparable(metric: str, found: Container[str], task: Task, stored: Mapping[str, npt.NDArray[Any]]) -> bool:
    function = own_function(task)
    if function is not None and function.name == metric and not function.is_available:
        return False
    exact = np.dtype(stored["scores"].dtype).itemsize >= 4
    return metric in found and (exact or metric in task.tunable_metrics)


def _check_classes(
    task: Task, classes: Iterable[Mapping[str, Any]], stored: Mapping[str, npt.NDArray[Any]], directory: EnsembleDir
) -> None:
    found = {str(row["label"]): row for row in task.per_class(stored["predictions"], stored["targets"])}
    for row in classes:
        label = str(row["label"])
        if label not in found:
            raise RunCorrupt(f"{directory.json_path}: per_class: {unknown('class', label, found)}")
        for name in CLASS_FIGURES:
            value, own = row.get(name), found[label].get(name)
            if value is None or own is None or math.isclose(own, value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                continue
            raise RunCorrupt(
                f"{directory.json_path}: per_class: {name} of {shortened(repr(label))} is {value:.4g}, but its own "
                f"out-of-fold rows give {own:.4g}; foldtune ensemble writes it again"
            )
