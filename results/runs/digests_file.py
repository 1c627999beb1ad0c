"""The digests of a run's rows: what its trials, fold models and predictions were made of."""

from __future__ import annotations

from io import BytesIO

import pandas as pd

from foldtune.errors import RunCorrupt
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import read_bytes, write_csv

NAME = "digests.csv"
COLUMNS = ("set", "id", "fold", "target", "group", "size", "time_ns", "content")


def write_digests(store: RunStore, frame: pd.DataFrame) -> None:
    """Store one row an image, with COLUMNS; ``set`` is train or test. Raises StorageError."""
    write_csv(store.root / NAME, frame[list(COLUMNS)])


def read_digests(store: RunStore) -> pd.DataFrame | None:
    """Return the stored digests as text, None in a run of before. Raises RunCorrupt, StorageError."""
    path = store.root / NAME
    raw = read_bytes(path)
    if raw is None:
        return None
    try:
        frame = pd.read_csv(BytesIO(raw), dtype=str, keep_default_na=False)[list(COLUMNS)]
        frame[["size", "time_ns"]].astype("int64")
    except (ValueError, KeyError) as error:
        raise RunCorrupt(f"{path} does not hold the columns {', '.join(COLUMNS)}: {error}") from error
    return frame
