"""Sizes of the pictures as the user has them, for predictions that are places in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.errors import BrokenImage
from foldtune.search.config.schema import DataConfig
from foldtune.search.runs.dataset import read_unlabelled
from foldtune.trainers.data.images import picture_size
from foldtune.trainers.tasks import Task

Sizes: TypeAlias = npt.NDArray[np.int64]


def sizes_of(task: Task, paths: Sequence[Path]) -> Sizes | None:
    """(N, 2) height and width in pixels; None for a task whose predictions are no places.

    Of a picture that cannot be read nothing is known, and (0, 0) stands.
    """
    if not task.judges_whole_images:
        return None
    return np.array([_size(path) for path in paths], dtype=np.int64).reshape(-1, 2)


def sizes_to_submit(task: Task, data: DataConfig, ids: npt.NDArray[np.str_]) -> Sizes | None:
    """Sizes (T, 2) of the rows to submit `ids` (T,), as :func:`sizes_of`.

    Raises:
        InputError: the table of these rows cannot be read.
    """
    if not task.judges_whole_images:
        return None
    table = read_unlabelled(data, task)
    paths = dict(zip(table.ids.tolist(), table.paths, strict=True))
    return sizes_of(task, [paths.get(name, Path()) for name in ids.tolist()])


def _size(path: Path) -> tuple[int, int]:
    try:
        return picture_size(path)
    except BrokenImage:
        return (0, 0)
