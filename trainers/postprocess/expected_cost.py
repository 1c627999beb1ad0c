"""The decision of least expected cost: the class whose mean cost under a row's probabilities is lowest."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from foldtune.trainers.metrics.classification import FloatArray, IntArray

_PRIOR_POWERS = np.arange(-10, 21) / 10.0  # as of offsets: one parameter hardly overfits
_GAIN = 1e-10  # smaller gains are rounding


def least_expected_cost(logs: FloatArray, costs: FloatArray) -> IntArray:
    """Return the class (N,) ``argmin_j sum_i p_i costs[i, j]`` of log scores (N, C); ties go to the lower class.

    It is optimal where p are the probabilities of the classes (Elkan 2001).

    >>> least_expected_cost(np.log([[0.7, 0.3]]), np.array([[0.0, 1.0], [5.0, 0.0]])).tolist()
    [1]
    """
    # Not a matrix product: its rounding depends on the rows beside a row.
    expected = np.einsum("ni,ij->nj", softmax(logs, axis=1), costs, optimize=False)
    return np.asarray(expected.argmin(axis=1), dtype=np.int64)


def fit_prior_of_costs(
    logs: FloatArray, targets: IntArray, costs: FloatArray, log_prior: FloatArray
) -> tuple[FloatArray, float]:
    """Return offsets (C,), a multiple of the log prior (C,), under which `least_expected_cost` costs least; and the
    mean cost. Of equal multiples the nearest to 0."""

    def mean_cost(power: float) -> float:
        return float(costs[targets, least_expected_cost(logs - power * log_prior, costs)].mean())

    values = np.array([mean_cost(power) for power in _PRIOR_POWERS])
    best = _PRIOR_POWERS[values <= values.min() + _GAIN]
    power = float(best[np.abs(best).argmin()])
    offsets = -power * log_prior
    return np.asarray(offsets - offsets.mean()), float(values.min())
