"""What the column of a submission holds, labels or scores, by the sample and the metric."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from foldtune.trainers.tasks import Task
from foldtune.wording import shortened

if TYPE_CHECKING:
    import pandas as pd


def takes_scores(task: Task, metric: str, cells: Iterable[str] | None) -> bool:
    """Whether one column of a submission takes scores: by a metric of scores, where the sample holds numbers in it.

    Args:
        metric: what was optimised.
        cells: the sample's cells of the column; None without a sample.
    """
    of_scores = metric in task.metrics and metric not in task.tunable_metrics
    return of_scores and task.has_single_score and cells is not None and _are_numbers(cells)


def form_notes(task: Task, metric: str, sample: pd.DataFrame | None) -> tuple[str, ...]:
    """Return a line where a submission of one column holds labels though the metric is of scores, or holds scores."""
    columns = [] if sample is None else list(sample.columns)[1:]
    if task.has_spatial_targets or len(columns) > 1:
        return ()
    cells = None if sample is None or not columns else sample[columns[0]].astype(str).tolist()
    if metric in task.tunable_metrics:
        known = set(task.label_names)
        if cells and task.has_single_score and _are_numbers(cells) and not known & set(cells):
            text = f"{shortened(repr(cells[0]))} in the sample is no label"
            return (f"the submission holds labels, as the metric {metric} is of labels; {text}",)
        return ()
    if takes_scores(task, metric, cells):
        positive = "" if len(task.label_names) == 1 else f" of the label {shortened(repr(positive_of(task)))}"
        return (f"the submission holds scores{positive}: the metric {metric} is of scores, the sample holds numbers",)
    if columns and columns[0] in task.label_names:
        return ()
    if task.has_single_score:
        why = "no sample shows numbers" if cells is None else "the sample holds no numbers"
    else:
        why = "one column cannot hold the scores of several classes: a sample with one column a class gets them"
    return (f"the submission holds labels, though the metric {metric} is of scores: {why}",)


def positive_of(task: Task) -> str:
    """Return the label whose score stands in a single column."""
    from foldtune.trainers.data.label_columns import known_positive

    return known_positive(task.label_names) or task.label_names[-1]


def _are_numbers(cells: Iterable[str]) -> bool:
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    return bool(numbers) and all(map(math.isfinite, numbers))
