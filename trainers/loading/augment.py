"""Augmentation of uint8 images on the CPU: a few named levels, each with one strength; and mixup of two images."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from foldtune.errors import Problem
from foldtune.trainers.components import Component, choice, number
from foldtune.trainers.deferred import albumentations, cv2, torch
from foldtune.trainers.losses import LOSSES
from foldtune.wording import unknown

if TYPE_CHECKING:
    from torch import Tensor


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
    """A small shift, zoom and rotation, never a flip: for digits, letters and other text.

    `strength` 0..1 scales how far and how often; 0.5 is the usual amount and 0 changes nothing.
    """

    strength: float = number(0.5, 0.0, 1.0)


@dataclass(frozen=True)
class LevelAugmentation:
    """Levels light (flips, shift, zoom, rotation, brightness, contrast), medium (colour, blur or noise and a
    hole besides), heavy (the same, further and more often). `strength` 0..1 as in `ShiftAugmentation`.

    What could hide an image's class has a limit that no strength passes: brightness and the contrast about the image's
    mean change by a quarter, noise is at most 8 % of the range, a hole
    at most .35 of a side, hues turn by 20 degrees."""

    strength: float = number(0.5, 0.0, 1.0)
    flips: str = choice("horizontal", *FLIPS)


@dataclass(frozen=True)
class CustomAugmentation:
    """Single transforms, each with its probability 0..1; 0, the default, leaves it out.

    Amounts: optical distortion by up to .2, brightness by up to a fifth, each colour by up to 20 of 255 levels,
    the noise of a camera's sensor of intensity .1–.5.
    """

    horizontal_flip: float = number(0.0, 0.0, 1.0)
    optical_distortion: float = number(0.0, 0.0, 1.0)
    random_brightness: float = number(0.0, 0.0, 1.0)
    rgb_shift: float = number(0.0, 0.0, 1.0)
    iso_noise: float = number(0.0, 0.0, 1.0)


AUGMENTATIONS: dict[str, type[Any]] = {
    "none": NoAugmentation,
    "flip": FlipAugmentation,
    "shift": ShiftAugmentation,
    "light": LevelAugmentation,
    "medium": LevelAugmentation,
    "heavy": LevelAugmentation,
    "custom": CustomAugmentation,
}


class Augmentation:
    """(H, W, 3) uint8 -> (H, W, 3) uint8; all random numbers follow from the last `reseed`.

    With `points` it moves points with their image, and is called through `with_points` alone.
    """

    def __init__(self, transforms: list[Any], seed: int, *, points: bool = False) -> None:
        followed = (
            albumentations.KeypointParams(format="xy", remove_invisible=False, label_fields=["indices"])
            if points
            else None
        )
        self._compose = albumentations.Compose(transforms, keypoint_params=followed)
        self.reseed(seed)

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        transformed: npt.NDArray[np.uint8] = self._compose(image=image)["image"]
        return transformed

    def with_points(
        self, image: npt.NDArray[np.uint8], points: npt.NDArray[np.floating[Any]]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        """The image and its moved points (K, 2), x and y in pixels, which may lie outside of it.

        A point that a transform has dropped is NaN, as distortions do with those that leave the picture.
        """
        found = self._compose(image=image, keypoints=points, indices=np.arange(len(points)))
        moved = np.full((len(points), 2), np.nan)
        moved[np.asarray(found["indices"], dtype=np.int64)] = np.asarray(found["keypoints"]).reshape(-1, 2)
        return found["image"], moved

    def reseed(self, seed: int) -> None:
        """Start the random numbers again from `seed`, 0 <= seed < 2**32."""
        # Not set_random_seed: it gives each transform a generator of its own with the same seed, so that they
        # draw the same numbers and a vertical flip comes exactly where a horizontal one does.
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))


def build_augmentation(
    name: str,
    strength: float = 0.5,
    size: int = 224,
    seed: int = 0,
    *,
    flips: str = "horizontal",
    first: Sequence[Any] = (),
    points: bool = False,
    **chances: float,
) -> Augmentation | None:
    """The augmentation `name` for images of about `size` pixels a side; None where it would change nothing.

    `first` are transforms that come before those of the augmentation, such as a crop; `chances` as in
    `build_transforms`. With `points` it takes images with points, and fills what it turns in with black.
    """
    border: Border = "constant" if points else "reflect"
    transforms = [*first, *build_transforms(name, strength, size, flips=flips, border=border, **chances)]
    return Augmentation(transforms, seed, points=points) if transforms else None


def build_transforms(
    name: str,
    strength: float = 0.5,
    size: int = 224,
    *,
    flips: str = "horizontal",
    border: Border = "reflect",
    **chances: float,
) -> list[Any]:
    """The albumentations transforms of a level, for a Compose of the caller's own.

    `chances` are the probabilities of "custom", which has neither strength nor flips. With keypoints take
    border="constant": a reflecting border makes albumentations add reflected points.
    """
    if name not in AUGMENTATIONS:
        raise ValueError(unknown("augmentation", name, AUGMENTATIONS))
    if flips not in FLIPS:
        raise ValueError(unknown("flips", flips, FLIPS))
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must lie in 0..1, not {strength}")
    if name == "custom":
        return _custom(CustomAugmentation(**chances), border)
    if chances:
        raise ValueError(f"augmentation '{name}' takes no {', '.join(chances)}; custom does")
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
    horizontal, vertical = albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)
    return {"none": [], "horizontal": [horizontal], "both": [horizontal, vertical]}[flips]


def _custom(chances: CustomAugmentation, border: Border) -> list[Any]:
    transforms = [
        albumentations.HorizontalFlip(p=chances.horizontal_flip),
        albumentations.OpticalDistortion(
            distort_limit=(-0.2, 0.2), border_mode=_border_mode(border), p=chances.optical_distortion
        ),
        albumentations.RandomBrightnessContrast(0.2, contrast_limit=0, p=chances.random_brightness),
        albumentations.RGBShift(p=chances.rgb_shift),
        albumentations.ISONoise(p=chances.iso_noise),
    ]
    return [transform for transform in transforms if transform.p > 0]


def _border_mode(border: Border) -> int:
    mode: int = cv2.BORDER_REFLECT_101 if border == "reflect" else cv2.BORDER_CONSTANT
    return mode


def _affine(scale: float, *, shift: float, zoom: float, degrees: float, border: Border) -> list[Any]:
    if scale == 0:
        return []
    return [
        albumentations.Affine(
            translate_percent=(-shift * scale, shift * scale),
            scale=(1 - zoom * scale, 1 + zoom * scale),
            rotate=(-degrees * scale, degrees * scale),
            border_mode=_border_mode(border),
            p=_chance(0.7, scale),
        )
    ]


def _light(scale: float) -> list[Any]:
    if scale == 0:
        return []
    limit = min(0.2 * scale, 0.25)
    factors = (1 - limit, 1 + limit)
    # Not RandomBrightnessContrast: it adds up to `limit` of 255, and its contrast is not about the image's mean, so
    # that dark images turn black and bright ones white.
    jitter = albumentations.ColorJitter
    return [jitter(brightness=factors, contrast=factors, saturation=(1, 1), hue=(0, 0), p=_chance(0.5, scale))]


def _colour_noise_holes(scale: float, size: int) -> list[Any]:
    if scale == 0:
        return []
    blur = 3 + 2 * int(scale * size / 224)  # the kernel's side; small images take the smallest alone
    noise = (min(0.02 * scale, 0.04), min(0.06 * scale, 0.08))
    hole = (0.1, max(0.1, min(0.25 * scale, 0.35)))
    return [
        albumentations.HueSaturationValue(min(10 * scale, 10), min(25 * scale, 30), 0, p=_chance(0.3, scale)),
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


MIXUP_LOSSES = tuple(name for name, loss in LOSSES.items() if loss.linear)
"""Losses that are linear in the label, so that the loss of a mixed label is the mixed loss of the two labels."""


def check_mixup(alpha: float, loss: Component, losses: Sequence[str]) -> list[Problem]:
    """Mixup gives soft labels, which most losses have no formula for; `losses` are those of the task."""
    if alpha == 0 or loss.name in MIXUP_LOSSES:
        return []
    others = "".join(f", or loss {name}" for name in losses if name in MIXUP_LOSSES)
    message = f"gives soft labels, and loss '{loss.name}' takes hard ones; use 0{others}"
    return [Problem("mixup", message)]


class Mix:
    """One draw for a batch of `batch` images: λ ~ Beta(alpha, alpha), and the partner of each image.

    It draws from torch's global generator, so it follows from the seed of the epoch.
    """

    def __init__(self, alpha: float, batch: int) -> None:
        self.weight = float(torch.distributions.Beta(alpha, alpha).sample())
        self.partners = torch.randperm(batch)

    def blend(self, own: Tensor, others: Tensor) -> Tensor:
        """``λ·own + (1-λ)·others``: of pixels, or of losses."""
        return self.weight * own + (1.0 - self.weight) * others
