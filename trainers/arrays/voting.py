"""Combination of members: means of scores, weighted or not, rank averages, and k-of-n votes.

A sum is taken over sorted contributions in float64, so it is the same to the last bit in whatever order the
members come, and so are the ties it decides. Greedy selection gives weights for ``mean_scores``.
Rank averaging is the mean of ``ranked`` scores: right for metrics of an order, such as auroc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.arrays.lazy import LazyRows
from foldtune.wording import unknown

RANKS = 256
_RANK_LEVELS = (np.arange(RANKS) + 0.5) / RANKS
_PART = 1 << 22  # numbers that are averaged at a time


def mean_scores(
    member_scores: Sequence[npt.NDArray[Any]] | npt.NDArray[Any], weights: Sequence[float] | None = None
) -> npt.NDArray[Any]:
    """Return the (weighted) mean (N, ...) of M members' scores in float64; of half-precision maps in float16.

    A part of the rows is in memory at a time besides the result, so members may be memory-mapped. The mean of lazy
    rows is lazy.

    Args:
        member_scores: M arrays (N, ...).
        weights: M weights >= 0 with a positive sum, which need not be 1; None weights all alike.
    """
    if any(isinstance(scores, LazyRows) for scores in member_scores):
        return cast("npt.NDArray[Any]", _lazy_mean(member_scores, weights))
    shape = np.shape(member_scores[0])
    half = all(np.asarray(scores[:0]).dtype == np.float16 for scores in member_scores)
    rows = max(1, _PART // max(1, len(member_scores) * math.prod(shape[1:])))
    mean: npt.NDArray[Any] = np.empty(shape, dtype=np.float16 if half else np.float64)
    for first in range(0, len(mean), rows):
        part = slice(first, first + rows)
        mean[part] = _mean_of_part([scores[part] for scores in member_scores], weights)
    return mean


def _lazy_mean(member_scores: Sequence[Any] | npt.NDArray[Any], weights: Sequence[float] | None) -> LazyRows:
    half = all(scores.dtype == np.float16 for scores in member_scores)

    def compute(index: int) -> npt.NDArray[Any]:
        own = [scores[index] for scores in member_scores]
        if not half or weights is not None:
            return np.asarray(_mean_of_part([row[None] for row in own], weights)[0], dtype=kind)
        summed = np.zeros(own[0].shape, dtype=np.float64)
        for row in own:
            summed += row  # exact, so in any order: half floats are multiples of 2^-24
        return np.asarray(summed / len(own), dtype=kind)

    kind = np.dtype(np.float16 if half else np.float64)
    shape = member_scores[0].shape
    return LazyRows(compute, np.arange(shape[0]), tuple(shape[1:]), kind)


def _mean_of_part(
    member_scores: Sequence[npt.NDArray[Any]], weights: Sequence[float] | None
) -> npt.NDArray[np.float64]:
    stacked = np.stack([np.asarray(scores, dtype=np.float64) for scores in member_scores])
    if weights is not None:
        stacked *= np.asarray(weights, dtype=np.float64).reshape(-1, *[1] * (stacked.ndim - 1))
    stacked.sort(axis=0)
    total = float(len(stacked)) if weights is None else math.fsum(weights)
    return np.asarray(stacked.sum(axis=0) / total)


def rank_reference(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the RANKS quantiles (RANKS, ...) of a member's out-of-fold scores (N, ...), by which others are ranked.

    Ranks among the rows of a batch would change with the batch.
    """
    return np.asarray(np.quantile(np.asarray(scores, dtype=np.float64), _RANK_LEVELS, axis=0))


