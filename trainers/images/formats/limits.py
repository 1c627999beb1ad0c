"""What becomes of pixels that are deep or many."""

from __future__ import annotations

from dataclasses import dataclass

from foldtune.trainers.images.deep_pixels import PIXEL_RANGES
from foldtune.trainers.images.formats.window import Window
from foldtune.wording import unknown

MAX_MEGAPIXELS = 179.0
"""Default bound of the pixels that one image may have in memory: some 0.5 GB as RGB."""


@dataclass(frozen=True)
class PixelLimits:
    """What becomes of pixels that are deep or many.

    Attributes:
        pixel_range: range of pixels deeper than 8 bits, one of ``deep_pixels.PIXEL_RANGES``.
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
