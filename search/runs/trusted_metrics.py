"""Which stored metrics may be run: those of files that a search of this user ran before, by their digests.

A run holds a copy of its file of metrics. Whoever wrote the folder wrote that, too, so a copy is run only where
this user's own search, whose configuration named the file, has recorded its digest on this machine; or where the
command has `--trust-metric`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from foldtune.errors import InputError, RunCorrupt
from foldtune.home import user_state_folder
from foldtune.results.runs.store import RunStore
from foldtune.trainers.tasks import Task
from foldtune.trainers.user_metrics.function import MetricFunction, digest_of
from foldtune.trainers.user_metrics.task import UserMetric, metrics_of, with_metrics

MAX_DIGESTS = 1000
"""Digests that are kept; the oldest go."""
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
    digest = digest_of(source)
    with suppress(OSError, RuntimeError):
        known = [each for each in _known() if each != digest]
        path = user_state_folder() / "metrics"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = "".join(f"{each}\n" for each in [*known, digest][-MAX_DIGESTS:])
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)


def with_trusted_metrics(task: Task, store: RunStore) -> Task:
    """Return a stored run's task, its function unlocked where this user trusts the run's copy of the file.

    Raises:
        RunCorrupt: the copy is not the file that the run was started with.
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
    if not isinstance(metric, MetricFunction) or not (_TRUST_ALL[0] or metric.digest in _known()):
        return metric
    source = store.read_metric()
    if source is None:
        return metric
    try:
        return metric.unlocked(source)
    except InputError as error:
        raise RunCorrupt(f"{store.metric_path}: {error}") from None


def _known() -> list[str]:
    with suppress(OSError, RuntimeError):
        path = user_state_folder() / "metrics"
        return path.read_text(errors="replace").splitlines() if path.is_file() else []
    return []
