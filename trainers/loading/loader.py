"""Batches of uint8 images and targets, the same for any number of worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from foldtune.trainers.data.cache import ImageSource
from foldtune.trainers.deferred import cv2
from foldtune.trainers.parallel.shares import Share

Batch: TypeAlias = tuple[torch.Tensor, Any, npt.NDArray[np.int64]]
Image: TypeAlias = npt.NDArray[np.uint8]


class Reseedable(Protocol):
    """An augmentation: a callable on one image whose random numbers follow from the last `reseed`."""

    def __call__(self, image: Image) -> Image: ...

    def reseed(self, seed: int) -> None: ...


Augment: TypeAlias = Callable[[Any, Image, Any], tuple[Image, Any]]
Collate: TypeAlias = Callable[[npt.NDArray[Any], tuple[int, int]], Any]


class _Key(NamedTuple):
    epoch: int
    batch: int
    rows: npt.NDArray[np.int64]
    share: slice
    """Which of the rows are read."""


class _BatchReader(Dataset[Batch]):
    """Reads, augments and collates the batch that a key names."""

    def __init__(
        self,
        source: ImageSource,
        targets: npt.NDArray[Any],
        augmentation: Reseedable | None,
        augment: Augment | None,
        collate: Collate,
        seed: int,
    ) -> None:
        self._source = source
        self._targets = targets
        self._augmentation = augmentation
        self._augment = augment
        self._collate = collate
        self._seed = seed

    def __getitem__(self, key: _Key) -> Batch:
        rows = key.rows[key.share]
        images = self._source.read(rows)
        targets = self._targets[rows]
        if self._augmentation is not None:
            # The first share of a batch is augmented as in the whole batch.
            place = [key.share.start] if key.share.start else []
            state = np.random.SeedSequence([self._seed, key.epoch, key.batch, *place]).generate_state(1)
            self._augmentation.reseed(int(state[0]))
            images = self._augmented(self._augmentation, images, targets)
        height, width = images.shape[1:3]
        return torch.from_numpy(images), self._collate(targets, (height, width)), key.rows

    def _augmented(
        self, augmentation: Reseedable, images: npt.NDArray[np.uint8], targets: npt.NDArray[Any]
    ) -> npt.NDArray[np.uint8]:
        """The batch augmented, in the place of `images` unless a crop changes its form; `targets` are in theirs."""
        results = images
        for place, image in enumerate(images):
            if self._augment is None:
                result = augmentation(image)
            else:
                result, targets[place] = self._augment(augmentation, image, targets[place])
            if place == 0 and result.shape != image.shape:
                results = np.empty((len(images), *result.shape), dtype=np.uint8)
            results[place] = result
        return results


class Batches:
    """Epochs of batches over `rows` of an image source and its targets.

    Random numbers follow from (seed, epoch, batch) alone: an epoch comes out the same whatever `num_workers`,
    and again after a resume. Workers, where there are any, live until `close`.

    Args:
        source: N images of one size.
        targets: (N, ...), row by row with `source`.
        rows: the rows of an epoch, in this order unless `epoch` gets another.
        augmentation: applied to each image, and gives all of them one size; None for none.
        collate: (B, ...) targets of a batch, and the (height, width) of its images -> what the loss takes, a tensor
            as a rule.
        drop_last: leave out a last batch that is smaller, unless it is the only one.
        augment: (augmentation, image, target) -> (image, target), for targets that lie in the image;
            by default images alone are augmented.
        pin_memory: by default where a CUDA device is there.
        share: the part of every batch that is read, by default all of it; a process without a part gets one image.
    """

    def __init__(
        self,
        source: ImageSource,
        targets: npt.NDArray[Any],
        rows: npt.NDArray[np.int64],
        *,
        batch_size: int,
        augmentation: Reseedable | None = None,
        collate: Collate | None = None,
        seed: int = 0,
        num_workers: int = 0,
        drop_last: bool = False,
        augment: Augment | None = None,
        pin_memory: bool | None = None,
        share: Share | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if len(targets) != len(source):
            raise ValueError(f"{len(targets)} targets for {len(source)} images")
        self._rows = np.asarray(rows, dtype=np.int64)
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._share = share or Share()
        self._keys: list[_Key] = []
        if augmentation is not None:
            _use_one_cv2_thread()
        self._loader: DataLoader[Batch] = DataLoader(
            _BatchReader(source, targets, augmentation, augment, collate or _as_tensor, seed),
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
        """Yield (images (B, H, W, 3) uint8, collated targets, rows (B,)) of one epoch, of a share all of its rows.

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
        share = self._share.of(batch)
        return share if share.stop > share.start else slice(batch - 1, batch)

    def _split(self, rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        parts = [rows[at : at + self._batch_size] for at in range(0, len(rows), self._batch_size)]
        if self._drop_last and len(parts) > 1 and len(parts[-1]) < self._batch_size:
            parts.pop()
        return parts


def _as_tensor(targets: npt.NDArray[Any], _: tuple[int, int]) -> torch.Tensor:
    return torch.as_tensor(targets)


def _as_it_is(batch: Any) -> Any:
    return batch


def _use_one_cv2_thread(_worker: int = 0) -> None:
    """OpenCV's threads cost more than they give on small images, and trials share the machine's cores."""
    cv2.setNumThreads(0)
