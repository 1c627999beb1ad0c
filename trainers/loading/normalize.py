"""uint8 images to the network's input, on the device, for training and inference alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
