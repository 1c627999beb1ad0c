"""The stacker: a logistic regression of members' scores and columns of the table (Wolpert 1992), stored as numbers.

Its penalty is chosen, and post-processing fitted, by scores of rows that it was not fitted on, within the rows that it
is given: `search.voting.crossfit` gives it all but those that evaluate it. Coefficients are plain numbers, so that an
ensemble predicts without scikit-learn and nothing that is read back can run code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, softmax

from foldtune.results.tables.formatting import counted
from foldtune.search.voting.columns import Columns, Features, Kind, features_from_dict, fit_features
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.postprocess.offsets import log_scores
from foldtune.trainers.postprocess.thresholds import bounded
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.judged import judging_task
from foldtune.trainers.tasks.multiclass import Multiclass

Array = npt.NDArray[Any]

STRENGTHS = (0.01, 0.1)
"""C of scikit-learn, the inverse of the penalty, of which the best is taken."""
INNER_SPLITS = 3
_MAX_ITERATIONS = 300
_CERTAIN = 20.0  # logit of a label that every row of the fit has, and less this of one that none has
_CONSTANT = 1e-9  # spread of a feature that is the same in all rows


@dataclass(frozen=True, eq=False)
class Stacker:
    """A fitted stacker.

    Attributes:
        members: M, the members whose scores it takes, in their order.
        features: what becomes of each column.
        coefficients: (outputs, F) of the scores' and columns' features.
        intercepts: (outputs,).
    """

    members: int
    features: tuple[Features, ...]
    coefficients: Array
    intercepts: Array

    @property
    def kinds(self) -> dict[str, Kind]:
        """Columns that it takes."""
        return {each.name: each.to_dict()["kind"] for each in self.features}

    def scores(self, task: Task, member_scores: Sequence[Array], columns: Columns | None) -> Array:
        """Return scores (N, ...) of rows, each by itself; without columns all of them are missing."""
        shape = np.shape(member_scores[0])
        columns = Columns.missing(self.kinds, shape[0]) if columns is None else columns
        values = np.empty((shape[0], len(self.intercepts)))
        for outputs, inputs in _inputs(task, member_scores, _beside(self.features, columns)):
            # Not a matrix product: its rounding depends on the rows beside a row.
            values[:, outputs] = np.einsum("nf,of->no", inputs, self.coefficients[outputs], optimize=False)
        values += self.intercepts
        return np.asarray(softmax(values, axis=1) if _is_exclusive(task) else expit(values).reshape(shape))

    def beyond(self, columns: Columns) -> tuple[str, ...]:
        """Return the line on numbers and categories that the rows of the fit did not have, none without any."""
        found = "; ".join(filter(None, (each.beyond(columns) for each in self.features)))
        return (f"columns that training does not cover, of {counted(len(columns), 'row')}: {found}",) if found else ()

    def fits(self, task: Task, members: int) -> bool:
        """Return whether it is one of so many members' scores of this task."""
        width = _beside(self.features, Columns.missing(self.kinds, 1)).shape[1]
        of_scores = members * (len(task.label_names) if _is_exclusive(task) else 1)
        outputs = judging_task(task).head_size
        return self.members == members and self.coefficients.shape == (outputs, of_scores + width)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it back."""
        return {
            "members": self.members,
            "columns": [each.to_dict() for each in self.features],
            "coefficients": self.coefficients.tolist(),
            "intercepts": self.intercepts.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the stacker of a stored mapping.

        Raises:
            KeyError, TypeError, ValueError: it is none, or its numbers do not fit together.
        """
        coefficients = np.asarray(values["coefficients"], dtype=np.float64)
        intercepts = np.asarray(values["intercepts"], dtype=np.float64)
        features = tuple(features_from_dict(each) for each in values["columns"])
        found = cls(int(values["members"]), features, coefficients, intercepts)
        if coefficients.ndim != 2 or intercepts.shape != coefficients.shape[:1]:
            raise ValueError(f"{coefficients.shape} coefficients and {intercepts.shape} intercepts")
        if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
            raise ValueError("numbers that are not finite")
        return found


@dataclass(frozen=True)
class _Settings:
    """Settings of a regression: C of scikit-learn, and whether every class has the same weight."""

    strength: float
    balanced: bool = False


