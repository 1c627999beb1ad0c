"""The number type and the memory layout of a run's trainings: by timing where they are `auto`, once for all trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from foldtune.results.records.measured_file import FormatSpeed, ModelFormats
from foldtune.search.checks.measuring import measured_once
from foldtune.search.checks.models import first_configs, model_of
from foldtune.search.runs.validation import Checked
from foldtune.trainers.fitting.fit_types import FoldData, TrainSpec
from foldtune.trainers.fitting.formats import Format, fastest, time_formats
from foldtune.trainers.fitting.timing import LoadedImages
from foldtune.trainers.inference.trained import NoiseImages
from foldtune.trainers.loading.crops import output_size
from foldtune.trainers.optim.precision import computed
from foldtune.trainers.runtime import choose_device, device_name, omp_threads
from foldtune.trainers.settings import AUTO
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.parsing import parse_settings

CPU_BATCH = 16
"""Images of a timed step on a CPU, where more of them give the same figure later."""
_OF_NETWORK = ("model_name", "head", "crop", "train_last", "batch_size", "augmentation")
"""Settings that the speed of a step depends on."""


@dataclass(frozen=True, eq=False)
class FormatWork:
    """What a machine needs to time the models of a space; small enough to be sent to a worker.

    Attributes:
        configs: settings of each model.
        amps, layouts: values of `amp` and `channels_last` that the space has; AUTO stands for the device's.
        targets: (N, …) targets of a batch.
        gpu: whether trials have a GPU.
        threads: threads of a trial, >= 1.
        cache_dir: folder of the machine's caches, None where they are off.
    """

    task: Task
    metric: str
    size: tuple[int, int]
    configs: tuple[Mapping[str, Any], ...]
    amps: tuple[str, ...]
    layouts: tuple[bool, ...]
    targets: Any
    gpu: bool
    threads: int
    cache_dir: Path | None


def format_work(checked: Checked, most: int | None = None) -> FormatWork | None:
    """Return what is to be timed before a search; None where its space leaves nothing open.

    Args:
        most: models to time, the default configuration's first; None for all.
    """
    config, space, table = checked.config, checked.space, checked.table
    corners = [space.build(params) for _, params in space.corner_cases()]
    if not any(map(is_open, corners)):
        return None
    layouts = {layout for each in corners for layout in _layouts(each.get("channels_last", AUTO))}
    models = tuple({key: each[key] for key in _OF_NETWORK if key in each} for each in first_configs(space).values())
    trained = np.flatnonzero(checked.folds != 0)
    batch = max(parse_settings(each, checked.task).batch_size for each in models)
    rows = trained[np.linspace(0, len(trained) - 1, min(len(trained), batch)).astype(np.int64)]
    assert table.targets is not None
    return FormatWork(
        checked.task,
        checked.goal.metric,
        config.data.size,
        models[:most],
        tuple(dict.fromkeys(each.get("amp", AUTO) for each in corners)),
        tuple(sorted(layouts, reverse=True)),
        table.targets[rows],
        config.resources.gpus_per_trial > 0,
        max(1, int(config.resources.cpus_per_trial) // config.resources.processes),
        config.data.cache_dir,
    )


def is_open(config: Mapping[str, Any]) -> bool:
    """Whether a configuration leaves its number type or its memory layout to a timing."""
    return AUTO in (config.get("amp", AUTO), config.get("channels_last", AUTO))


def _layouts(given: object) -> tuple[bool, ...]:
    return (True, False) if given == AUTO else (bool(given),)


def time_models(
    work: FormatWork, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[ModelFormats]:
    """Time each model on this machine, or return its figures from the machine's cache.

    Args:
        progress: called with the models that are done, and all.
    """
    found = []
    with omp_threads(work.threads):
        for done, config in enumerate(work.configs):
            progress(done, len(work.configs))
            found.append(_timed(work, config))
    progress(len(found), len(found))
    return found


def _timed(work: FormatWork, config: Mapping[str, Any]) -> ModelFormats:
    named = None if work.gpu else "cpu"
    device = choose_device(named)
    own = computed(device)
    amps = dict.fromkeys(amp for each in work.amps for amp in (own if each == AUTO else (each,)))
    formats = [Format(amp, layout) for layout in work.layouts for amp in amps]
    place = f"{device_name(device)}, {work.threads} {'thread' if work.threads == 1 else 'threads'}"
    settings = parse_settings(config, work.task)
    if device.type == "cpu":
        settings = replace(settings, batch_size=min(CPU_BATCH, settings.batch_size))
    size = output_size(settings.crop, work.size)

    def measure() -> dict[str, float]:
        count = min(settings.batch_size, len(work.targets))
        noise = LoadedImages.of(NoiseImages((count, *work.size, 3)))
        rows, ids = np.arange(count), np.arange(count).astype(np.str_)
        data = FoldData(noise, work.targets[:count], ids, rows, rows[:1])
        spec = TrainSpec(settings, work.task, data, work.metric, 1, 0)
        return {str(each): speed for each, speed in time_formats(spec, formats, named).items()}

    key = ["formats", place, version("torch"), work.task.name, dict(config), size, [str(each) for each in formats]]
    speeds = measured_once(work.cache_dir, key, measure)
    stored = [FormatSpeed(each.amp, each.channels_last, speeds[str(each)]) for each in formats if str(each) in speeds]
    return ModelFormats(settings.model_name, size, place, own[0], tuple(stored))


def with_format(config: Mapping[str, Any], timed: Sequence[ModelFormats] | None) -> dict[str, Any]:
    """Return a trial's configuration with its number type and memory layout: `amp` and `channels_last`.

    Args:
        timed: the run's record; None in a run of before, whose configurations stay as they are.
    """
    if timed is None or not is_open(config):
        return dict(config)
    own = next((each for each in timed if each.model == model_of(config)), None)
    if own is None:
        return dict(config)
    chosen = choose_format(own, config.get("amp", AUTO), config.get("channels_last", AUTO))
    return {**config, "amp": chosen.amp, "channels_last": chosen.channels_last}


def choose_format(timed: ModelFormats, amp: str = AUTO, channels_last: bool | str = AUTO) -> Format:
    """Return the format of a model: the default where none is clearly faster, of those that a configuration allows."""
    default = Format(timed.default_amp if amp == AUTO else amp, channels_last is not False)
    allowed = _layouts(channels_last)
    speeds = {
        Format(each.amp, each.channels_last): each.images_per_s
        for each in timed.speeds
        if amp in (AUTO, each.amp) and each.channels_last in allowed
    }
    return fastest(speeds, default)


def format_notes(timed: Sequence[ModelFormats]) -> Iterator[str]:
    """Yield a line on each model that trains in another format than the default, and one on the others."""
    same: dict[tuple[Format, str], list[str]] = {}
    for each in timed:
        chosen, default = choose_format(each), Format(each.default_amp)
        speeds = {Format(one.amp, one.channels_last): one.images_per_s for one in each.speeds}
        if chosen == default:
            reason = "no format is faster here" if speeds else "no format could be timed"
            same.setdefault((default, reason), []).append(each.model)
            continue
        compared = f" against {speeds[default]:,.0f} in {default}" if default in speeds else ""
        height, width = each.size
        yield (
            f"{each.model} trains in {chosen}: {speeds[chosen]:,.0f} images/s{compared} at {height}x{width} px "
            f"({each.device})"
        )
    for (default, reason), models in same.items():
        yield f"{', '.join(models)} {'trains' if len(models) == 1 else 'train'} in {default}: {reason}"
