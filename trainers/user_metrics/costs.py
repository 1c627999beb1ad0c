"""The expected cost of a case, by a matrix of costs; post-processing is fitted to it exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from foldtune.errors import DataError
from foldtune.trainers.arrays.types import Mode, Predictions, Scores, Targets
from foldtune.trainers.losses.weights import log_prior
from foldtune.trainers.metrics.classification import FloatArray
from foldtune.trainers.postprocess.cuts import expected_levels, fit_cuts_for_credits
from foldtune.trainers.postprocess.offsets import fit_offsets, fit_prior_of_costs, log_scores
from foldtune.trainers.postprocess.thresholds import Sorted, Term, best_threshold, shrink
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.judged import judging_task
from foldtune.trainers.tasks.labelled import best_of
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import ARGMAX, ROUNDING, Ordinal
from foldtune.wording import first_few

COST = "cost"
DECISION, EXPECTED_COST = "decision", "expected_cost"
"""Key and value of multiclass post-processing that predicts the class of least expected cost."""
_GAIN = 1e-10  # smaller gains are rounding


@dataclass(frozen=True)
class Costs:
    """The mean cost of a case, which less is better of.

    Attributes:
        matrix: (C, C) cost of a row of each class (first axis) for each predicted one, in the order of the labels.
            Multilabel: (2, 2) of a label that is off or on; a case costs the sum over its labels.
    """

    matrix: tuple[tuple[float, ...], ...]

    name: ClassVar[str] = COST
    mode: ClassVar[Mode] = "min"
    of_predictions: ClassVar[bool] = True
    is_available: ClassVar[bool] = True

    @property
    def array(self) -> FloatArray:
        """The matrix as an array."""
        return np.array(self.matrix, dtype=np.float64)

    def value(self, task: Task, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        """The mean cost of N rows."""
        costs = self.array[targets, predictions]
        return float(costs.sum() / len(costs))

    def fit(self, task: Task, scores: Scores, targets: Targets) -> dict[str, Any]:
        """The post-processing of least cost on these rows: of equals the first, which is the default."""
        candidates = [task.default_postprocess(), *_candidates(task, scores, targets, self.array)]
        return best_of(candidates, lambda each: -self.value(task, scores, task.predict(scores, each), targets), _GAIN)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `Costs.from_dict` reads it back."""
        return {"kind": "costs", "matrix": [list(row) for row in self.matrix]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], task: Task) -> Costs:
        """The costs of a stored mapping. Raises DataError where they do not fit the task."""
        return cls.of(values.get("matrix"), task, "costs")

    @classmethod
    def of(cls, rows: object, task: Task, source: str) -> Costs:
        """Check a matrix against the labels of a task.

        Raises:
            DataError: another size than the labels', or numbers that are not finite.
        """
        names = cost_labels(task)
        size = f"{len(names)} rows of {len(names)} numbers: a row a true class, a column a predicted one"
        wanted = f"the task {task.name} needs {size}, in the order {first_few(names, 20)}"
        if not isinstance(rows, Sequence) or isinstance(rows, str) or not all(isinstance(r, Sequence) for r in rows):
            raise DataError([f"{source}: no matrix; {wanted}"])
        shape = sorted({len(row) for row in rows})
        if len(rows) != len(names) or shape != [len(names)]:
            raise DataError([f"{source}: {len(rows)} rows of {' or '.join(map(str, shape))}; {wanted}"])
        strange = [cell for row in rows for cell in row if not _is_number(cell)]
        if strange:
            raise DataError([f"{source}: {strange[0]!r} is no finite number; {wanted}"])
        return cls(tuple(tuple(float(cell) for cell in row) for row in rows))


def cost_labels(task: Task) -> tuple[str, ...]:
    """Names of a matrix's rows and columns, in their order. Raises DataError for a task without such costs."""
    judging = judging_task(task)
    if isinstance(judging, Multilabel):
        return ("off", "on")
    if isinstance(judging, Binary | Multiclass):
        return judging.label_names
    raise DataError([f"the task {task.name} has no classes to confuse, so no costs; leave them out"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _candidates(task: Task, scores: Scores, targets: Targets, costs: FloatArray) -> list[dict[str, Any]]:
    """Post-processings of which one has the least cost, the simplest first."""
    if isinstance(task, Binary):
        return [{"threshold": best_threshold(scores, targets, _saved(costs))}]
    if isinstance(task, Multilabel):
        # A common threshold, and one a label that is shrunk towards it: the cost of a case is a sum over its labels.
        saved, ordered = _saved(costs), Sorted.of(scores.T, targets.T)
        common = ordered.common_threshold(saved)
        own = ordered.thresholds(saved, near=common)
        each = (shrink(own, common, targets.sum(axis=0)), own)
        return [task.with_thresholds(common), *(task.with_thresholds(common, values) for values in each)]
    if isinstance(task, Ordinal):
        cuts = fit_cuts_for_credits(expected_levels(scores), targets, -costs)
        return [{"cuts": ROUNDING}, {"cuts": ARGMAX}, {"cuts": cuts.tolist()}]
    assert isinstance(task, Multiclass)
    prior, logs = log_prior(task.class_counts(targets)), log_scores(scores)
    rule = fit_prior_of_costs(logs, targets, costs, prior)
    return [
        {"prior_power": 0.0, "offsets": {}, DECISION: EXPECTED_COST},
        task.with_offsets(rule) | {DECISION: EXPECTED_COST},
        task.with_offsets(fit_offsets(scores, targets, -costs, prior)),
    ]


def _saved(costs: FloatArray) -> Term:
    """Return the mean cost with its sign turned, of counts of two labels."""

    def term(hits: Any, predicted: Any, actual: Any, rows: int) -> FloatArray:
        false_alarms, misses = predicted - hits, actual - hits
        right = costs[0, 0] * (rows - actual - false_alarms) + costs[1, 1] * hits
        return np.asarray(-(right + costs[0, 1] * false_alarms + costs[1, 0] * misses) / rows)

    return term
