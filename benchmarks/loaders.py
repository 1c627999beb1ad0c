"""The loader over the memory-mapped cache against a plain DataLoader that decodes the files each epoch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.images import SIDE, Images
from foldtune.trainers.loading.augment import AUGMENTATIONS, build_augmentation
from foldtune.trainers.loading.loader import Batches, BatchReader

BATCH_SIZE = 64


class Files(Dataset[tuple[torch.Tensor, int]]):
    """Images decoded with Pillow and resized at every read, as in an introductory PyTorch program."""

    def __init__(self, paths: tuple[Path, ...], targets: Any) -> None:
        self._paths = paths
        self._targets = targets

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(self._paths[row]) as file:
            image = file.convert("RGB").resize((SIDE, SIDE))
        return torch.from_numpy(np.array(image)), int(self._targets[row])


class PlainLoader:
    """The first `rows` files, shuffled, loaded in the calling process, as foldtune's loader does by default."""

    def __init__(self, images: Images, rows: int) -> None:
        assert images.table.targets is not None
        files = Files(images.table.paths[:rows], images.table.targets[:rows])
        self._loader = DataLoader(files, batch_size=BATCH_SIZE, shuffle=True)

    def epoch(self, number: int) -> float:
        """Return the speed of one epoch in images/s."""
        return _speed(iter(self._loader))


class CacheLoader:
    """foldtune's loader over the first `rows` cached images, with an augmentation at its default strength."""

    def __init__(self, images: Images, rows: int, augmentation: str) -> None:
        assert images.table.targets is not None
        self._rows = np.arange(rows)
        self._batches = Batches(
            BatchReader(
                images.source,
                images.table.targets,
                build_augmentation(augmentation, size=SIDE),
                collate=images.task.collate,
            ),
            self._rows,
            batch_size=BATCH_SIZE,
        )

    def epoch(self, number: int) -> float:
        """Return the speed of one epoch, shuffled by its number, in images/s."""
        order = np.random.default_rng(number).permutation(self._rows)
        return _speed(self._batches.epoch(number, order))


def _speed(batches: Iterator[Any] | Iterable[Any]) -> float:
    started, images = time.perf_counter(), 0
    for pixels, *_ in batches:
        images += len(pixels)
    return images / (time.perf_counter() - started)


def loader_speeds(images: Images, *, rows: int, repeats: int) -> dict[str, list[float]]:
    """Return images/s of each repeat, after a warm-up epoch, by loader: "files", then each augmentation's name."""
    loaders: dict[str, PlainLoader | CacheLoader] = {"files": PlainLoader(images, rows)}
    # Without augmentation an epoch takes milliseconds: measure it on all rows.
    loaders["none"] = CacheLoader(images, len(images.table), "none")
    loaders |= {name: CacheLoader(images, rows, name) for name in AUGMENTATIONS if name != "none"}
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    for number in range(repeats + 1):
        for name, loader in loaders.items():
            speed = loader.epoch(number)
            if number > 0:
                speeds[name].append(speed)
    return speeds
