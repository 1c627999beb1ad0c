"""Text detector: a feature pyramid over a timm encoder, with heads for text and threshold maps (DBNet)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.networks.models import check_model, create_timm

STRIDES = (4, 8, 16, 32)
"""Strides of the encoder's maps in the pyramid, as far as the encoder has them; the first is required."""
EXAMPLES = "resnet*, efficientnet*, mobilenetv3*, convnext*, swin*"


class Levels(NamedTuple):
    """Maps of an encoder.

    Attributes:
        indices: index of each map among the encoder's.
        options: arguments of `timm.create_model` that let an encoder with windows take images of any size.
    """

    indices: tuple[int, ...]
    channels: tuple[int, ...]
    options: tuple[tuple[str, Any], ...]


@lru_cache(maxsize=256)
def find_levels(model_name: str) -> Levels | None:
    """Return the encoder's maps at `STRIDES`, from the finest to the coarsest; None where it has none at stride 4."""
    for options in ({"strict_img_size": False}, {}):
        try:
            with torch.device("meta"):
                encoder = timm.create_model(model_name, features_only=True, **options)
        except (RuntimeError, AttributeError, TypeError, ValueError, KeyError, NotImplementedError, AssertionError):
            continue  # timm has many errors for a model without features or for an argument that it lacks
        places = encoder.feature_info.out_indices
        info = encoder.feature_info.get_dicts()
        by_stride = {
            int(each["reduction"]): (int(place), int(each["num_chs"])) for place, each in zip(places, info, strict=True)
        }
        found = [by_stride[stride] for stride in STRIDES if stride in by_stride]
        if STRIDES[0] not in by_stride or len(found) < 2:
            return None
        indices, channels = zip(*found, strict=True)
        return Levels(indices, channels, tuple(options.items()))
    return None


def check_encoder(model_name: str) -> list[Problem]:
    """Return the problem of an existing timm model that cannot be the encoder of a text detector, if any."""
    if find_levels(model_name) is not None:
        return []
    message = f"model '{model_name}' gives no maps at stride 4 and coarser; use one that does, such as {EXAMPLES}"
    return [Problem("model_name", message)]


class TextDetector(nn.Module):
    """Images (B, 3, H, W) to logits of text (B, 1, H, W); in training mode also of the threshold, (B, 2, H, W).

    1x1 convolutions bring the encoder's maps to one width, each level adds the coarser one, 3x3 convolutions smooth
    them, and at a quarter of the size they are concatenated (Liao et al. 2020, fig. 3).
    """

    def __init__(self, encoder: nn.Module, levels: Levels, drop_rate: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pretrained_cfg = getattr(encoder, "pretrained_cfg", None)
        self._channels = levels.channels
        width = _width(levels.channels)
        part = width // len(levels.channels)
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1, bias=False) for channels in levels.channels)
        self.smooth = nn.ModuleList(nn.Conv2d(width, part, 3, padding=1, bias=False) for _ in levels.channels)
        joined = part * len(levels.channels)
        self.drop = nn.Dropout2d(drop_rate)
        self.text = _head(joined)
        self.threshold = _head(joined)

    def forward(self, images: Tensor) -> Tensor:
        size = images.shape[-2:]
        joined = self.drop(self._pyramid(images))
        text = self.text(joined)
        maps = torch.cat([text, self.threshold(joined)], dim=1) if self.training else text
        return maps[..., : size[0], : size[1]]  # for sizes that are no multiple of 4 the outputs are a little larger

    def _pyramid(self, images: Tensor) -> Tensor:
        pairs = zip(self.encoder(images), self._channels, strict=True)
        maps = [_channels_first(each, channels) for each, channels in pairs]
        sums = [lateral(each) for lateral, each in zip(self.laterals, maps, strict=True)]
        for finer in range(len(sums) - 2, -1, -1):
            sums[finer] = sums[finer] + functional.interpolate(sums[finer + 1], size=sums[finer].shape[-2:])
        finest = sums[0].shape[-2:]
        smooth = [layer(each) for layer, each in zip(self.smooth, sums, strict=True)]
        return torch.cat([functional.interpolate(each, size=finest) for each in reversed(smooth)], dim=1)


def build_detector(
    model_name: str, *, pretrained: bool | str = False, drop_rate: float = 0.0, drop_path_rate: float = 0.0
) -> TextDetector:
    """A text detector on the encoder `model_name`, which is randomly initialised or pretrained.

    Raises:
        SettingsError: the encoder does not exist, or gives no maps.
        TrialFailed: pretrained weights are unavailable.
    """
    problems = check_model(model_name, 0.0, drop_path_rate) or check_encoder(model_name)
    levels = None if problems else find_levels(model_name)
    if levels is None:
        raise SettingsError(problems)
    rates = {"drop_path_rate": drop_path_rate} if drop_path_rate > 0 else {}
    options = {"features_only": True, "out_indices": levels.indices, **dict(levels.options), **rates}
    encoder = create_timm(model_name, pretrained=pretrained, **options)
    return TextDetector(encoder, levels, drop_rate)


def _width(channels: tuple[int, ...]) -> int:
    """Return the channels of the pyramid: a quarter of the encoder's widest map, 64 to 256."""
    return max(64, min(256, 32 * round(max(channels) / 128)))


def _channels_first(features: Tensor, channels: int) -> Tensor:
    """Return (B, C, H, W) features; some transformers give (B, H, W, C)."""
    if features.shape[1] != channels and features.shape[-1] == channels:
        return features.permute(0, 3, 1, 2).contiguous()
    return features


def _head(channels: int) -> nn.Sequential:
    inner = max(16, channels // 4)
    return nn.Sequential(
        nn.Conv2d(channels, inner, 3, padding=1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(inner, inner, 2, stride=2, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(inner, 1, 2, stride=2),
    )
