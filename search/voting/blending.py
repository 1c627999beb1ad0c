"""Weights of a convex blend: the mixture of members with the least loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from foldtune.search.voting.evaluation import choose_rows
from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]

_STEP = 1e-6  # of the differences that make a gradient
_MAX_ITERATIONS = 100


def blend_weights(task: Task, member_scores: Sequence[Array], targets: Array, *, seed: int = 0) -> tuple[float, ...]:
    """Weights (M,) >= 0, summing to 1, under which the members' mean has the least ``loss`` of the task.

    The loss of a mixture is convex in its weights, so sequential quadratic programming (SLSQP) finds the one optimum.
    The order of the members does not matter. Of many rows a sample is used.

    Args:
        member_scores: M arrays (N, ...), of models that were not trained on these rows.
        targets: (N, ...).
        seed: seed of the sample of rows.
    """
    members = len(member_scores)
    if members == 1:
        return (1.0,)
    rows = choose_rows(member_scores, seed)
    stacked = np.stack([np.asarray(scores[rows], dtype=np.float64) for scores in member_scores])
    targets = targets[rows]
    predictions = task.predict(stacked[0])  # which the loss does not use

    def loss(weights: Array) -> float:
        return task.metric_value("loss", np.tensordot(weights, stacked[order], 1), predictions, targets)

    order = np.arange(members)
    alone = [loss(np.eye(members)[place]) for place in range(members)]
    order = np.array(
        sorted(range(members), key=lambda place: (alone[place], float(np.sort(stacked[place].ravel()).sum())))
    )

    def gradient(weights: Array) -> Array:
        at = loss(weights)
        return np.array([(loss(weights + _STEP * unit) - at) / _STEP for unit in np.eye(members)])

    equal = np.full(members, 1.0 / members)
    found = minimize(
        loss,
        equal,
        jac=gradient,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(members)},
        options={"maxiter": _MAX_ITERATIONS, "ftol": 1e-12},
    ).x
    found = np.where(
        found <= _STEP, 0.0, found
    )  # predictions would run the models of a member of rounding-error weight
    found = found / found.sum() if np.isfinite(found).all() and found.sum() > 0 else equal
    best = found if loss(found) <= loss(equal) else equal
    weights = np.empty(members)
    weights[order] = best
    return tuple(weights.tolist())
