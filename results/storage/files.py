"""Atomic reads and writes of files, in a folder or under a URL: the only access to file contents in this package.

A reader sees the old file or the new one even if the writer is killed at any moment. Transient storage errors are
retried. Nothing that is read back can run code.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.csv_files import Dialect
from foldtune.errors import InputError, RunCorrupt, StorageFull
from foldtune.files import scratch_folder
from foldtune.results.storage.arrays import StreamedArray, load_npz, save_npz
from foldtune.results.storage.backend import FileState, Save, StorageBackend
from foldtune.results.storage.disk import DiskBackend
from foldtune.results.storage.objects import ObjectBackend
from foldtune.results.storage.paths import StorePath
from foldtune.results.storage.retry import retry_io
from foldtune.yaml import dump_yaml, parse_yaml

SUM = "sum"
"""Key of stored JSON that holds the sum of the rest."""
SEALED_FORMAT = 2
"""Format whose sums are known; those of a later one may be others."""
_YAML_SUM = b"# sum: "


def write_whole(path: StorePath, save: Save) -> None:
    """Create or replace the file with what ``save`` writes, atomically. Raises StorageError."""
    retry_io(path, "write", lambda: backend_of(path).write(save))


def write_bytes_atomic(path: StorePath, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically. Raises StorageError."""
    write_whole(path, lambda file: file.write(data))


def read_bytes(path: StorePath) -> bytes | None:
    """Return the file's bytes, or None where there is no such file. Raises StorageError."""
    return retry_io(path, "read", backend_of(path).read)


def append_line(path: StorePath, line: str) -> None:
    """Append ``line`` and a newline; an incomplete last line of a killed writer is cut off first.

    One writer per file. If the disk fills up meanwhile the file stays as it was. Raises StorageError.
    """
    if "\n" in line:
        raise ValueError(f"a line cannot hold a newline: {line!r}")
    data = line.encode() + b"\n"
    if isinstance(path, Path):
        retry_io(path, "write", lambda: DiskBackend(path).append(data))
        return
    # An object cannot grow. It is read once, so that a retry after a lost response appends nothing twice.
    write_bytes_atomic(path, (read_bytes(path) or b"") + data)


def is_file(path: StorePath) -> bool:
    """Whether there is such a file. Raises StorageError."""
    return retry_io(path, "read", backend_of(path).is_file)


def file_state(path: StorePath) -> FileState | None:
    """Return size and modification time of the file, None where there is no such file. Raises StorageError."""
    return retry_io(path, "read", backend_of(path).state)


def names_in(folder: StorePath) -> list[str] | None:
    """Return the names in a folder, sorted, or None where there is no such folder. Raises StorageError."""
    return retry_io(folder, "read", backend_of(folder).names)


def listing(folder: StorePath) -> Mapping[str, Mapping[str, FileState]]:
    """Return {sub-folder: {file name: state}} in one listing; {} without the folder. Raises StorageError."""
    return retry_io(folder, "read", backend_of(folder).listing)


def remove_file(path: StorePath) -> int:
    """Remove the file and return the bytes that this freed; 0 where there is none. Raises StorageError."""
    return retry_io(path, "remove", backend_of(path).remove)


def tree_size(folder: StorePath) -> int:
    """Return the bytes of all files below a folder; one with several names counts once. Raises StorageError."""
    return retry_io(folder, "read", backend_of(folder).tree_size)


def remove_tree(folder: StorePath) -> None:
    """Remove a folder recursively, if it exists. Raises StorageError."""
    retry_io(folder, "remove", backend_of(folder).remove_tree)


def copy_whole(source: StorePath, target: StorePath) -> None:
    """Copy or link a file that is never changed in place within its storage, atomically. Raises StorageError."""
    retry_io(target, "write", lambda: backend_of(source).copy_to(target))


def move_file(source: StorePath, target: StorePath) -> None:
    """Rename a file within its storage, replacing an existing target. Raises StorageError."""
    retry_io(target, "write", lambda: backend_of(source).move_to(target))


def save_file(path: StorePath, save: Callable[[Path], object]) -> None:
    """Create the file by ``save(local)``, an atomic write of a local file: ``path`` itself, or one that is uploaded.

    Errors of ``save`` other than OSError pass unchanged, and nothing is uploaded then. Raises StorageError.
    """
    if isinstance(path, Path):
        retry_io(path, "write", lambda: save(path))
        return
    with scratch_folder("upload") as scratch:
        local = scratch / path.name
        save(local)
        retry_io(path, "write", lambda: ObjectBackend(path).upload(local))


@contextmanager
def read_locally(path: StorePath) -> Iterator[Path | None]:
    """Yield a local file with the content of ``path``, or None where there is no such file.

    It is ``path`` itself, or a copy that is removed after the block. Raises StorageError.
    """
    if isinstance(path, Path):
        yield path if is_file(path) else None
        return
    with scratch_folder("download") as scratch:
        local = scratch / path.name
        yield local if retry_io(path, "read", lambda: backend_of(path).fetch(local)) else None


