"""Augmentation of uint8 images on the CPU: a few named levels, each with one strength."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainers.components import choice, number
from trainers.errors import unknown

Border = Literal["reflect", "constant"]

FLIPS = ("none", "horizontal", "both")


@dataclass(frozen=True)
class NoAugmentation:
    """Images as they are."""


@dataclass(frozen=True)
class FlipAugmentation:
    """Flips alone: "horizontal" for photographs, "both" where there is no up, as under a microscope."""

    flips: str = choice("horizontal", *FLIPS)


@dataclass(frozen=True)
class ShiftAugmentation:
    """A small shift, zoom and rotation, never a flip: for digits, letters and all that is read.

    `strength` 0..1 scales how far and how often; 0.5 is the usual amount and 0 changes nothing.
    """

    strength: float = number(0.5, 0.0, 1.0)


@dataclass(frozen=True)
class LevelAugmentation:
    """Levels light (flips, shift, zoom, rotation, brightness, contrast), medium (colour, blur or noise and a
    hole besides), heavy (the same, further and more often). `strength` 0..1 as in `ShiftAugmentation`."""

    strength: float = number(0.5, 0.0, 1.0)
    flips: str = choice("horizontal", *FLIPS)


AUGMENTATIONS: dict[str, type[Any]] = {
    "none": NoAugmentation,
    "flip": FlipAugmentation,
    "shift": ShiftAugmentation,
    "light": LevelAugmentation,
    "medium": LevelAugmentation,
    "heavy": LevelAugmentation,
}


class Augmentation:
    """(H, W, 3) uint8 -> (H, W, 3) uint8; all random numbers follow from the last `reseed`."""

    def __init__(self, transforms: list[Any], seed: int) -> None:
        albumentations = _albumentations()
        self._compose = albumentations.Compose(transforms)
        self.reseed(seed)

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        transformed: npt.NDArray[np.uint8] = self._compose(image=image)["image"]
        return transformed

    def reseed(self, seed: int) -> None:
        """Start the random numbers again from `seed`, 0 <= seed < 2**32."""
        # Not set_random_seed: it gives each transform a generator of its own with the same seed, so that they
        # draw the same numbers and a vertical flip comes exactly where a horizontal one does.
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))


def build_augmentation(
    name: str, strength: float = 0.5, size: int = 224, seed: int = 0, *, flips: str = "horizontal"
) -> Augmentation | None:
    """The augmentation `name` for images of about `size` pixels; None where it would change nothing."""
    transforms = build_transforms(name, strength, size, flips=flips)
    return Augmentation(transforms, seed) if transforms else None


def build_transforms(
    name: str,
    strength: float = 0.5,
    size: int = 224,
    *,
    flips: str = "horizontal",
    border: Border = "reflect",
) -> list[Any]:
    """The albumentations transforms of a level, for a Compose of the caller's own.

    With keypoints take border="constant": a reflecting border makes albumentations add reflected points.
    """
    if name not in AUGMENTATIONS:
        raise ValueError(unknown("augmentation", name, AUGMENTATIONS))
    if flips not in FLIPS:
        raise ValueError(unknown("flips", flips, FLIPS))
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must lie in 0..1, not {strength}")
    if name == "none":
        return []
    if name == "flip":
        return _flips(flips)
    if name == "shift":
        return _affine(2 * strength, shift=0.08, zoom=0.08, degrees=8, border=border)
    scale = 2 * strength * (1.5 if name == "heavy" else 1.0)
    transforms = _flips(flips) + _affine(scale, shift=0.0625, zoom=0.1, degrees=15, border=border)
    transforms += _light(scale)
    return transforms if name == "light" else transforms + _colour_noise_holes(scale, size)


def _flips(flips: str) -> list[Any]:
    albumentations = _albumentations()
    horizontal, vertical = albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)
    return {"none": [], "horizontal": [horizontal], "both": [horizontal, vertical]}[flips]


def _affine(scale: float, *, shift: float, zoom: float, degrees: float, border: Border) -> list[Any]:
    import cv2

    if scale == 0:
        return []
    mode = cv2.BORDER_REFLECT_101 if border == "reflect" else cv2.BORDER_CONSTANT
    return [
        _albumentations().Affine(
            translate_percent=(-shift * scale, shift * scale),
            scale=(1 - zoom * scale, 1 + zoom * scale),
            rotate=(-degrees * scale, degrees * scale),
            border_mode=mode,
            p=_chance(0.7, scale),
        )
    ]


def _light(scale: float) -> list[Any]:
    if scale == 0:
        return []
    limit = min(0.2 * scale, 0.6)
    return [_albumentations().RandomBrightnessContrast(limit, limit, p=_chance(0.5, scale))]


def _colour_noise_holes(scale: float, size: int) -> list[Any]:
    if scale == 0:
        return []
    albumentations = _albumentations()
    blur = 3 + 2 * round(scale * size / 224)
    noise = (0.02 * scale, 0.06 * scale)
    hole = (0.1, max(0.1, min(0.25 * scale, 0.5)))
    return [
        albumentations.HueSaturationValue(10 * scale, 25 * scale, 0, p=_chance(0.3, scale)),
        albumentations.OneOf(
            [
                albumentations.GaussianBlur(blur_limit=(3, blur), p=1.0),
                albumentations.GaussNoise(std_range=noise, p=1.0),
            ],
            p=_chance(0.2, scale),
        ),
        albumentations.CoarseDropout(
            num_holes_range=(1, 2), hole_height_range=hole, hole_width_range=hole, p=_chance(0.25, scale)
        ),
    ]


def _chance(usual: float, scale: float) -> float:
    return min(1.0, usual * scale)


def _albumentations() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the internet for news
    import albumentations

    return albumentations
