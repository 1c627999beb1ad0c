"""Who may vote: the best trials of one run, or of several of the same data and folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foldtune.errors import InputError
from foldtune.results.runs.ranking import finalists
from foldtune.results.runs.records import TrialRecord
from foldtune.search.ensemble.plan import EnsemblePlan
from foldtune.search.runs.run import Run


@dataclass(frozen=True, eq=False)
class Candidate:
    """A configuration of a run.

    Attributes:
        id: id of the member: TRIAL, or RUN/TRIAL for a trial of another run than the ensemble's.
        run: run of the trial.
        record: record of the trial.
    """

    id: str
    run: Run
    record: TrialRecord


def check_runs(runs: Sequence[Run]) -> None:
    """Check that several runs can be combined, before their rows are read.

    Raises:
        InputError: a run given twice, two of one name, another task or another metric.
    """
    first, *others = runs
    problems = []
    for run in others:
        name = run.store.name
        if sum(each.store.name == name for each in runs) > 1:
            problems.append(f"run {name!r} is named twice: each run once, and no two of one name")
        if _kind(run) != _kind(first):
            problems.append(
                f"run {name!r} differs in its task: {_task_text(run)}; that of {first.store.name!r} is "
                f"{_task_text(first)}"
            )
        if run.goal != first.goal:
            problems.append(
                f"run {name!r} differs in its metric: {run.goal.metric}; that of {first.store.name!r} is "
                f"{first.goal.metric}"
            )
    if problems:
        raise InputError(list(dict.fromkeys(problems)))


def _kind(run: Run) -> dict[str, Any]:
    """Return the task without its counts, which depend on the rows."""
    return {key: value for key, value in run.task.to_dict().items() if key not in ("counts", "expected_counts")}


def _task_text(run: Run) -> str:
    labels = run.task.label_names
    shown = ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
    return f"{run.task.name} of column {run.config.data.target_name!r} with {len(labels)} classes ({shown})"


def choose_finalists(runs: Sequence[Run], plan: EnsemblePlan) -> list[Candidate]:
    """The best trials of all runs together, at most `plan.top`: complete ones first, then by value.

    Values compare, since all trials are judged on the same rows of fold 0. Of equals the earlier run's goes first.

    Raises:
        InputError: no trial has finished, or fewer than a hard vote needs.
    """
    home = runs[0]
    goal = home.goal
    pool = [
        Candidate(record.trial_id if run is home else f"{run.store.name}/{record.trial_id}", run, record)
        for run in runs
        for record in finalists(run.store.trials(), goal, plan.top)
    ]
    names = " and ".join(repr(run.store.name) for run in runs)
    if not pool:
        raise InputError(f"run {names} has no finished trial to ensemble: search first")
    sign = -1 if goal.mode == "max" else 1
    order = sorted(pool, key=lambda each: (each.record.status != "COMPLETE", sign * each.record.value(goal.metric)))
    chosen = order[: plan.top]
    if plan.min_votes is not None and plan.min_votes > len(chosen):
        raise InputError(f"--min-votes {plan.min_votes}: only {len(chosen)} trials of {names} can vote")
    return chosen
