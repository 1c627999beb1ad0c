"""What a search finds of doubtful data while it starts, from what it has read already."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from foldtune.results.runs.digests_file import read_digests
from foldtune.search.audit.duplicates import find_duplicates
from foldtune.search.audit.findings import SHARED, Finding, scope_of
from foldtune.search.audit.hashing import SIDE
from foldtune.search.audit.pictures import Pictures, grey_of, is_one_colour
from foldtune.search.audit.rows import AuditRows, joined_rows
from foldtune.search.data.dataset import Labelled
from foldtune.search.runs.run import Run
from foldtune.trainers.data.table import Table
from foldtune.trainers.images.sources import ImageSource
from foldtune.wording import shortened

MAX_ROWS = 30_000
"""Images up to which a search compares pictures, too; of more it compares files alone."""
_MAX_DISTANCE = 4  # bits; a whole audit compares more
_BLOCK = 256


def shared_notes(run: Run, labelled: Labelled, test: Table | None) -> tuple[str, ...]:
    """Return a line on images that train and test, or two folds, share; none where there are none.

    Pictures are taken from the cache of decoded images; without one, files alone are compared.
    """
    data = run.config.data
    rows = joined_rows(run.task, data, labelled.table, labelled.folds, test)
    grey = np.zeros((len(rows), SIDE, SIDE), dtype=np.uint8)
    plain = np.zeros(len(rows), dtype=np.bool_)
    if data.cache_dir is not None and len(rows) <= MAX_ROWS and not run.task.has_spatial_targets:
        first = 0
        for table in (labelled.table, test):
            if table is not None:
                count = len(table)
                source = labelled.images.open_again(table.paths)
                if len(source) == count:  # else some of those to submit cannot be read
                    _shrink(source, grey[first : first + count], plain[first : first + count])
                first += count
    empty = np.zeros(len(rows))
    pictures = Pictures(
        grey, np.zeros((len(rows), 6), dtype=np.float32), _digests(run, rows), empty.astype(int), plain, ()
    )
    found = [each for each in find_duplicates(rows, pictures, _MAX_DISTANCE) if scope_of(rows, each) in SHARED]
    if not found:
        return ()
    parts = [_part(rows, scope, [each for each in found if scope_of(rows, each) == scope]) for scope in SHARED]
    return (f"one picture in {'; in '.join(filter(None, parts))}. foldtune audit {run.store.name} lists them",)


def _part(rows: AuditRows, scope: str, found: list[Finding]) -> str:
    if not found:
        return ""
    one, other = found[0].row, found[0].other
    assert other is not None
    names = " = ".join(shortened(str(rows.ids[row])) for row in (one, other))
    return f"{scope}: {len(found):,} (first: {names})"


def _shrink(source: ImageSource, grey: npt.NDArray[np.uint8], plain: npt.NDArray[np.bool_]) -> None:
    """Fill in the small grey pictures of a source, and whether each has more than one colour."""
    import cv2

    for start in range(0, len(source), _BLOCK):
        pixels = source.read(np.arange(start, min(start + _BLOCK, len(source))))
        plain[start : start + len(pixels)] = ~is_one_colour(pixels)
        for row, picture in enumerate(grey_of(pixels), start=start):
            shrinks = min(picture.shape) >= SIDE
            grey[row] = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _digests(run: Run, rows: AuditRows) -> npt.NDArray[np.str_]:
    stored = read_digests(run.store)
    if stored is None:
        return np.zeros(len(rows), dtype=np.str_)
    content = dict(zip(zip(stored["set"], stored["id"], strict=True), stored["content"], strict=True))
    sets = np.where(rows.is_test, "test", "train").tolist()
    return np.array([content.get(key, "") for key in zip(sets, rows.ids.tolist(), strict=True)], dtype=np.str_)
