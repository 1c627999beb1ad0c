"""How long a training takes, by one pass over a few of its rows."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from foldtune.trainers.fitting.epoch import run_epoch
from foldtune.trainers.fitting.fit_types import TrainSpec
from foldtune.trainers.fitting.rank_trainer import RankTrainer
from foldtune.trainers.images.reading import Uint8Array
from foldtune.trainers.images.sources import ImageSource, Rows
from foldtune.trainers.parallel.process_group import ProcessGroup
from foldtune.trainers.runtime import choose_device


@dataclass(frozen=True)
class ImageTimes:
    """Seconds an image in training and in validation, and those of the start: the network and its first batches."""

    train_s: float
    valid_s: float
    start_s: float


class LoadedImages:
    """Images in memory: what a training reads once they are decoded."""

    def __init__(self, source: ImageSource) -> None:
        self._images = source.read(np.arange(len(source)))
        self.shape = source.shape

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: Rows) -> Uint8Array:
        """Return a copy of the images of these rows."""
        return self._images[rows]


def time_images(spec: TrainSpec) -> ImageTimes:
    """Train and validate twice on the rows of a spec, and time the second pass; nothing is kept.

    Raises:
        TrialFailed: it cannot be trained.
    """
    begun_s = time.perf_counter()
    with closing(RankTrainer(spec, ProcessGroup(choose_device(None)))) as trainer:
        run_epoch(trainer, 1)
        warm_s = time.perf_counter()
        result = run_epoch(trainer, 1)
        valid_s = time.perf_counter() - warm_s - result.time_s
    return ImageTimes(
        result.time_s / max(1, result.images), valid_s / max(1, len(spec.data.valid_rows)), warm_s - begun_s
    )
