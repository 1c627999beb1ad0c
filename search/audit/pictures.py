"""Small grey pictures of all images of an audit, and which of them are broken, cut off or of one colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldtune.files import scratch_folder
from foldtune.search.audit.findings import BROKEN, ONE_COLOUR, TRUNCATED, Finding
from foldtune.search.audit.hashing import SIDE
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.data.dataset import ImagePlan
from foldtune.trainers.data.contents import read_contents
from foldtune.trainers.images.cache import ImageSource
from foldtune.trainers.images.preprocess import ImagePreprocessing

_BLOCK = 1024
_ONE_COLOUR = 3  # of 255: the noise of a JPEG
_GREY, _MIN_GREY_ROWS = 128, SIDE // 8  # what libjpeg fills in for lost data, and the least of it that counts

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Pictures:
    """N images at 64x64 px.

    Attributes:
        grey: (N, 64, 64), 0 where an image cannot be read.
        colours: (N, 6) mean of red, green, blue, then their standard deviations, 0 to 255.
        digests: (N,) digests of the files' contents, "" where one cannot be read.
        sizes: (N,) bytes of the files.
        plain: (N,) whether an image can be read and has more than one colour.
        findings: the images that are not, and those that are cut off.
    """

    grey: npt.NDArray[np.uint8]
    colours: npt.NDArray[np.float32]
    digests: npt.NDArray[np.str_]
    sizes: npt.NDArray[np.int64]
    plain: npt.NDArray[np.bool_]
    findings: tuple[Finding, ...]


def read_pictures(paths: Sequence[Path], data: DataConfig, decoders: int, progress: Progress | None) -> Pictures:
    """Read all images, from the cache where they were read before.

    Raises:
        InputError: no room for the cache.
    """
    preprocessing = ImagePreprocessing((SIDE, SIDE), "squash", (), data.limits)
    with ExitStack() as stack:
        cache = data.cache_dir or stack.enter_context(scratch_folder("audit"))
        prepared = ImagePlan(preprocessing, cache, decoders, "report").open(paths, progress)
        rows = np.flatnonzero(prepared.keep)
        reasons = dict(zip(np.flatnonzero(~prepared.keep).tolist(), (e.reason for e in prepared.broken), strict=True))
        contents = read_contents(paths, memo=prepared.folder if data.cache_dir else None)
        return _measured(prepared.source, rows, len(paths), reasons, (contents.digests, contents.sizes))


def _measured(
    source: ImageSource,
    rows: npt.NDArray[np.int64],
    count: int,
    reasons: dict[int, str],
    contents: tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]],
) -> Pictures:
    grey = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    colours = np.zeros((count, 6), dtype=np.float32)
    plain = np.zeros(count, dtype=np.bool_)
    findings = [Finding(BROKEN, row, detail=reason) for row, reason in reasons.items()]
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        pixels = source.read(np.arange(start, start + len(part)))
        grey[part] = grey_of(pixels)
        flat = pixels.reshape(len(part), -1, 3)
        colours[part] = np.concatenate([flat.mean(axis=1), flat.std(axis=1)], axis=1)
        one_colour = is_one_colour(pixels)
        plain[part] = ~one_colour
        findings += [Finding(ONE_COLOUR, int(row), detail=_colour(colours[row])) for row in part[one_colour]]
        grey_rows = _grey_rows(pixels)
        cut = (grey_rows >= _MIN_GREY_ROWS) & ~one_colour
        findings += [
            Finding(TRUNCATED, int(row), detail=f"its lower {of / SIDE:.0%} are grey, as of lost data")
            for row, of in zip(part[cut], grey_rows[cut], strict=True)
        ]
    return Pictures(grey, colours, *contents, plain, tuple(sorted(findings, key=lambda each: each.row)))


def grey_of(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the luma (N, H, W) of RGB images (N, H, W, 3), by ITU-R BT.601."""
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey: npt.NDArray[np.uint8] = np.rint(pixels.astype(np.float32) @ weights).astype(np.uint8)
    return grey


def is_one_colour(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether each image (N, H, W, 3) has one colour, but for the noise of a JPEG."""
    spans = pixels.max(axis=(1, 2)).astype(np.int64) - pixels.min(axis=(1, 2))
    result: npt.NDArray[np.bool_] = (spans <= _ONE_COLOUR).all(axis=1)
    return result


def _grey_rows(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return how many rows (N,) at the lower end of each image are middle grey throughout."""
    grey: npt.NDArray[np.bool_] = np.all(np.abs(pixels.astype(np.int64) - _GREY) <= 2, axis=(2, 3))
    number: npt.NDArray[np.int64] = np.logical_and.accumulate(grey[:, ::-1], axis=1).sum(axis=1)
    return number


def _colour(colours: npt.NDArray[np.float32]) -> str:
    red, green, blue = (round(float(value)) for value in colours[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
