"""Pixels of more than 8 bits, brought to 8 bits with their contrast. NumPy alone.

No file records reliably how much of its type it uses: 12 bits of a camera in a 16-bit file are a sixteenth of the type,
which would be nearly black. The range is therefore read from the file itself, so that training and prediction see it
alike:

- unsigned 16 bits: from 0 to the end of the bits that the file uses (8, 10, 12, 14 or 16), where its values span an
  eighth of them at least; else, as for values around an offset of 32,768, from its minimum to its maximum.
- signed 16 bits and 32-bit integers, whose zero and scale are unknown: from the file's minimum to its maximum.
- floats: 0 to 1 where all lie there and span an eighth of it, then as unsigned 16 bits where none is negative or over
  65,535, else from the minimum to the maximum. NaN and infinities become the minimum.

A window (`trainers.images.formats.window`) takes the place of all of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.images.formats.window import Window, scale

BITS = (8, 10, 12, 14, 16)
MIN_SPAN = 1 / 8
"""Part of the bits in use that an unsigned file's values span, unless they are all the same."""

Integers = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]


def to_uint8(
    values: npt.NDArray[Any], pixel_range: str = "used", window: Window | None = None
) -> tuple[npt.NDArray[np.uint8], str]:
    """Return deep pixels as 8 bits, and the range that was mapped to 0..255, for people.

    Args:
        values: pixels (H, W) or (H, W, C), 64-bit where they are integers and not unsigned 16-bit.
        pixel_range: one of `PIXEL_RANGES`.
        window: replaces `pixel_range`.

    Raises:
        ValueError: floats for `uint16`, which has no range for them, or without a finite value.

    >>> to_uint8(np.array([[0, 4095]], dtype=np.uint16))
    (array([[  0, 255]], dtype=uint8), '12 bits')
    >>> to_uint8(np.array([[-1000, 1000]]))
    (array([[  0, 255]], dtype=uint8), 'minimum to maximum')
    """
    if values.dtype.kind == "f":
        values = _finite(values)
    if window is not None:
        return window.apply(values), str(window)
    if values.dtype.kind == "f":
        return _floats_to_uint8(values, pixel_range)
    if pixel_range == "uint16":
        return _scaled(np.clip(values, 0, 65535), 16), "16 bits"
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low >= 0 and high <= 65535:
        bits = bits_in_use(high)
        if high == low or (high - low) >= MIN_SPAN * 2**bits:
            return _scaled(values, bits), f"{bits} bits"
    wide = values.astype(np.int64)
    return ((wide - low) * 255 // max(1, high - low)).astype(np.uint8), "minimum to maximum"


def _finite(values: Floats) -> Floats:
    """Return values with the lowest finite one in place of NaN and infinities."""
    finite = np.isfinite(values)
    if finite.all():
        return values
    if not finite.any():
        raise ValueError("none of its floating-point pixels is finite")
    return np.where(finite, values, values[finite].min())


def _floats_to_uint8(values: Floats, pixel_range: str) -> tuple[npt.NDArray[np.uint8], str]:
    if pixel_range == "uint16":
        raise ValueError("floating-point pixels have no range in 16 bits; give data.window, or leave out pixel_range")
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1 and (high == low or high - low >= MIN_SPAN):
        return scale(values, 0, 1), "0 to 1"
    if low >= 0 and high <= 65535:
        bits = bits_in_use(int(high))
        if high > 1 and (high == low or (high - low) >= MIN_SPAN * 2**bits):
            return scale(values, 0, 2**bits - 1), f"{bits} bits"
    return scale(values, low, high), "minimum to maximum"


def bits_in_use(high: int) -> int:
    """Return the bits, one of `BITS`, that hold a maximum of 0..65535."""
    return next(bits for bits in BITS if high < 2**bits)


def _scaled(values: Integers, bits: int) -> npt.NDArray[np.uint8]:
    """Return values below 2^bits as 8 bits."""
    scaled: npt.NDArray[np.uint8] = np.take(_table(bits), values)
    return scaled


@cache
def _table(bits: int) -> npt.NDArray[np.uint8]:
    """Return the 8 bits of each value of 16: one look-up a pixel is faster than its arithmetic."""
    scaled = np.arange(65536, dtype=np.int64) * 255 // (2**bits - 1)
    table: npt.NDArray[np.uint8] = np.minimum(scaled, 255).astype(np.uint8)
    return table
