"""What a training takes, by passes over a few of its rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import psutil
import torch

from foldtune.trainers.fitting.epoch import run_epoch
from foldtune.trainers.fitting.fit_types import TrainSpec
from foldtune.trainers.fitting.rank_trainer import RankTrainer
from foldtune.trainers.images.reading import Uint8Array
from foldtune.trainers.images.sources import ImageSource, Rows
from foldtune.trainers.networks.models import count_params_m
from foldtune.trainers.parallel.process_group import ProcessGroup
from foldtune.trainers.runtime import choose_device


@dataclass(frozen=True)
class Timing:
    """What a training takes with its configuration as it is.

    Attributes:
        train_s: seconds an image in training, augmentation included.
        valid_s: seconds an image in validation.
        start_s: seconds of the start: the network and its first batches.
        memory_gb: peak memory of the device where it is a GPU, else memory of the process, in GB.
        micro_batch_size: images of one forward pass.
        params_m: parameters in millions.
        device: torch's name of the device.
    """

    train_s: float
    valid_s: float
    start_s: float
    memory_gb: float
    micro_batch_size: int
    params_m: float
    device: str

    @property
    def images_per_s(self) -> float:
        """Images a second of training."""
        return 1 / self.train_s


class LoadedImages:
    """Images (N, H, W, 3) uint8 in memory: what a training reads once they are decoded."""

    def __init__(self, images: Uint8Array) -> None:
        self._images = images
        self.shape = images.shape

    @classmethod
    def of(cls, source: ImageSource) -> LoadedImages:
        """Return all images of a source."""
        return cls(source.read(np.arange(len(source))))

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: Rows) -> Uint8Array:
        """Return a copy of the images of these rows."""
        return self._images[rows]


@contextmanager
def open_training(spec: TrainSpec, device: str | None = None) -> Iterator[RankTrainer]:
    """Yield a training in this process, on a device by torch's name (None: a GPU where there is one)."""
    spec = replace(spec, task=spec.task.for_training(spec.data.targets[spec.data.train_rows]))
    trainer = RankTrainer(spec, ProcessGroup(choose_device(device)))
    try:
        yield trainer
    finally:
        trainer.close()


def time_training(spec: TrainSpec, device: str | None = None, *, min_s: float = 0.0) -> Timing:
    """Train and validate a pass over the rows of a spec, then time further ones; nothing is kept.

    Args:
        device: as for `open_training`.
        min_s: seconds of passes that are timed, one at least; the fastest counts.

    Raises:
        TrialFailed: a loss is not finite, or memory is out.
    """
    begun_s = time.perf_counter()
    with open_training(spec, device) as trainer:
        learner = trainer.learner
        if learner.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(learner.device)
        run_epoch(trainer, 1)
        warm_s = time.perf_counter()
        train_s, valid_s, images = [], [], 0
        while not images or time.perf_counter() - warm_s < min_s:
            pass_s = time.perf_counter()
            result = run_epoch(trainer, 1)
            images = max(1, result.images)
            train_s.append(result.time_s)
            valid_s.append(time.perf_counter() - pass_s - result.time_s)
        return Timing(
            min(train_s) / images,
            min(valid_s) / max(1, len(spec.data.valid_rows)),
            warm_s - begun_s,
            _memory_gb(learner.device),
            learner.micro.size,
            count_params_m(learner.model),
            str(learner.device),
        )


def _memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return float(psutil.Process().memory_info().rss) / 1e9
