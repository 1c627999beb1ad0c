"""Digests of what a run is made of, and what has changed in its data since it was started.

Labels, groups and images are compared row by row, so that a message can name what changed. Sizes and times of the
images only save reading them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.trainers.data.contents import read_contents
from foldtune.trainers.data.table import Table

TRAIN, TEST = "train", "test"
WHAT = {"fold": "folds", "target": "labels", "group": "groups", "content": "images"}
"""Columns of the digests that a training depends on, in the words of a message."""


def digest_rows(
    kind: str,
    table: Table,
    *,
    folds: npt.NDArray[np.int64] | None = None,
    known: pd.DataFrame | None = None,
    memo: Path | None = None,
) -> pd.DataFrame:
    """Return one row an image, with the columns of `results.runs.digests_file`, as text.

    Args:
        kind: TRAIN or TEST.
        folds: (N,) fold of each row, None for rows to submit.
        known: stored digests of the same files: an image of the same size and time is not read again.
        memo: image cache of exactly these files.
    """
    contents = read_contents(table.paths, known=_known(known, kind, table.ids), memo=memo)
    return pd.DataFrame(
        {
            "set": kind,
            "id": table.ids,
            "fold": "" if folds is None else folds.astype(str),
            "target": "" if table.targets is None else [_short(_target_bytes(each)) for each in table.targets],
            "group": "" if table.groups is None else [_short(each.encode()) for each in table.groups.tolist()],
            "size": contents.sizes.astype(str),
            "time_ns": contents.times_ns.astype(str),
            "content": contents.digests,
        }
    ).astype(str)


def of_kind(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the rows of a set, TRAIN or TEST."""
    return frame[frame["set"] == kind].reset_index(drop=True)


def summary(frame: pd.DataFrame) -> str:
    """Return one digest of all rows, without sizes and times; "" where an image could not be read."""
    if (frame["content"] == "").any():
        return ""
    digest = hashlib.sha256()
    for name in ("id", "fold", "target", "group", "content"):
        digest.update("\0".join([name, *frame[name].tolist()]).encode(errors="surrogatepass"))
    return digest.hexdigest()[:16]


def changes(stored: pd.DataFrame, current: pd.DataFrame) -> list[str]:
    """Return what differs in the rows that both have, such as "labels of 6 rows (first: a00.png)"."""
    both = stored.merge(current, on="id", suffixes=("", "_now"))
    found = []
    for column, what in WHAT.items():
        unlike = both[both[column] != both[f"{column}_now"]]
        if len(unlike):
            found.append(f"{what} of {len(unlike)} rows (first: {unlike['id'].iloc[0]})")
    return found


def changed_labels(ids: Sequence[str], targets: npt.NDArray[Any], table: Table) -> int:
    """Return how many of the rows `ids` (N,) have another target in the table than in `targets` (N, ...)."""
    assert table.targets is not None
    then = {name: _target_bytes(each) for name, each in zip(ids, targets, strict=True)}
    now = zip(table.ids.tolist(), table.targets, strict=True)
    return sum(name in then and then[name] != _target_bytes(each) for name, each in now)


def _known(stored: pd.DataFrame | None, kind: str, ids: npt.NDArray[np.str_]) -> dict[int, tuple[int, int, str]]:
    if stored is None:
        return {}
    rows = of_kind(stored, kind)
    columns = (rows[name].tolist() for name in ("id", "size", "time_ns", "content"))
    by_id = {name: (int(size), int(time_ns), digest) for name, size, time_ns, digest in zip(*columns, strict=True)}
    return {row: by_id[name] for row, name in enumerate(ids.tolist()) if name in by_id}


def _target_bytes(target: Any) -> bytes:
    """Bytes of one row's target, in which the padding of polygons does not count: it follows from the other rows."""
    values: npt.NDArray[Any] = np.asarray(target)
    if values.dtype.kind != "f":
        whole: bytes = np.ascontiguousarray(values, dtype=np.int64 if values.dtype.kind in "iub" else None).tobytes()
        return whole
    there = ~np.isnan(values)
    kept: bytes = np.ascontiguousarray(values[there], dtype=np.float64).tobytes()
    if values.ndim < 2:  # weights of labels, of which an unknown one has its place
        return kept if there.all() else kept + there.tobytes()
    corners = there.reshape(len(values), -1).sum(axis=1)
    counts: bytes = corners[corners > 0].astype(np.int64).tobytes()
    return kept + counts


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
