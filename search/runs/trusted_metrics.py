"""Which stored metrics may be run: those of files that a search of this user ran before, by their digests.

A run holds a copy of its file of metrics. Whoever wrote the folder wrote that, too, so a copy is run only where
this user's own search, whose configuration named the file, has recorded its digest on this machine; or where the
command has `--trust-metric`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from foldtune.errors import InputError, MetricUntrusted
from foldtune.home import remember, remembered
from foldtune.results.runs.store import RunStore
from foldtune.trainers.tasks import Task
from foldtune.trainers.user_metrics.function import MetricFunction, digest_of
from foldtune.trainers.user_metrics.task import UserMetric, metrics_of, with_metrics

MAX_DIGESTS = 1000
"""Digests that are kept; the oldest go."""
_RECORDED = "metrics"
_TRUST_ALL: list[bool] = [False]  # of a command with --trust-metric


@contextmanager
def trusting_metrics(trust: bool) -> Iterator[None]:
    """Run the metrics of every run that is opened meanwhile, where `trust` is true."""
    before, _TRUST_ALL[0] = _TRUST_ALL[0], trust
    try:
        yield
    finally:
        _TRUST_ALL[0] = before


def record_metric(source: str) -> None:
    """Record a file of metrics that the user's own configuration names; without a home folder it is not kept."""
    remember(_RECORDED, digest_of(source), MAX_DIGESTS)


def with_trusted_metrics(task: Task, store: RunStore) -> Task:
    """Return a stored run's task, its function unlocked where this user trusts the run's copy of the file.

    Raises:
        MetricUntrusted: the copy is not the file that the run was started with.
    """
    own = metrics_of(task)
    return with_metrics(task, [_unlocked(each, store) for each in own]) if own else task


def own_function(task: Task) -> MetricFunction | None:
    """Return the function that is a metric of a task, None without one."""
    return next((each for each in metrics_of(task) if isinstance(each, MetricFunction)), None)


def require_available(task: Task, metric: str) -> None:
    """Raise MetricUntrusted where the metric is a function that must not be run here."""
    function = own_function(task)
    if function is not None and function.name == metric:
        function.require_available()


def _unlocked(metric: UserMetric, store: RunStore) -> UserMetric:
    if not isinstance(metric, MetricFunction) or not (_TRUST_ALL[0] or metric.digest in remembered(_RECORDED)):
        return metric
    source = store.read_metric()
    if source is None:
        return metric
    try:
        return metric.unlocked(source)
    except InputError as error:
        raise MetricUntrusted(f"{store.metric_path}: {error}; put that file back, or remove the copy") from None
