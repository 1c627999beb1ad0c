"""Post-processing of finished trials, fitted to their stored scores: nothing is retrained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from results.records import Scores, TrialRecord
from search.dataset import read_labels
from search.errors import InputError
from search.recorder import finalists
from search.runs import Run
from trainers.errors import DataError, SettingsError
from trainers.postprocess.crossfit import cross_fitted_predictions, make_splits
from trainers.settings import TUNED


@dataclass(frozen=True)
class Refit:
    """What fitting the post-processing of a trial comes to, by one metric.

    Attributes:
        before: with the post-processing that the trial was judged by.
        tuned: cross-fitted: each part of the rows with a fit on the other parts. The figure to believe.
        fitted: on the rows of the fit; it flatters.
        postprocess: fitted to all rows, for new ones.
    """

    trial_id: str
    before: float
    tuned: float
    fitted: float
    postprocess: Mapping[str, Any]


def refit(run: Run, metric: str | None = None, trial_id: str | None = None) -> list[Refit]:
    """Refit one trial, or all that finished with scores; the best cross-fitted one first.

    Raises:
        InputError: a metric that the task does not have or that post-processing cannot change; no stored scores.
        results.errors.TrialNotFound: no such trial.
    """
    metric = metric or run.goal.metric
    try:
        mode = run.task.mode(metric)
    except SettingsError as error:
        raise InputError([problem.message for problem in error.problems]) from None
    if metric not in run.task.tunable_metrics:
        valid = ", ".join(name for name in run.task.metrics if name in run.task.tunable_metrics)
        raise InputError(f"--metric {metric}: post-processing does not change it (it changes: {valid})")
    groups = _groups(run)
    found = [_refit(run, record, scores, metric, groups) for record, scores in _stored(run, trial_id)]
    if not found:
        raise InputError(f"run {run.store.name!r} has no finished trial with stored scores")
    return sorted(found, key=lambda each: -each.tuned if mode == "max" else each.tuned)


def _stored(run: Run, trial_id: str | None) -> Iterator[tuple[TrialRecord, Scores]]:
    """Finished trials with their scores, one at a time: all of them at once would not fit into memory."""
    if trial_id is not None:
        run.store.find_trial(trial_id)
    records = run.store.trials()
    for record in finalists(records, run.goal, len(records)):
        scores = run.store.trial(record.trial_id).read_scores() if trial_id in (None, record.trial_id) else None
        if scores is not None and scores.targets is not None:
            yield record, scores


def _refit(run: Run, record: TrialRecord, stored: Scores, metric: str, groups: Mapping[str, str] | None) -> Refit:
    task, targets = run.task, stored.targets
    assert targets is not None
    scores = task.scores(stored.logits)
    of_rows = None if groups is None else np.array([groups.get(name, name) for name in stored.ids.tolist()])
    splits = make_splits(task.strata(targets), of_rows)

    def value(predictions: npt.NDArray[Any]) -> float:
        return task.evaluate(scores, predictions, targets)[metric]

    tuned = value(cross_fitted_predictions(task, scores, targets, metric, splits))
    postprocess = task.fit_postprocess(scores, targets, metric)
    own = record.config.get("postprocess")
    return Refit(
        trial_id=record.trial_id,
        before=tuned if own == TUNED else value(task.predict(scores, own)),
        tuned=tuned,
        fitted=value(task.predict(scores, postprocess)),
        postprocess=postprocess,
    )


def _groups(run: Run) -> dict[str, str] | None:
    """Group of each row by its id: rows of one group must not be on both sides of a fit."""
    data = run.config.data
    if data.group is None:
        return None
    try:
        table = read_labels(data, run.task)
    except DataError as error:
        raise InputError(error.problems) from None
    assert table.groups is not None
    return dict(zip(table.ids.tolist(), table.groups.tolist(), strict=True))
