"""Image sources of a training: a memory-mapped cache file, or the image files themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.images.presence import read_present
from foldtune.trainers.images.reading import Uint8Array

Rows = npt.NDArray[np.integer[Any]]


class ImageSource(Protocol):
    """N RGB images of one size, read by row."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, height, width, 3)."""

    def __len__(self) -> int: ...

    def read(self, rows: Rows) -> Uint8Array:
        """Return a new array (B, height, width, 3), in the order of `rows` (B,)."""


class CachedImages:
    """Images of a cache file, mapped on first use; pickles as its path alone.

    Args:
        path: .npy file.
        shape: (N, height, width, 3) of the file.
        index: rows of the file that are images of this source; None is all of them.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int], index: Rows | None = None) -> None:
        self.path = path
        self._stored = shape
        self._index = index
        self._mapped: Uint8Array | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self._stored if self._index is None else (len(self._index), *self._stored[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: Rows) -> Uint8Array:
        if self._mapped is None:
            mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
            if mapped.shape != self._stored or mapped.dtype != np.uint8:
                raise DataError([f"{self.path}: is not the cache it was; delete it and start again"])
            self._mapped = mapped.view(np.ndarray)
        return self._mapped[rows if self._index is None else self._index[rows]]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Images decoded at every read, for data whose cache would not fit the disk."""

    paths: tuple[Path, ...]
    preprocessing: ImagePreprocessing

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.paths), *self.preprocessing.size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Rows) -> Uint8Array:
        images = np.empty((len(rows), *self.preprocessing.size, 3), dtype=np.uint8)
        for index, row in enumerate(rows):
            images[index] = read_present(self.paths[row], self.preprocessing.read)
        return images