def fit_stacker(
    objective: Objective, member_scores: Sequence[Array], columns: Columns, groups: Array | None = None
) -> tuple[Stacker, Array]:
    """Fit a stacker on labelled rows; its settings are those that do best by the metric, with fitted post-processing.

    Args:
        member_scores: M arrays (N, ...), of models that were not trained on these rows.
        groups: (N,) rows of one group are on one side of every inner split.

    Returns:
        The stacker, and scores (N, ...) of the same rows, each by a stacker that was not fitted on it: what
        post-processing is fitted to.
    """
    task, targets = objective.task, objective.targets
    splits = make_splits(task.strata(targets), groups, n_splits=INNER_SPLITS)
    weighted = (False, True) if _is_exclusive(task) else (False,)  # of two labels a threshold does the same
    tried = [_Settings(strength, balanced) for balanced in weighted for strength in STRENGTHS]
    scores = [_inner_scores(task, member_scores, columns, targets, splits, each) for each in tried]
    values = [objective.sign * objective.fitted_value(each) for each in scores]
    best = int(np.argmax(values))
    return _fit(task, member_scores, columns, targets, tried[best]), scores[best]


def _inner_scores(
    task: Task, member_scores: Sequence[Array], columns: Columns, targets: Array, splits: Array, settings: _Settings
) -> Array:
    scores = np.empty(np.shape(member_scores[0]))
    for name in np.unique(splits):
        own, others = splits == name, splits != name
        if not others.any():
            others = own
        fitted = _fit(task, [each[others] for each in member_scores], columns.select(others), targets[others], settings)
        scores[own] = fitted.scores(task, [each[own] for each in member_scores], columns.select(own))
    return scores


def _fit(task: Task, member_scores: Sequence[Array], columns: Columns, targets: Array, settings: _Settings) -> Stacker:
    features = fit_features(columns)
    coefficients, intercepts = [], []
    wanted = np.asarray(task.as_predictions(targets)).reshape(len(targets), -1)
    known = ~np.isnan(targets).reshape(len(targets), -1) if targets.dtype.kind == "f" else np.ones(wanted.shape, bool)
    for outputs, inputs in _inputs(task, member_scores, _beside(features, columns)):
        column = 0 if _is_exclusive(task) else outputs.start
        rows = known[:, column]  # an unknown cell of a label is no row of its regression
        found, bias = _regression(inputs[rows], wanted[rows, column], outputs, settings)
        coefficients.append(found)
        intercepts.append(bias)
    return Stacker(len(member_scores), features, np.concatenate(coefficients), np.concatenate(intercepts))


def _is_exclusive(task: Task) -> bool:
    """Whether a row has one class of several, so that its scores sum to 1."""
    return isinstance(judging_task(task), Multiclass)


def _inputs(task: Task, member_scores: Sequence[Array], beside: Array) -> Iterator[tuple[slice, Array]]:
    """Yield the outputs that share inputs, and those inputs (N, F).

    Of classes all outputs share the log scores of every member; a label has the members' logits of that label.
    """
    if _is_exclusive(task):
        logs = [log_scores(np.asarray(scores)) for scores in member_scores]
        centred = [each - each.mean(axis=1, keepdims=True) for each in logs]
        yield slice(0, logs[0].shape[1]), np.concatenate([*centred, beside], axis=1)
        return
    logits = [logit(bounded(np.asarray(scores))).reshape(len(scores), -1) for scores in member_scores]
    for label in range(logits[0].shape[1]):
        own = np.stack([each[:, label] for each in logits], axis=1)
        yield slice(label, label + 1), np.concatenate([own, beside], axis=1)


def _beside(features: Sequence[Features], columns: Columns) -> Array:
    """Return the features (N, F) of all columns."""
    return np.concatenate([each.features(columns) for each in features], axis=1)


def _regression(inputs: Array, targets: Array, outputs: slice, settings: _Settings) -> tuple[Array, Array]:
    """Return coefficients (O, F) and intercepts (O,) for raw inputs (N, F) and targets (N,): classes, or 0 and 1."""
    from sklearn.linear_model import LogisticRegression  # heavy, and predictions do without

    number = outputs.stop - outputs.start
    coefficients, intercepts = np.zeros((number, inputs.shape[1])), np.full(number, -_CERTAIN)
    present = np.unique(targets)
    if len(present) < 2:
        intercepts[present if number > 1 else slice(None)] = _CERTAIN if number > 1 or present.any() else -_CERTAIN
        return coefficients, intercepts
    center, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale[scale < _CONSTANT] = 1.0
    weight = "balanced" if settings.balanced else None
    model = LogisticRegression(C=settings.strength, class_weight=weight, max_iter=_MAX_ITERATIONS)
    model.fit((inputs - center) / scale, targets)
    found, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
    if number > 1 and len(present) == 2:  # of two classes it returns the difference of their logits
        found, bias = np.concatenate([-found, found]) / 2.0, np.concatenate([-bias, bias]) / 2.0
    places = present if number > 1 else slice(None)
    coefficients[places] = found / scale
    intercepts[places] = bias - (found / scale * center).sum(axis=1)
    return coefficients, intercepts
