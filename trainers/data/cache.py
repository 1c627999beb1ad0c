"""Cache of decoded images, one a node: a memory-mapped uint8 file that all processes share without a copy."""

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
from foldtune.trainers.data.cache_listing import mark_used
from foldtune.trainers.data.decoding import decode_all
from foldtune.trainers.data.preprocess import ImagePreprocessing, steps_to_list
from foldtune.trainers.data.presence import State, file_state, present_states
from foldtune.trainers.data.sources import CachedImages, DecodedImages, ImageSource

__all__ = ["CachedImages", "DecodedImages", "ImageSource", "Prepared", "prepare_images"]

FORMAT_VERSION = 1
_IMAGES, _META = "images.npy", "meta.json"
_SHOWN = 10
ON_BROKEN = ("error", "skip", "report")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images that can be decoded.

    Attributes:
        source: decoded images, in the order of their paths.
        broken: files that cannot be decoded.
        keep: (N,) mask of the given paths that are in `source`.
        folder: cache of the given paths, None where nothing is stored.
    """

    source: ImageSource
    broken: tuple[BrokenImage, ...]
    keep: npt.NDArray[np.bool_]
    folder: Path | None = None


def prepare_images(
    paths: Sequence[Path],
    preprocessing: ImagePreprocessing,
    *,
    cache_dir: Path | None,
    workers: int = 1,
    progress: Progress | None = None,
    on_broken: str = "error",
    verify: bool = True,
    waits_s: Sequence[float] = (),
) -> Prepared:
    """Decode every image once into a cache that all processes of this node share.

    A finished cache of the same files and preprocessing is used unchanged; processes that need it at the same time
    wait for the one that builds it.

    Args:
        paths: image files.
        preprocessing: size and changes of each image.
        cache_dir: folder of caches. None stores nothing: images are decoded at every read.
        workers: maximum number of decoding processes.
        progress: called with (images done, all images).
        on_broken: "error" refuses broken images, "skip" leaves them out unless all are broken, "report" leaves them
            out in any case.
        verify: without a cache, whether all images are decoded once to find broken ones.
        waits_s: pauses in seconds for files that are away, where all of them were there before.

    Raises:
        DataError: no images, broken images that `on_broken` does not allow, or a disk too small.
        SurroundingsFailed: files are still away after the last pause.
    """
    if on_broken not in ON_BROKEN:
        raise ValueError(unknown("on_broken", on_broken, ON_BROKEN))
    paths = tuple(Path(os.path.abspath(path)) for path in paths)
    if not paths:
        raise DataError(["no images to prepare"])
    if cache_dir is None:
        broken = decode_all(paths, preprocessing, None, workers, progress) if verify else {}
        keep = _keep_mask(paths, broken, on_broken)
        kept = tuple(path for path, ok in zip(paths, keep, strict=True) if ok)
        return Prepared(DecodedImages(kept, preprocessing), _errors(paths, broken), keep)
    shape = (len(paths), *preprocessing.size, 3)
    states = present_states(paths, waits_s) if waits_s else [file_state(path) for path in paths]
    folder = Path(cache_dir).absolute() / _key(paths, states, preprocessing)
    found = _open(folder, shape)
    if found is not None:
        mark_used(folder)
    else:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                found = _open(folder, shape)
                if found is None:
                    found = _build(folder, paths, preprocessing, workers, progress, on_broken)
        except OSError as error:
            raise DataError([f"the image cache in {cache_dir} cannot be written: {error}"]) from error
    keep = _keep_mask(paths, found, on_broken)
    index = None if keep.all() else np.flatnonzero(keep)
    return Prepared(CachedImages(folder / _IMAGES, shape, index), _errors(paths, found), keep, folder)


def _key(paths: Sequence[Path], states: Sequence[State], preprocessing: ImagePreprocessing) -> str:
    """Return the name of a cache: a digest of the preprocessing and the files' paths, sizes, times and modes."""
    settings = [FORMAT_VERSION, preprocessing.size, preprocessing.resize, *steps_to_list(preprocessing.steps)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path, state in zip(paths, states, strict=True):
        digest.update(f"\0{path}\0{state}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _open(folder: Path, shape: tuple[int, ...]) -> dict[int, str] | None:
    """Return the reason for each broken row of a finished, whole cache; None where there is none."""
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
    preprocessing: ImagePreprocessing,
    workers: int,
    progress: Progress | None,
    on_broken: str,
) -> dict[int, str]:
    """Build a cache, whole or not at all; return the reason for each broken row."""
    shape = (len(paths), *preprocessing.size, 3)
    for left in folder.parent.glob(f"{folder.name}.part-*"):  # of a builder that was killed: its lock is held here
        shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # truncated or unreadable, else it would have been used
    _check_space(folder.parent, int(np.prod(shape)))
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    part.chmod(0o755)
    try:
        images = part / _IMAGES
        _allocate(images, shape)
        broken = decode_all(paths, preprocessing, images, workers, progress)
        _keep_mask(paths, broken, on_broken)
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
    """Create an .npy file of zeros whose disk blocks exist, so that a full disk is found before the decoding."""
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
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # of file systems without it
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


def _keep_mask(paths: Sequence[Path], broken: dict[int, str], on_broken: str) -> npt.NDArray[np.bool_]:
    """Return the mask (N,) of rows that decode; raise DataError where `on_broken` does not allow the broken ones."""
    keep = np.ones(len(paths), dtype=np.bool_)
    keep[list(broken)] = False
    if broken and (on_broken == "error" or (on_broken == "skip" and not keep.any())):
        lines = [f"  {error}" for error in _errors(paths, broken)[:_SHOWN]]
        more = len(broken) - len(lines)
        advice = "repair them" + (", or leave them out with data.on_broken: skip" if keep.any() else "")
        head = f"{len(broken)} of {len(paths)} images cannot be decoded; {advice}:"
        raise DataError([head, *lines, *([f"  … and {more} more"] if more else [])])
    return keep
