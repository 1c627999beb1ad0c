"""Named arrays in an .npz file, of which the large ones never need to be in memory at once."""

from __future__ import annotations

import errno
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

    Raises StorageFull where TMPDIR has no room, and whatever numpy and zipfile raise for a damaged file.
    """
    with np.load(path, allow_pickle=False) as archive:
        sizes = {info.filename: info for info in archive.zip.infolist()}
        return {name: _load(archive, name, sizes.get(f"{name}.npy")) for name in archive.files}


def _load(archive: Any, name: str, info: zipfile.ZipInfo | None) -> Array:
    if info is None or info.compress_type == zipfile.ZIP_STORED or info.file_size < MAPPED_BYTES:
        return np.asarray(archive[name])
    with archive.zip.open(info) as packed:
        return _mapped(packed)


def _mapped(packed: IO[bytes]) -> Array:
    version = np.lib.format.read_magic(packed)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(packed)
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
