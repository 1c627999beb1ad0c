"""The race of the finalists: after two folds the clearly weak ones drop out. Plain arrays, no Ray, no files.

The rule. Each finalist predicts the rows of both folds with post-processing fitted on the other fold. The one with the
best value leads. Another drops out where it is behind by more than q/sqrt(2) standard errors of the difference: the
paired bootstrap gives the error (the same drawn rows for both, whole groups where rows belong together), and q is the
95 % point of the studentized range for so many finalists (Tukey's test). It allows for the leader being the luckiest of
many: of finalists that are all alike one race in twenty loses any. However weak, the best two go on, a third of the
finalists (rounded up), and as many as a hard vote needs. The draws are seeded and by row id, so the same scores give
the same answer in whatever order.

Why not a fixed share: which third is best after two folds is mostly noise where finalists are alike, and then their
vote gains most. Why not a Wilcoxon test over folds: with n folds its least p is 2^-n, so it never stops anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import studentized_range

from foldtune.results.records.ranking import Goal
from foldtune.search.voting.bootstrap import Answers, Bootstrap, Interval, paired_interval
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions

LEVEL = 0.95
"""Share of races among equals that lose nobody."""
SAMPLES = 100
"""All of them are always drawn, however slow the metric: the answer must not depend on the machine."""
_ONE_SD = math.erf(1 / math.sqrt(2))
"""Level of an interval of a standard deviation to each side."""
MIN_FINALISTS = 2
"""Finalists that go on in any case."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Dropped:
    """A finalist that was eliminated.

    Attributes:
        member: id of the finalist.
        value: value of the metric on the rows of the race's folds.
        leader: id of the best.
        difference: its value less the leader's, with the bounds of Tukey's test: both on the side of a loss.
    """

    member: str
    value: float
    leader: str
    difference: Interval
    metric: str

    @property
    def reason(self) -> str:
        """One line."""
        gap = self.difference
        return (
            f"{self.metric} {self.value:.4f} after two folds, {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] "
            f"against {self.leader}"
        )


def drop_weak(
    task: Task,
    goal: Goal,
    scores: Mapping[str, Array],
    targets: Array,
    folds: npt.NDArray[np.int64],
    groups: npt.NDArray[Any],
    *,
    at_least: int = MIN_FINALISTS,
    fixed: Mapping[str, Any] | None = None,
) -> list[Dropped]:
    """Who drops out, the weakest last.

    Args:
        scores: by id, the scores (N, ...) of each finalist, each row by the model of its fold.
        targets: (N, ...).
        folds: (N,) fold of each row: two of them.
        groups: (N,) of rows that belong together; the rows' ids where none do.
        at_least: finalists that must go on.
        fixed: the post-processing that the user fixed, None to fit it.
    """
    objective = Objective(task, goal.metric, targets)
    answers = {name: cross_fitted_answers(objective, each, folds, fixed) for name, each in scores.items()}
    values = {name: task.evaluate(*answer, targets)[goal.metric] for name, answer in answers.items()}
    ranked = _ranked(values, goal)
    leader = ranked[0]
    stay = max(MIN_FINALISTS, -(-len(ranked) // 3), at_least)
    reach = tukey_hsd(len(ranked))
    bootstrap = Bootstrap(groups, samples=SAMPLES, level=_ONE_SD)
    dropped = []
    for name in ranked[stay:]:
        one_sd = paired_interval(objective, answers[name], answers[leader], bootstrap)
        error = reach * (one_sd.high - one_sd.low) / 2
        gap = Interval(one_sd.value, one_sd.value - error, one_sd.value + error)
        if gap.high < 0 if goal.mode == "max" else gap.low > 0:
            dropped.append(Dropped(name, values[name], leader, gap, goal.metric))
    return dropped


def cross_fitted_answers(
    objective: Objective, scores: Array, folds: npt.NDArray[np.int64], fixed: Mapping[str, Any] | None
) -> Answers:
    """Return out-of-fold scores (N, ...) with their predictions, each fold's post-processing fitted on the others.

    Args:
        folds: (N,) fold of each row.
        fixed: the post-processing that the user fixed, None to fit it.
    """
    task = objective.task
    if fixed is not None:
        return scores, task.predict(scores, fixed)
    return scores, cross_fitted_predictions(task, scores, objective.targets, objective.metric, folds)


def tukey_hsd(count: int) -> float:
    """Return Tukey's honestly significant difference of `count` equals, in standard errors of a difference."""
    return float(studentized_range.ppf(LEVEL, count, np.inf)) / math.sqrt(2)


def _ranked(values: Mapping[str, float], goal: Goal) -> Sequence[str]:
    """Ids, the best first; of equals the lower id."""
    sign = -1 if goal.mode == "max" else 1
    return sorted(values, key=lambda name: (sign * values[name], name))