def ranked(scores: npt.NDArray[Any], reference: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the ranks (N, ...) in [0, 1] of scores (N, ...) in [0, 1] among those of a reference (RANKS, ...).

    Ranks are interpolated linearly between two quantiles, and beyond the outermost towards 0 and 1.
    """
    columns = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
    levels = np.concatenate([[0.0], _RANK_LEVELS, [1.0]])
    quantiles = np.asarray(reference, dtype=np.float64).reshape(RANKS, -1)
    ranks = [
        np.interp(column, np.concatenate([[0.0], own, [1.0]]), levels)
        for column, own in zip(columns.T, quantiles.T, strict=True)
    ]
    return np.stack(ranks, axis=1).reshape(np.shape(scores))


def hard_vote(
    member_predictions: Sequence[npt.NDArray[np.int64]] | npt.NDArray[np.int64],
    mean: npt.NDArray[np.float64],
    min_votes: int | None = None,
    fallback: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """Return the class (N,) with the most of M votes; ties go to the higher mean score, then to the lower class.

    Args:
        member_predictions: M arrays (N,) of classes.
        mean: (N, C) mean scores of the members.
        min_votes: minimum votes of a winner; other rows take ``fallback``.
        fallback: (N,) classes; None is the argmax of ``mean``.
    """
    classes = np.arange(mean.shape[1])
    votes = np.zeros(mean.shape, dtype=np.int64)
    for predictions in member_predictions:
        votes += np.asarray(predictions)[:, None] == classes
    most = votes.max(axis=1)
    winners = np.asarray(np.where(votes == most[:, None], mean, -np.inf).argmax(axis=1), dtype=np.int64)
    if min_votes is None:
        return winners
    return np.where(most >= min_votes, winners, mean.argmax(axis=1) if fallback is None else fallback)


def hard_vote_on(
    member_predictions: Sequence[npt.NDArray[np.int64]] | npt.NDArray[np.int64],
    soft: npt.NDArray[np.int64],
    min_votes: int | None = None,
) -> npt.NDArray[np.int64]:
    """Return 1 where more than half of M members predict 1; a tie is decided by ``soft``.

    Args:
        member_predictions: M arrays (N, ...) of 0 and 1.
        soft: (N, ...) 0 and 1, the predictions of the mean scores.
        min_votes: votes for 1 that make it 1, fewer make it 0; then ``soft`` does not matter.
    """
    votes = np.sum([np.asarray(predictions) for predictions in member_predictions], axis=0, dtype=np.int64)
    if min_votes is not None:
        return np.asarray(votes >= min_votes, dtype=np.int64)
    doubled = 2 * votes - len(member_predictions)
    return np.where(doubled == 0, soft, doubled > 0).astype(np.int64)


def check_voting(
    voting: str,
    valid: Sequence[str],
    num_members: int,
    *,
    weights: Sequence[float] | None = None,
    min_votes: int | None = None,
) -> None:
    """Check the arguments of a vote among ``num_members``.

    Raises:
        SettingsError: all that is wrong, with paths ``voting``, ``weights`` and ``min_votes``.
    """
    problems: list[Problem] = []
    if num_members < 1:
        problems.append(Problem("voting", "no member to vote; give at least one"))
    if voting in valid:
        problems += _check_weights(voting, num_members, weights)
        problems += _check_min_votes(voting, num_members, min_votes)
    else:
        problems.append(Problem("voting", unknown("voting", voting, valid)))
    if problems:
        raise SettingsError(problems)


def _check_weights(voting: str, num_members: int, weights: Sequence[float] | None) -> list[Problem]:
    if weights is None:
        missing = voting == "weighted"
        return [Problem("weights", "voting weighted needs a weight for each member")] if missing else []
    if voting != "weighted":
        return [Problem("weights", f"voting {voting} takes none; leave them out, or use voting weighted")]
    if len(weights) != num_members:
        return [Problem("weights", f"{len(weights)} weights for {num_members} members; give one each")]
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) <= 0:
        return [Problem("weights", f"{list(weights)}: weights must be >= 0, finite, and not all 0")]
    return []


def _check_min_votes(voting: str, num_members: int, min_votes: int | None) -> list[Problem]:
    if min_votes is None:
        return []
    if voting != "hard":
        return [Problem("min_votes", f"voting {voting} counts no votes; leave it out, or use voting hard")]
    if not 1 <= min_votes <= num_members:
        return [Problem("min_votes", f"{min_votes} of {num_members} members; must be 1 to {num_members}")]
    return []
