"""Models of a space within the run's limits of size and latency: measured before a search, the others left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version

from foldtune.errors import FoldtuneError, InputError
from foldtune.results.records.measured_file import ModelFigures
from foldtune.search.checks.measuring import measured_once
from foldtune.search.checks.models import first_configs
from foldtune.search.config.schema import RunConfig, SearchConfig
from foldtune.spaces import Space
from foldtune.trainers.deferred import torch
from foldtune.trainers.networks.models import count_params_m, one_line
from foldtune.trainers.runtime import choose_device, device_name, omp_threads
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.parsing import parse_settings
from foldtune.wording import first_few

SHOWN = 3
"""Smallest models that a message names."""


def is_limited(search: SearchConfig) -> bool:
    """Whether a search limits size or latency of its models."""
    return search.max_params_m is not None or search.max_latency_ms is not None


def limit_space(space: Space, task: Task, config: RunConfig) -> tuple[Space, tuple[ModelFigures, ...], tuple[str, ...]]:
    """Return the space within the limits of its models, the figures of all, and a line on each that is left out."""
    figures = measure_models(space, task, config)
    return within_limits(space, config.search, figures), figures, limit_notes(config.search, figures)


def measure_models(space: Space, task: Task, config: RunConfig) -> tuple[ModelFigures, ...]:
    """Return the figures of each model of a space on this machine; latencies only where they are limited.

    Raises:
        InputError: a model that cannot be measured.
    """
    resources = config.resources
    threads = max(1, int(resources.cpus_per_trial) // resources.processes)
    found, problems = [], []
    with omp_threads(threads):
        for name, first in first_configs(space).items():
            try:
                found.append(_measured(replace(parse_settings(first, task), pretrained=False), task, config, threads))
            except (FoldtuneError, RuntimeError, TypeError) as error:
                problems.append(f"space.model_name: '{name}' cannot be measured: {one_line(error)}")
    if problems:
        raise InputError(problems)
    return tuple(found)


def _measured(settings: TrialSettings, task: Task, config: RunConfig, threads: int) -> ModelFigures:
    with torch.device("meta"):
        figures = ModelFigures(settings.model_name, count_params_m(task.build_model(settings)))
    limited = config.search.max_latency_ms is not None
    return _with_latency(figures, settings, task, config, threads) if limited else figures


def _with_latency(
    figures: ModelFigures, settings: TrialSettings, task: Task, config: RunConfig, threads: int
) -> ModelFigures:
    named, size = None if config.resources.gpus_per_trial else "cpu", config.data.size
    place = f"{device_name(choose_device(named))}, {threads} {'thread' if threads == 1 else 'threads'}"

    def measure() -> dict[str, float]:
        from foldtune.trainers.inference.trained import inference_time_ms

        one = replace(settings, tta="none")
        return {"latency_ms": inference_time_ms(task, one, size, device=named, batch=1)}

    network = [figures.model, settings.head.to_dict(), settings.crop.to_dict(), list(size), task.name]
    stored = measured_once(config.data.cache_dir, ["latency", place, version("torch"), *network], measure)
    return replace(figures, latency_ms=stored["latency_ms"], device=place)


def within_limits(space: Space, search: SearchConfig, figures: Sequence[ModelFigures]) -> Space:
    """Return the space without the models that are beyond a limit.

    Raises:
        InputError: none is left; names the smallest.
    """
    beyond = {each.model: reasons for each in figures if (reasons := list(_beyond(each, search)))}
    if len(beyond) == len(figures) and figures:
        raise InputError(list(_none_left(search, figures)))
    return space.without("model_name", beyond) if beyond else space


def limit_notes(search: SearchConfig, figures: Sequence[ModelFigures]) -> tuple[str, ...]:
    """Return a line on each model that is left out."""
    return tuple(
        f"model {each.model} is left out: {' and '.join(reasons)}"
        for each in figures
        if (reasons := list(_beyond(each, search)))
    )


def _beyond(each: ModelFigures, search: SearchConfig) -> Iterator[str]:
    if search.max_params_m is not None and each.params_m > search.max_params_m:
        yield f"{each.params_m:.3g} M parameters, search.max_params_m is {search.max_params_m:g}"
    if search.max_latency_ms is not None and (each.latency_ms or 0.0) > search.max_latency_ms:
        yield f"{each.latency_ms:.3g} ms an image ({each.device}), search.max_latency_ms is {search.max_latency_ms:g}"


def _none_left(search: SearchConfig, figures: Sequence[ModelFigures]) -> Iterator[str]:
    """Yield for each limit the smallest models, by that limit."""
    if search.max_params_m is not None and all(each.params_m > search.max_params_m for each in figures):
        ranked = sorted(figures, key=lambda each: each.params_m)
        smallest = first_few([f"{each.model} {each.params_m:.3g}" for each in ranked], SHOWN)
        limit = f"{search.max_params_m:g} M parameters"
        yield f"search.max_params_m: no model of the space has at most {limit}; the smallest: {smallest}"
    if search.max_latency_ms is not None:
        ranked = sorted(figures, key=lambda each: each.latency_ms or 0.0)
        smallest = first_few([f"{each.model} {each.latency_ms:.3g} ms" for each in ranked], SHOWN)
        limit = f"{search.max_latency_ms:g} ms an image"
        yield f"search.max_latency_ms: no model within the limits takes at most {limit}; the fastest: {smallest}"
