"""Fold-wise bias calibration: align the K fold models of a configuration before thresholds or cuts are fitted.

Each of the K models has a bias of its own: its probabilities of a label, or its expected levels, are a little higher or
lower than the others'. A threshold fitted to the out-of-fold scores of all models would then be wrong for each of them.
Folds are stratified, so the share of a label, or the mean level, is the same in each but for chance: one number a label
in logit space aligns each model with the mean of all, without labels.

Figures without and with it, also of classes without an order, which are not aligned: docs/decisions/0003.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, softmax

from foldtune.trainers.postprocess.cuts import expected_levels

Logits = npt.NDArray[Any]
MAX_OFFSET = 20.0
"""Bound of an offset's magnitude, in logits: beyond it every image is at one end."""


def align_fold_biases(fold_logits: Sequence[Logits]) -> list[npt.NDArray[np.float64]]:
    """Return the offsets (K,) of each fold model's logits that make their mean expected levels equal.

    Class k gains a·k, an exponential tilt along the order of the classes, with one a for each model.

    Args:
        fold_logits: logits (N_f, K) of each fold model on its out-of-fold rows; N_f may differ.

    >>> first, second = np.log([[0.7, 0.2, 0.1]]), np.log([[0.1, 0.2, 0.7]])
    >>> [(np.round(offset, 2) + 0.0).tolist() for offset in align_fold_biases([first, second])]
    [[0.0, 0.97, 1.95], [0.0, -0.97, -1.95]]
    """
    steps = np.arange(fold_logits[0].shape[1], dtype=np.float64)

    def mean_level(logits: Logits, tilt: float) -> float:
        return float(expected_levels(softmax(logits + tilt * steps, axis=1)).mean())

    return [tilt * steps for tilt in _aligning_shifts(fold_logits, mean_level)]


def align_positive_rates(fold_logits: Sequence[Logits]) -> list[npt.NDArray[np.float64]]:
    """Return the offsets (L,) of each fold model's logits that make their mean probabilities of each label equal.

    Args:
        fold_logits: logits (N_f, L) of each fold model on its out-of-fold rows; N_f may differ.

    >>> high, low = np.array([[1.0]]), np.array([[-1.0]])
    >>> [(np.round(offset, 2) + 0.0).tolist() for offset in align_positive_rates([high, low])]
    [[-1.0], [1.0]]
    """

    def mean_probability(logits: Logits, shift: float) -> float:
        return float(expit(logits + shift).mean())

    labels = range(fold_logits[0].shape[1])
    shifts = [_aligning_shifts([logits[:, label] for logits in fold_logits], mean_probability) for label in labels]
    return [np.array(each) for each in zip(*shifts, strict=True)]


def _aligning_shifts(fold_logits: Sequence[Logits], statistic: Callable[[Logits, float], float]) -> list[float]:
    """Return the shift of each model at which its statistic, which rises with the shift, is the models' mean one."""
    exact = [np.asarray(logits, dtype=np.float64) for logits in fold_logits]
    target = float(np.mean([statistic(logits, 0.0) for logits in exact]))

    def shift(logits: Logits) -> float:
        # Logits that lie beyond the bound leave no root within it.
        if statistic(logits, -MAX_OFFSET) >= target:
            return -MAX_OFFSET
        if statistic(logits, MAX_OFFSET) <= target:
            return MAX_OFFSET
        return float(brentq(lambda tried: statistic(logits, tried) - target, -MAX_OFFSET, MAX_OFFSET))

    return [shift(logits) for logits in exact]
