"""Decoding of new images for the members of an ensemble, whose preprocessing may differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from foldtune.errors import DataError, WorkError
from foldtune.trainers.images.cache import Prepared, prepare_images
from foldtune.trainers.images.preprocess import ImagePreprocessing


class SubtaskProgress:
    """The sum of several subtasks, each of which counts from 0, for one progress bar.

    Args:
        progress: callback (done, total) of the whole.
        total: units of all subtasks together.
    """

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def subtask(self) -> Callable[[int, int], None]:
        """Return the callback (done, total) of the next subtask."""
        before = self._done

        def report(done: int, _: int) -> None:
            self._done = before + done
            self._progress(self._done, self._total)

        return report

    def skip(self, count: int) -> None:
        """Count units that need not be done."""
        self._done += count


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
