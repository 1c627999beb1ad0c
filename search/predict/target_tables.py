"""Predictions of several targets as one table."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def side_by_side(frames: Mapping[str | None, pd.DataFrame], id_column: str) -> pd.DataFrame:
    """Predictions of the same images: id, then for each target TARGET (its label) and TARGET_score …, and `error`.

    Args:
        frames: as `StoredEnsemble.predict` gives them, by target; one alone under None is returned as it is.
    """
    if None in frames:
        return frames[None]
    first = next(iter(frames.values()))
    columns: dict[str, pd.Series] = {id_column: first[id_column]}
    errors = first["error"]
    for target, frame in frames.items():
        errors = errors.where(errors.notna(), frame["error"])
        for name in frame.columns.difference([id_column, "error"], sort=False):
            columns[str(target) if name == "label" else f"{target}_{name}"] = frame[name]
    return pd.DataFrame({**columns, "error": errors})


def joined(frames: Mapping[str | None, pd.DataFrame]) -> pd.DataFrame:
    """Submissions of several targets on the same ids, in the same order, as one; one alone is returned as it is."""
    first, *others = frames.values()
    return pd.concat([first, *(frame.iloc[:, 1:] for frame in others)], axis=1)
