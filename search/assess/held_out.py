"""Answers on rows that were held back: an ensemble's out-of-fold rows, or the validation rows of one trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.canonical import canonical_text
from foldtune.errors import DataError, InputError, RunCorrupt
from foldtune.results.records.ranking import finalists
from foldtune.results.records.stored_json import require
from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.names import is_run, possible_roots
from foldtune.results.runs.store import RunStore
from foldtune.search.assess.stored_estimate import check_estimate, check_lengths, check_trial_scores
from foldtune.search.data.dataset import read_labels
from foldtune.search.runs.postprocessing import judged_scores, own_postprocess
from foldtune.search.runs.run import Run, open_run
from foldtune.search.runs.stored_task import read_task
from foldtune.search.runs.trusted_metrics import with_trusted_metrics
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.arrays.lazy import as_lazy
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.tasks import Task
from foldtune.wording import unknown

Array = npt.NDArray[Any]
TRIALS = "trials"


@dataclass(frozen=True)
class HeldOut:
    """Predictions of a model for rows that it was not trained on, with their targets.

    Attributes:
        metric: metric that its post-processing was fitted to.
        ids: (N,) ids of the rows.
        targets, scores, predictions: (N, ...); the predictions are cross-fitted, each row by a fit on other rows.
        groups: (N,) rows of one group belong together; None without groups.
    """

    name: str
    task: Task
    metric: str
    ids: npt.NDArray[np.str_]
    targets: Array
    scores: Array
    predictions: Array
    groups: npt.NDArray[np.str_] | None = None


def find_held_out(name: str, storage: Path | str, data: Path | None = None) -> HeldOut:
    """Return the rows of an ensemble (its folder), of a trial (its folder), or of a run's best trial (the run).

    Args:
        name: a path, or a name under `storage`: `skin`, `skin/ensemble`, `skin/trials/0004`.
        data: where the run's `data.root` lies now, None where it did not move.

    Raises:
        ResultsError: nothing there, or damaged.
        InputError: a group of runs; a run without stored scores; a table that is gone.
    """
    for root in possible_roots(name, storage):
        if EnsembleDir(root).exists():
            return of_ensemble(EnsembleDir(root), name, data)
        parent = root.resolve().parent
        if parent.name == TRIALS and is_run(parent.parent):
            run = open_run(str(parent.parent), storage, data)
            run.store.find_trial(root.name)
            return of_trial(run, root.name)
    run = open_run(name, storage, data)
    return of_trial(run, best_trial(run).trial_id)


def best_trial(run: Run) -> TrialRecord:
    """Return the best trial by the run's goal. Raises InputError where none has finished."""
    records = finalists(run.store.trials(), run.goal, 1)
    if not records:
        raise InputError(f"run {run.store.name!r} has no finished trial: search first")
    return records[0]


def of_trial(run: Run, trial_id: str) -> HeldOut:
    """Return the validation rows of a trial, post-processing fitted for the run's metric on other rows.

    Where the metric is one of scores, so that none can be fitted, the trial's own predicts.

    Raises:
        InputError: it has no stored scores.
    """
    trial = run.store.trial(trial_id)
    record, stored = trial.record(), trial.read_scores()
    if record is None or stored is None or stored.targets is None:
        raise InputError(f"trial {trial_id} of run {run.store.name!r} has no stored scores")
    check_trial_scores(run.task, stored, trial.scores_path)
    judged = judged_scores(run.task, stored)
    groups = groups_of(groups_by_id(run), stored.ids[judged.rows])
    if run.goal.metric in run.task.tunable_metrics:
        splits = make_splits(run.task.strata(judged.targets), groups)
        scores, predictions = judged.cross_fitted(run.goal.metric, splits)
    else:
        scores, predictions = judged.predict(own_postprocess(run, record, stored))
    name = f"{run.store.name}, trial {trial_id}"
    ids = stored.ids if judged.cases is None else judged.cases.names
    return HeldOut(name, run.task, run.goal.metric, ids, judged.targets, scores, predictions, groups)


