"""Pixels of every mode and depth as 8-bit RGB."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin
from PIL.ImageFile import ImageFile

from foldtune.trainers.images.deep_pixels import PixelLimits, to_uint8

_BYTE_ORDERS = (b"II*\0", b"MM\0*")
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF does."""
    with path.open("rb") as file:
        return file.read(4) in _BYTE_ORDERS


def tiff_size(path: Path) -> tuple[int, int]:
    """Return height and width in pixels by the header, after its turn. Raises what a broken header raises."""
    with path.open("rb") as file:
        header = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(header.next)
        header.load(file)
    if _HEIGHT not in header or _WIDTH not in header:
        raise ValueError("a TIFF file whose header lacks its sides")
    height, width = int(header[_HEIGHT]), int(header[_WIDTH])
    return (width, height) if header.get(_ORIENTATION, 1) in (5, 6, 7, 8) else (height, width)


def read_channels(path: Path) -> npt.NDArray[Any]:
    """Return the pixels (H, W) or (H, W, 3 or 4), red first, after their turn and as deep as the file has them.

    Raises:
        ValueError: channels that OpenCV does not decode.
    """
    import cv2  # heavy, and needed for such files alone

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it would write to the terminal
    try:
        values = cv2.imdecode(np.frombuffer(path.read_bytes(), dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if values is None or values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise ValueError("its channels cannot be decoded; convert the image to 8 or 16 bits, grey or RGB")
    if values.ndim == 2:
        return values
    return np.concatenate([values[..., 2::-1], values[..., 3:]], axis=2)


DEEP_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of grey pixels deeper than 8 bits; floats are "F"."""
_SAMPLE_FORMAT, _SIGNED = 339, 2  # of TIFF
_HIGH_BYTE_OF_16_BITS = 64  # of values from 16,384 on, which use all 16 bits
_MIN_SPAN_OF_HIGH_BYTES = 32  # an eighth of them


def has_16_bit_channels(file: ImageFile) -> bool:
    """Whether a colour image has 16 bits a channel, of which Pillow keeps the upper 8."""
    tiles = getattr(file, "tile", None)
    if not tiles or file.mode in DEEP_GREY:
        return False
    arguments = tiles[0][3]
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return isinstance(raw_mode, str) and ";16" in raw_mode and not raw_mode.startswith("BGR")


def to_rgb(image: Image.Image, limits: PixelLimits) -> tuple[Image.Image, str | None]:
    if image.mode in (*DEEP_GREY, "F"):
        values = np.asarray(image) if image.mode == "F" else _integers(image)
        pixels, depth = to_uint8(values, limits.pixel_range, limits.window)
        return Image.fromarray(pixels).convert("RGB"), depth
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


def uses_few_bits(file: ImageFile) -> bool:
    """Whether the upper 8 bits, which Pillow keeps of 16-bit channels, hold little of a picture's colours."""
    if file.mode not in ("RGB", "RGBA", "LA"):
        return False
    colours = [extrema for extrema in file.getextrema() if isinstance(extrema, tuple)][: 1 if file.mode == "LA" else 3]
    low, high = min(low for low, _ in colours), max(high for _, high in colours)
    return high < _HIGH_BYTE_OF_16_BITS or 0 < high - low < _MIN_SPAN_OF_HIGH_BYTES


def sixteen_bit_channels(path: Path, limits: PixelLimits) -> tuple[Image.Image, str]:
    """Return an image of 16-bit channels as RGB by the bits in use, or by the window, and these."""
    values = read_channels(path)
    if values.dtype != np.uint16 or values.ndim != 3:
        raise ValueError("its 16-bit channels use few of their bits; convert the image to 8 bits")
    return from_channels(values, limits)


def from_channels(values: npt.NDArray[Any], limits: PixelLimits) -> tuple[Image.Image, str]:
    """Return deep pixels (H, W), or (H, W, 3 or 4) with red first, as RGB; transparent ones on white."""
    colours = values[..., :3] if values.ndim == 3 else values
    if colours.dtype.kind in "iu" and colours.dtype != np.uint16:
        colours = colours.astype(np.int64)
    pixels, depth = to_uint8(np.ascontiguousarray(colours), limits.pixel_range, limits.window)
    image = Image.fromarray(pixels).convert("RGB")
    if values.ndim == 3 and values.shape[2] == 4:
        alpha = Image.fromarray(to_uint8(np.ascontiguousarray(values[..., 3]))[0])
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return image, depth


_TAG = 0x0112
_SHORT = 3
_ENTRY = 12  # bytes: tag, type, count, value or offset
_MAX_ENTRIES = 512
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(file: ImageFile) -> int:
    """Return EXIF's orientation, 1..8; 1 where there is none that can be read. From 5 on the sides change places."""
    try:
        value = file.getexif().get(_TAG, 1)
    except Exception:  # metadata of any bytes, while the pixels are sound
        value = 1
    if isinstance(value, int) and 2 <= value <= 8:
        return value
    raw = file.info.get("exif")  # Pillow stops at the first entry that it cannot read
    return raw_orientation(raw) if isinstance(raw, bytes) else 1


def turned(image: Image.Image, value: int) -> Image.Image:
    """Return an image as an orientation of 1..8 shows it."""
    turn = _TURNS.get(value)
    return image if turn is None else image.transpose(turn)


def raw_orientation(exif: bytes) -> int:
    """Return the orientation, 1..8, of EXIF bytes by its own entry alone; 1 without one (EXIF 2.32, section 4.6).

    >>> raw_orientation(b"Exif\\0\\0II*\\0\\x08\\0\\0\\0\\x01\\0\\x12\\x01\\x03\\0\\x01\\0\\0\\0\\x06\\0\\0\\0")
    6
    """
    tiff = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return 1
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    for place in range(start + 2, min(len(tiff), start + 2 + _MAX_ENTRIES * _ENTRY) - 9, _ENTRY):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, place)
        if tag == _TAG:
            return value if kind == _SHORT and 1 <= value <= 8 else 1
    return 1
