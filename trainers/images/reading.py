"""Decoding of an image file, whatever it holds, into an RGB array of the working size."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from foldtune.errors import BrokenImage
from foldtune.trainers.images.deep_pixels import MAX_MEGAPIXELS, PixelLimits
from foldtune.trainers.images.formats.dicom import SUFFIXES as DICOM_SUFFIXES
from foldtune.trainers.images.formats.dicom import dicom_size, is_dicom, read_dicom
from foldtune.trainers.images.formats.to_rgb import (
    DEEP_GREY,
    from_channels,
    has_16_bit_channels,
    is_tiff,
    orientation,
    read_channels,
    sixteen_bit_channels,
    tiff_size,
    to_rgb,
    turned,
    uses_few_bits,
)
from foldtune.wording import unknown

Uint8Array = npt.NDArray[np.uint8]

RESIZES = ("squash", "crop", "pad")
# Raster formats alone: Pillow would hand an EPS file to Ghostscript, which runs it.
_FORMATS = ("JPEG", "PNG", "MPO", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
_RESAMPLE = Image.Resampling.BICUBIC
_REDUCING_GAP = 3.0  # Pillow: from 3.0 on, the fast first reduction is indistinguishable from exact resampling
_MAX_HALVINGS = 5  # of JPEG 2000: the resolutions that its encoders store by default
_pillows_limit = threading.Lock()
# Image editors store megabytes of history as a text of a PNG; the bound of all its texts together remains.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


class Picture(NamedTuple):
    """A decoded image file.

    Attributes:
        pixels: RGB array (height, width, 3).
        depth: range of the file's pixels that became 0..255 where they are deeper than 8 bits, else None.
        one_colour: whether all pixels of the file are alike.
    """

    pixels: Uint8Array
    depth: str | None
    one_colour: bool


def decode_picture(path: str | PathLike[str], size: tuple[int, int], resize: str, limits: PixelLimits) -> Picture:
    """Return an image file as an RGB array (height, width, 3), and what is worth knowing of it.

    EXIF orientation is applied, transparency is composited on white, pixels of more than 8 bits keep their contrast
    (``deep_pixels``); of an animation the first frame is used.

    Args:
        size: (height, width) in pixels.
        resize: `squash` ignores the aspect ratio, `crop` keeps it and cuts the centre, `pad` keeps it and adds black.

    Raises:
        BrokenImage: a file that cannot be decoded whole, or beyond the limits.
    """
    path = Path(path)
    if resize not in RESIZES:
        raise ValueError(unknown("resize", resize, RESIZES))
    with _reasons(path):
        try:
            return _decode(path, size, resize, limits)
        except Image.DecompressionBombError:  # Pillow refuses by the size of the file, not of what is decoded of it
            with _without_pillows_limit():
                return _decode(path, size, resize, limits)


def picture_size(path: str | PathLike[str]) -> tuple[int, int]:
    """Height and width of a picture as `decode_picture` sees it before it is resized; its pixels are not read.

    Raises `BrokenImage`.
    """
    path = Path(path)
    with _reasons(path), _without_pillows_limit():
        try:
            file = _open(path)
        except UnidentifiedImageError:
            return _size_of_other_format(path)
        with file:
            width, height = file.size  # of a TIFF after its turn
            return (width, height) if file.format != "TIFF" and orientation(file) >= 5 else (height, width)


def is_deep(path: str | PathLike[str]) -> bool:
    """Whether an image file has pixels of more than 8 bits, by its header; False where it cannot be read."""
    try:
        with _without_pillows_limit(), _open(path) as file:
            return file.mode in (*DEEP_GREY, "F") or has_16_bit_channels(file)
    except Exception:  # as in _reasons: it is broken, and will be listed as such
        return False


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of the formats that `decode_picture` reads, such as `.jpg`."""
    Image.init()
    pillows = (suffix for suffix, name in Image.EXTENSION.items() if name in _formats())
    return frozenset((*pillows, *DICOM_SUFFIXES))


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its suffix."""
    return PurePosixPath(name).suffix.lower() in image_suffixes()


@contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn what a decoder raises into a `BrokenImage` with a reason of one line."""
    try:
        if not path.is_file():
            raise BrokenImage(path, "not a regular file" if path.exists() else "no such file")
        yield
    except (MemoryError, BrokenImage):
        raise
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise BrokenImage(path, "empty file" if empty else "not an image of a known format") from None
    except Exception as error:  # decoders raise almost anything on damaged bytes
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BrokenImage(path, " ".join(reason.split())) from error


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Lift Pillow's limit of an image's size, one of the whole process, for a block that has a limit of its own."""
    with _pillows_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _open(path: str | PathLike[str]) -> ImageFile:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd tags, while the pixels are sound
        return Image.open(path, formats=_formats())


def _decode(path: Path, size: tuple[int, int], resize: str, limits: PixelLimits) -> Picture:
    try:
        file = _open(path)
    except UnidentifiedImageError:
        image, depth = _other_format(path, limits)
    else:
        with file:
            _check_pixels(_draft(file, size), limits.max_megapixels)
            image, depth = _rgb_of(file, path, limits)
    one_colour = all(low == high for low, high in image.getextrema())  # type: ignore[misc]
    return Picture(np.array(_fitted(image, size, resize), dtype=np.uint8), depth, one_colour)


def _fitted(image: Image.Image, size: tuple[int, int], resize: str) -> Image.Image:
    height, width = size
    if resize == "crop":
        return ImageOps.fit(image, (width, height), method=_RESAMPLE)
    if resize == "pad":
        return ImageOps.pad(image, (width, height), method=_RESAMPLE, color=(0, 0, 0))
    return image.resize((width, height), resample=_RESAMPLE, reducing_gap=_REDUCING_GAP)


def _other_format(path: Path, limits: PixelLimits) -> tuple[Image.Image, str | None]:
    """Return a file that Pillow cannot open as RGB, and the range of its pixels.

    Raises UnidentifiedImageError where it is of no known format.
    """
    height, width = _size_of_other_format(path)
    _check_pixels(float(height * width), limits.max_megapixels)
    if is_dicom(path):
        pixels, depth = read_dicom(path, limits.window)
        return Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB"), depth
    return from_channels(read_channels(path), limits)


def _size_of_other_format(path: Path) -> tuple[int, int]:
    if is_dicom(path):
        return dicom_size(path)
    if is_tiff(path):
        return tiff_size(path)
    raise UnidentifiedImageError


def _rgb_of(file: ImageFile, path: Path, limits: PixelLimits) -> tuple[Image.Image, str | None]:
    """Return an open file as RGB, turned by its EXIF, and the range of its pixels where they are deeper than 8 bits."""
    deep_channels = has_16_bit_channels(file)
    file.load()  # turns a TIFF by itself
    image: Image.Image
    if not deep_channels:
        image, depth = to_rgb(file, limits)
    elif limits.window is not None or (limits.pixel_range == "used" and uses_few_bits(file)):
        image, depth = sixteen_bit_channels(path, limits)
    else:
        image, depth = to_rgb(file, limits)[0], "16 bits"
    return turned(image, orientation(file)), depth


def _draft(file: ImageFile, size: tuple[int, int]) -> float:
    """Prepare the decoding at a fraction of the size where the format can; return the pixels in memory meanwhile."""
    whole = float(file.width * file.height)
    if file.format == "JPEG2000" and whole > MAX_MEGAPIXELS * 1e6:
        wanted = min(file.size) // (2 * max(size))
        halvings = min(max(wanted.bit_length() - 1, 0), _MAX_HALVINGS)
        file.reduce = halvings  # type: ignore[assignment, method-assign]
        return whole / float(4**halvings)
    # A JPEG decodes several times faster at a power-of-two fraction; twice the target keeps it sharp.
    file.draft(None, (2 * max(size), 2 * max(size)))
    drafted = float(file.width * file.height)
    # The scans of a progressive one refine coefficients of the whole picture, which libjpeg keeps.
    return max(drafted, whole / 2) if file.info.get("progressive") else drafted


def _check_pixels(pixels: float, max_megapixels: float) -> None:
    if pixels > max_megapixels * 1e6:
        raise ValueError(
            f"{pixels / 1e6:,.0f} megapixels would be in memory, data.max_megapixels allows {max_megapixels:g}: raise "
            "it, or save the image smaller or as a JPEG, which is decoded at a fraction of its size"
        )


@cache
def _formats() -> tuple[str, ...]:
    """Return those of `_FORMATS` that this build of Pillow can open."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
