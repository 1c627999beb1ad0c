"""The time of a search and its folds before it starts: by a step of each model, or by trials of before."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import mean

import numpy as np
import numpy.typing as npt

from foldtune.errors import FoldtuneError
from foldtune.results.runs.names import is_run
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.paths import as_path
from foldtune.search.checks.models import first_configs
from foldtune.search.config.schema import SearchConfig
from foldtune.search.data.dataset import image_plan
from foldtune.search.planning.fold_plan import FoldCosts, FoldPlan, forecast_s
from foldtune.search.planning.reserve import START_S, VOTE_ROW_S, VOTE_S, WORKER_S
from foldtune.search.planning.timings import Timings
from foldtune.search.runs.formats import format_work, time_models, with_format
from foldtune.search.runs.validation import Checked
from foldtune.trainers.fitting.fit_types import FoldData, TrainSpec
from foldtune.trainers.fitting.timing import LoadedImages, time_training
from foldtune.trainers.loading.tta import TTA
from foldtune.trainers.runtime import omp_threads
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.parsing import parse_settings

BATCHES = 2
"""Batches of the pass that is timed."""


@dataclass(frozen=True)
class ModelTime:
    """Seconds of an epoch of one model, and of its prediction of the rows to submit; None where it failed."""

    model: str
    epoch_s: float | None
    predict_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Forecast:
    """What a chain takes.

    Attributes:
        slots: trials at a time that it counts with.
        first_s: seconds until the first trial reaches its first rung.
        search_s: seconds of all trials, of which the trial scheduler stops its usual share.
        folds_s: seconds of folds and vote, None where nothing could be timed.
    """

    models: tuple[ModelTime, ...]
    slots: int
    first_s: float | None
    search_s: float | None
    folds_s: float | None


def forecast(checked: Checked, most: int | None = None) -> Forecast:
    """Time the models of a configuration on this machine, and return what search, folds and vote take here.

    Args:
        most: models to time, the default configuration's first; None for all.
    """
    with omp_threads(max(1, int(checked.config.resources.cpus_per_trial))):
        return forecast_of(checked, [_timed(checked, settings) for settings in _models(checked, most)])


def known_forecast(checked: Checked) -> Forecast | None:
    """Return the forecast by the trials of the run that a configuration names, None where there is none with epochs."""
    root = as_path(checked.config.storage) / checked.config.name
    timings = Timings.of(RunStore(root).trials()) if is_run(root) else Timings()
    submitted = 0 if checked.test is None else len(checked.test)
    models = [
        ModelTime(name, seconds, submitted / timings.images_per_s.get(name, math.inf))
        for name, seconds in timings.by_model.items()
    ]
    return forecast_of(checked, models) if models else None


def forecast_of(checked: Checked, models: Sequence[ModelTime]) -> Forecast:
    """Return what search, folds and vote take on this machine, where trials of all these models are as frequent."""
    config, models = checked.config, tuple(models)
    trial = config.resources.of_trial
    here = 1 if trial.gpus else max(1, trial.fit_into(float(os.cpu_count() or 1), 0.0))
    slots = min(here, config.resources.max_concurrent_trials or here)
    epochs = [each.epoch_s for each in models if each.epoch_s is not None]
    if not epochs:
        return Forecast(models, slots, None, None, None)
    epoch_s, search, ensemble = mean(epochs), config.search, config.ensemble
    rung = search.grace if search.trial_scheduler == "asha" else search.max_epochs
    trial_s = START_S + epochs_of_trial(search) * epoch_s
    search_s = WORKER_S + search.num_samples * trial_s / min(slots, search.num_samples)
    views = 1 if ensemble.tta is None else len(TTA[ensemble.tta])
    finalists = min(ensemble.top, search.num_samples)
    costs = FoldCosts(
        [epoch_s] * finalists,
        [mean(each.predict_s for each in models)] * finalists,
        {(place, 0) for place in range(finalists)},
        slots,
        START_S,
        WORKER_S,
        VOTE_S + VOTE_ROW_S * len(checked.table) * finalists,
    )
    folds_s = forecast_s(FoldPlan(finalists, ensemble.folds, views, search.max_epochs), costs)
    return Forecast(models, slots, WORKER_S + START_S + rung * epoch_s, search_s, folds_s)


def epochs_of_trial(search: SearchConfig) -> float:
    """Return the epochs that a trial trains on average: of those at a rung, one in `reduction_factor` goes on.

    >>> epochs_of_trial(SearchConfig(max_epochs=9, grace_epochs=3, reduction_factor=3.0))
    5.0
    """
    if search.trial_scheduler != "asha":
        return float(search.max_epochs)
    epochs, share, rung = 0.0, 1.0, float(search.grace)
    trained = 0.0
    while trained < search.max_epochs:
        upto = min(rung, float(search.max_epochs))
        epochs += share * (upto - trained)
        trained, share, rung = upto, share / search.reduction_factor, rung * search.reduction_factor
    return epochs


def _models(checked: Checked, most: int | None) -> Iterator[TrialSettings]:
    """Yield settings of each model of the space, at the first of its corners: whole networks, nothing downloaded."""
    work = format_work(checked, most)
    formats = None if work is None else time_models(work)
    for config in islice(first_configs(checked.space).values(), most):
        settings = parse_settings(with_format(config, formats), checked.task)
        yield replace(settings, pretrained=False, unfreeze_epochs=0)


def _timed(checked: Checked, settings: TrialSettings) -> ModelTime:
    config, table = checked.config, checked.table
    train, valid = np.flatnonzero(checked.folds != 0), np.flatnonzero(checked.folds == 0)
    some = np.concatenate([_spread(train, BATCHES * settings.batch_size), _spread(valid, settings.batch_size)])
    few = min(len(train), BATCHES * settings.batch_size)
    plan = replace(image_plan(config.data, 0), cache_dir=None)
    try:
        source = plan.open_again([table.paths[row] for row in some])
        assert table.targets is not None
        data = FoldData(
            LoadedImages.of(source), table.targets[some], table.ids[some], np.arange(few), np.arange(few, len(some))
        )
        spec = TrainSpec(settings, checked.task, data, checked.goal.metric, config.search.max_epochs, 0)
        times = time_training(spec, None if config.resources.gpus_per_trial else "cpu")
    except (FoldtuneError, OSError, ValueError) as error:
        return ModelTime(settings.model_name, None, problem=str(error))
    submitted = 0 if checked.test is None else len(checked.test)
    epoch_s = len(train) * times.train_s + len(valid) * times.valid_s
    return ModelTime(settings.model_name, epoch_s, submitted * times.valid_s)


def _spread(rows: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Return at most so many of the rows, evenly spread."""
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
