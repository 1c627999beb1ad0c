"""Reading and writing files whole: the only place of this package that touches the file system's contents.

Writes go to a temporary name in the same folder, are flushed to the disk and then renamed, so a reader sees
the old file or the new one, at whatever moment the writer is killed. Nothing that is read back can run code.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from results.errors import RunCorrupt, StorageDenied, StorageError, StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def storage_errors(path: Path, action: str) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError that says which file, why and what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise StorageFull(
                f"cannot {action} {path}: {reason}. Free some space there or choose another storage;"
                " what was stored before is untouched"
            ) from error
        if error.errno in _DENIED:
            raise StorageDenied(
                f"cannot {action} {path}: {reason}. Check the folder's permissions or choose another storage"
            ) from error
        raise StorageError(f"cannot {action} {path}: {reason}") from error


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of ``path`` when the block ends, and vanishes if it raises."""
    with storage_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all. Raises StorageError."""
    with atomic_file(path) as file:
        file.write(data)


def read_bytes(path: Path) -> bytes | None:
    """Return the file's bytes, or None where there is no such file. Raises StorageError."""
    with storage_errors(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def append_line(path: Path, line: str) -> None:
    """Append ``line`` and a newline; a torn last line of a killed writer is cut off first.

    One writer a file. The file is as it was where the disk fills up in the middle. Raises StorageError.
    """
    if "\n" in line:
        raise ValueError(f"a line cannot hold a newline: {line!r}")
    with storage_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            end = _cut_torn_line(descriptor)
            try:
                _write_all(descriptor, line.encode() + b"\n")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the objects of the whole lines; a torn last line is left out, no file gives []. RunCorrupt."""
    raw = read_bytes(path) or b""
    lines = raw[: raw.rfind(b"\n") + 1].split(b"\n")[:-1]
    return [_json_object(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def to_plain(value: Any) -> Any:
    """Return ``value`` as strict JSON knows it: non-finite numbers become None, arrays lists, paths str."""
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
    """Return strict JSON (no NaN, no Infinity: they become null)."""
    return json.dumps(to_plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, whole or not at all. Raises StorageError."""
    write_bytes_atomic(path, (json_text(value, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the file's JSON object, or None where there is no such file. Raises RunCorrupt, StorageError."""
    raw = read_bytes(path)
    return None if raw is None else _json_object(raw, str(path))


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as YAML in its own order, whole or not at all. Raises StorageError."""
    write_bytes_atomic(path, yaml.safe_dump(to_plain(value), sort_keys=False, allow_unicode=True).encode())


def read_yaml(path: Path) -> dict[str, Any] | None:
    """Return the YAML mapping, or None where there is no such file. Raises RunCorrupt, StorageError."""
    raw = read_bytes(path)
    if raw is None:
        return None
    try:
        value = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunCorrupt(f"{path} is not YAML: {error}") from error
    if not isinstance(value, dict):
        raise RunCorrupt(f"{path} holds no YAML mapping")
    return value


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write the frame without its index as UTF-8 CSV, whole or not at all. Raises StorageError."""
    write_bytes_atomic(path, frame.to_csv(index=False, lineterminator="\n").encode())


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]], *, compressed: bool = False) -> None:
    """Write named arrays, whole or not at all; arrays of Python objects are refused with a TypeError."""
    unfit = [name for name, array in arrays.items() if array.dtype.hasobject]
    if unfit:
        raise TypeError(f"arrays of Python objects are not stored: {', '.join(unfit)}")
    save = np.savez_compressed if compressed else np.savez
    with atomic_file(path) as file:
        save(file, **arrays)  # type: ignore[arg-type]


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Return the arrays by name, or None where there is no such file. Raises RunCorrupt, StorageError."""
    with storage_errors(path, "read"):
        try:
            file = open(path, "rb")  # noqa: SIM115 - the absent file is told apart from a broken one
        except FileNotFoundError:
            return None
    with file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except Exception as error:  # a broken zip raises nearly anything, from BadZipFile to MemoryError
            raise RunCorrupt(f"{path} is not a whole .npz file: {error}") from error


def remove_file(path: Path) -> int:
    """Remove the file and return the bytes that this freed; 0 where there is none. Raises StorageError."""
    with storage_errors(path, "remove"):
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
    return size


def _json_object(raw: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise RunCorrupt(f"{where} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunCorrupt(f"{where} holds no JSON object")
    return value


def _cut_torn_line(descriptor: int) -> int:
    """Cut the file after its last newline and return that length in bytes."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    end = os.pread(descriptor, size, 0).rfind(b"\n") + 1
    os.ftruncate(descriptor, end)
    return end


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, where the file system can synchronise folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