def of_ensemble(directory: EnsembleDir, name: str, data: Path | None = None) -> HeldOut:
    """Return the out-of-fold rows of an ensemble, with the predictions of its estimate; `data` as of `open_run`.

    Raises:
        RunCorrupt: files that are gone, or do not belong together.
    """
    return of_stored(directory, name, directory.read(), directory.read_oof(), data)


def of_stored(
    directory: EnsembleDir,
    name: str,
    description: Mapping[str, Any] | None,
    stored: Mapping[str, Array] | None,
    data: Path | None = None,
) -> HeldOut:
    """Return the held-out rows of an ensemble whose JSON and out-of-fold arrays were read already; else `of_ensemble`.

    Raises:
        RunCorrupt: they are gone, do not belong together, or contradict the stored estimate.
    """
    needed = {"ids", "targets", "scores"}
    if description is None or stored is None or not needed <= set(stored):
        raise RunCorrupt(f"{directory.oof_path} lacks {', '.join(sorted(needed))}; run foldtune ensemble again")
    require(description, ("task", "metric"), directory.json_path)
    task, metric = read_task(description["task"], directory.json_path), str(description["metric"])
    parent = directory.root.resolve().parent
    if is_run(parent):
        task = with_trusted_metrics(task, RunStore(parent))
    if metric not in task.metrics:
        raise RunCorrupt(f"{directory.json_path}: metric: {unknown('metric', metric, task.metrics)}")
    check_lengths(stored, directory)
    groups = stored.get("groups")
    if groups is None and is_run(parent):
        run = open_run(str(parent), ".", data)
        groups = groups_of(groups_by_id(run), stored["ids"])
    predictions = held_out_predictions(task, description, stored)
    scores = as_lazy(stored["scores"])
    check_estimate(task, description, stored, directory)
    return HeldOut(name, task, metric, stored["ids"], stored["targets"], scores, predictions, groups)


def held_out_predictions(task: Task, description: Mapping[str, Any], stored: Mapping[str, Array]) -> Array:
    """Cross-fitted predictions (N, ...) of an ensemble, just those of its estimate.

    Args:
        description: content of ensemble.json.
        stored: arrays of oof.npz; missing predictions are fitted again, in the same folds.

    Raises:
        RunCorrupt: scores that it lacks, too.
    """
    if "predictions" in stored:
        return stored["predictions"]
    if lacking := sorted({"targets", "folds", "member_scores"} - set(stored)):
        raise RunCorrupt(f"the ensemble's oof.npz lacks {', '.join(lacking)}; run foldtune ensemble again")
    ids = [str(member["trial_id"]) for member in description["members"]]
    return estimate(
        Objective(task, str(description["metric"]), stored["targets"]),
        [Member(trial_id, as_lazy(scores), ()) for trial_id, scores in zip(ids, stored["member_scores"], strict=True)],
        stored["folds"],
        voting=str(description.get("asked", description["voting"])),
        min_votes=description.get("asked_min_votes", description["min_votes"]),
        bootstrap=Bootstrap(stored.get("groups"), samples=0),
        fixed=description.get("fixed_postprocess"),
    ).predictions


def groups_by_id(run: Run) -> dict[str, str] | None:
    """Group of each row by its id, None where the run has none: rows of a group must not be on both sides of a fit.

    Raises:
        InputError: the table is gone or wrong.
    """
    data = run.config.data
    if data.group is None and data.case_column is None:
        return None
    try:
        table = read_labels(data, run.task, merge=False)
    except DataError as error:
        raise InputError(error.problems) from None
    assert table.groups is not None
    return dict(zip(table.ids.tolist(), table.groups.tolist(), strict=True))


def groups_of(groups: Mapping[str, str] | None, ids: npt.NDArray[np.str_]) -> npt.NDArray[np.str_] | None:
    """Return the groups (N,) of rows; a row that the table no longer holds is a group of its own."""
    if groups is None:
        return None
    return np.array([groups.get(name, groups.get(canonical_text(name), name)) for name in ids.tolist()])
