"""Crops of prepared images to the network's input: random or fixed in training, fixed in evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from foldtune.errors import Problem
from foldtune.trainers.components import Component, number
from foldtune.trainers.deferred import albumentations
from foldtune.trainers.loading.augment import Augmentation

Size = tuple[int, int]
"""Height and width in pixels."""


def _size() -> Any:
    return number(0, 0, 16384)


@dataclass(frozen=True)
class Resize:
    """The whole image, scaled to `size` x `size` pixels; 0 leaves it as it was prepared."""

    size: int = _size()


@dataclass(frozen=True)
class CenterCrop:
    """The middle `size` x `size` pixels; 0 is the whole image."""

    size: int = _size()


@dataclass(frozen=True)
class RandomCrop:
    """`size` x `size` pixels from anywhere, in evaluation the middle ones; 0 is the whole image."""

    size: int = _size()


@dataclass(frozen=True)
class RandomResizedCrop:
    """A part of at least `scale_min` of the area, of aspect 3:4 to 4:3, scaled to `size` x `size` pixels (0: to the
    size of the prepared images). Evaluation sees the whole image, scaled to the same size.

    ImageNet's `scale_min` is .08; fewer images, or small findings that must stay in view, need .3 and more.
    """

    size: int = _size()
    scale_min: float = number(0.35, 0.01, 1.0)


CROPS: Mapping[str, type] = MappingProxyType(
    {
        "resize": Resize,
        "center_crop": CenterCrop,
        "random_crop": RandomCrop,
        "random_resized_crop": RandomResizedCrop,
    }
)


def output_size(crop: Component, image_size: Size) -> Size:
    """Height and width of the network's input from prepared images of `image_size`, in training and in evaluation."""
    size: int = crop.params["size"]
    return (size, size) if size else image_size


def check_crop(crop: Component, image_size: Size) -> list[Problem]:
    """Problems of a crop that is larger than the prepared images."""
    size, largest = crop.params["size"], min(image_size)
    if size <= largest:
        return []
    height, width = image_size
    message = f"{size} does not fit into images of {height}x{width}; use at most {largest}, or prepare larger ones"
    return [Problem("crop.size", message)]


def as_evaluated(crop: Component, *, whole: bool) -> Component:
    """The crop of evaluation: where images must stay `whole`, a random crop is for training alone."""
    return Component(crop.name, {**crop.params, "size": 0}) if whole and crop.name == "random_crop" else crop


def check_whole(crop: Component) -> list[Problem]:
    """Problems of a crop where all of an image must be evaluated, which its middle does not hold."""
    if crop.name != "center_crop" or crop.params["size"] == 0:
        return []
    message = "the middle of an image is not all of its targets; use random_crop, which crops in training alone"
    return [Problem("crop", message)]


def training_crop(crop: Component, image_size: Size) -> list[Any]:
    """albumentations transforms, none where nothing changes."""
    height, width = output_size(crop, image_size)
    if crop.name == "random_resized_crop":
        scale = (crop.params["scale_min"], 1.0)
        options: dict[str, Any] = {"scale": scale, "area_for_downscale": "image"}
        return [albumentations.RandomResizedCrop((height, width), **options)]
    if crop.name == "random_crop" and (height, width) != image_size:
        return [albumentations.RandomCrop(height, width)]
    return _fixed(crop, image_size)


def evaluation_crop(crop: Component, image_size: Size) -> Augmentation | None:
    """The deterministic crop of validation and prediction; None where nothing changes."""
    transforms = _fixed(crop, image_size)
    return Augmentation(transforms, seed=0) if transforms else None


def _fixed(crop: Component, image_size: Size) -> list[Any]:
    height, width = output_size(crop, image_size)
    if (height, width) == image_size:
        return []
    if crop.name in {"center_crop", "random_crop"}:
        return [albumentations.CenterCrop(height, width)]
    return [albumentations.Resize(height, width, area_for_downscale="image")]
