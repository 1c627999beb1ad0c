"""TIFF files that Pillow cannot open, such as floats of three channels, by OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin

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
