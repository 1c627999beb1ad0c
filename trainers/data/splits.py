"""Stratified, grouped splits of rows, however few there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def make_splits(
    strata: npt.NDArray[np.int64],
    groups: npt.NDArray[Any] | None = None,
    *,
    n_splits: int = 5,
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Split numbers (N,) from 0 that deal each stratum out evenly, however few rows it has.

    Args:
        strata: (N,) classes, or (N, L) 0/1, where a row counts by the rarest label it has.
        groups: (N,) rows of one group stay together; the group counts by its first row.
        n_splits: at least 2; no more than there are rows (groups) get used.
        seed: seed of the shuffling within a stratum.
    """
    if groups is not None:
        _, first, members = np.unique(groups, return_index=True, return_inverse=True)
        return make_splits(strata[first], n_splits=n_splits, seed=seed)[members]
    keys = strata if strata.ndim == 1 else rarest_label(strata)
    shuffled = np.random.default_rng(seed).permutation(len(keys))
    by_stratum = shuffled[keys[shuffled].argsort(kind="stable")]
    splits = np.empty(len(keys), dtype=np.int64)
    splits[by_stratum] = np.arange(len(keys)) % n_splits
    return splits


def rarest_label(strata: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rarest label (N,) of each row of (N, L), 1 to L; 0 for a row without labels."""
    rarity = 1.0 / np.maximum(strata.sum(axis=0), 1)
    weighted = np.where(strata > 0, rarity, 0.0)
    return np.where(strata.any(axis=1), weighted.argmax(axis=1) + 1, 0)
