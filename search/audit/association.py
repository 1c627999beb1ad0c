"""How well single columns distinguish classes, cross-fitted. Arrays in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

MAX_VALUES = 1000
"""Distinct values of a column of texts; rarer ones count as one."""
BINS = 20
"""Quantile bins of a column of numbers."""
_PRIOR_ROWS = 5.0  # weight of the classes' shares in the shares of a value

Codes = npt.NDArray[np.int64]


def coded(cells: Sequence[str] | npt.NDArray[np.generic]) -> Codes:
    """Return a code (N,) for each cell: quantile bins of numbers, each text a value; empty cells have code 0.

    >>> coded(["a", "", "b", "a"])
    array([1, 0, 2, 1])
    """
    texts = pd.Series(np.asarray(cells, dtype=object)).fillna("").astype(str).str.strip()
    numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce")
    present = texts != ""
    if present.any() and numbers[present].notna().all() and numbers.nunique() > BINS:
        values = numbers.to_numpy(dtype=np.float64)
        edges = np.unique(np.nanquantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.where(np.isnan(values), 0, np.searchsorted(edges, values, side="right") + 1).astype(np.int64)
    frequent = texts[present].value_counts().index[:MAX_VALUES]
    places = {value: code for code, value in enumerate(sorted(frequent), start=1)}
    return np.array([places.get(text, MAX_VALUES + 1) if text else 0 for text in texts], dtype=np.int64)


def class_shares(codes: Codes, classes: Codes, folds: Codes) -> npt.NDArray[np.float64]:
    """Return the shares (N, C) of the classes that a code has in the other folds, drawn towards those of all codes.

    Args:
        codes: (N,) codes of a column.
        classes: (N,) class indices.
        folds: (N,) folds; rows of fold -1 are in every other part, and get none themselves (NaN).
    """
    count = int(classes.max(initial=0)) + 1
    shares = np.full((len(codes), count), np.nan)
    for fold in np.unique(folds[folds >= 0]):
        inside, outside = folds == fold, folds != fold
        table = np.zeros((int(codes.max(initial=0)) + 1, count))
        np.add.at(table, (codes[outside], classes[outside]), 1.0)
        prior = (table.sum(axis=0) + 1) / (table.sum() + count)
        table += _PRIOR_ROWS * prior
        shares[inside] = (table / table.sum(axis=1, keepdims=True))[codes[inside]]
    return shares


def explained(codes: Codes, classes: Codes, folds: Codes) -> float:
    """Return the share of the classes' uncertainty that a column removes, cross-fitted: 0 none (or less), 1 all.

    One less the ratio of two log losses, with and without the column (McFadden 1974), on rows whose code's shares come
    from other folds.
    """
    with_column = class_shares(codes, classes, folds)
    without = class_shares(np.zeros_like(codes), classes, folds)
    rows = np.flatnonzero(~np.isnan(with_column[:, 0]))
    if not len(rows):
        return 0.0
    losses = [-np.log(shares[rows, classes[rows]]).mean() for shares in (with_column, without)]
    return float(1 - losses[0] / max(losses[1], 1e-12))
