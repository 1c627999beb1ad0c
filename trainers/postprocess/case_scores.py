"""Scores of cases from those of their images: the mean, the maximum, or the noisy or."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import Problem
from foldtune.wording import unknown

CASE_REDUCE = "case_reduce"
"""Key of a post-processing."""
REDUCTIONS = ("mean", "max", "noisy_or")
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Cases:
    """The cases of N rows.

    Attributes:
        names: (C,) names, in the order in which the rows first have them.
        of_rows: (N,) place in `names` of each row's case.
        first: (C,) first row of each case.
    """

    names: npt.NDArray[np.str_]
    of_rows: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]

    @classmethod
    def of(cls, cases: npt.NDArray[np.str_]) -> Cases:
        """Return the cases that are named row by row, (N,)."""
        _, first, of_rows = np.unique(cases, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return cls(cases[first[order]], place[of_rows], first[order])

    def reduce(self, scores: Array, how: str, *, exclusive: bool = False) -> Array:
        """Return scores (C, ...) of the cases.

        Args:
            scores: (N, ...) probabilities of the rows.
            how: one of REDUCTIONS. The noisy or is 1 - prod(1 - p) (Pearl 1988).
            exclusive: whether the classes (N, K) exclude each other, so that the scores of a case add up to 1 again.

        >>> Cases.of(np.array(["b", "a", "b"])).reduce(np.array([0.5, 0.2, 0.5]), "noisy_or")
        array([0.75, 0.2 ])
        """
        scores = np.asarray(scores, dtype=np.float64)
        shape = (len(self.names), *scores.shape[1:])
        if how == "mean":
            sums = np.zeros(shape)
            np.add.at(sums, self.of_rows, scores)
            counts = np.bincount(self.of_rows, minlength=len(self.names))
            return sums / counts.reshape(-1, *[1] * (scores.ndim - 1))
        if how == "max":
            reduced = np.zeros(shape)
            np.maximum.at(reduced, self.of_rows, scores)
        else:
            left = np.ones(shape)
            np.multiply.at(left, self.of_rows, 1.0 - scores)
            reduced = 1.0 - left
        return reduced / reduced.sum(axis=1, keepdims=True) if exclusive else reduced


def reduction_of(postprocess: Mapping[str, Any] | str | None) -> str:
    """Return the reduction of a post-processing, the mean where it names none."""
    return str(postprocess.get(CASE_REDUCE, "mean")) if isinstance(postprocess, Mapping) else "mean"


def without_reduction(postprocess: Mapping[str, Any]) -> dict[str, Any]:
    """Return a post-processing without its reduction of cases: what tasks know."""
    return {key: value for key, value in postprocess.items() if key != CASE_REDUCE}


def reduction_problems(postprocess: Mapping[str, Any]) -> list[Problem]:
    """Return the problem of a reduction that does not exist."""
    how = postprocess.get(CASE_REDUCE, "mean")
    if how in REDUCTIONS:
        return []
    return [Problem(f"postprocess.{CASE_REDUCE}", unknown("reduction", str(how), REDUCTIONS))]
