"""Named arrays in an .npz file, of which the large ones never need to be in memory at once."""

from __future__ import annotations

import errno
import math
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.errors import StorageFull

Array: TypeAlias = npt.NDArray[Any]

MAX_BYTES = 1 << 37
"""Size in bytes of an archive's arrays, unpacked."""
MAX_RATIO = 1100
"""Unpacked over stored size, which deflate cannot exceed: an archive that claims more is damaged or forged."""
MAPPED_BYTES = 1 << 18
"""Size in bytes from which on a compressed array is unpacked into a file and mapped instead of read."""


class StreamedArray(Protocol):
    """An array whose iteration yields its rows: arrays, or rows that are streamed in turn."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __iter__(self) -> Any: ...


def save_npz(file: IO[bytes], arrays: Mapping[str, Array | StreamedArray], *, compressed: bool) -> None:
    """Write an .npz as numpy does; of a streamed array one row is in memory at a time."""
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                if isinstance(array, np.ndarray):
                    np.lib.format.write_array(entry, array, allow_pickle=False)
                else:
                    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False}
                    np.lib.format.write_array_header_1_0(entry, {**header, "shape": array.shape})
                    _write_rows(entry, array)


def _write_rows(entry: IO[bytes], array: Any) -> None:
    for row in array:
        if isinstance(row, np.ndarray | np.generic):
            entry.write(np.ascontiguousarray(row, dtype=array.dtype).data)
        else:
            _write_rows(entry, row)


def load_npz(path: Path) -> dict[str, Array]:
    """Return the arrays by name; large compressed ones are mapped from unnamed files in TMPDIR, freed with the arrays.

    Raises StorageFull where TMPDIR has no room, ValueError for an array that is not as large as its header states or
    for an archive beyond `MAX_BYTES`, and whatever numpy and zipfile raise for a damaged file.
    """
    loaded: Any = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        raise ValueError("a single array, not an archive of arrays")
    with loaded as archive:
        sizes = {info.filename: info for info in archive.zip.infolist()}
        total = sum(info.file_size for info in sizes.values())
        packed = sum(info.compress_size for info in sizes.values())
        if total > MAX_BYTES or total > MAX_RATIO * packed + MAPPED_BYTES:
            raise ValueError(f"{total:,} bytes once unpacked, of {packed:,}: more than such an archive can hold")
        for info in sizes.values():
            _check_header(archive, info)
        return {name: _load(archive, name, sizes.get(f"{name}.npy")) for name in archive.files}


def _check_header(archive: Any, info: zipfile.ZipInfo) -> None:
    """Refuse an array whose header claims other memory than it has data for."""
    if not info.filename.endswith(".npy"):
        return
    with archive.zip.open(info) as entry:
        if entry.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            return
    with archive.zip.open(info) as entry:
        shape, _, dtype = _read_header(entry)
        claimed = math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and claimed + entry.tell() != info.file_size:
            raise ValueError(f"{info.filename} states {claimed:,} bytes and holds {info.file_size - entry.tell():,}")


def _read_header(entry: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(entry)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(entry)


def _load(archive: Any, name: str, info: zipfile.ZipInfo | None) -> Array:
    if info is None or info.compress_type == zipfile.ZIP_STORED or info.file_size < MAPPED_BYTES:
        return np.asarray(archive[name])
    with archive.zip.open(info) as packed:
        return _mapped(packed)


def _mapped(packed: IO[bytes]) -> Array:
    shape, fortran_order, dtype = _read_header(packed)
    if dtype.hasobject:
        raise ValueError("arrays of Python objects are not read")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - the array outlives every block
    try:
        shutil.copyfileobj(packed, unpacked)
        unpacked.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        folder = tempfile.gettempdir()
        text = f"no room to unpack stored scores in {folder}; free some, or set TMPDIR to another folder"
        raise StorageFull(text) from error
    return np.memmap(unpacked, dtype=dtype, mode="r", shape=shape, order="F" if fortran_order else "C")
