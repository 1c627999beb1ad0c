"""Decoding of an image file, whatever it holds, into an RGB array of the working size."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from foldtune.errors import BrokenImage
from foldtune.trainers.images.deep_pixels import PIXEL_RANGES, to_uint8
from foldtune.wording import unknown

Uint8Array = npt.NDArray[np.uint8]

RESIZES = ("squash", "crop", "pad")
MAX_MEGAPIXELS = 179.0
"""Default bound of the pixels that one image may have in memory: some 0.5 GB as RGB."""
# Raster formats alone: Pillow would hand an EPS file to Ghostscript, which runs it.
_FORMATS = ("JPEG", "PNG", "MPO", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
_DEEP_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_RESAMPLE = Image.Resampling.BICUBIC
_ORIENTATION = 0x0112  # of EXIF: from 5 on height and width change places
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SAMPLE_FORMAT, _SIGNED = 339, 2  # of TIFF
_REDUCING_GAP = 3.0  # Pillow: from 3.0 on, the fast first reduction is indistinguishable from exact resampling
_HIGH_BYTE_OF_16_BITS = 64  # of values from 16,384 on, which use all 16 bits
_MAX_HALVINGS = 5  # of JPEG 2000: the resolutions that its encoders store by default
_pillows_limit = threading.Lock()
# Image editors store megabytes of history as a text of a PNG; the bound of all its texts together remains.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


@dataclass(frozen=True)
class PixelLimits:
    """What becomes of pixels that are deep or many.

    Attributes:
        pixel_range: range of pixels deeper than 8 bits, one of ``deep_pixels.PIXEL_RANGES``.
        max_megapixels: millions of pixels that an image may have in memory, > 0. A JPEG or JPEG 2000 file may have
            more, since it is decoded at a fraction of its size.
    """

    pixel_range: str = "used"
    max_megapixels: float = MAX_MEGAPIXELS

    def __post_init__(self) -> None:
        if self.pixel_range not in PIXEL_RANGES:
            raise ValueError(unknown("pixel_range", self.pixel_range, PIXEL_RANGES))


DEFAULT_LIMITS = PixelLimits()


def decode(
    path: str | PathLike[str],
    size: tuple[int, int],
    *,
    resize: str = "squash",
    limits: PixelLimits = DEFAULT_LIMITS,
) -> Uint8Array:
    """Return an image file as an RGB array (height, width, 3).

    EXIF orientation is applied, transparency is composited on white, pixels of more than 8 bits keep their contrast
    (``deep_pixels``); of an animation the first frame is used.

    Args:
        path: image file.
        size: (height, width) in pixels.
        resize: `squash` ignores the aspect ratio, `crop` keeps it and cuts the centre, `pad` keeps it and adds black.

    Raises:
        BrokenImage: a file that cannot be decoded whole, or beyond the limits.
    """
    return decode_with_depth(path, size, resize, limits)[0]


def decode_with_depth(
    path: str | PathLike[str], size: tuple[int, int], resize: str, limits: PixelLimits
) -> tuple[Uint8Array, str | None]:
    """Return what `decode` returns, and the range of the file's pixels where they are deeper than 8 bits, else None."""
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
    """Height and width of a picture as `decode` sees it before it is resized; its pixels are not read.

    Raises `BrokenImage`.
    """
    path = Path(path)
    with _reasons(path), _without_pillows_limit(), Image.open(path, formats=_formats()) as file:
        width, height = file.size  # of a TIFF after its turn
        return (width, height) if file.format != "TIFF" and _orientation(file) >= 5 else (height, width)


