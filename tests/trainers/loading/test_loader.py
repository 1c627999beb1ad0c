from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from foldtune.trainers.images.cache import prepare_images
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.loading.augment import build_augmentation
from foldtune.trainers.loading.loader import Batches, BatchReader


class Pixels:
    """Images held in memory."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        self.images = images
        self.shape = images.shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        return self.images[rows]


SOURCE = Pixels(np.random.default_rng(0).integers(0, 255, (50, 16, 16, 3), dtype=np.uint8))
TARGETS = np.arange(50) % 7
ROWS = np.arange(10, 40)


def batches(**options: Any) -> Batches:
    reading = {name: options.pop(name) for name in ("augmentation", "augment", "collate", "seed") if name in options}
    return Batches(BatchReader(SOURCE, TARGETS, **reading), ROWS, **{"batch_size": 8, "pin_memory": False} | options)


def images(loader: Batches, epoch: int = 1, order: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.uint8]:
    return np.concatenate([batch[0].numpy() for batch in loader.epoch(epoch, order)])


def test_batches_hold_uint8_images_targets_and_rows() -> None:
    found = list(batches().epoch(1))
    assert [len(rows) for _, _, rows in found] == [8, 8, 8, 6]
    assert len(batches()) == 4
    for pixels, targets, rows in found:
        assert pixels.dtype == torch.uint8
        assert isinstance(rows, np.ndarray)
        assert np.array_equal(pixels.numpy(), SOURCE.images[rows])
        assert np.array_equal(targets.numpy(), TARGETS[rows])
    assert np.array_equal(np.concatenate([rows for _, _, rows in found]), ROWS)


def test_an_order_replaces_the_rows_of_one_epoch() -> None:
    loader = batches()
    order = np.array([30, 30, 12, 39, 10, 11, 12, 13, 14])
    assert [rows.tolist() for _, _, rows in loader.epoch(1, order)] == [order[:8].tolist(), [14]]
    assert np.array_equal(images(loader), SOURCE.images[ROWS])


def test_a_small_last_batch_is_dropped_unless_it_is_the_only_one() -> None:
    assert [len(rows) for _, _, rows in batches(drop_last=True).epoch(1)] == [8, 8, 8]
    assert [len(rows) for _, _, rows in batches(drop_last=True).epoch(1, ROWS[:16])] == [8, 8]
    assert [len(rows) for _, _, rows in batches(drop_last=True, batch_size=64).epoch(1)] == [30]


def double(targets: npt.NDArray[Any], _: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(2 * targets)


def move(augmentation: Any, image: Any, target: Any) -> tuple[Any, Any]:
    flipped = augmentation(image)
    return flipped, target if np.array_equal(flipped, image) else -1


def test_targets_are_collated_and_may_be_augmented_with_their_image() -> None:
    found = list(batches(collate=double).epoch(1))
    assert all(np.array_equal(targets.numpy(), 2 * TARGETS[rows]) for _, targets, rows in found)
    loader = batches(augmentation=build_augmentation("flip", size=16), augment=move)
    found = list(loader.epoch(1))
    for pixels, targets, rows in found:
        same = (pixels.numpy() == SOURCE.images[rows]).all(axis=(1, 2, 3))
        assert np.array_equal(targets.numpy(), np.where(same, TARGETS[rows], -1))
    assert any((targets == -1).any() for _, targets, _ in found)
    assert (TARGETS >= 0).all()  # the data set's own targets are untouched


def test_an_epoch_is_the_same_for_any_number_of_workers_and_any_start() -> None:
    def loader(**options: Any) -> Batches:
        return batches(augmentation=build_augmentation("heavy", 1.0, 16), **options)

    one, two = loader(), loader(num_workers=2)
    order = np.random.default_rng(0).permutation(ROWS)
    first = images(one, 1, order)
    second = images(one, 2, order)
    assert not np.array_equal(first, second)
    assert np.array_equal(images(two, 1, order), first)
    assert np.array_equal(images(two, 2, order), second)  # by the same workers
    two.close()
    assert np.array_equal(images(loader(), 2, order), second)  # as after a resume
    assert not np.array_equal(images(loader(seed=1), 2, order), second)


def test_an_epoch_broken_off_does_not_leak_into_the_next() -> None:
    for workers in (0, 2):
        loader = batches(num_workers=workers)
        next(iter(loader.epoch(1)))
        found = list(loader.epoch(2, ROWS[::-1]))
        assert np.array_equal(np.concatenate([rows for _, _, rows in found]), ROWS[::-1])
        loader.close()


def test_workers_live_through_epochs_and_end_with_close() -> None:
    loader = batches(num_workers=2)
    list(loader.epoch(1))
    workers = {process.pid for process in multiprocessing.active_children()}
    list(loader.epoch(2))
    assert {process.pid for process in multiprocessing.active_children()} == workers
    assert len(workers) == 2
    loader.close()
    assert multiprocessing.active_children() == []


def test_torch_random_numbers_are_left_alone() -> None:
    state = torch.random.get_rng_state()
    images(batches(augmentation=build_augmentation("light", size=16)))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        batches(batch_size=0)
    with pytest.raises(ValueError, match="3 targets for 50 images"):
        BatchReader(SOURCE, TARGETS[:3])


class EveryEpoch(Dataset[torch.Tensor]):
    """The usual way: decode and resize at each read."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        image = Image.open(self.paths[row]).convert("RGB").resize((64, 64))
        return torch.from_numpy(np.array(image))


def test_epochs_are_far_faster_than_decoding(shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "ham10000" / "images").iterdir())[:256]
    source = prepare_images(paths, ImagePreprocessing((64, 64)), cache_dir=tmp_path).source
    loader = Batches(BatchReader(source, np.zeros(256)), np.arange(256), batch_size=32, pin_memory=False)
    list(loader.epoch(0))
    times = []
    for epoch in (DataLoader(EveryEpoch(paths), batch_size=32), loader.epoch(1)):
        start = time.perf_counter()
        assert sum(1 for _ in epoch) == 8
        times.append(time.perf_counter() - start)
    assert times[0] > 5 * times[1]


@pytest.mark.parametrize("drop_last", [False, True])
def test_steps_are_the_batches_of_an_epoch_of_any_length(drop_last: bool) -> None:
    loader = batches(drop_last=drop_last)
    for length in range(1, 26):
        assert loader.steps(length) == sum(1 for _ in loader.epoch(0, ROWS[:length]))
    assert len(loader) == loader.steps(30)
