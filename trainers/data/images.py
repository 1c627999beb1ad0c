"""Decoding of an image file, whatever it holds, into an RGB array of the working size."""

from __future__ import annotations

from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from foldtune.errors import BrokenImage, unknown

Uint8Array = npt.NDArray[np.uint8]

RESIZES = ("squash", "crop", "pad")
# Raster formats alone: Pillow would hand an EPS file to Ghostscript, which runs it.
_FORMATS = ("JPEG", "PNG", "MPO", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
_DEEP_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_RESAMPLE = Image.Resampling.BICUBIC
_ORIENTATION = 0x0112  # of EXIF: from 5 on height and width change places
_REDUCING_GAP = 3.0  # Pillow: from 3.0 on, the fast first reduction is indistinguishable from exact resampling


def decode(path: str | PathLike[str], size: tuple[int, int], *, resize: str = "squash") -> Uint8Array:
    """Return an image file as an RGB array (height, width, 3).

    EXIF orientation is applied, transparency is composited on white, 16-bit grey is scaled from 0..65535; of an
    animation the first frame is used.

    Args:
        path: image file.
        size: (height, width) in pixels.
        resize: `squash` ignores the aspect ratio, `crop` keeps it and cuts the centre, `pad` keeps it and adds black.

    Raises:
        BrokenImage: a file that cannot be decoded whole.
    """
    path = Path(path)
    if resize not in RESIZES:
        raise ValueError(unknown("resize", resize, RESIZES))
    if not path.is_file():
        raise BrokenImage(path, "not a regular file" if path.exists() else "no such file")
    try:
        return _decode(path, size, resize)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise BrokenImage(path, "empty file" if empty else "not an image of a known format") from None
    except Exception as error:  # decoders raise almost anything on damaged bytes
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BrokenImage(path, " ".join(reason.split())) from error


def picture_size(path: str | PathLike[str]) -> tuple[int, int]:
    """Height and width of a picture as :func:`decode` sees it before it is resized; its pixels are not read.

    Raises `BrokenImage`.
    """
    path = Path(path)
    try:
        with Image.open(path, formats=_formats()) as file:
            width, height = file.size
            turned = file.getexif().get(_ORIENTATION, 1) >= 5
    except Exception as error:  # as in decode
        raise BrokenImage(path, " ".join(str(error).split()) or type(error).__name__) from error
    return (width, height) if turned else (height, width)


def _decode(path: Path, size: tuple[int, int], resize: str) -> Uint8Array:
    height, width = size
    with Image.open(path, formats=_formats()) as file:
        # A JPEG decodes several times faster at a power-of-two fraction; twice the target keeps it sharp.
        file.draft(None, (2 * max(size), 2 * max(size)))
        image = _to_rgb(ImageOps.exif_transpose(file))
    if resize == "crop":
        image = ImageOps.fit(image, (width, height), method=_RESAMPLE)
    elif resize == "pad":
        image = ImageOps.pad(image, (width, height), method=_RESAMPLE, color=(0, 0, 0))
    else:
        image = image.resize((width, height), resample=_RESAMPLE, reducing_gap=_REDUCING_GAP)
    return np.array(image, dtype=np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _DEEP_GREY:
        deep = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        return Image.fromarray((deep // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; convert the image to 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


@cache
def _formats() -> tuple[str, ...]:
    """Return those of `_FORMATS` that this build of Pillow can open."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
