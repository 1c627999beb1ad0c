"""Going on with a run: what of a configuration may differ from the stored one, and what must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.search.checks.grid import limited
from foldtune.search.checks.own_metrics import add_metrics, read_metric
from foldtune.search.checks.space_rules import short_warmup
from foldtune.search.config.metric_file import metric_file
from foldtune.search.config.pretrained_files import with_files
from foldtune.search.config.schema import RunConfig
from foldtune.search.runs.run import PLACES, Run
from foldtune.search.runs.trusted_metrics import own_function, record_metric, with_trusted_metrics
from foldtune.spaces import expand_presets
from foldtune.trainers.tasks import TASKS, get_task
from foldtune.trainers.user_metrics.costs import COST
from foldtune.trainers.user_metrics.task import stored_costs, with_metrics

RESUMABLE = (
    "name",
    "storage",
    "resources",
    "ensemble.top",
    "ensemble.voting",
    "ensemble.min_votes",
    "ensemble.race",
    "ensemble.tta",
    "ensemble.seeds",
    "ensemble.refit",
    "ensemble.time_limit",
    "data.columns",
)
RESUMABLE_SEARCH = ("num_samples", "max_failed_trials", "trial_timeout_s", "time_limit", "study_storage")
"""Parts of a configuration that may differ from the stored one when a search is resumed."""


def extend(run: Run, given: RunConfig, more: int) -> Run:
    """The run with the parts of `given` that may change, and `more` trials than it was to have.

    Raises:
        InputError: `given` is another search than the stored one.
    """
    check_same(given, run.config)
    search = run.config.search
    extended = search.model_copy(
        update={
            "num_samples": max(search.num_samples, given.search.num_samples) + more,
            "max_failed_trials": given.search.max_failed_trials,
            "trial_timeout_s": given.search.trial_timeout_s,
            # A flag of the first session stays; null in the file takes it away.
            "time_limit": (given if "time_limit" in given.search.model_fields_set else run.config).search.time_limit,
            "study_storage": given.search.study_storage,
        }
    )
    update = {"resources": given.resources, "search": limited(extended, run.space)[0]}
    changed = run.config.model_copy(update=update)
    run.store.write_config(changed.model_dump(mode="json"))
    return replace(run, config=changed)


def check_same(given: RunConfig, stored: RunConfig) -> None:
    """A resumed search keeps its data, space and budget; a changed configuration is another run.

    Raises:
        InputError: what differs.
    """
    a, b = _frozen_part(given), _frozen_part(stored)
    if given.data.fold is not None and "folds" not in given.ensemble.model_fields_set:
        a["ensemble.folds"] = b["ensemble.folds"]  # the column's
    if "pixel_range" not in given.data.model_fields_set:
        a["data.pixel_range"] = b["data.pixel_range"]  # the run's own, which may be that of an earlier version
    differing = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
    if differing:
        raise InputError(
            f"the configuration differs from that of run {stored.name!r} in {', '.join(differing)}: "
            "a resumed search keeps what it was started with; use --name for another run"
        )


def _metric_name(config: RunConfig) -> str | None:
    """Return the name of what a configuration optimises."""
    search = config.search
    if (file := metric_file(search.metric)) is not None:
        return file.function
    known = config.task in TASKS
    default = get_task(config.task, config.data.judge_map).default_metric if known else None
    return search.metric or (COST if search.costs is not None else default)


def check_same_metrics(given: RunConfig, run: Run) -> Run:
    """Return the run with the function of the user's configuration, which is the stored one.

    Raises:
        InputError: another file of metrics, or another matrix of costs, than the run was started with.
    """
    stored, function = own_function(run.task), read_metric(given.search)
    given_costs = stored_costs(add_metrics(given.search, with_metrics(run.task, ()), function))
    differing = []
    if function != stored:
        differing.append("search.metric")
    if given_costs != stored_costs(run.task):
        differing.append("search.costs")
    if differing:
        raise InputError(
            f"{' and '.join(differing)}: not as run {run.store.name!r} was started with; a resumed search keeps its "
            "metric: use --name for another run"
        )
    if function is None or function.source is None:
        return run
    record_metric(function.source)
    return replace(run, task=with_trusted_metrics(run.task, run.store))


def _frozen_part(config: RunConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json")
    space = expand_presets(short_warmup(values["space"], config.search.max_epochs))
    values["space"] = with_files(space, lambda path: Path(path).name)  # whose content `check_same_files` compares
    values["search"]["metric"] = _metric_name(config)
    values["search"].pop("costs")  # which `check_same_metrics` compares
    for path in RESUMABLE:
        section, _, key = path.partition(".")
        (values[section].pop(key) if key else values.pop(section))
    for key in RESUMABLE_SEARCH:
        values["search"].pop(key)
    for key in PLACES:
        values["data"][key] = values["data"][key] is not None
    for extra in values["data"]["extra"]:
        extra |= {"table": True, "images": extra["images"] is not None}
    return {
        f"{section}.{key}" if isinstance(part, dict) else section: value
        for section, part in values.items()
        for key, value in (part.items() if isinstance(part, dict) else [("", part)])
    }
