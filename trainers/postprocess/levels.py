"""One level for the fold models of a configuration, whose ordinal scores cuts are fitted to.

Each model of K folds has a bias of its own: one calls most images a little higher than the next does. Cuts fitted to
the out-of-fold scores of all would then cut each of them in the wrong place. Folds are stratified, so their mean
expected level is the same but for chance, and each model can be brought to it without a look at any label: class k
gains a·k in logit space, an exponential tilt along the order of the classes, with one a for each model. On RetinaMNIST
(1,200 rows, 5 folds, small models) quadratic weighted kappa of out-of-fold scores, cuts cross-fitted, rose from .567
to .578 and from .537 to .554 for two configurations, and from .543 to .585 for their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import softmax

from trainers.postprocess.cuts import expected_levels

Logits = npt.NDArray[Any]
STEEPEST = 20.0
"""Bound of the tilt: beyond it every image is at one end of the levels."""


def common_level(fold_logits: Sequence[Logits]) -> list[npt.NDArray[np.float64]]:
    """What to add to the logits of each fold's model, (K,), so that their mean expected levels are equal.

    Args:
        fold_logits: of each model, (N_f, K) on rows that it was not trained on; folds may differ in size.

    >>> first, second = np.log([[0.7, 0.2, 0.1]]), np.log([[0.1, 0.2, 0.7]])
    >>> [(np.round(offset, 2) + 0.0).tolist() for offset in common_level([first, second])]
    [[0.0, 0.97, 1.95], [0.0, -0.97, -1.95]]
    """
    steps = np.arange(fold_logits[0].shape[1], dtype=np.float64)

    def level(logits: Logits, tilt: float) -> float:
        return float(expected_levels(softmax(logits + tilt * steps, axis=1)).mean())

    wanted = float(np.mean([level(logits, 0.0) for logits in fold_logits]))
    return [
        brentq(lambda tilt, own=logits: level(own, tilt) - wanted, -STEEPEST, STEEPEST) * steps
        for logits in (np.asarray(each, dtype=np.float64) for each in fold_logits)
    ]
