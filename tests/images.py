"""A decoded image for the tests: its pixels alone."""

from __future__ import annotations

from os import PathLike

import numpy as np
import numpy.typing as npt

from foldtune.trainers.images.deep_pixels import PixelLimits
from foldtune.trainers.images.preprocess import ImagePreprocessing

LIMITS = PixelLimits()


def decode(
    path: str | PathLike[str], size: tuple[int, int], *, resize: str = "squash", limits: PixelLimits = LIMITS
) -> npt.NDArray[np.uint8]:
    """Return an image file as an RGB array (height, width, 3)."""
    return ImagePreprocessing(size, resize, limits=limits).read(path)
