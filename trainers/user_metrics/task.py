"""Tasks with metrics of a run's own beside those of their kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError, Problem
from foldtune.trainers.arrays.types import Mode, Postprocess, Predictions, Scores, Targets
from foldtune.trainers.postprocess.offsets import least_expected_cost, log_scores
from foldtune.trainers.tasks import Task, task_from_dict
from foldtune.trainers.tasks.judged import Judged, judging_task
from foldtune.trainers.tasks.labelled import Labelled
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.user_metrics.costs import DECISION, EXPECTED_COST, Costs
from foldtune.trainers.user_metrics.function import MetricFunction
from foldtune.wording import unknown


class UserMetric(Protocol):
    """A metric that belongs to a run, not to its kind of task."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    @property
    def mode(self) -> Mode:
        """Direction that is better."""

    @property
    def of_predictions(self) -> bool:
        """Whether predictions decide it, which post-processing changes; else scores do."""

    @property
    def is_available(self) -> bool:
        """Whether it can be computed here: code of a run may be none that the user trusts."""

    def value(self, task: Task, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        """Its value on N rows. Raises MetricFailed."""

    def fit(self, task: Task, scores: Scores, targets: Targets) -> dict[str, Any]:
        """The best post-processing on N rows, never worse there than the default. Raises MetricFailed."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without code."""


STORED = "user_metrics"
"""Key of a stored task that holds them."""
_ARGMAX = "argmax"


class _Joined:
    """A value of a task's class, joined with that of an instance's own metrics."""

    def __init__(self, join: Callable[[Any, Sequence[UserMetric]], Any]) -> None:
        self._join = join

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: WithMetrics | None, owner: type[WithMetrics]) -> Any:
        inherited = getattr(super(WithMetrics, owner), self._name)
        return inherited if task is None else self._join(inherited, task.user_metrics)


