"""Models that this machine can search, and the working size of images by them and by the pictures' own sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from foldtune.errors import BrokenImage, InputError
from foldtune.search.init.findings import Finding
from foldtune.trainers.images.reading import picture_size
from foldtune.trainers.runtime import choose_device


@dataclass(frozen=True)
class Models:
    """Names of timm models, the side in pixels that they are made for, and why these."""

    names: tuple[str, ...]
    side: int
    why: str
    on_gpu: bool


SMALL = Models(("resnet10t", "mobilenetv3_small_050"), 176, "small ones: this machine has no GPU", False)
LARGE = Models(("resnet34", "efficientnet_b0"), 224, "medium ones, for this machine's GPU", True)
SMALL_TEXT = Models(("mobilenetv3_small_050",), 960, "a small one: this machine has no GPU", False)
LARGE_TEXT = Models(("resnet18",), 960, "a medium one, for this machine's GPU", True)


def models_here(task: str) -> Models:
    """Return the models for a task on this machine."""
    on_gpu = choose_device(None).type == "cuda"
    if task == "text_detection":
        return LARGE_TEXT if on_gpu else SMALL_TEXT
    return LARGE if on_gpu else SMALL


_SAMPLED = 200
"""Pictures whose size is read."""
_STEP = 32
"""Sides are a multiple of it, as the strides of most networks are."""
_MIN_SIDE = 32
_LONG = 960
"""Longest side in pixels for text, which is small."""


def working_size(pictures: Sequence[Path], side: int, *, has_boxes: bool = False) -> Finding:
    """Return the image size.

    Args:
        side: side in pixels that the models are made for.
        has_boxes: whether text is to be found in the pictures, which keep their aspect ratio then.

    Raises:
        InputError: not one of the pictures can be read.
    """
    sizes = []
    for path in pictures[:: max(1, len(pictures) // _SAMPLED)]:
        try:
            sizes.append(picture_size(path))
        except BrokenImage:
            continue
    if not sizes:
        raise InputError(f"{pictures[0].parent}: none of the pictures can be read (first: {pictures[0].name})")
    height, width = (int(median(sides)) for sides in zip(*sizes, strict=True))
    what = f"pictures are {width}x{height} px (median of {len(sizes)})"
    if has_boxes:
        scale = min(1.0, _LONG / max(height, width))
        return Finding("data.image_size", [_rounded(height * scale), _rounded(width * scale)], what)
    chosen = min(side, _rounded(min(height, width)))
    why = f"{what}; the models are made for {side}" if chosen == side else f"{what}, less than the models' {side}"
    return Finding("data.image_size", chosen, why)


def _rounded(side: float) -> int:
    return max(_MIN_SIDE, int(side) // _STEP * _STEP)