def is_deep(path: str | PathLike[str]) -> bool:
    """Whether an image file has pixels of more than 8 bits, by its header; False where it cannot be read."""
    try:
        with _without_pillows_limit(), Image.open(path, formats=_formats()) as file:
            return file.mode in (*_DEEP_GREY, "F") or _has_16_bit_channels(file)
    except Exception:  # as in _reasons: it is broken, and will be listed as such
        return False


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of the formats that `decode` reads, such as `.jpg`."""
    Image.init()
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in _formats())


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


def _decode(path: Path, size: tuple[int, int], resize: str, limits: PixelLimits) -> tuple[Uint8Array, str | None]:
    height, width = size
    with Image.open(path, formats=_formats()) as file:
        _check_pixels(file, _draft(file, size), limits.max_megapixels)
        image, depth = _rgb_of(file, path, limits.pixel_range)
        if (turn := _TURNS.get(_orientation(file))) is not None:
            image = image.transpose(turn)
        if resize == "crop":
            image = ImageOps.fit(image, (width, height), method=_RESAMPLE)
        elif resize == "pad":
            image = ImageOps.pad(image, (width, height), method=_RESAMPLE, color=(0, 0, 0))
        else:
            image = image.resize((width, height), resample=_RESAMPLE, reducing_gap=_REDUCING_GAP)
        return np.array(image, dtype=np.uint8), depth


def _rgb_of(file: ImageFile, path: Path, pixel_range: str) -> tuple[Image.Image, str | None]:
    """Return an open file as RGB, and the range of its pixels where they are deeper than 8 bits."""
    deep_channels = _has_16_bit_channels(file)
    file.load()  # turns a TIFF by itself
    if not deep_channels:
        return _to_rgb(file, pixel_range)
    if pixel_range == "used" and _uses_few_bits(file):
        return _sixteen_bit_channels(path)
    return _to_rgb(file, pixel_range)[0], "16 bits"


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


def _check_pixels(file: Image.Image, pixels: float, max_megapixels: float) -> None:
    if pixels > max_megapixels * 1e6:
        raise ValueError(
            f"{pixels / 1e6:,.0f} megapixels would be in memory, data.max_megapixels allows {max_megapixels:g}: raise "
            "it, or save the image smaller or as a JPEG, which is decoded at a fraction of its size"
        )


def _orientation(file: ImageFile) -> int:
    """Return EXIF's orientation, 1..8; 1 where there is none that can be read."""
    try:
        value = file.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata of any bytes, while the pixels are sound
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _has_16_bit_channels(file: ImageFile) -> bool:
    """Whether a colour image has 16 bits a channel, of which Pillow keeps the upper 8."""
    tiles = getattr(file, "tile", None)
    if not tiles or file.mode in _DEEP_GREY:
        return False
    arguments = tiles[0][3]
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return isinstance(raw_mode, str) and ";16" in raw_mode and not raw_mode.startswith("BGR")


def _to_rgb(image: Image.Image, pixel_range: str) -> tuple[Image.Image, str | None]:
    if image.mode in _DEEP_GREY:
        pixels, depth = to_uint8(_integers(image), pixel_range)
        return Image.fromarray(pixels).convert("RGB"), depth
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; convert the image to 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"), None
    return image if image.mode == "RGB" else image.convert("RGB"), None


def _integers(image: Image.Image) -> npt.NDArray[np.integer]:
    """Return grey pixels (H, W) as their file has them."""
    values = np.asarray(image)
    if image.mode != "I":
        return values
    tags = getattr(image, "tag_v2", None)
    is_unsigned = tags is not None and tags.get(_SAMPLE_FORMAT, (1,)) != (_SIGNED,)
    return (values.view(np.uint32) if is_unsigned else values).astype(np.int64)  # Pillow's "I" is signed


def _uses_few_bits(file: ImageFile) -> bool:
    """Whether the upper 8 bits, which Pillow keeps of 16-bit channels, hold little of a picture's colours."""
    colours = [extrema for extrema in file.getextrema() if isinstance(extrema, tuple)][:3]
    return file.mode in ("RGB", "RGBA") and max(high for _, high in colours) < _HIGH_BYTE_OF_16_BITS


def _sixteen_bit_channels(path: Path) -> tuple[Image.Image, str]:
    """Return an image of 16-bit channels as RGB by the bits in use, and these."""
    import cv2  # heavy, and needed for such files alone

    values = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise ValueError("its 16-bit channels use few of their bits; convert the image to 8 bits")
    pixels, depth = to_uint8(values[..., 2::-1].astype(np.uint16))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if values.shape[2] == 4:
        alpha = Image.fromarray(to_uint8(values[..., 3].astype(np.uint16))[0])
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return image, depth


@cache
def _formats() -> tuple[str, ...]:
    """Return those of `_FORMATS` that this build of Pillow can open."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
