"""Assignment of rows to folds, stratified and grouped, and splits of any rows for cross-fitting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError
from foldtune.wording import shortened


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


_GROUPED_ATTEMPTS = 10
_SHOWN = 20
_MAX_MAPPING = 800
"""Characters of a mapping in a message."""

Folds = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]


def assign_folds(
    strata: npt.NDArray[Any],
    groups: npt.NDArray[Any] | None,
    n_splits: int,
    seed: int,
    *,
    label_names: Sequence[str] | None = None,
    by_weight: bool = False,
) -> Folds:
    """Return the fold (N,) int64, 0 to n_splits-1, of each row; the same for the same seed.

    Args:
        strata: class indices (N,), or 0/1 indicators (N, L) of each row's labels.
        groups: (N,) rows with the same value share a fold; None without groups.
        n_splits: number of folds, >= 2.
        by_weight: whether labels have weights; then `data.min_rows` counts other rows than strata do.

    Raises:
        DataError: classes that have fewer rows, or groups, than there are folds, with what leaves them out.
    """
    strata = np.asarray(strata)
    if n_splits < 2:
        raise ValueError(f"n_splits must be at least 2, not {n_splits}")
    units, counts = _unit_counts(strata, groups)
    names = _names(strata, label_names)
    what = "rows" if groups is None else "groups"
    _check_enough(counts, names, n_splits, what, counts_rows=groups is None and not by_weight)
    if strata.ndim == 2:
        sizes = np.bincount(units)
        return _iterative_stratification(counts, sizes, n_splits, np.random.default_rng(seed))[units]
    if groups is None:
        from sklearn.model_selection import (
            StratifiedKFold,  # here, since its import takes half a second, which commands that show results do not need
        )

        return _test_folds(StratifiedKFold(n_splits, shuffle=True, random_state=seed), strata, None)
    return _grouped(strata, units, n_splits, seed)


def units_of_classes(
    strata: npt.NDArray[Any], groups: npt.NDArray[Any] | None, *, label_names: Sequence[str] | None = None
) -> dict[str, int]:
    """Return class → number of its groups, or of its rows without groups: folds that it can be part of.

    Takes what `assign_folds` takes.

    >>> units_of_classes(np.array([0, 0, 1]), np.array(["p", "p", "q"]), label_names=["nv", "mel"])
    {'nv': 1, 'mel': 1}
    """
    strata = np.asarray(strata)
    having = (_unit_counts(strata, groups)[1] > 0).sum(axis=0)
    return dict(zip(_names(strata, label_names), having.tolist(), strict=True))


def _unit_counts(strata: npt.NDArray[Any], groups: npt.NDArray[Any] | None) -> tuple[npt.NDArray[np.int64], Counts]:
    """Return the unit (N,) of each row, which no fold splits, and the rows (U, L) of each class in a unit."""
    if strata.ndim not in (1, 2) or (groups is not None and len(groups) != len(strata)):
        raise ValueError("strata must be (N,) or (N, L), and groups (N,)")
    indicators = strata.astype(np.int64) if strata.ndim == 2 else _one_hot(strata)
    if strata.ndim == 2 and not np.isin(indicators, (0, 1)).all():
        raise ValueError("strata of several labels must be 0/1 indicators")
    units = np.arange(len(strata)) if groups is None else np.unique(groups, return_inverse=True)[1]
    return units, _count_by_unit(units, indicators)


def _one_hot(strata: npt.NDArray[Any]) -> Counts:
    classes, index = np.unique(strata, return_inverse=True)
    return np.eye(len(classes), dtype=np.int64)[index]


def _names(strata: npt.NDArray[Any], label_names: Sequence[str] | None) -> list[str]:
    present = np.unique(strata) if strata.ndim == 1 else np.arange(strata.shape[1])
    named = {place: name for place, name in enumerate(label_names or ())}
    return [named.get(int(value), str(value)) for value in present]  # strata may be others than the classes


def _count_by_unit(units: npt.NDArray[np.int64], indicators: Counts) -> Counts:
    counts = np.zeros((int(units.max(initial=-1)) + 1, indicators.shape[1]), dtype=np.int64)
    np.add.at(counts, units, indicators)
    return counts


def _check_enough(counts: Counts, names: Sequence[str], n_splits: int, what: str, *, counts_rows: bool) -> None:
    if len(counts) < n_splits:
        raise DataError([f"{len(counts)} {what} cannot be split into {n_splits} folds"])
    having = (counts > 0).sum(axis=0)
    few = {name: n for name, n in zip(names, having.tolist(), strict=True) if 0 < n < n_splits}
    if few:
        shown = ", ".join(f"{shortened(name)} ({n})" for name, n in list(few.items())[:_SHOWN])
        shown += f" and {len(few) - _SHOWN} more" if len(few) > _SHOWN else ""
        have = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
        # A mapping leaves out what it names; `data.min_rows` counts rows of any weight, whatever their groups.
        mapping = json.dumps({**dict.fromkeys(few), "*": "*"}, ensure_ascii=False)
        option = "data.min_rows" if counts_rows else f"data.target_map: {shortened(mapping, _MAX_MAPPING)}"
        raise DataError(
            [
                f"{have} fewer {what} than the {n_splits} folds: {shown}; "
                f"use fewer folds, merge classes, or leave rare ones out ({option})"
            ]
        )


def _test_folds(splitter: Any, strata: npt.NDArray[Any], groups: npt.NDArray[Any] | None) -> Folds:
    folds = np.empty(len(strata), dtype=np.int64)
    for fold, (_, test) in enumerate(splitter.split(np.zeros(len(strata)), strata, groups)):
        folds[test] = fold
    return folds


def _grouped(strata: npt.NDArray[Any], units: npt.NDArray[np.int64], n_splits: int, seed: int) -> Folds:
    """Return grouped folds; where StratifiedGroupKFold leaves a class out of a fold, another seed mostly helps."""
    from sklearn.model_selection import StratifiedGroupKFold

    classes = np.unique(strata, return_inverse=True)[1]
    for attempt in range(_GROUPED_ATTEMPTS):
        splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=(seed + 7919 * attempt) % 2**32)
        folds = _test_folds(splitter, classes, units)
        table = np.zeros((n_splits, classes.max() + 1), dtype=np.int64)
        np.add.at(table, (folds, classes), 1)
        if table.all():
            return folds
    one_hot = np.eye(classes.max() + 1, dtype=np.int64)[classes]
    sizes = np.bincount(units)
    rng = np.random.default_rng(seed)
    return _iterative_stratification(_count_by_unit(units, one_hot), sizes, n_splits, rng)[units]


def _iterative_stratification(counts: Counts, sizes: Counts, n_splits: int, rng: np.random.Generator) -> Folds:
    """Sechidis, Tsoumakas & Vlahavas 2011, algorithm 1, over units that hold several rows.

    `counts` (U, L) rows of each label in a unit, `sizes` (U,) rows of a unit. The rarest label goes first;
    its units, large before small, each go to the fold that lacks most of that label, then most rows.
    """
    folds = np.full(len(counts), -1, dtype=np.int64)
    wanted = np.tile(counts.sum(axis=0) / n_splits, (n_splits, 1))
    wanted_rows = np.full(n_splits, sizes.sum() / n_splits)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-sizes[order], kind="stable")]
    while len(order):
        left = (counts[order] > 0).sum(axis=0)
        if left.any():
            label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
            now = order[counts[order, label] > 0]
        else:
            label, now = -1, order
        for unit in now:
            need = wanted[:, label] if label >= 0 else wanted_rows
            best = np.lexsort((rng.random(n_splits), -wanted_rows, -need))[0]
            folds[unit] = best
            wanted[best] -= counts[unit]
            wanted_rows[best] -= sizes[unit]
        order = order[folds[order] < 0]
    return folds
