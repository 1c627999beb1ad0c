"""Cut points on the expected level: a row is predicted as the number of cuts at or below its level.

They are fitted exactly, by hand: no library does. Rows are sorted by their level, so predictions are K consecutive
segments, and the best segments come from dynamic programming over the places of cuts. A sum of credits (accuracy, mae,
penalty recall, …) needs O(K·M) for M places; QWK is a ratio of two such sums, which Dinkelbach's method
(Dinkelbach 1967) reduces to a few of them; macro-F1 is a sum over segments and needs O(K·M²).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.metrics.classification import CREDIT_METRICS, FloatArray, IntArray, quadratic_weights

MAX_BLOCKS = 2000
"""Number of places beyond which macro-F1 is fitted on evenly chosen ones; other metrics use every place."""

_TIE = 1e-9  # levels closer than this are one: rounding must not decide on which side of a cut a row falls
_CHUNK = 512  # rows of the table of all segments that are in memory at a time
_MAX_ROUNDS = 100


def expected_levels(scores: npt.NDArray[Any]) -> FloatArray:
    """Return the mean level (N,), 0 to K-1, of probabilities (N, K).

    >>> expected_levels(np.array([[0.5, 0.0, 0.5], [0.0, 0.25, 0.75]])).tolist()
    [1.0, 1.75]
    """
    weights: FloatArray = np.asarray(scores, dtype=np.float64)
    # Not a matrix product: its rounding depends on the rows beside a row.
    levels: FloatArray = (weights * np.arange(weights.shape[1])).sum(axis=1) / weights.sum(axis=1)
    return levels


def rounding_cuts(num_levels: int) -> FloatArray:
    """Return the cuts (K-1,) that round to the nearest level: 0.5, 1.5, …"""
    return np.arange(num_levels - 1, dtype=np.float64) + 0.5


def apply_cuts(levels: FloatArray, cuts: FloatArray) -> IntArray:
    """Return the predicted levels (N,) 0 to K-1 of real levels (N,), given ascending cuts (K-1,)."""
    return np.searchsorted(cuts, levels, side="right").astype(np.int64)


@dataclass(frozen=True)
class Blocks:
    """Sorted rows in M blocks that no best cut divides.

    Attributes:
        counts: (M, K) rows of each target in each block.
        places: (M+1,) levels of cuts before the first, between two and after the last block.
    """

    counts: IntArray
    places: FloatArray


def make_blocks(levels: FloatArray, targets: IntArray, num_levels: int) -> Blocks:
    """Return blocks of rows with equal levels, neighbours merged where all rows of both have one target.

    Within a run of one target every metric here is a convex function of where the cut lies (linear; for
    macro-F1 a sum of two terms, each convex or both rising towards one end), so some best cut is at its end.

    The outermost places are half-way to the levels -1 and K.
    """
    order = levels.argsort(kind="stable")
    levels, targets = levels[order], targets[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(levels) > _TIE) + 1])
    counts = _sum_groups(np.eye(num_levels, dtype=np.int64)[targets], starts)
    pure = (counts > 0).sum(axis=1) == 1
    owner = counts.argmax(axis=1)
    joined = pure[1:] & pure[:-1] & (owner[1:] == owner[:-1])
    kept = np.concatenate([[0], np.flatnonzero(~joined) + 1])
    firsts = starts[kept]
    lasts = np.append(firsts[1:], len(levels)) - 1
    below = np.concatenate([[-1.0], levels[lasts]])
    above = np.append(levels[firsts], float(num_levels))
    return Blocks(_sum_groups(counts, kept), (below + above) / 2.0)


def fit_cuts(levels: FloatArray, targets: IntArray, metric: str, num_levels: int) -> FloatArray:
    """Return the ascending cuts (K-1,) with the best metric on these rows, whatever their order.

    The level between two equal cuts is never predicted.

    Args:
        levels: (N,) real levels, N >= 1, such as those of `expected_levels`.
        targets: (N,) levels 0 to K-1; some may be absent.
        metric: a name of ``ORDINAL_METRICS``.
        num_levels: K >= 2.
    """
    blocks = make_blocks(levels, targets, num_levels)
    if metric == "qwk":
        segments = _best_qwk(blocks)
    elif metric == "macro_f1":
        blocks = _thinned(blocks)
        segments = _best_macro_f1(blocks)
    else:
        gains = CREDIT_METRICS[metric].gains(blocks.counts.sum(axis=0))
        segments = _best_sum(blocks.counts @ (-gains if metric == "mae" else gains))
    return blocks.places[segments]


def fit_cuts_for_credits(levels: FloatArray, targets: IntArray, credits: FloatArray) -> FloatArray:
    """Return the ascending cuts (K-1,) with the greatest sum of credits on these rows.

    Args:
        levels: (N,) real levels, N >= 1.
        targets: (N,) levels 0 to K-1.
        credits: (K, K) credit of a row of each actual level (first axis) for each predicted one.
    """
    blocks = make_blocks(levels, targets, len(credits))
    return blocks.places[_best_sum(blocks.counts @ credits)]


def _best_sum(gains: FloatArray) -> IntArray:
    """Return (K-1,) the number of blocks below each cut, with the greatest sum of gains (M, K) a block and level."""
    totals = np.concatenate([np.zeros((1, gains.shape[1])), np.cumsum(gains, axis=0)])
    best = totals[:, 0]
    choices = []
    for level in range(1, gains.shape[1]):
        rest = best - totals[:, level]
        peak = np.maximum.accumulate(rest)
        rises = np.concatenate([[True], rest[1:] > peak[:-1]])
        choices.append(np.maximum.accumulate(np.where(rises, np.arange(len(rest)), 0)))
        best = peak + totals[:, level]
    return _trace(choices)


def _trace(choices: list[IntArray]) -> IntArray:
    """Return the cuts (K-1,) from choices[k][g], the best k-th cut of the first g blocks."""
    cuts = []
    end = len(choices[0]) - 1
    for choice in reversed(choices):
        end = int(choice[end])
        cuts.append(end)
    return np.array(cuts[::-1], dtype=np.int64)


def _best_qwk(blocks: Blocks) -> IntArray:
    """Return the cuts (K-1,) by Dinkelbach's method: minimise observed - ratio·expected disagreement, update the ratio,
    until it no longer falls."""
    actual = blocks.counts.sum(axis=0)
    num_levels = len(actual)
    if (actual > 0).sum() == 1:  # the ratio is 1 for all predictions but the right one
        return _best_sum(blocks.counts @ np.eye(num_levels))
    weights = quadratic_weights(num_levels)
    observed = blocks.counts @ weights
    expected = np.outer(blocks.counts.sum(axis=1), actual @ weights / actual.sum())
    cuts, ratio = np.zeros(num_levels - 1, dtype=np.int64), 1.0  # one level for all rows
    for _ in range(_MAX_ROUNDS):
        found = _best_sum(ratio * expected - observed)
        lower = _segment_sum(observed, found) / _segment_sum(expected, found)
        if lower >= ratio:
            break
        cuts, ratio = found, lower
    return cuts


def _segment_sum(values: FloatArray, cuts: IntArray) -> float:
    """Return the sum of values (M, K) of the blocks at the level that the cuts (K-1,) give each."""
    levels = np.searchsorted(cuts, np.arange(len(values)), side="right")
    return float(values[np.arange(len(values)), levels].sum())


def _best_macro_f1(blocks: Blocks) -> IntArray:
    """Return the cuts (K-1,) of the greatest sum of 2·hits / (rows of the segment + rows of its level)."""
    size = np.concatenate([[0], np.cumsum(blocks.counts.sum(axis=1))])
    hits = np.concatenate([np.zeros((1, blocks.counts.shape[1]), dtype=np.int64), np.cumsum(blocks.counts, axis=0)])
    actual = hits[-1]
    best = _f1(hits[:, 0], size, actual[0])
    choices = []
    for level in range(1, len(actual)):
        parts = [_extend(best, hits[:, level], size, actual[level], end) for end in _chunks(len(size))]
        choices.append(np.concatenate([choice for choice, _ in parts]))
        best = np.concatenate([value for _, value in parts])
    return _trace(choices)


def _chunks(length: int) -> list[slice]:
    return [slice(start, min(start + _CHUNK, length)) for start in range(0, length, _CHUNK)]


def _extend(best: FloatArray, hits: IntArray, size: IntArray, actual: int, ends: slice) -> tuple[IntArray, FloatArray]:
    """Return for each end the best start of the last segment, and the sum of F1 there."""
    starts = slice(0, ends.stop)
    sums = best[None, starts] + _f1(
        hits[ends, None] - hits[None, starts], size[ends, None] - size[None, starts], actual
    )
    sums[np.arange(ends.start, ends.stop)[:, None] < np.arange(ends.stop)] = -np.inf
    choice = sums.argmax(axis=1)
    return choice, sums[np.arange(len(choice)), choice]


def _f1(hits: IntArray, predicted: IntArray, actual: int) -> FloatArray:
    return np.asarray(2.0 * hits / np.maximum(predicted + actual, 1))


def _thinned(blocks: Blocks) -> Blocks:
    """Return at most MAX_BLOCKS blocks of about equal numbers of rows: the table of segments grows with the square."""
    if len(blocks.counts) <= MAX_BLOCKS:
        return blocks
    rows = np.cumsum(blocks.counts.sum(axis=1))
    ends = np.unique(np.searchsorted(rows, np.arange(1, MAX_BLOCKS + 1) * (rows[-1] / MAX_BLOCKS)))
    ends = np.minimum(ends, len(rows) - 1)
    starts = np.concatenate([[0], ends[ends < len(rows) - 1] + 1])
    return Blocks(_sum_groups(blocks.counts, starts), blocks.places[np.append(starts, len(rows))])


def _sum_groups(values: IntArray, starts: IntArray) -> IntArray:
    return np.asarray(np.add.reduceat(values, starts, axis=0))
