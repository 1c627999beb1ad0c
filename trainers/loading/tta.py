"""Images on the device: normalised, and in several views whose outputs become one (test-time augmentation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import TYPE_CHECKING

from foldtune.trainers.deferred import torch
from foldtune.wording import unknown

if TYPE_CHECKING:
    from torch import Tensor


_HEIGHT, _WIDTH = 1, 2  # of a batch (B, H, W, 3)


@dataclass(frozen=True)
class View:
    """A view of an image: mirrored along `flips` (dimensions of a batch), with its values times `brightness`."""

    flips: tuple[int, ...] = ()
    brightness: float = 1.0

    def apply(self, images: Tensor) -> Tensor:
        """The view of uint8 images (B, H, W, 3), in the same form."""
        if self.flips:
            images = images.flip(self.flips)
        if self.brightness != 1.0:
            images = images.float().mul_(self.brightness).round_().clamp_(0, 255).byte()
        return images

    def undo(self, outputs: Tensor) -> Tensor:
        """Outputs that are maps (B, K, H, W) are mirrored back; logits (B, K) have no position."""
        return outputs.flip([axis + 1 for axis in self.flips]) if self.flips and outputs.ndim == 4 else outputs


_IDENTITY, _HORIZONTAL, _VERTICAL = View(), View((_WIDTH,)), View((_HEIGHT,))
_FLIPS = (_IDENTITY, _HORIZONTAL, _VERTICAL, View((_HEIGHT, _WIDTH)))
_BRIGHTNESS = (View(brightness=0.9), View(brightness=1.1))

TTA: Mapping[str, tuple[View, ...]] = MappingProxyType(
    {
        "none": (_IDENTITY,),
        "hflip": (_IDENTITY, _HORIZONTAL),
        "flips": _FLIPS,
        "brightness": (_IDENTITY, *_BRIGHTNESS),
        "all": (*_FLIPS, *_BRIGHTNESS),
    }
)
"""Name -> views. Their number, 1, 2, 4, 3 or 6, is how many times the cost of a plain prediction is."""


def views(name: str) -> tuple[View, ...]:
    """The views of `name` in `TTA`; ValueError, with the nearest name, where there is none."""
    if name not in TTA:
        raise ValueError(unknown("tta", name, TTA))
    return TTA[name]


def mean_output(forward: Callable[[Tensor], Tensor], images: Tensor, views: tuple[View, ...]) -> Tensor:
    """The mean of ``forward`` over the views of uint8 `images`; of a single view it is the plain output.

    The mean of logits is of the classes' probabilities the geometric mean, scaled to sum 1. Unlike a mean of
    probabilities it is again logits, so it can be stored, tuned and voted on like any other; and its log loss is never
    above the mean of the views' log losses (log-sum-exp is convex).
    """
    outputs = [view.undo(forward(view.apply(images))) for view in views]
    return outputs[0] if len(outputs) == 1 else reduce(add, outputs) / len(outputs)


class Normalize:
    """uint8 (B, H, W, 3) on `device` to float32 (B, 3, H, W): ``(x/255 - mean) / std``.

    The result keeps the memory order of the bytes, torch's channels_last, unless `channels_last` is False.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], device: torch.device, *, channels_last: bool = True
    ) -> None:
        self._mean = 255.0 * torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self._scale = 1.0 / (255.0 * torch.tensor(std, device=device).view(1, -1, 1, 1))
        self._channels_last = channels_last

    def __call__(self, images: Tensor) -> Tensor:
        pixels = images.permute(0, 3, 1, 2).float().sub_(self._mean).mul_(self._scale)
        return pixels if self._channels_last else pixels.contiguous()
