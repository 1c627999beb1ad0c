"""Thresholds for the mean of K fold models, which were fitted to scores of single ones.

Every out-of-fold row is scored by one model, a test row by the mean of K, which is less extreme: a threshold that is
not in the middle of the scores is then passed by fewer rows, or more. Measured as F1 and balanced accuracy on
unseen rows (5 folds; simulated scores at three shares of positives, 300 and 2,000 rows, weak and strong models; and
small networks on handwritten digits):

- keeping the out-of-fold rate of positives gained up to .067 where models are weak and noisy, and lost up to .030
  where they are good;
- going half of that way, in logit space, gained up to .037 and lost at most .005;
- thresholding each fold's model and voting lost up to .039 where positives are rare.

So half of the way it is. It takes rows, without labels, that are as those to come; under a hundred are too few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from foldtune.trainers.metrics.classification import FloatArray
from foldtune.trainers.postprocess.thresholds import DEFAULT_THRESHOLD, bounded

if TYPE_CHECKING:
    from foldtune.trainers.tasks.base import Postprocess, Scores, Task

MIN_ROWS = 100
_NAMES = ({"threshold"}, {"threshold", "thresholds"})


def is_threshold_only(task: Task) -> bool:
    """Whether the task's post-processing is thresholds of its scores, and nothing else."""
    return set(task.postprocess_names) in _NAMES


def transfer_thresholds(task: Task, postprocess: Postprocess, single: Scores, averaged: Scores) -> dict[str, Any]:
    """Post-processing for scores that are means of fold models; of other tasks than those of thresholds unchanged.

    Args:
        postprocess: fitted to ``single``.
        single: (N,) or (N, L) out-of-fold scores.
        averaged: (T,) or (T, L) scores of unlabelled rows as they are to come, by the mean of the fold models.
    """
    if not is_threshold_only(task) or len(averaged) < MIN_ROWS:
        return dict(postprocess)
    common = float(postprocess.get("threshold", DEFAULT_THRESHOLD))
    if single.ndim == 1:
        return {**postprocess, "threshold": _between(common, single, averaged)}
    own: Mapping[str, float] = {str(label): value for label, value in postprocess.get("thresholds", {}).items()}
    adapted = {
        label: _between(float(own.get(label, common)), single[:, place], averaged[:, place])
        for place, label in enumerate(task.label_names)
    }
    return {**postprocess, "thresholds": adapted}


def _between(threshold: float, single: npt.NDArray[Any], averaged: npt.NDArray[Any]) -> float:
    """Half-way, in logit space, to the threshold that as large a share of averaged scores (T,) reaches."""
    share = float((bounded(single) >= threshold).mean())
    if not 0.0 < share < 1.0:
        return threshold
    kept = float(np.quantile(bounded(averaged), 1.0 - share))
    ends: FloatArray = logit(bounded(np.array([threshold, kept])))
    return float(expit(ends.mean()))
