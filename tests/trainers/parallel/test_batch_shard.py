"""Which images of a batch each process computes and reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.trainers.loading.augment import build_augmentation
from foldtune.trainers.loading.loader import Batches, BatchReader
from foldtune.trainers.parallel.microbatch import BatchShard


@given(
    batch=st.integers(1, 100),
    processes=st.integers(1, 9),
    size=st.integers(1, 50),
    min_rows=st.integers(1, 2),
    equal_parts=st.booleans(),
)
def test_shards_are_the_batch_in_order_and_parts_keep_to_their_bounds(
    batch: int, processes: int, size: int, min_rows: int, equal_parts: bool
) -> None:
    shards = [BatchShard(rank, processes, min_rows, equal_parts) for rank in range(processes)]
    rows = [range(batch)[shard.rows(batch)] for shard in shards]
    assert [row for own in rows for row in own] == list(range(batch))
    lengths = [len(own) for own in rows if own]
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) == shards[0].max_rows(batch)
    assert min(lengths) >= min(min_rows, batch)
    assert len(lengths) == max(1, min(processes, batch // min_rows))
    parts = [shard.micro_batches(batch, size) for shard in shards]
    assert not equal_parts or len({len(own) for own in parts if own}) == 1
    for own, cut in zip(rows, parts, strict=True):
        assert [row for part in cut for row in own[part]] == list(own)
        assert all(part.stop - part.start >= min(min_rows, batch) for part in cut)
        if min_rows == 1 and not equal_parts:
            assert all(part.stop - part.start <= size for part in cut)


class Images:
    """Sixteen images of one colour each."""

    shape = (16, 8, 8, 3)

    def __len__(self) -> int:
        return 16

    def read(self, rows: np.ndarray) -> np.ndarray:
        return np.broadcast_to(rows[:, None, None, None] * 10, (len(rows), 8, 8, 3)).astype(np.uint8)


def epoch(images: Images, shard: BatchShard) -> list[tuple[np.ndarray, list[int], list[int]]]:
    """Images, targets and rows of the batches of 15 rows in sevens, strongly augmented."""
    strong = build_augmentation("light", size=8, strength=1.0)
    reader = BatchReader(images, np.arange(16), strong)
    batches = Batches(reader, np.arange(15), batch_size=7, pin_memory=False, shard=shard)
    return [(pixels.numpy(), targets.tolist(), rows.tolist()) for pixels, targets, rows in batches.epoch(1)]


@pytest.mark.parametrize("processes", [2, 3])
def test_each_process_reads_its_shard_and_the_first_augments_it_as_alone(processes: int) -> None:
    whole = epoch(Images(), BatchShard())
    parts = [epoch(Images(), BatchShard(rank, processes)) for rank in range(processes)]
    for place, (images, targets, rows) in enumerate(whole):
        assert all(own[place][2] == rows for own in parts), "all processes have all rows"
        first = parts[0][place][0]
        np.testing.assert_array_equal(first, images[: len(first)])
        read = [own[place][1] for own in parts]
        if len(rows) > 1:
            assert [target for own in read for target in own] == targets
        else:  # who has no shard gets an image all the same
            assert read == [targets] * processes


class Grey(Images):
    """All alike, so that only augmentation makes them differ."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        return np.full((len(rows), 8, 8, 3), 99, np.uint8)


def test_the_augmentation_of_a_further_shard_is_its_own() -> None:
    first, second, again = (epoch(Grey(), BatchShard(rank, 2))[0][0] for rank in (0, 1, 1))
    np.testing.assert_array_equal(second, again)
    assert not np.array_equal(first[:3], second[:3])