def read_jsonl(path: StorePath) -> list[dict[str, Any]]:
    """Return the objects of the complete lines; [] without a file. Raises RunCorrupt, StorageError."""
    raw = read_bytes(path) or b""
    lines = raw[: raw.rfind(b"\n") + 1].split(b"\n")[:-1]
    return [_json_object(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def to_plain(value: Any) -> Any:
    """Return ``value`` in the types of strict JSON: non-finite numbers become None, arrays lists, paths str.

    >>> to_plain({"loss": float("nan"), "shape": (2, 3), "weights": np.array([0.5, 0.5])})
    {'loss': None, 'shape': [2, 3], 'weights': [0.5, 0.5]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str | Path):
        return str(value)
    raise TypeError(f"cannot be stored as JSON: {value!r} of type {type(value).__name__}")


def json_text(value: Any, indent: int | None = None) -> str:
    """Return strict JSON, in which NaN and infinities are null.

    >>> json_text({"auroc": np.float64("nan"), "epoch": np.int64(3)})
    '{"auroc": null, "epoch": 3}'
    """
    return json.dumps(to_plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


def write_json(path: StorePath, value: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, atomically. Raises StorageError."""
    write_bytes_atomic(path, (json_text(value, indent=1) + "\n").encode())


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with the sum of its content, by which a reader finds a flipped byte.

    >>> sealed({"status": "COMPLETE"})
    {'status': 'COMPLETE', 'sum': '019c75ab3f89fd47'}
    """
    plain = to_plain(value)
    return {**plain, SUM: _sum_of(plain)}


def write_sealed(path: StorePath, value: Mapping[str, Any]) -> None:
    """Write a mapping as JSON with its sum, atomically. Raises StorageError."""
    write_json(path, sealed(value))


def read_json(path: StorePath) -> dict[str, Any] | None:
    """Return the file's JSON object, or None where there is no such file. Raises RunCorrupt, StorageError."""
    raw = read_bytes(path)
    return None if raw is None else _json_object(raw, str(path))


def write_yaml(path: StorePath, value: Mapping[str, Any]) -> None:
    """Write a mapping as YAML in its own order and with its sum, atomically. Raises StorageError."""
    text = dump_yaml(to_plain(value)).encode()
    write_bytes_atomic(path, text + _yaml_sum(text))


def read_yaml(path: StorePath, *, need_sum: bool = False) -> dict[str, Any] | None:
    """Return the YAML mapping, or None where there is no such file. Raises RunCorrupt, StorageError.

    ``need_sum``: it was written with its sum, without which it is not whole.
    """
    raw = read_bytes(path)
    if raw is None:
        return None
    text, mark, rest = raw.rpartition(_YAML_SUM)
    if not mark and need_sum:
        raise RunCorrupt(f"{path} is not whole: its last line, the sum of its content, is gone")
    if mark and _yaml_sum(text) != mark + rest:
        raise RunCorrupt(f"{path} is damaged, or was changed by hand: its content does not match its sum")
    try:
        value = parse_yaml(raw.decode(), str(path))
    except InputError as error:
        raise RunCorrupt(str(error)) from error
    except UnicodeDecodeError as error:
        raise RunCorrupt(f"{path} is not YAML: {error}") from error
    if not isinstance(value, dict):
        raise RunCorrupt(f"{path} holds no YAML mapping")
    return value


def _yaml_sum(text: bytes) -> bytes:
    return _YAML_SUM + hashlib.sha256(text).hexdigest()[:16].encode() + b"\n"


def write_csv(path: StorePath, frame: pd.DataFrame, dialect: Dialect | None = None) -> None:
    """Write the frame without its index as CSV, in UTF-8 with commas by default, atomically. Raises StorageError."""
    how = dialect or Dialect()
    text = frame.to_csv(
        index=False,
        sep=how.delimiter,
        lineterminator=how.newline,
        quoting=csv.QUOTE_ALL if how.quotes_all else csv.QUOTE_MINIMAL,
    )
    write_bytes_atomic(path, text.encode(how.encoding))


def write_npz(
    path: StorePath, arrays: Mapping[str, npt.NDArray[Any] | StreamedArray], *, compressed: bool = False
) -> None:
    """Write named arrays, atomically. Raises TypeError for arrays of Python objects, StorageError."""
    unfit = [name for name, array in arrays.items() if array.dtype.hasobject]
    if unfit:
        raise TypeError(f"arrays of Python objects are not stored: {', '.join(unfit)}")
    write_whole(path, lambda file: save_npz(file, arrays, compressed=compressed))


def read_npz(path: StorePath) -> dict[str, npt.NDArray[Any]] | None:
    """Return the arrays by name, or None where there is no such file; large compressed ones are mapped from files.

    Raises RunCorrupt, StorageError.
    """
    with read_locally(path) as local:
        if local is None:
            return None
        try:
            return load_npz(local)
        except StorageFull:
            raise
        except Exception as error:  # a broken zip raises nearly anything, from BadZipFile to MemoryError
            raise RunCorrupt(f"{path} is not a whole .npz file: {error}") from error


def backend_of(path: StorePath) -> StorageBackend:
    """Return the operations on ``path``, on a disk or in an object store."""
    return DiskBackend(path) if isinstance(path, Path) else ObjectBackend(path)


def _json_object(raw: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RunCorrupt(f"{where} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunCorrupt(f"{where} holds no JSON object")
    number = value.get("format")
    if SUM in value and not (isinstance(number, int) and number > SEALED_FORMAT):
        stored = value.pop(SUM)
        if stored != _sum_of(value):
            raise RunCorrupt(f"{where} is damaged, or was changed by hand: its content does not match its sum")
    return value


def _sum_of(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json_text(plain).encode(errors="surrogatepass")).hexdigest()[:16]
