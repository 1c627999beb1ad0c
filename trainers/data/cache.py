"""Decoded images, once a node: a memory-mapped uint8 file that all processes share without a copy."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from foldtune.errors import BrokenImage, DataError, unknown
from foldtune.trainers.data.decoding import decode_all
from foldtune.trainers.data.preprocess import Step, steps_to_list
from foldtune.trainers.data.sources import CachedImages, DecodedImages, ImageSource

__all__ = ["CachedImages", "DecodedImages", "ImageSource", "Prepared", "prepare_images"]

FORMAT_VERSION = 1
_IMAGES, _META = "images.npy", "meta.json"
_SHOWN = 10
ON_BROKEN = ("error", "skip", "report")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """`source` holds the images kept, in order; `keep` (N,) marks them among those asked for."""

    source: ImageSource
    broken: tuple[BrokenImage, ...]
    keep: npt.NDArray[np.bool_]


def prepare_images(
    paths: Sequence[Path],
    *,
    size: tuple[int, int],
    resize: str = "squash",
    cache_dir: Path | None,
    workers: int = 1,
    progress: Progress | None = None,
    on_broken: str = "error",
    verify: bool = True,
    steps: tuple[Step, ...] = (),
) -> Prepared:
    """Decode every image once, in `workers` processes, into a cache shared by all processes of this node.

    `size` is (height, width); `steps` change each decoded image; `progress` is called with (done, all). A finished
    cache of the same files and settings is used as it is; processes that ask at the same time wait for the one that
    builds. Without `cache_dir` nothing is stored and images are decoded at every read; `verify` decodes them once
    before. Raises `DataError` for a disk too small, and for broken images unless `on_broken` is "skip", which
    asks for one whole image at least, or "report", which leaves it all to the caller.
    """
    if on_broken not in ON_BROKEN:
        raise ValueError(unknown("on_broken", on_broken, ON_BROKEN))
    paths = tuple(Path(os.path.abspath(path)) for path in paths)
    if not paths:
        raise DataError(["no images to prepare"])
    if cache_dir is None:
        broken = decode_all(paths, size, resize, None, workers, progress, steps) if verify else {}
        keep = _kept(paths, broken, on_broken)
        kept = tuple(path for path, ok in zip(paths, keep, strict=True) if ok)
        return Prepared(DecodedImages(kept, size, resize, steps), _errors(paths, broken), keep)
    shape = (len(paths), *size, 3)
    folder = Path(cache_dir).absolute() / _key(paths, size, resize, steps)
    found = _open(folder, shape)
    if found is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                found = _open(folder, shape)
                if found is None:
                    found = _build(folder, paths, shape, resize, workers, progress, on_broken, steps)
        except OSError as error:
            raise DataError([f"the image cache in {cache_dir} cannot be written: {error}"]) from error
    keep = _kept(paths, found, on_broken)
    index = None if keep.all() else np.flatnonzero(keep)
    return Prepared(CachedImages(folder / _IMAGES, shape, index), _errors(paths, found), keep)


def _key(paths: Sequence[Path], size: tuple[int, int], resize: str, steps: tuple[Step, ...]) -> str:
    settings = [FORMAT_VERSION, size, resize, *steps_to_list(steps)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path in paths:
        try:
            stat = path.stat()
            state = (stat.st_size, stat.st_mtime_ns, stat.st_mode)
        except OSError:
            state = (-1, -1, -1)
        digest.update(f"\0{path}\0{state}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _open(folder: Path, shape: tuple[int, ...]) -> dict[int, str] | None:
    """Reasons of the broken rows of a finished, whole cache; None where there is none."""
    try:
        meta = json.loads((folder / _META).read_text())
        if meta["shape"] != list(shape) or (folder / _IMAGES).stat().st_size != meta["bytes"]:
            return None
        return {int(row): str(reason) for row, reason in meta["broken"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _build(
    folder: Path,
    paths: Sequence[Path],
    shape: tuple[int, int, int, int],
    resize: str,
    workers: int,
    progress: Progress | None,
    on_broken: str,
    steps: tuple[Step, ...],
) -> dict[int, str]:
    for left in folder.parent.glob(f"{folder.name}.part-*"):  # of a builder that was killed: we hold its lock
        shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # truncated or unreadable, else it would have been used
    _check_space(folder.parent, int(np.prod(shape)))
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    part.chmod(0o755)
    try:
        images = part / _IMAGES
        _allocate(images, shape)
        broken = decode_all(paths, (shape[1], shape[2]), resize, images, workers, progress, steps)
        _kept(paths, broken, on_broken)
        meta = {"shape": shape, "bytes": images.stat().st_size, "broken": broken}
        (part / _META).write_text(json.dumps(meta))
        for path in (images, part / _META, part):
            _fsync(path)
        part.rename(folder)
        _fsync(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return broken


def _allocate(path: Path, shape: tuple[int, ...]) -> None:
    """An .npy of zeros whose disk blocks exist, so that a full disk shows now and not half-way."""
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, *shape[1:]), dtype=np.uint8))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": shape})
        size = file.tell() + int(np.prod(shape))
        file.truncate(size)
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except AttributeError:  # macOS
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # what file systems without it answer
                raise


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            [
                f"the image cache needs {needed / 1e9:.2f} GB, {folder} has {free / 1e9:.2f} GB free; "
                "set data.cache to a folder on a larger disk, lower data.image_size, or set data.cache: off"
            ]
        )


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _errors(paths: Sequence[Path], broken: dict[int, str]) -> tuple[BrokenImage, ...]:
    return tuple(BrokenImage(paths[row], broken[row]) for row in sorted(broken))


def _kept(paths: Sequence[Path], broken: dict[int, str], on_broken: str) -> npt.NDArray[np.bool_]:
    """Mask of the rows that decode; `DataError` where `on_broken` does not allow what is broken."""
    keep = np.ones(len(paths), dtype=np.bool_)
    keep[list(broken)] = False
    if broken and (on_broken == "error" or (on_broken == "skip" and not keep.any())):
        lines = [f"  {error}" for error in _errors(paths, broken)[:_SHOWN]]
        more = len(broken) - len(lines)
        advice = "repair them" + (", or leave them out with data.on_broken: skip" if keep.any() else "")
        head = f"{len(broken)} of {len(paths)} images cannot be decoded; {advice}:"
        raise DataError([head, *lines, *([f"  … and {more} more"] if more else [])])
    return keep
