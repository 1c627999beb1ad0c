"""Weights of members: the mixture of least loss, and greedy selection with replacement (Caruana et al. 2004)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from foldtune.search.voting.evaluation import Objective, choose_rows
from foldtune.trainers.tasks import Task
from foldtune.trainers.user_metrics.task import is_function

Array = npt.NDArray[Any]

BAGS = 20
MAX_CANDIDATES = 50  # the best ones alone; of hundreds the others would only add chances to overfit
MAX_STEPS = 30
_PLACES = 6


def greedy_weights(objective: Objective, member_scores: Sequence[Array], *, seed: int = 0) -> tuple[float, ...]:
    """Return weights (M,), summing to 1; 0 for members in no bag. They do not depend on the order of the members.

    Each of 20 bags holds the best candidate and half of the others. Beginning with the bag's best, the member is
    added, be it again, whose mean with those taken does best by the metric, rounded to 6 places, with the
    post-processing fitted to that mean; among equals one that is in already. A bag ends where nothing helps.

    Of many rows a sample is used: see `foldtune.search.voting.evaluation.choose_rows`.

    Args:
        member_scores: M arrays (N, ...), of models that were not trained on these rows.
        seed: seed of the bags.
    """
    rows = choose_rows(member_scores, seed)
    sampled = [np.asarray(scores[rows], dtype=np.float64) for scores in member_scores]
    evaluator = _Evaluator(objective.select(rows), sampled)
    ranked = evaluator.best_first()[:MAX_CANDIDATES]
    rng = np.random.default_rng(seed)
    weights = np.zeros(len(member_scores))
    for _ in range(BAGS):
        others = rng.permutation(len(ranked) - 1)[: len(ranked) // 2] + 1
        taken = _select([ranked[0], *(ranked[place] for place in np.sort(others))], evaluator)
        weights += np.bincount(taken, minlength=len(weights)) / len(taken)
    return tuple((weights / BAGS).tolist())


class _Evaluator:
    """Values of means of candidates, the higher the better; each is computed once.

    A function of the user takes hundreds of calls a fit, so that all means have the post-processing of the mean of all
    candidates.
    """

    def __init__(self, objective: Objective, scores: Sequence[Array]) -> None:
        self._objective, self._scores = objective, scores
        self._known: dict[tuple[int, ...], float] = {}
        task, metric = objective.task, objective.metric
        self._common: Mapping[str, Any] | None = None
        if is_function(task, metric):
            whole = np.asarray(sum(scores[1:], scores[0]) / len(scores))
            self._common = task.fit_postprocess(whole, objective.targets, metric)

    def value(self, taken: Sequence[int]) -> float:
        """Return the value of the mean of the candidates `taken`, each as often as it is there."""
        key = tuple(sorted(taken))
        if key not in self._known:
            mean = sum((self._scores[index] for index in key[1:]), self._scores[key[0]]) / len(key)
            self._known[key] = round(self._objective.sign * self._value_of(mean), _PLACES)
        return self._known[key]

    def _value_of(self, mean: Array) -> float:
        if self._common is None:
            return self._objective.fitted_value(mean)
        return self._objective.value(mean, self._objective.task.predict(mean, self._common))

    def best_first(self) -> list[int]:
        """Return the candidates by their own value, equals by their scores and not by their position."""
        return sorted(range(len(self._scores)), key=lambda index: (-self.value([index]), self._content(index)))

    def _content(self, index: int) -> tuple[float, float]:
        ordered = np.sort(self._scores[index], axis=None)  # sums of sorted numbers are the same in any order
        return float(ordered.sum()), float((ordered**2).sum())


def _select(candidates: Sequence[int], evaluator: _Evaluator) -> list[int]:
    """Return the members of a bag, each as often as it was added; `candidates` come best first."""
    taken = [candidates[0]]
    value = evaluator.value(taken)
    while len(taken) < MAX_STEPS:
        found = [(evaluator.value([*taken, each]), each in taken, -place) for place, each in enumerate(candidates)]
        best, _, place = max(found)
        if best <= value:
            break
        taken.append(candidates[-place])
        value = best
    return taken


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
