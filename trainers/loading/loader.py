"""Batches of uint8 images and targets, the same for any number of worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from foldtune.trainers.deferred import cv2
from foldtune.trainers.images.cache import ImageSource
from foldtune.trainers.loading.augment import Augmentation
from foldtune.trainers.parallel.microbatch import BatchShard

Batch: TypeAlias = tuple[torch.Tensor, Any, npt.NDArray[np.int64]]
Image: TypeAlias = npt.NDArray[np.uint8]
Augment: TypeAlias = Callable[[Any, Image, Any], tuple[Image, Any]]
Collate: TypeAlias = Callable[[npt.NDArray[Any], tuple[int, int]], Any]


class _Key(NamedTuple):
    epoch: int
    batch: int
    rows: npt.NDArray[np.int64]
    shard: slice
    """Which of the rows are read."""


def _as_tensor(targets: npt.NDArray[Any], _: tuple[int, int]) -> torch.Tensor:
    return torch.as_tensor(targets)


@dataclass(frozen=True, eq=False)
class BatchReader(Dataset[Batch]):
    """Reads, augments and collates the images and targets of a batch.

    Attributes:
        source: N images of one size.
        targets: (N, ...), row by row with `source`.
        augmentation: (H, W, 3) uint8 -> the same form, in one size for all images; None is none.
        augment: (augmentation, image, target) -> (image, target), for targets that lie in the image; None augments
            images alone.
        collate: (targets (B, ...), (height, width) of the batch's images) -> what the loss takes.
        weights: (N,) float32 factors of the rows' losses, which then follow the collated targets; None is none.
    """

    source: ImageSource
    targets: npt.NDArray[Any]
    augmentation: Augmentation | None = None
    augment: Augment | None = None
    collate: Collate = _as_tensor
    seed: int = 0
    weights: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if len(self.targets) != len(self.source):
            raise ValueError(f"{len(self.targets)} targets for {len(self.source)} images")

    def __getitem__(self, key: _Key) -> Batch:
        rows = key.rows[key.shard]
        images = self.source.read(rows)
        targets = self.targets[rows]
        if self.augmentation is not None:
            # The first shard of a batch is augmented as in the whole batch.
            place = [key.shard.start] if key.shard.start else []
            state = np.random.SeedSequence([self.seed, key.epoch, key.batch, *place]).generate_state(1)
            self.augmentation.reseed(int(state[0]))
            images = self._augmented(self.augmentation, images, targets)
        height, width = images.shape[1:3]
        collated = self.collate(targets, (height, width))
        if self.weights is not None:
            collated = collated, torch.from_numpy(self.weights[rows])
        return torch.from_numpy(images), collated, key.rows

    def _augmented(
        self, augmentation: Augmentation, images: npt.NDArray[np.uint8], targets: npt.NDArray[Any]
    ) -> npt.NDArray[np.uint8]:
        """The batch augmented, in the place of `images` unless a crop changes its form; `targets` are in theirs."""
        results = images
        for place, image in enumerate(images):
            if self.augment is None:
                result = augmentation(image)
            else:
                result, targets[place] = self.augment(augmentation, image, targets[place])
            if place == 0 and result.shape != image.shape:
                results = np.empty((len(images), *result.shape), dtype=np.uint8)
            results[place] = result
        return results


class Batches:
    """Epochs of batches over `rows` of an image source and its targets.

    Random numbers follow from (seed, epoch, batch) alone: an epoch comes out the same whatever `num_workers`,
    and again after a resume. Workers, where there are any, live until `close`.

    Args:
        rows: rows of an epoch, in this order unless `epoch` gets another.
        batch_size: images of a batch, >= 1.
        drop_last: leave out a last batch that is smaller, unless it is the only one.
        shard: part of every batch that is read, by default all of it; a process without a part gets one image.
        num_workers: worker processes; 0 reads in this one.
        pin_memory: by default where there is a CUDA device.
    """

    def __init__(
        self,
        reader: BatchReader,
        rows: npt.NDArray[np.int64],
        *,
        batch_size: int,
        drop_last: bool = False,
        shard: BatchShard | None = None,
        num_workers: int = 0,
        pin_memory: bool | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self._rows = np.asarray(rows, dtype=np.int64)
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._shard = shard or BatchShard()
        self._keys: list[_Key] = []
        if reader.augmentation is not None:
            _use_one_cv2_thread()
        self._loader: DataLoader[Batch] = DataLoader(
            reader,
            batch_size=None,  # an item is a whole batch already
            sampler=self._keys,
            collate_fn=_as_it_is,  # else the rows, too, would become a tensor
            num_workers=num_workers,
            pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
            worker_init_fn=_use_one_cv2_thread,
            persistent_workers=num_workers > 0,
            generator=torch.Generator(),  # else each epoch would draw from torch's global random numbers
        )

    def __len__(self) -> int:
        """Batches of an epoch in the default order."""
        return self.steps(len(self._rows))

    def steps(self, images: int) -> int:
        """Batches of an epoch of that many images."""
        whole, rest = divmod(images, self._batch_size)
        return whole + (rest > 0 and not (self._drop_last and whole > 0))

    def epoch(self, epoch: int, order: npt.NDArray[np.int64] | None = None) -> Iterator[Batch]:
        """Yield (images (B, H, W, 3) uint8, collated targets, rows (B,)) of one epoch, of a shard all rows.

        `order` holds the rows to visit, repeats allowed, such as a sampler's; by default all, in their order.
        """
        rows = self._rows if order is None else np.asarray(order, dtype=np.int64)
        parts = self._split(rows)
        self._keys[:] = [_Key(epoch, batch, part, self._read(len(part))) for batch, part in enumerate(parts)]
        yield from self._loader

    def close(self) -> None:
        """End the worker processes; the next epoch would start new ones."""
        self._loader._iterator = None

    def _read(self, batch: int) -> slice:
        own = self._shard.rows(batch)
        return own if own.stop > own.start else slice(batch - 1, batch)

    def _split(self, rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        parts = [rows[at : at + self._batch_size] for at in range(0, len(rows), self._batch_size)]
        if self._drop_last and len(parts) > 1 and len(parts[-1]) < self._batch_size:
            parts.pop()
        return parts


def _as_it_is(batch: Any) -> Any:
    return batch


def _use_one_cv2_thread(_worker: int = 0) -> None:
    """OpenCV's threads cost more than they give on small images, and trials share the machine's cores."""
    cv2.setNumThreads(0)
