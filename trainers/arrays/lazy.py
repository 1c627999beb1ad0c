"""Large arrays: rows that are computed when they are read, arrays of parts that are kept in a temporary file."""

from __future__ import annotations

import errno
import hashlib
import math
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from foldtune.errors import TrialFailed

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class LazyRows:
    """An array (N, ...) of which one row at a time is in memory.

    Indexing by an integer computes that row; a slice, a mask or an array of indices selects rows, which stay lazy.
    ``np.asarray`` computes all rows, which is for few.

    Attributes:
        compute: function from an index to a row of `row_shape` and `dtype`.
        indices: (N,) index of each row.
        row_shape: shape of a row.
        dtype: type of the elements.

    >>> rows = LazyRows.of(np.arange(6.0).reshape(3, 2), lambda row: 10 * row)
    >>> rows[1:].shape, rows[2].tolist()
    ((2, 2), [40.0, 50.0])
    """

    compute: Callable[[int], Any]
    indices: npt.NDArray[np.int64]
    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, values: Array, transform: Callable[[Array], Array] | None = None) -> Self:
        """Return the rows of an array, which may be mapped from a file; `transform` is applied to each when read."""

        def transformed(row: Array) -> Array:
            return row if transform is None else transform(row)

        def compute(index: int) -> Array:
            return transformed(np.asarray(values[index]))

        like = transformed(np.zeros(values.shape[1:], dtype=values.dtype))
        return cls(compute, np.arange(len(values)), like.shape, like.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.indices), *self.row_shape

    @property
    def ndim(self) -> int:
        return 1 + len(self.row_shape)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Any]:
        return map(self.compute, self.indices.tolist())

    def __getitem__(self, rows: Any) -> Any:
        indices = self.indices[rows]
        return replace(self, indices=indices) if indices.ndim else self.compute(int(indices))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("lazy rows cannot become an array without a copy")
        computed = np.empty(self.shape, dtype=self.dtype if dtype is None else dtype)
        for index, row in enumerate(self):
            computed[index] = row
        return computed


def as_lazy(values: Any) -> Any:
    """Return the rows of an array that is mapped from a file as lazy ones, so that selecting among them copies none;
    others unchanged."""
    return LazyRows.of(values) if isinstance(values, np.memmap) else values


def concatenate(parts: Sequence[Any]) -> Any:
    """Return the rows of all parts (N_i, ...) in their order: lazy where any part is."""
    if not any(isinstance(part, LazyRows) for part in parts):
        return np.concatenate(parts)
    starts = np.cumsum([0, *map(len, parts)])

    def compute(index: int) -> Any:
        part = int(np.searchsorted(starts, index, side="right")) - 1
        return parts[part][index - int(starts[part])]

    first = next(part for part in parts if isinstance(part, LazyRows))
    return LazyRows(compute, np.arange(starts[-1]), first.row_shape, first.dtype)


def stack(members: Sequence[Any]) -> Any:
    """Return (M, N, ...) of M members (N, ...): lazy where any member is."""
    if not any(isinstance(each, LazyRows) for each in members):
        return np.stack(members)
    first = next(each for each in members if isinstance(each, LazyRows))
    return LazyRows(lambda index: members[index], np.arange(len(members)), first.shape, first.dtype)


def sum_rows(rows: Any) -> npt.NDArray[np.float64]:
    """Return the sum (...) of rows (N, ...); lazy rows are computed one at a time."""
    if isinstance(rows, np.ndarray):
        return np.asarray(rows.sum(axis=0, dtype=np.float64))
    summed = np.zeros(rows.shape[1:], dtype=np.float64)
    for row in rows:
        summed += row
    return summed


LARGE_BYTES = 4 << 20
"""Size of a whole array from which on it lies in a file."""


class SpilledArray:
    """One array (rows, ...) of consecutive parts (B, ...); a large one is mapped from a file.

    The file lies in the folder for temporary files (TMPDIR) and has no name: it is deleted with the array.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[npt.NDArray[Any]] = []
        self._file: Any = None

    def append(self, part: npt.NDArray[Any]) -> None:
        """Add the next rows. Raises TrialFailed: no room for the file."""
        if not self._parts and self._rows * math.prod(part.shape[1:]) * part.itemsize > LARGE_BYTES:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - the array outlives every block
        if self._file is None:
            self._parts.append(part)
            return
        self._parts = [part[:0]]  # keeps the shape of a row and the type
        try:
            self._file.write(np.ascontiguousarray(part).data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            folder = tempfile.gettempdir()
            raise TrialFailed(f"no room for outputs in {folder}; free some, or set TMPDIR to another folder") from error

    def to_array(self) -> npt.NDArray[Any]:
        """Return the array, once all rows were added."""
        if self._file is None:
            return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._file.flush()
        like = self._parts[0]
        # Copy on write: torch takes it without a warning, and the file stays as it is.
        return np.memmap(self._file, dtype=like.dtype, mode="c", shape=(self._rows, *like.shape[1:]))


Result = TypeVar("Result")


class ArrayMemo(Generic[Result]):
    """Results of the last arrays, looked up by the arrays' contents; the least recently used are dropped.

    >>> memo = ArrayMemo[float](max_items=2)
    >>> [memo.get(lambda: 3.0, np.ones(3)), memo.get(lambda: 0.0, np.ones(3))]
    [3.0, 3.0]
    """

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self._results: OrderedDict[bytes, Result] = OrderedDict()

    def get(self, compute: Callable[[], Result], *arrays: npt.NDArray[Any], options: object = None) -> Result:
        """Return the result of earlier arrays with the same contents and options, else compute it."""
        key = _digest(arrays, options)
        result = self._results.pop(key) if key in self._results else compute()
        self._results[key] = result
        while len(self._results) > self._max_items:
            self._results.popitem(last=False)
        return result


def _digest(arrays: tuple[npt.NDArray[Any], ...], options: object) -> bytes:
    described = repr((options, [(each.shape, str(each.dtype)) for each in arrays]))
    digest = hashlib.blake2b(described.encode(), digest_size=16)
    for each in arrays:
        digest.update(np.ascontiguousarray(each).data)
    return digest.digest()
