"""The user's whole configuration: one YAML file as frozen pydantic models.

The models check form and ranges only. What needs the data, the task or the trainer is checked by
`search.runs.validation`, so that every problem is reported at once and before a worker starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, field_serializer, field_validator

from foldtune.cluster.resources import TrialResources
from foldtune.durations import MAX_S, seconds_of
from foldtune.errors import RunNameInvalid, StorageInvalid
from foldtune.redaction import has_raw_password
from foldtune.results.records.stored_json import MAX_SEEDS
from foldtune.results.runs.names import check_name
from foldtune.results.storage.paths import as_path
from foldtune.search.config.metric_file import FORM, metric_file, resolved_file, resolved_metric
from foldtune.search.config.secrets import RAW_PASSWORD, masked
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.config.sections.section import Section, stated, usable_path
from foldtune.trainers.loading.tta import views
from foldtune.wording import shortened


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return seconds_of(value)
        except ValueError as error:
            raise stated(str(error)) from None
    return value


TimeLimit = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=MAX_S)]
"""Seconds, or text such as 2h, 90m and 1h30m."""


class SearchConfig(Section):
    """How many trials, how long each, what is optimised, and when a weak trial is stopped."""

    metric: str | None = Field(
        None, description="what is optimised; the task's own by default, or a function of yours: FILE.py:FUNCTION"
    )
    costs: list[list[float]] | str | None = Field(
        None, description="cost of each true class (row) predicted as each class (column), or a CSV of it: metric cost"
    )
    num_samples: int = Field(50, ge=1, le=100_000, description="trials")
    max_epochs: int = Field(12, ge=1, le=10_000, description="epochs of every trial, and of its lr schedule")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the folds, the proposals and every training")
    algorithm: Literal["tpe", "random", "grid"] = Field(
        "tpe", description="what proposes; grid: every combination of choices and of the ranges' `grid` values"
    )
    trial_scheduler: Literal["asha", "none"] = Field("asha", description="what stops weak trials early")
    grace_epochs: int | None = Field(None, ge=1, description="no trial is stopped before; max_epochs/3 by default")
    reduction_factor: float = Field(3.0, gt=1.0, le=16.0, description="of ASHA: one in so many goes on")
    brackets: int = Field(1, ge=1, description="of Hyperband: each further one lets its trials go a rung further")
    startup_trials: int = Field(15, ge=1, description="drawn at random before TPE models them")
    max_failed_trials: int = Field(10, ge=1, description="failures in a row that end the search")
    trial_timeout_s: float | None = Field(
        7200.0, gt=0, description="seconds without an epoch's report after which a trial is ended; null: never"
    )
    time_limit: TimeLimit | None = Field(
        None, description="running time of the search, as 2h, 90m or seconds; pauses before --resume do not count"
    )
    max_params_m: float | None = Field(
        None, gt=0, description="millions of parameters; larger models of the space are left out"
    )
    max_latency_ms: float | None = Field(
        None, gt=0, description="milliseconds of one image through a model here; slower ones of the space are left out"
    )
    study_storage: str | None = Field(None, description="Optuna storage URL; by default a file in the run's folder")

    @field_validator("metric")
    @classmethod
    def _file_and_function(cls, value: str | None) -> str | None:
        if value is not None and ".py" in value and metric_file(value) is None:
            raise stated(f"a metric of your own is written {FORM}, as metrics.py:pauc, not {shortened(repr(value))}")
        return value

    @field_validator("costs", mode="before")
    @classmethod
    def _matrix_or_file(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and value):
            return value
        rows = value if isinstance(value, list | tuple) else [value]
        cells = [cell for row in rows for cell in (row if isinstance(row, list | tuple) else [None])]
        if not cells or not all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells):
            raise stated(f"must be rows of numbers, as [[0, 1], [5, 0]], or a CSV, not {shortened(repr(value))}")
        return [list(row) for row in rows]

    @field_serializer("study_storage", when_used="json")
    def _passwords_are_not_stored(self, value: str | None) -> str | None:
        return None if value is None else masked(value)

    @field_validator("study_storage")
    @classmethod
    def _password_has_an_end(cls, value: str | None) -> str | None:
        if value is not None and has_raw_password(value):
            raise stated(RAW_PASSWORD)
        return value

    @field_validator("grace_epochs")
    @classmethod
    def _grace_within_the_budget(cls, value: int | None, info: ValidationInfo) -> int | None:
        budget = info.data.get("max_epochs")
        if value is not None and budget is not None and value > budget:
            raise ValueError(f"must be at most search.max_epochs, which is {budget}")
        return value

    @field_validator("brackets")
    @classmethod
    def _brackets_differ(cls, value: int, info: ValidationInfo) -> int:
        keys = ("max_epochs", "grace_epochs", "reduction_factor", "trial_scheduler")
        epochs, grace, factor, trial_scheduler = (info.data.get(key) for key in keys)
        if value == 1 or not epochs or not factor:
            return value
        if trial_scheduler == "none":
            raise ValueError("must be 1 where trial_scheduler: none stops nothing")
        rungs = list(rung_epochs(epochs, grace or _grace(epochs), factor))
        if value > len(rungs) + 1:
            shown = ", ".join(f"{epoch:g}" for epoch in rungs) or "none"
            raise ValueError(f"must be at most {len(rungs) + 1}: the rungs are at epochs {shown} of {epochs}")
        return value

    def resolved(self, folder: Path) -> SearchConfig:
        """The same with absolute paths of its files, which are relative to `folder`."""
        costs = str(resolved_file(self.costs, folder)) if isinstance(self.costs, str) else self.costs
        return self.model_copy(update={"metric": resolved_metric(self.metric, folder), "costs": costs})

    @property
    def grace(self) -> int:
        """Epochs that every trial may train. Shorter grace misleads TPE: a third is the default."""
        return self.grace_epochs or _grace(self.max_epochs)


def _grace(max_epochs: int) -> int:
    return max(1, -(-max_epochs // 3))


def rung_epochs(max_epochs: int, grace_epochs: int, reduction_factor: float) -> Iterator[float]:
    """Yield the epochs of ASHA's rungs, at which a trial may be stopped."""
    epoch = float(grace_epochs)
    while epoch < max_epochs:
        yield epoch
        epoch *= reduction_factor


