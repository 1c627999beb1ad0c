"""Pixels of more than 8 bits, brought to 8 bits with their contrast. NumPy alone.

No file records reliably how much of its type it uses: 12 bits of a camera in a 16-bit file are a sixteenth of the type,
which would be nearly black. The range is therefore read from the file itself, so that training and prediction see it
alike:

- unsigned 16 bits: from 0 to the end of the bits that the file uses (8, 10, 12, 14 or 16), where its values span an
  eighth of them at least; else, as for values around an offset of 32,768, from its minimum to its maximum.
- signed 16 bits and 32-bit integers, whose zero and scale are unknown: from the file's minimum to its maximum.
- floats: 0 to 1 where all lie there and span an eighth of it, then as unsigned 16 bits where none is negative or over
  65,535, else from the minimum to the maximum. NaN and infinities become the minimum.

A `Window` takes the place of all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.wording import shortened, unknown

PERCENTILES = (0.5, 99.5)
FORMS = "auto, [low, high] in the files' own values, percentiles, or {percentiles: [low, high]}"

Pixels = npt.NDArray[np.integer[Any]] | npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Window:
    """Values of deep pixels that become 0 and 255, linear between them; what lies outside is clipped.

    Attributes:
        low: becomes 0.
        high: becomes 255, > low.
        percentiles: whether both are percentiles, 0 to 100, of each file's own pixels.
    """

    low: float
    high: float
    percentiles: bool = False

    def __str__(self) -> str:
        return f"{'percentiles' if self.percentiles else 'window'} {self.low:g} to {self.high:g}"

    def apply(self, values: Pixels) -> npt.NDArray[np.uint8]:
        """Return pixels, of any shape and finite, as 8 bits; all 0 where percentiles of a file are one value."""
        low, high = self.low, self.high
        if self.percentiles:
            low, high = (float(each) for each in np.percentile(values, [low, high]))
        return scale(values, low, high)


def scale(values: Pixels, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Return finite pixels as 8 bits, `low` as 0 and `high` as 255, rounded and clipped.

    >>> scale(np.array([-1.0, 0.0, 0.5, 1.0]), 0, 1)
    array([  0,   0, 128, 255], dtype=uint8)
    """
    half = high / 2 - low / 2  # halved, since the span of all floats is none
    if not half > 0:
        return np.zeros(values.shape, dtype=np.uint8)
    shares = (values.astype(np.float64) / 2 - low / 2) / half
    scaled: npt.NDArray[np.uint8] = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    return scaled


def parse_window(value: object) -> Window | None:
    """Return the window of one of `FORMS`; None is `auto`.

    Raises:
        ValueError: another form.

    >>> parse_window([-160, 240])
    Window(low=-160.0, high=240.0, percentiles=False)
    """
    if value is None or value == "auto":
        return None
    if value == "percentiles":
        return Window(*PERCENTILES, percentiles=True)
    percentiles = isinstance(value, Mapping)
    given = value["percentiles"] if isinstance(value, Mapping) and set(value) == {"percentiles"} else value
    if not isinstance(given, list | tuple) or len(given) != 2 or not all(map(_is_number, given)):
        raise ValueError(f"must be {FORMS}, not {shortened(repr(value))}")
    low, high = map(float, given)
    if not low < high or (percentiles and not 0 <= low < high <= 100):
        bounds = "0 to 100, the lower first" if percentiles else "a lower and a higher value"
        raise ValueError(f"{'percentiles' if percentiles else 'a window'} must be {bounds}, not {given!r}")
    return Window(low, high, percentiles)


def window_to_plain(window: Window | None) -> str | list[float] | dict[str, list[float]]:
    """Return plain values, which `parse_window` reads."""
    if window is None:
        return "auto"
    bounds = [window.low, window.high]
    return {"percentiles": bounds} if window.percentiles else bounds


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


PIXEL_RANGES = ("used", "uint16")
"""`used`: as above. `uint16`: 0 to 65,535 whatever the file, values outside of it clipped."""
MAX_MEGAPIXELS = 179.0
"""Default bound of the pixels that one image may have in memory: some 0.5 GB as RGB."""


@dataclass(frozen=True)
class PixelLimits:
    """What becomes of pixels that are deep or many.

    Attributes:
        pixel_range: range of pixels deeper than 8 bits, one of `PIXEL_RANGES`.
        max_megapixels: millions of pixels that an image may have in memory, > 0. A JPEG or JPEG 2000 file may have
            more, since it is decoded at a fraction of its size.
        window: values of deep pixels that become 0 and 255, in place of `pixel_range`; None is by the file.
    """

    pixel_range: str = "used"
    max_megapixels: float = MAX_MEGAPIXELS
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.pixel_range not in PIXEL_RANGES:
            raise ValueError(unknown("pixel_range", self.pixel_range, PIXEL_RANGES))


DEFAULT_LIMITS = PixelLimits()
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