@dataclass(frozen=True)
class WithMetrics(Task):
    """The part of a task that knows `user_metrics`; they come first in its table.

    They get hard targets: of soft ones the likeliest class or the labels that are there, and of a cell that is unknown
    neither label, score nor prediction.
    """

    plain: ClassVar[type[Task]]
    """The task of its kind alone."""
    user_metrics: tuple[UserMetric, ...] = field(default=(), kw_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return with_metrics, (self._plain, self.user_metrics)

    metrics = cast(
        "Mapping[str, Mode]", _Joined(lambda inherited, own: {**{each.name: each.mode for each in own}, **inherited})
    )
    tunable_metrics = cast(
        "frozenset[str]", _Joined(lambda inherited, own: inherited | {each.name for each in own if each.of_predictions})
    )
    default_metric = cast("str", _Joined(lambda inherited, own: own[0].name if own else inherited))

    @property
    def _plain(self) -> Task:
        """The task of its kind alone, whose figures cost no call of the user's function."""
        return with_metrics(self, ())

    def _own(self, metric: str) -> UserMetric | None:
        return next((each for each in self.user_metrics if each.name == metric), None)

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        own = {
            each.name: self.metric_value(each.name, scores, predictions, targets) if each.is_available else math.nan
            for each in self.user_metrics
        }
        return own | self._plain.evaluate(scores, predictions, targets)

    def metric_value(self, metric: str, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        own = self._own(metric)
        if own is None:
            return self._plain.metric_value(metric, scores, predictions, targets)
        known = _known(scores, targets), _known(predictions, targets)
        return own.value(self, *known, self.as_predictions(targets))

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        own = self._own(metric)
        if own is None:
            return self._plain.fit_postprocess(scores, targets, metric)
        if not own.of_predictions:
            return self.default_postprocess()
        return own.fit(self, _known(scores, targets), self.as_predictions(targets))

    def to_dict(self) -> dict[str, Any]:
        return {**self._plain.to_dict(), STORED: [each.to_dict() for each in self.user_metrics]}


@dataclass(frozen=True)
class MulticlassWithMetrics(WithMetrics, Multiclass):
    """A multiclass task with own metrics; with costs, ``decision: expected_cost`` predicts the class of least cost."""

    @property
    def _costs(self) -> Costs | None:
        return next((each for each in self.user_metrics if isinstance(each, Costs)), None)

    def check_postprocess(self, postprocess: Postprocess) -> list[Problem]:
        if self._costs is None or DECISION not in postprocess:
            return super().check_postprocess(postprocess)
        valid, decision = (_ARGMAX, EXPECTED_COST), postprocess[DECISION]
        others = super().check_postprocess({key: each for key, each in postprocess.items() if key != DECISION})
        if decision in valid:
            return others
        return [*others, Problem(f"postprocess.{DECISION}", unknown("rule", decision, valid))]

    def predict(self, scores: Scores, postprocess: Postprocess | None = None) -> Predictions:
        costs = self._costs
        if costs is None or (postprocess or {}).get(DECISION, _ARGMAX) != EXPECTED_COST:
            return super().predict(scores, postprocess)
        return least_expected_cost(log_scores(scores) + self.total_offsets(postprocess or {}), costs.array)


@cache
def _joined(kind: type[Task]) -> type[WithMetrics]:
    """The class of a kind of task with own metrics, which pickles as its parts."""
    base = MulticlassWithMetrics if issubclass(kind, Multiclass) and not issubclass(kind, Ordinal) else WithMetrics
    return dataclass(frozen=True)(type(f"{kind.__name__}WithMetrics", (base, kind), {"plain": kind}))


def _known(values: npt.NDArray[Any], targets: Targets) -> npt.NDArray[Any]:
    """Return scores or predictions with 0 where a target is NaN, which stands for an unknown one."""
    if targets.dtype.kind != "f" or targets.shape != values.shape:
        return values
    unknown = np.isnan(targets)
    return np.where(unknown, np.zeros((), dtype=values.dtype), values) if unknown.any() else values


def with_metrics(task: Task, metrics: Sequence[UserMetric]) -> Task:
    """The same task with these metrics of its run's own, in the place of others that it has.

    Raises:
        DataError: a task that takes none, or a name that a metric of the task has.
    """
    if isinstance(task, Judged):
        return replace(task, judged=with_metrics(task.judged, metrics))
    kind = type(task).plain if isinstance(task, WithMetrics) else type(task)
    if not metrics and kind is type(task):
        return task
    if not issubclass(kind, Labelled):
        raise DataError([f"the task {task.name} has metrics of its own alone: {', '.join(task.metrics)}"])
    taken = [each.name for each in metrics if each.name in kind.metrics]
    if taken:
        raise DataError([f"{taken[0]} is a metric of the task {task.name}: give the function another name"])
    values = {each.name: getattr(task, each.name) for each in fields(cast("Any", kind)) if each.init}
    if not metrics:
        return kind(**values)
    return _joined(kind)(**values, user_metrics=tuple(metrics))


def metrics_of(task: Task) -> tuple[UserMetric, ...]:
    """The metrics of a task that are its run's own."""
    task = judging_task(task)
    return task.user_metrics if isinstance(task, WithMetrics) else ()


def is_function(task: Task, metric: str) -> bool:
    """Whether a metric of a task is a function of the user's."""
    return any(isinstance(each, MetricFunction) and each.name == metric for each in metrics_of(task))


def stored_costs(task: Task) -> list[list[float]] | None:
    """The matrix of a task's costs, JSON-able; None without one."""
    own = metrics_of(task)
    return next(([list(row) for row in each.matrix] for each in own if isinstance(each, Costs)), None)


def stored_task(values: Mapping[str, Any]) -> Task:
    """The task that `to_dict` wrote, with its own metrics. Raises DataError, SettingsError as `task_from_dict`."""
    task = task_from_dict({key: value for key, value in values.items() if key != STORED})
    if isinstance(task, Judged):
        return replace(task, judged=stored_task(values["judged"]))
    return with_metrics(task, [_stored_metric(each, task) for each in values.get(STORED) or ()])


def _stored_metric(values: Mapping[str, Any], task: Task) -> UserMetric:
    match values.get("kind"):
        case "costs":
            return Costs.from_dict(values, task)
        case "function":
            return MetricFunction.from_dict(values)
        case kind:
            raise DataError([f"a metric of an unknown kind {kind!r}"])
