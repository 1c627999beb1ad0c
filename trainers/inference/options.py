"""How a trained network is applied to images: what a trial's settings fix, and what a machine decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy.typing as npt

from foldtune.trainers.components import Component
from foldtune.trainers.loading.crops import as_evaluated
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.base import Task

Quantize: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class InferenceOptions:
    """Options of inference.

    Attributes:
        batch_size: images in a batch, >= 1; a batch that does not fit into memory is halved.
        device: torch device such as "cuda:0"; None is the first GPU, or the CPU where there is none.
        amp: mixed precision, as ``trainers.optim.precision.choose_precision`` takes it.
        channels_last: memory format of images and weights.
        num_workers: loader processes; 0 loads in this process.
        tta: name of the test-time augmentation (``trainers.loading.tta``); V views cost V times as much.
        crop: crop of the training, applied in its fixed form; None is none.
        quantize: conversion of each batch's float32 outputs to those that are kept; None keeps them.
        mean: mean of each channel in [0, 1]; None is the model's own.
        std: standard deviation of each channel in [0, 1]; None is the model's own.
    """

    batch_size: int = 64
    device: str | None = None
    amp: str = "auto"
    channels_last: bool = True
    num_workers: int = 0
    tta: str = "none"
    crop: Component | None = None
    quantize: Quantize | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @classmethod
    def of_settings(cls, task: Task, settings: TrialSettings) -> Self:
        """Return the options under which a training with `settings` validates; the machine's are at their defaults."""
        return cls(
            amp=settings.amp,
            channels_last=settings.channels_last,
            tta=settings.tta,
            crop=as_evaluated(settings.crop, whole=task.has_spatial_targets),
            quantize=task.quantize_outputs,
        )
