"""The configuration of one stored trial: its run's, with the trial's values as constants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.results.records.ranking import finalists
from foldtune.results.records.trials import TrialRecord
from foldtune.search.init.findings import Finding
from foldtune.search.runs.run import Run
from foldtune.search.runs.trusted_metrics import require_available

_SEARCH = ("max_epochs", "seed")
"""Keys on which a trial's figures depend, written though they be defaults."""


@dataclass(frozen=True)
class TrialConfig:
    """The lines of a YAML, and what they are of.

    Attributes:
        metric_source: text of the metric's own file, which `search.metric` names; None for foldtune's metrics.
    """

    title: str
    findings: tuple[Finding, ...]
    metric_source: str | None


def config_of_trial(run: Run, trial_id: str | None, metric_file: Path) -> TrialConfig:
    """Return a configuration whose search trains the trial again, with the same seed, fold and epochs.

    Args:
        trial_id: the best trial by default: of complete ones, else of pruned ones.
        metric_file: name of the file that is to hold the metric, where it is one of the user's own.

    Raises:
        InputError: the run has no trial with a value.
        MetricUntrusted: the metric is a function of another user's.
        TrialNotFound: no such trial.
    """
    require_available(run.task, run.goal.metric)  # a search runs it
    record = _record(run, trial_id)
    config = run.config.model_dump(mode="json", exclude_defaults=True)
    source = run.store.read_metric()
    metric = run.goal.metric if source is None else f"{metric_file}:{run.goal.metric}"
    search = {"metric": metric, "num_samples": 1, "trial_scheduler": "none"}
    search |= {key: getattr(run.config.search, key) for key in _SEARCH}
    config["search"] = {**config.get("search", {}), **search}
    config["ensemble"] = {**config.get("ensemble", {}), "top": 1}
    config["ensemble"].pop("min_votes", None)
    config |= {"name": f"{run.store.name}-{record.trial_id}", "space": _space(run, record)}
    value = record.value(run.goal.metric)
    figure = f"{run.goal.metric} {value:.4f} on fold 0" if math.isfinite(value) else "no value"
    title = f"Trial {record.trial_id} of {run.store.name}: {figure}, epoch {record.best_epoch} of {record.epochs}."
    order = {key: place for place, key in enumerate(("name", "task", "data", "space", "search"))}
    sections = sorted(config.items(), key=lambda item: order.get(item[0], len(order)))
    return TrialConfig(title, tuple(each for item in sections for each in _findings(*item)), source)


def _space(run: Run, record: TrialRecord) -> dict[str, Any]:
    """Return a trial's values as a space: pretrained weights are the run's copy, and without a value random ones."""
    given = record.config.get("pretrained", False)
    path = given if isinstance(given, bool) else str(run.store.pretrained.weights_path(given))
    return {**record.config, "pretrained": path}


def _record(run: Run, trial_id: str | None) -> TrialRecord:
    records = run.store.trials()
    if trial_id is None:
        best = finalists(records, run.goal, 1)
        if not best:
            raise InputError(f"run {run.store.name!r} has no trial with a value yet")
        return best[0]
    name = run.store.find_trial(trial_id).trial_id
    return next(record for record in records if record.trial_id == name)


def _findings(key: str, value: Any) -> Iterator[Finding]:
    if isinstance(value, Mapping) and value:
        yield from (Finding(f"{key}.{name}", each) for name, each in value.items() if each is not None)
    else:
        yield Finding(key, value)
