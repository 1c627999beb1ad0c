"""Cache of decoded images, one a node: a memory-mapped uint8 file that all processes share without a copy."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from foldtune.errors import BrokenImage, DataError
from foldtune.files import sync_folder, whole_file
from foldtune.trainers.images.cache_listing import mark_used
from foldtune.trainers.images.decoding import Decoded, decode_all
from foldtune.trainers.images.deep_pixels import MAX_MEGAPIXELS, window_to_plain
from foldtune.trainers.images.preprocess import ImagePreprocessing, steps_to_list
from foldtune.trainers.images.reading import is_deep
from foldtune.trainers.images.sources import CachedImages, DecodedImages, ImageSource, State, file_state, present_states
from foldtune.wording import unknown

__all__ = ["CachedImages", "DecodedImages", "ImageSource", "Prepared", "prepare_images"]

FORMAT_VERSION = 1
DECODER = 3
"""Version of the decoding: 1 saw deep pixels as 16 bits, and took images of odd metadata or many pixels for broken; 2
took floats and DICOM for broken, kept little of 16-bit colours of a narrow range, and did not list single colours."""
_IMAGES, _META = "images.npy", "meta.json"
_SHOWN = 10
ON_BROKEN = ("error", "skip", "report")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images that can be decoded.

    Attributes:
        source: decoded images, in the order of their paths.
        keep: (N,) mask of the given paths that are in `source`.
        folder: cache of the given paths, None where nothing is stored.
        deep: number of images of more than 8 bits by the range that became 0..255, such as "12 bits".
        one_colour: files whose pixels are all alike; those of a cache of an earlier version are not known.
    """

    source: ImageSource
    broken: tuple[BrokenImage, ...]
    keep: npt.NDArray[np.bool_]
    folder: Path | None = None
    deep: Mapping[str, int] = field(default_factory=dict)
    one_colour: tuple[Path, ...] = ()


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
        cache_dir: folder of caches. None stores nothing: images are decoded at every read.
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
        decoded = decode_all(paths, preprocessing, None, workers, progress) if verify else Decoded()
        keep = _keep_mask(paths, decoded.broken, on_broken)
        kept = tuple(path for path, ok in zip(paths, keep, strict=True) if ok)
        return _prepared(DecodedImages(kept, preprocessing), paths, decoded, keep, None)
    shape = (len(paths), *preprocessing.size, 3)
    states = present_states(paths, waits_s) if waits_s else [file_state(path) for path in paths]
    place = _CachePlace.of(Path(cache_dir).absolute(), _key(paths, states, preprocessing), preprocessing)
    found = place.find(paths, shape)
    if found is not None:
        mark_used(found[0])
    else:
        try:
            place.plain.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{place.plain}.lock"):
                found = place.find(paths, shape)
                if found is None:
                    found = _build(place, paths, preprocessing, workers, progress, on_broken)
        except OSError as error:
            raise DataError([f"the image cache in {cache_dir} cannot be written: {error}"]) from error
    folder, decoded = found
    keep = _keep_mask(paths, decoded.broken, on_broken)
    source = CachedImages(folder / _IMAGES, shape, None if keep.all() else np.flatnonzero(keep))
    return _prepared(source, paths, decoded, keep, folder)


def _prepared(
    source: ImageSource, paths: Sequence[Path], decoded: Decoded, keep: npt.NDArray[np.bool_], folder: Path | None
) -> Prepared:
    one_colour = tuple(paths[row] for row in sorted(decoded.one_colour) if row < len(paths))
    return Prepared(source, _errors(paths, decoded.broken), keep, folder, decoded.deep, one_colour)


_Found = tuple[Path, Decoded]
"""Folder of a finished cache, and what became of its images."""


