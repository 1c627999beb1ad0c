"""Rows that are made when they are looked at, where all of them at once would fill the memory (maps of images)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class LazyRows:
    """An array (N, ...) of which one row is there at a time.

    A number gives that row, as an array; a slice, a mask or places give fewer or other rows, not yet made. numpy makes
    all of them (``np.asarray``), which is for few.

    Attributes:
        make: function from an index to a row, of shape `form` and type `dtype`.
        places: (N,) index of each row, the argument of `make`.
    """

    make: Callable[[int], Any]
    places: npt.NDArray[np.int64]
    form: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, values: Array, change: Callable[[Array], Array] | None = None) -> Self:
        """The rows of an array, which may be mapped from a file; `change` is applied to each."""

        def changed(row: Array) -> Array:
            return row if change is None else change(row)

        def make(place: int) -> Array:
            return changed(np.asarray(values[place]))

        like = changed(np.zeros(values.shape[1:], dtype=values.dtype))
        return cls(make, np.arange(len(values)), like.shape, like.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.places), *self.form

    @property
    def ndim(self) -> int:
        return 1 + len(self.form)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Any]:
        return map(self.make, self.places.tolist())

    def __getitem__(self, rows: Any) -> Any:
        places = self.places[rows]
        return replace(self, places=places) if places.ndim else self.make(int(places))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("rows that are not made yet cannot be had without making them")
        made = np.empty(self.shape, dtype=self.dtype if dtype is None else dtype)
        for place, row in enumerate(self):
            made[place] = row
        return made


def as_lazy(values: Any) -> Any:
    """Rows of an array that is mapped from a file, so that choosing among them copies none; others as they are."""
    return LazyRows.of(values) if isinstance(values, np.memmap) else values


def concatenate(parts: Sequence[Any]) -> Any:
    """The rows of all parts (N_i, ...), in their order: unmade where any part's are."""
    if not any(isinstance(part, LazyRows) for part in parts):
        return np.concatenate(parts)
    starts = np.cumsum([0, *map(len, parts)])

    def make(place: int) -> Any:
        part = int(np.searchsorted(starts, place, side="right")) - 1
        return parts[part][place - int(starts[part])]

    first = next(part for part in parts if isinstance(part, LazyRows))
    return LazyRows(make, np.arange(starts[-1]), first.form, first.dtype)


def stack(members: Sequence[Any]) -> Any:
    """(M, N, ...) of M members (N, ...): unmade where any member's rows are."""
    if not any(isinstance(each, LazyRows) for each in members):
        return np.stack(members)
    first = next(each for each in members if isinstance(each, LazyRows))
    return LazyRows(lambda place: members[place], np.arange(len(members)), first.shape, first.dtype)


def sum_rows(rows: Any) -> npt.NDArray[np.float64]:
    """The sum (...) of rows (N, ...), of those that are not made yet one at a time."""
    if isinstance(rows, np.ndarray):
        return np.asarray(rows.sum(axis=0, dtype=np.float64))
    summed = np.zeros(rows.shape[1:], dtype=np.float64)
    for row in rows:
        summed += row
    return summed
