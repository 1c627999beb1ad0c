"""What trials have cost: seconds an epoch by model, and what a trial takes beside its epochs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from foldtune.results.records.trials import TrialRecord


@dataclass(frozen=True)
class Timings:
    """Measured times of one run, whose images have one size.

    Attributes:
        by_model: median seconds of an epoch, by name of the model.
        images_per_s: median images a second in training, by name of the model.
        epochs_s: seconds of an epoch of each trial that has one.
    """

    by_model: Mapping[str, float] = field(default_factory=dict)
    images_per_s: Mapping[str, float] = field(default_factory=dict)
    epochs_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, records: Iterable[TrialRecord]) -> Timings:
        """Return those of the trials that have finished an epoch, running ones too."""
        epochs: dict[str, list[float]] = defaultdict(list)
        images: dict[str, list[float]] = defaultdict(list)
        for record in records:
            seconds = epoch_s(record)
            if seconds is not None:
                epochs[model_of(record)].append(seconds)
                if record.images_per_s and math.isfinite(record.images_per_s):
                    images[model_of(record)].append(record.images_per_s)
        return cls(
            {name: median(each) for name, each in epochs.items()},
            {name: median(each) for name, each in images.items()},
            tuple(seconds for each in epochs.values() for seconds in each),
        )

    @property
    def epoch_s(self) -> float | None:
        """Median seconds of an epoch over all trials; None before the first one."""
        return median(self.epochs_s) if self.epochs_s else None


def epoch_s(record: TrialRecord) -> float | None:
    """Return the mean seconds of a trial's epochs, None where they are not known."""
    if not record.epochs or record.fit_time_s is None or not math.isfinite(record.fit_time_s):
        return None
    return record.fit_time_s / record.epochs


def model_of(record: TrialRecord) -> str:
    """Return the name of a trial's model, "" where it is not stored."""
    return str(record.config.get("model_name", ""))
