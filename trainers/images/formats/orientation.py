"""EXIF's orientation, also where other metadata of the file are broken."""

from __future__ import annotations

import struct

from PIL import Image
from PIL.ImageFile import ImageFile

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
