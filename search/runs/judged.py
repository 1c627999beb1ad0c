"""Stored scores of what is judged: the rows, or the cases that several rows are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.results.runs.records import Scores
from foldtune.trainers.postprocess.case_scores import Cases, reduction_of
from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class JudgedScores:
    """Scores of N rows or cases.

    Attributes:
        ids: (N,) ids of the rows, or names of the cases.
        scores, targets: (N, ...).
        rows: (N,) place among the stored rows, of a case its first.
    """

    ids: npt.NDArray[np.str_]
    scores: Array
    targets: Array
    rows: npt.NDArray[np.int64]


def judged_scores(task: Task, stored: Scores, postprocess: Mapping[str, Any] | str | None) -> JudgedScores:
    """Return the scores of what is judged; cases are reduced as `postprocess` names it, by default to the mean."""
    assert stored.targets is not None
    scores = task.scores(stored.logits)
    if stored.cases is None:
        return JudgedScores(stored.ids, scores, stored.targets, np.arange(len(stored.ids)))
    cases = Cases.of(stored.cases)
    reduced = cases.reduce(scores, reduction_of(postprocess), exclusive=task.exclusive_classes)
    return JudgedScores(cases.names, reduced, stored.targets[cases.first], cases.first)
