"""Lazy rows and spilled arrays against the arrays that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from foldtune.trainers.arrays.lazy import LARGE_BYTES, LazyRows, SpilledArray, as_lazy, concatenate, stack, sum_rows
from foldtune.trainers.arrays.voting import mean_scores

ARRAY = np.random.default_rng(0).integers(0, 1000, (7, 3, 4)).astype(np.float16) / 1000


def rows() -> LazyRows:
    return LazyRows.of(ARRAY)


@pytest.mark.parametrize(
    "chosen", [slice(2, 5), np.array([4, 0, 4]), np.arange(7) % 2 == 0, [6, 1], np.zeros(7, dtype=bool)]
)
def test_choosing_rows_chooses_those_of_the_array(chosen: object) -> None:
    some = rows()[chosen]
    assert isinstance(some, LazyRows)
    assert some.shape == ARRAY[chosen].shape  # type: ignore[index]
    assert np.array_equal(some, ARRAY[chosen])  # type: ignore[index]
    assert np.array_equal(some[::-1], ARRAY[chosen][::-1])  # type: ignore[index]


def test_one_row_is_computed_at_a_time_and_only_when_it_is_read() -> None:
    made: list[float] = []

    def change(row: np.ndarray) -> np.ndarray:
        made.append(float(row[0, 0]))
        return np.asarray(2 * row)

    doubled = LazyRows.of(ARRAY, change)
    made.clear()
    some = doubled[np.array([3, 1])]
    assert made == []
    assert np.array_equal(some[0], 2 * ARRAY[3])
    assert made == [ARRAY[3, 0, 0]]
    assert [each[0, 0] for each in some] == [2 * ARRAY[3, 0, 0], 2 * ARRAY[1, 0, 0]]


def test_lazy_rows_concatenate_stack_and_sum_as_arrays_do() -> None:
    both = concatenate([rows()[:2], ARRAY[2:3], rows()[3:]])
    assert isinstance(both, LazyRows)
    assert np.array_equal(both, ARRAY)
    assert np.array_equal(stack([rows(), rows()[::-1]])[1], ARRAY[::-1])
    assert sum_rows(rows()) == pytest.approx(ARRAY.sum(axis=0, dtype=np.float64))
    assert isinstance(concatenate([ARRAY, ARRAY]), np.ndarray)


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5]])
def test_a_mean_is_that_of_arrays_whatever_the_order(weights: list[float] | None) -> None:
    members = [ARRAY, ARRAY[::-1].copy(), ARRAY * np.float16(0.5)]
    lazy_mean = mean_scores([LazyRows.of(each) for each in members], weights)
    assert isinstance(lazy_mean, LazyRows)
    assert lazy_mean.dtype == np.float16
    assert np.array_equal(lazy_mean, mean_scores(members, weights))
    backwards = mean_scores([LazyRows.of(each) for each in members[::-1]], None if weights is None else weights[::-1])
    assert np.array_equal(backwards, lazy_mean)


@pytest.mark.parametrize("rows", [3, LARGE_BYTES // (1 << 20) + 2])
def test_parts_are_spilled_in_order_the_large_ones_in_a_file(rows: int) -> None:
    spilled = SpilledArray(rows)
    for first in range(0, rows, 2):
        count = min(2, rows - first)
        values = np.arange(first, first + count, dtype=np.uint8)
        spilled.append(np.broadcast_to(values[:, None], (count, 1 << 20)))
    whole = spilled.to_array()
    assert whole.shape == (rows, 1 << 20)
    assert whole[:, [0, 77]].tolist() == [[row, row] for row in range(rows)]
    assert isinstance(whole, np.memmap) == (rows > 3)
    assert isinstance(as_lazy(whole), LazyRows) == (rows > 3)
    whole[0, 0] = 9  # a copy of its own, so that torch takes it
    assert whole[0, 0] == 9