class ResourcesConfig(Section):
    """What one trial takes, and how many run at a time."""

    cpus_per_trial: float = Field(1.0, gt=0, le=1024, description="CPU cores of one trial")
    gpus_per_trial: float = Field(0.0, ge=0, le=64, description="GPUs of one trial, or a part of one; 0: CPUs alone")
    max_concurrent_trials: int | None = Field(None, ge=1, description="as many as fit by default")
    autoscale_to: int | None = Field(None, ge=1, description="concurrent trials for which an autoscaler adds nodes")
    loader_workers: int = Field(0, ge=0, le=64, description="processes that augment, for each trial")
    processes_per_trial: int | None = Field(None, ge=1, le=64, description="that share every batch; one a GPU")

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a fraction of one GPU, such as 0.5, or a whole number of them")
        return value

    @field_validator("processes_per_trial")
    @classmethod
    def _one_a_gpu(cls, value: int | None, info: ValidationInfo) -> int | None:
        gpus = info.data.get("gpus_per_trial") or 0.0
        if value is not None and gpus and value != max(1, int(gpus)):
            raise ValueError(f"must be one a GPU, which gpus_per_trial: {gpus:g} gives by itself; leave it out")
        return value

    @property
    def processes(self) -> int:
        """Processes that train one trial together."""
        return self.processes_per_trial or max(1, int(self.gpus_per_trial))

    @property
    def of_trial(self) -> TrialResources:
        """CPUs and GPUs of one trial."""
        return TrialResources(self.cpus_per_trial, self.gpus_per_trial)


Voting = Literal["soft", "hard", "weighted", "greedy", "rank", "stack", "auto"]
VOTINGS: tuple[str, ...] = get_args(Voting)


class EnsembleConfig(Section):
    """Which trials are trained on every fold, and how they vote."""

    top: int = Field(5, ge=1, le=100, description="configurations")
    folds: int = Field(5, ge=1, le=50, description="folds of the run's frozen assignment; 1 for a given split alone")
    voting: Voting = Field("soft", description="how members become one answer; auto compares all")
    min_votes: int | None = Field(None, ge=1, description="of hard voting; the most votes by default")
    race: bool = Field(True, description="clearly weak configurations drop out after two folds")
    tta: str | None = Field(None, description="views of every image; each configuration's own by default")
    seeds: int = Field(1, ge=1, le=MAX_SEEDS, description="fold models of so many seeds, whose scores are averaged")
    refit: Literal["all"] | None = Field(
        None, description="all: one model a configuration on all rows, without a held-out figure, predicts"
    )
    time_limit: TimeLimit | None = Field(
        None, description="time of the folds and the vote; views, finalists, folds and epochs give way"
    )

    @field_validator("tta")
    @classmethod
    def _views_are_known(cls, value: str | None) -> str | None:
        if value is not None:
            views(value)
        return value


class RunConfig(Section):
    """One YAML file. `space` is read by `spaces`, which knows its language."""

    name: str = Field(description="name of the run, which is that of its folder under `storage`")
    task: str = Field(description="kind of problem, such as multiclass")
    data: DataConfig = Field(description="section on the rows, images and labels")
    space: dict[str, Any] = Field(description="search space: what is sampled, and what is constant")
    search: SearchConfig = SearchConfig()
    resources: ResourcesConfig = ResourcesConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    storage: str = Field("runs", min_length=1, description="folder or URL (s3://…) that holds the run's folder")

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        try:
            check_name(value, "run")
        except RunNameInvalid as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("storage")
    @classmethod
    def _workers_can_reach_it(cls, value: str) -> str:
        usable_path(value)
        if value.startswith("memory://"):
            raise ValueError("lives in one process, and trials run in others: give a folder, or s3://bucket/prefix")
        try:
            as_path(value)
        except StorageInvalid as error:
            raise stated(str(error)) from None
        return value
