"""Decoding of new images for the members of an ensemble, whose preprocessing may differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foldtune.errors import DataError, WorkError
from foldtune.search.predict.progress import SubtaskProgress
from foldtune.trainers.images.cache import Prepared, prepare_images
from foldtune.trainers.images.preprocess import ImagePreprocessing


def decode_images(
    paths: Sequence[Path],
    preprocessing: ImagePreprocessing,
    scratch: Path,
    decoders: int,
    progress: SubtaskProgress,
) -> Prepared:
    """Decode image files into the folder `scratch` with `decoders` processes.

    Raises:
        WorkError: no room in `scratch`.
    """
    try:
        return prepare_images(
            paths,
            preprocessing,
            cache_dir=scratch,
            workers=decoders,
            progress=progress.subtask(),
            on_broken="report",
        )
    except DataError as error:
        raise WorkError(f"{error} (TMPDIR names the folder for decoded images)") from None


def unreadable_images(prepared: Prepared) -> list[tuple[int, str]]:
    """Return index and reason of each image that could not be read."""
    indices = np.flatnonzero(~prepared.keep).tolist()
    return [(index, error.reason) for index, error in zip(indices, prepared.broken, strict=True)]
