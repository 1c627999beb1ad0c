"""Class weights from the class counts of the original training fold (before any oversampling)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MAX_WEIGHT = 20.0


def inverse_power_weights(class_counts: npt.ArrayLike, power: float) -> Floats:
    """``(N / (C·n_c))^power``, at most MAX_WEIGHT. Power 0: ones; 1: inverse frequency. Absent classes count 1.

    >>> inverse_power_weights([100, 30, 5], power=1.0)
    array([0.45, 1.5 , 9.  ])
    """
    counts = _at_least_one(class_counts)
    weights: Floats = np.minimum((np.sum(class_counts) / (len(counts) * counts)) ** power, MAX_WEIGHT)
    return weights


def positive_weights(class_counts: npt.ArrayLike, power: float) -> Floats:
    """``(negatives / positives)^power`` (L,), at most MAX_WEIGHT, of counts (L, 2) or (2,). Absent count 1.

    >>> positive_weights([[50, 50], [90, 10], [999, 1]], power=1.0)
    array([ 1.,  9., 20.])
    """
    counts = np.atleast_2d(_at_least_one(class_counts))
    weights: Floats = np.minimum((counts[:, 0] / counts[:, 1]) ** power, MAX_WEIGHT)
    return weights


def class_balanced_weights(class_counts: npt.ArrayLike, beta: float) -> Floats:
    """``(1-β) / (1-β^n_c)``, scaled to sum C: Cui et al. 2019, eq. 9. `beta` in [0, 1).

    >>> class_balanced_weights([100, 30, 5], beta=0.9).round(6)
    array([0.66873 , 0.698314, 1.632956])
    """
    counts = _at_least_one(class_counts)
    weights = (1.0 - beta) / (1.0 - np.power(beta, counts))
    scaled: Floats = weights * (len(counts) / weights.sum())
    return scaled


def log_prior(class_counts: npt.ArrayLike) -> Floats:
    """Logarithm of the classes' shares (C,); an absent class counts as one row, which keeps it finite."""
    counts = _at_least_one(class_counts)
    shares: Floats = np.log(counts / counts.sum())
    return shares


def _at_least_one(class_counts: npt.ArrayLike) -> Floats:
    return np.maximum(np.asarray(class_counts, dtype=np.float64), 1.0)
