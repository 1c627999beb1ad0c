"""The number type and the memory layout in which a model trains fastest, by timing a few steps in each.

Which it is depends on the model, the image size and the device: of convolutions on one core of a Xeon with AMX,
bfloat16 is 1.8 times as fast as float32 for a ResNet and .5 times as fast for a MobileNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from foldtune.errors import FoldtuneError
from foldtune.trainers.fitting.fit_types import TrainSpec
from foldtune.trainers.fitting.timing import time_training

MIN_GAIN = 1.1
"""Images a second, over those of the default, from which on another format is taken."""
ROUNDS, TIMED_S = 2, 0.25
"""Times that each format is timed, in turns, since other work of the machine comes and goes; and seconds of one."""
CLOSE = 0.8
"""Images a second, over those of the fastest so far, below which a format is not timed again."""


@dataclass(frozen=True)
class Format:
    """The number type of a forward pass, a value of `amp`, and the memory layout of images and convolutions."""

    amp: str
    channels_last: bool = True

    def __str__(self) -> str:
        return f"{'float32' if self.amp == 'off' else self.amp}, channels {'last' if self.channels_last else 'first'}"


def time_formats(spec: TrainSpec, formats: Sequence[Format], device: str | None) -> dict[Format, float]:
    """Return the most images a second of a training in each format; one in which it fails is left out.

    Args:
        device: torch's name, None for a GPU where there is one.
    """
    speeds: dict[Format, float] = {}
    for each in [*formats] * ROUNDS:
        if each in speeds and speeds[each] < CLOSE * max(speeds.values()):
            continue
        settings = replace(spec.settings, amp=each.amp, channels_last=each.channels_last)
        with suppress(FoldtuneError, RuntimeError, ValueError):
            timing = time_training(replace(spec, settings=settings), device, min_s=TIMED_S)
            speeds[each] = max(speeds.get(each, 0.0), timing.images_per_s)
    return speeds


def fastest(speeds: Mapping[Format, float], default: Format) -> Format:
    """Return the fastest format where it gains `MIN_GAIN` on the default, else the default.

    >>> half, single = Format("bf16"), Format("off")
    >>> fastest({single: 100.0, half: 109.0}, single), fastest({single: 100.0, half: 111.0}, single)
    (Format(amp='off', channels_last=True), Format(amp='bf16', channels_last=True))
    """
    best = max(speeds, key=lambda each: speeds[each], default=default)
    return best if best in speeds and speeds[best] >= MIN_GAIN * speeds.get(default, 0.0) else default
