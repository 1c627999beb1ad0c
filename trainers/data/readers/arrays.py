"""Arrays of images and labels, read row by row from .npy files and from the members of .npz files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from foldtune.errors import DataError

Array = npt.NDArray[Any]
_CHANNELS = (1, 3, 4)
_MAX_LABEL_BYTES = 1 << 30
SHAPES = "(N, height, width), (N, height, width, 3) or (N, 3, height, width)"


@dataclass(frozen=True)
class ArrayFile:
    """An array in a file: a .npy, or a member of a .npz.

    Attributes:
        key: name in a .npz, None for a .npy.
        dtype: type of its values, never objects.
    """

    path: Path
    key: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, path: Path, key: str | None = None) -> ArrayFile:
        """Return an array by its header alone.

        Raises:
            DataError: no array, one of Python objects (which may run code), or one in Fortran's order.
        """
        with _opened(path, key) as file:
            shape, fortran, dtype = _header(path, key, file)
        if dtype.hasobject:
            raise DataError([f"{_name(path, key)}: holds Python objects, which are not read; save plain numbers"])
        if fortran and len(shape) > 1:
            raise DataError([f"{_name(path, key)}: is in Fortran's order; save numpy.ascontiguousarray of it"])
        return cls(path, key, shape, dtype)

    @property
    def name(self) -> str:
        """The file, and the array in it, for messages."""
        return _name(self.path, self.key)

    def rows(self) -> Iterator[Array]:
        """Yield the rows, one at a time in memory. Raises DataError where the file ends too early."""
        shape = self.shape[1:]
        size = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        with _opened(self.path, self.key) as file:
            _header(self.path, self.key, file)
            for row in range(self.shape[0]):
                raw = file.read(size)
                if len(raw) < size:
                    raise DataError([f"{self.name}: ends in row {row + 1} of {self.shape[0]}"])
                yield np.frombuffer(raw, dtype=self.dtype).reshape(shape)

    def whole(self) -> Array:
        """Return all rows, of labels. Raises DataError where they are too large for labels."""
        if (size := int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize) > _MAX_LABEL_BYTES:
            raise DataError([f"{self.name}: {size >> 20:,} MB are too many for labels"])
        rows = list(self.rows()) if self.shape else []
        return np.array(rows, dtype=self.dtype).reshape(self.shape)


def _name(path: Path, key: str | None) -> str:
    return f"{path}" if key is None else f"{path}: array {key!r}"


@contextmanager
def _opened(path: Path, key: str | None) -> Iterator[IO[bytes]]:
    if key is None:
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        yield member


def _header(path: Path, key: str | None, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError([f"{_name(path, key)}: is no array of NumPy ({' '.join(str(error).split())[:160]})"]) from None
    return tuple(map(int, shape)), bool(fortran), np.dtype(dtype)


def check_images(images: ArrayFile) -> None:
    """Refuse an array whose shape or values are not those of pictures. Raises DataError."""
    shape = images.shape
    if len(shape) == 3 or (len(shape) == 4 and (shape[3] in _CHANNELS or shape[1] in _CHANNELS)):
        return
    hint = "; volumes are not read, save their slices" if len(shape) in (4, 5) else ""
    raise DataError([f"{images.name}: has the shape {shape}; images are {SHAPES}{hint}"])


def as_png(images: ArrayFile) -> tuple[Iterator[bytes], tuple[str, ...]]:
    """Return the pictures of an array as PNG, and lines on how its values became pixels.

    Bytes stay as they are; floats of 0 to 1, and truth values, become 0 to 255; integers above 255 stay 16 bits.

    Raises:
        DataError: values that are no pixels.
    """
    factor, deep, notes = _scale(images)
    return (_encoded(_hwc(row, images.shape), factor, deep) for row in images.rows()), notes


def _scale(images: ArrayFile) -> tuple[float, bool, tuple[str, ...]]:
    """Return the factor of the values, whether pixels have 16 bits, and lines on both."""
    kind = images.dtype.kind
    if images.dtype == np.uint8:
        return 1.0, False, ()
    if kind not in "biuf":
        raise DataError([f"{images.name}: holds {images.dtype}; pixels are bytes, or floats of 0 to 1"])
    if kind == "b":
        return 255.0, False, ()
    low, high = _range(images)
    if not (low >= 0 and high <= 65535):  # NaN, too
        raise DataError([f"{images.name}: holds values of {low:g} to {high:g}; pixels are bytes, or floats of 0 to 1"])
    if high <= 1:
        return 255.0, False, () if kind == "f" else (f"{images.name}: 0 and 1 are taken as black and white",)
    if high <= 255:
        return 1.0, False, (f"{images.name}: values of {low:g} to {high:g} are taken as 8-bit pixels",)
    return 1.0, True, (f"{images.name}: values of {low:g} to {high:g} are taken as 16-bit pixels",)


def _range(images: ArrayFile) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for row in images.rows():
        if row.size:
            least, most = float(row.min()), float(row.max())
            if not (np.isfinite(least) and np.isfinite(most)):
                return least, most
            low, high = min(low, least), max(high, most)
    return low, high


def _hwc(row: Array, shape: tuple[int, ...]) -> Array:
    channels_first = len(shape) == 4 and shape[3] not in _CHANNELS
    return row.transpose(1, 2, 0) if channels_first else row


def _encoded(pixels: Array, factor: float, deep: bool) -> bytes:
    import cv2  # heavy, and most rows come as files

    kind = np.uint16 if deep else np.uint8
    if pixels.dtype != kind:
        pixels = np.rint(pixels.astype(np.float64) * factor).astype(kind)
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    return bytes(cv2.imencode(".png", np.ascontiguousarray(pixels), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])
