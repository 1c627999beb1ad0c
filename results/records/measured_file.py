"""What was measured of a run's models before its first trial, once for all its trials, folds and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from foldtune.errors import RunCorrupt
from foldtune.results.storage.files import read_json, write_sealed
from foldtune.results.storage.paths import StorePath

NAME = "measured.json"


@dataclass(frozen=True)
class FormatSpeed:
    """Images a second of a training in one number type and memory layout."""

    amp: str
    channels_last: bool
    images_per_s: float


@dataclass(frozen=True)
class ModelFormats:
    """How fast a model trains in each format.

    Attributes:
        size: height and width of its input in pixels.
        device: name of the GPU, or of the CPU, and the number of its threads.
        default_amp: value of `amp` that is the device's own.
        speeds: none where it could not be timed.
    """

    model: str
    size: tuple[int, int]
    device: str
    default_amp: str
    speeds: tuple[FormatSpeed, ...] = ()


@dataclass(frozen=True)
class ModelFigures:
    """Size and speed of a model, as a run's limits compare them.

    Attributes:
        params_m: parameters in millions.
        latency_ms: milliseconds of one image, None where no limit needs them.
        device: name of the GPU, or of the CPU, and the number of its threads.
    """

    model: str
    params_m: float
    latency_ms: float | None = None
    device: str = ""


@dataclass(frozen=True)
class Measured:
    """The record; one file a run.

    Attributes:
        figures: size and speed of each model of the space, those beyond a limit too; none without limits.
    """

    formats: tuple[ModelFormats, ...] = ()
    figures: tuple[ModelFigures, ...] = ()


def write_measured(root: StorePath, measured: Measured) -> None:
    """Store the record. Raises StorageError."""
    write_sealed(root / NAME, asdict(measured))


def read_measured(root: StorePath) -> Measured | None:
    """Return the record, None in a run that was made before there was one. Raises RunCorrupt, StorageError."""
    stored = read_json(root / NAME)
    if stored is None:
        return None
    try:
        figures = tuple(ModelFigures(**each) for each in stored["figures"])
        return Measured(tuple(map(_formats, stored["formats"])), figures)
    except (KeyError, TypeError, ValueError) as error:
        raise RunCorrupt(f"{root / NAME} is no record of what was measured: {error}") from None


def _formats(stored: Mapping[str, Any]) -> ModelFormats:
    height, width = stored["size"]
    speeds = tuple(FormatSpeed(**each) for each in stored["speeds"])
    return replace(ModelFormats(**stored), size=(height, width), speeds=speeds)