@dataclass(frozen=True)
class _CachePlace:
    """Where the cache of some files lies.

    Attributes:
        plain: folder of a cache without deep pixels, or of one that sees them as 16 bits.
        deep: folder of a cache that sees deep pixels by their range; None where all are seen as 16 bits. Only what
            decodes otherwise than before is decoded again.
    """

    plain: Path
    deep: Path | None

    @classmethod
    def of(cls, cache_dir: Path, key: str, preprocessing: ImagePreprocessing) -> _CachePlace:
        by_range = hashlib.sha256(f"{key} by range {DECODER}".encode()).hexdigest()[:32]
        return cls(cache_dir / key, cache_dir / by_range if preprocessing.limits.pixel_range == "used" else None)

    def find(self, paths: Sequence[Path], shape: tuple[int, ...]) -> _Found | None:
        """Return the finished, whole cache; None where there is none."""
        meta = _open(self.plain, shape)
        if meta is not None and (self._is_plain(meta, paths) if self.deep else self._is_whole(meta)):
            return self.plain, _decoded(meta)
        meta = None if self.deep is None else _open(self.deep, shape)
        return None if meta is None or self.deep is None else (self.deep, _decoded(meta))

    @staticmethod
    def _is_whole(meta: dict[str, Any]) -> bool:
        """Whether a cache lacks nothing that decodes today."""
        return meta.get("decoder") == DECODER or not meta["broken"]

    def _is_plain(self, meta: dict[str, Any], paths: Sequence[Path]) -> bool:
        """Whether a cache holds what is decoded today; one of an earlier version is marked where it does."""
        if meta.get("decoder") == DECODER:
            return not meta.get("deep")
        if meta["broken"] or any(map(is_deep, paths)):
            return False
        with suppress(OSError):  # of another user, or read-only: found out again the next time
            _write_meta(self.plain, {**meta, "decoder": DECODER, "deep": {}})
        return True

    def of_result(self, decoded: Decoded) -> Path:
        """Return the folder of a new cache; one that is there keeps its place, since others may read it."""
        return self.plain if self.deep is None or not (decoded.deep or self.plain.exists()) else self.deep


def _key(paths: Sequence[Path], states: Sequence[State], preprocessing: ImagePreprocessing) -> str:
    """Return the name of a cache: a digest of the preprocessing and the files' paths, sizes, times and modes."""
    settings = [FORMAT_VERSION, preprocessing.size, preprocessing.resize, *steps_to_list(preprocessing.steps)]
    if preprocessing.limits.max_megapixels != MAX_MEGAPIXELS:
        settings.append(preprocessing.limits.max_megapixels)
    if preprocessing.limits.window is not None:
        settings.append(window_to_plain(preprocessing.limits.window))
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path, state in zip(paths, states, strict=True):
        digest.update(f"\0{path}\0{state}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _open(folder: Path, shape: tuple[int, ...]) -> dict[str, Any] | None:
    """Return the description of a finished, whole cache; None where there is none."""
    try:
        meta = json.loads((folder / _META).read_text())
        if meta["shape"] != list(shape) or (folder / _IMAGES).stat().st_size != meta["bytes"]:
            return None
        _decoded(meta)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return dict(meta)


def _decoded(meta: Mapping[str, Any]) -> Decoded:
    broken = {int(row): str(reason) for row, reason in meta["broken"].items()}
    deep = Counter({str(name): int(number) for name, number in meta.get("deep", {}).items()})
    return Decoded(broken, deep, [int(row) for row in meta.get("one_colour", ())])


def _write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    with whole_file(folder / _META) as file:
        file.write(json.dumps(meta).encode())


def _build(
    place: _CachePlace,
    paths: Sequence[Path],
    preprocessing: ImagePreprocessing,
    workers: int,
    progress: Progress | None,
    on_broken: str,
) -> _Found:
    """Build a cache, whole or not at all."""
    folder = place.plain
    shape = (len(paths), *preprocessing.size, 3)
    for left in folder.parent.glob(f"{folder.name}.part-*"):  # of a builder that was killed: its lock is held here
        shutil.rmtree(left, ignore_errors=True)
    for each in (folder, place.deep):
        if each is not None and _open(each, shape) is None:  # truncated or unreadable, where it is there
            shutil.rmtree(each, ignore_errors=True)
    _check_space(folder.parent, int(np.prod(shape)))
    part = folder.with_name(f"{folder.name}.part-{secrets.token_hex(6)}")
    part.mkdir()  # with the rights that the umask gives, as the rest
    try:
        images = part / _IMAGES
        _allocate(images, shape)
        decoded = decode_all(paths, preprocessing, images, workers, progress)
        _keep_mask(paths, decoded.broken, on_broken)
        meta = {"shape": shape, "bytes": images.stat().st_size, "broken": decoded.broken}
        _write_meta(part, {**meta, "decoder": DECODER, "deep": decoded.deep, "one_colour": decoded.one_colour})
        with images.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(part)
        folder = place.of_result(decoded)
        part.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder, decoded


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
