"""Post-processing fitted to any function of predictions: coordinate ascent over cuts between stored scores.

Nothing of the function is used but its values, so a coordinate is tried at quantiles of the places where a prediction
changes, and the optimum is a local one on a grid. One parameter a class overfits where rows are few: it is halved
towards the prior adjustment, or shrunk towards the common threshold, as for the task's own metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.arrays.types import Postprocess, Scores, Targets
from foldtune.trainers.losses.weights import log_prior
from foldtune.trainers.metrics.classification import FloatArray
from foldtune.trainers.postprocess.cuts import expected_levels, rounding_cuts
from foldtune.trainers.postprocess.offsets import log_scores
from foldtune.trainers.postprocess.thresholds import DEFAULT_THRESHOLD, bounded, shrink
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.labelled import best_of
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import ARGMAX, ROUNDING, Ordinal

Worth = Callable[[Postprocess], float]
"""Post-processing -> its value, higher better; -inf where it has none."""

_SINGLE_CUTS = 200  # of one threshold alone
_CUTS = 20  # of one of several parameters
_MAX_PASSES = 3
_MAX_LABELS = 200  # with a threshold each; more share one
_PRIOR_POWERS = np.arange(-10, 21) / 10.0
_GAIN = 1e-10  # smaller gains are rounding


def fit_by_ascent(task: Task, scores: Scores, targets: Targets, worth: Worth) -> dict[str, Any]:
    """Return the best post-processing that was tried on these rows, the default included; of equals the first."""
    return best_of([task.default_postprocess(), *_candidates(task, scores, targets, worth)], worth, _GAIN)


def ascend(
    start: FloatArray, worth: Callable[[FloatArray], float], cuts: Callable[[FloatArray, int], FloatArray]
) -> FloatArray:
    """Return a vector (D,) that no cut of a single coordinate improves, or the one after `_MAX_PASSES` passes.

    Args:
        cuts: (vector, coordinate) -> values of the coordinate to try, the other ones fixed.
    """
    best, value = start.copy(), worth(start)
    for _ in range(_MAX_PASSES):
        improved = False
        for index in range(len(best)):
            for cut in sorted(cuts(best, index).tolist(), key=lambda each: abs(each - best[index])):
                tried = best.copy()
                tried[index] = cut
                found = worth(tried)
                if found > value + _GAIN:
                    best, value, improved = tried, found, True
        if not improved or len(best) == 1:
            break
    return best


def _candidates(task: Task, scores: Scores, targets: Targets, worth: Worth) -> Iterator[dict[str, Any]]:
    if isinstance(task, Binary):
        yield _threshold(scores, worth)
    elif isinstance(task, Multilabel):
        yield from _thresholds(task, scores, targets, worth)
    elif isinstance(task, Ordinal):
        yield from ({"cuts": ROUNDING}, {"cuts": ARGMAX}, _cuts(task, scores, worth))
    elif isinstance(task, Multiclass):
        yield _offsets(task, scores, targets, worth)


def _threshold(scores: npt.NDArray[Any], worth: Worth) -> dict[str, Any]:
    kept = bounded(scores)
    found = ascend(
        np.array([DEFAULT_THRESHOLD]),
        lambda vector: worth({"threshold": float(vector[0])}),
        lambda vector, index: np.clip(_between(kept, _SINGLE_CUTS), 0.0, 1.0),
    )
    return {"threshold": float(found[0])}


def _thresholds(task: Multilabel, scores: Scores, targets: Targets, worth: Worth) -> Iterator[dict[str, Any]]:
    common = float(_threshold(scores.ravel(), worth)["threshold"])
    yield task.with_thresholds(common)
    if len(task.labels) > _MAX_LABELS:
        return
    kept = bounded(scores)
    own = ascend(
        np.full(len(task.labels), common),
        lambda vector: worth(task.with_thresholds(common, vector)),
        lambda vector, index: np.clip(_between(kept[:, index], _CUTS), 0.0, 1.0),
    )
    yield task.with_thresholds(common, shrink(own, common, targets.sum(axis=0)))


def _cuts(task: Ordinal, scores: Scores, worth: Worth) -> dict[str, Any]:
    levels = expected_levels(scores)

    def cuts(vector: FloatArray, index: int) -> FloatArray:
        edges = np.concatenate([[-1.0], vector, [float(len(task.labels))]])
        low, high = edges[index], edges[index + 2]
        inside = _between(levels[(levels >= low) & (levels <= high)], _CUTS)
        return np.asarray(inside[(inside >= low) & (inside <= high)])

    found = ascend(rounding_cuts(len(task.labels)), lambda vector: worth({"cuts": vector.tolist()}), cuts)
    return {"cuts": found.tolist()}


def _offsets(task: Multiclass, scores: Scores, targets: Targets, worth: Worth) -> dict[str, Any]:
    logs = log_scores(scores)

    def cuts(vector: FloatArray, index: int) -> FloatArray:
        rivals = logs + vector
        rivals[:, index] = -np.inf
        return _between(rivals.max(axis=1) - logs[:, index], _CUTS)

    ascent = ascend(np.zeros(len(task.labels)), lambda vector: worth(task.with_offsets(vector)), cuts)
    prior = log_prior(task.class_counts(targets))
    power = max(_PRIOR_POWERS, key=lambda each: (worth(task.with_offsets(-each * prior)), -abs(each)))
    blend = (ascent - power * prior) / 2.0
    return task.with_offsets(blend - blend.mean())


def _between(values: FloatArray, most: int) -> FloatArray:
    """Return at most so many places between values (N,), at their quantiles, and one beyond each end."""
    if not len(values):
        return values
    steps = np.linspace(0.0, 1.0, most)
    edges = np.unique(np.quantile(values, steps, method="nearest"))
    return np.concatenate([[edges[0] - 1e-6], (edges[1:] + edges[:-1]) / 2.0, [edges[-1] + 1e-6]])
