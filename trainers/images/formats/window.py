"""Windows: which values of deep pixels become 0 and 255. NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
"""`used`: as `deep_pixels`. `uint16`: 0 to 65,535 whatever the file, values outside of it clipped."""
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
