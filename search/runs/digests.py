"""Digests of what a run is made of: whether its rows are still those that its trials were trained on.

Labels, groups and images are compared row by row, so that a message can name what changed. Sizes and times of the
images only save reading them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import InputError, RunCorrupt
from foldtune.results.records.identity import RunIdentity, read_identity, write_identity
from foldtune.results.records.trials import FINISHED
from foldtune.results.runs.digests_file import read_digests, write_digests
from foldtune.results.runs.store import RunStore
from foldtune.search.data.dataset import Labelled
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


_ADVICE = "bring them back, or search the data as they are now as another run (--name)"
_OF_BEFORE = (
    "run {name!r} was made by a version that kept no digests of its data: whether its images changed since is not "
    "known; from now on it is"
)


def check_unchanged(store: RunStore, labelled: Labelled, cache: Path | None, *, moved: bool = False) -> Labelled:
    """Return the rows with their digest, once they are known to be those that the run was started with.

    Those of a run of before, which has no digests, are stored now; of its labels the trials' scores hold a part.

    Args:
        labelled: the run's rows as they are now, in its folds.
        cache: image cache of exactly these rows, None without one.
        moved: whether the images lie elsewhere than at the start: they are read, whatever their sizes and times.

    Raises:
        InputError: labels, groups or images have changed, or an image cannot be read.
    """
    stored = read_digests(store)
    known = None if moved else stored
    current = digest_rows(TRAIN, labelled.table, folds=labelled.folds, known=known, memo=cache)
    digest = _whole(current)
    if stored is None or not len(of_kind(stored, TRAIN)):
        return _adopt(store, labelled, current, digest)
    if found := changes(of_kind(stored, TRAIN), current):
        raise InputError(
            f"the data are not those that run {store.name!r} was started with: {', '.join(found)} have changed; "
            f"{_ADVICE}"
        )
    _store_states(store, stored, TRAIN, current)
    return replace(labelled, digest=digest)


def check_test_rows(
    store: RunStore, table: Table, cache: Path | None, *, moved: bool = False
) -> tuple[str, bool, str | None]:
    """Return the digest of rows to submit, and what has changed in them since they were last seen.

    Args:
        store, cache, moved: as for `check_unchanged`.
        table: rows with readable images.

    Returns:
        The digest; whether predictions without one, of a version of before, are still those of these images; a line
        for the user where images have changed.
    """
    stored = read_digests(store)
    current = digest_rows(TEST, table, known=None if moved else stored, memo=cache)
    digest = _whole(current)
    found: list[str] = []
    if stored is not None:
        found = changes(of_kind(stored, TEST), current)
        _store_states(store, stored, TEST, current)
    identity = read_identity(store.root)
    adopted = identity.adopted if identity is not None else None
    if adopted is not None and TEST not in adopted and identity is not None:
        adopted = {**adopted, TEST: digest}
        write_identity(store.root, replace(identity, adopted=adopted))
    of_before = adopted is not None and adopted[TEST] == digest
    return digest, of_before, f"to submit, {' and '.join(found)} have changed: predicted again" if found else None


def same_test_rows(store: RunStore, table: Table, predicted: str, *, moved: bool = False) -> bool:
    """Whether the rows to submit that were predicted are those of a digest still; nothing is stored.

    Raises InputError where an image cannot be read.
    """
    stored = read_digests(store)
    if stored is not None:  # those that could not be read were not predicted
        table = table.select(np.isin(table.ids, of_kind(stored, TEST)["id"].to_numpy(dtype=np.str_)))
    return _whole(digest_rows(TEST, table, known=None if moved else stored)) == predicted


def _whole(current: pd.DataFrame) -> str:
    """Return the digest of rows of which every image could be read. Raises InputError."""
    gone = current["id"][current["content"] == ""]
    if len(gone):
        raise InputError(f"{len(gone)} of {len(current)} images cannot be read (first: {gone.iloc[0]})")
    return summary(current)


def _store_states(store: RunStore, stored: pd.DataFrame, kind: str, current: pd.DataFrame) -> None:
    """Store the digests of a set as they are now, where something in them differs."""
    before = of_kind(stored, kind)
    if not before.equals(current[list(before.columns)].reset_index(drop=True)):
        write_digests(store, pd.concat([stored[stored["set"] != kind], current]))


def _adopt(store: RunStore, labelled: Labelled, current: pd.DataFrame, digest: str) -> Labelled:
    """Store the digests of a run of before, unless its trials were trained on other labels."""
    for trial_id, ids, targets in _stored_targets(store):
        if changed := changed_labels(ids, targets, labelled.table):
            raise InputError(
                f"the data are not those that run {store.name!r} was started with: labels of {changed} rows of "
                f"trial {trial_id} have changed; {_ADVICE}"
            )
    write_digests(store, current)
    if read_identity(store.root) is None:
        write_identity(store.root, RunIdentity.new(adopted={TRAIN: digest}))
    return replace(labelled, digest=digest, notes=(*labelled.notes, _OF_BEFORE.format(name=store.name)))


def _stored_targets(store: RunStore) -> Iterator[tuple[str, list[str], npt.NDArray[np.generic]]]:
    """Yield trial, ids and targets of the first readable scores: all trials are evaluated on the same rows."""
    for record in store.trials():
        if record.status not in FINISHED or not record.is_readable:
            continue
        try:
            scores = store.trial(record.trial_id).read_scores()
        except RunCorrupt:
            continue
        if scores is not None and scores.targets is not None:
            yield record.trial_id, scores.ids.tolist(), scores.targets
            return
