"""What an ensemble is to be and who may vote: the command's options over the run's own settings, the best trials."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from foldtune.errors import InputError, RunCorrupt
from foldtune.results.records.ranking import finalists
from foldtune.results.records.stored_json import MAX_SEEDS
from foldtune.results.records.trials import TrialRecord
from foldtune.search.config.schema import EnsembleConfig
from foldtune.search.runs.run import Run
from foldtune.search.runs.trusted_metrics import require_available
from foldtune.search.voting.combiner import check_voting
from foldtune.trainers.loading.tta import TTA
from foldtune.wording import unknown

REFITS = ("all",)
"""Rows of which each configuration may have one more model."""
RACE_FOLDS = 2
"""Folds that every finalist trains before weak ones drop out."""


@dataclass(frozen=True)
class EnsembleOptions:
    """Options of the user; None takes the run's configuration."""

    top: int | None = None
    folds: int | None = None
    voting: str | None = None
    min_votes: int | None = None
    tta: str | None = None
    race: bool | None = None
    time_limit: float | None = None
    seeds: int | None = None
    refit: str | None = None


def plan_ensemble(run: Run, asked: EnsembleOptions) -> EnsembleConfig:
    """Return the run's own settings with the user's over them, checked: no race without folds to save, no idle votes.

    Raises:
        InputError: all that cannot be: more folds than the run has, an unknown voting or view, too many votes.
    """
    require_available(run.task, run.goal.metric)
    own = run.config.ensemble
    plan = own.model_copy(update={name: value for name, value in asdict(asked).items() if value not in (None, "")})
    votes = asked.min_votes is not None or plan.voting in ("hard", "auto")
    race = plan.race and plan.folds > RACE_FOLDS
    plan = plan.model_copy(update={"min_votes": plan.min_votes if votes else None, "race": race})
    problems = _problems(plan, own.folds) + _vote_problems(run, plan)
    if asked.race and not race:
        problems.append(
            f"--race: with --folds {plan.folds} there is nothing to save after {RACE_FOLDS} folds; give more"
        )
    if problems:
        raise InputError(problems)
    return plan


def left_views(run: Run, asked: EnsembleOptions, plan: EnsembleConfig) -> str | None:
    """Return a note if no augmentation is given and the run's present ensemble has another one, else None."""
    stored = None
    with suppress(RunCorrupt):  # it is about to be replaced
        stored = (run.store.ensemble.read() or {}).get("tta")
    if asked.tta is not None or stored not in TTA or stored == plan.tta:
        return None
    now = f"{plan.tta} views" if plan.tta else "each configuration's own views"
    return f"the ensemble of run {run.store.name!r} has {stored} views; this one takes {now}: --tta {stored} keeps them"


def _problems(plan: EnsembleConfig, frozen: int) -> list[str]:
    problems = []
    least = min(2, frozen)
    if not least <= plan.folds <= frozen:
        valid = f"give 2 to {frozen}" if frozen > 1 else "leave it out"
        problems.append(f"--folds {plan.folds}: the run's rows are frozen into {frozen} folds; {valid}")
    if plan.top < 1:
        problems.append(f"--top {plan.top}: give at least 1 configuration")
    if plan.tta is not None and plan.tta not in TTA:
        problems.append(f"--tta: {unknown('views', plan.tta, TTA)}")
    if plan.refit not in (None, *REFITS):
        problems.append(f"--refit: {unknown('rows', plan.refit, REFITS)}")
    if not 1 <= plan.seeds <= MAX_SEEDS:
        problems.append(f"--seeds {plan.seeds}: give 1 to {MAX_SEEDS}")
    return problems


def _vote_problems(run: Run, plan: EnsembleConfig) -> list[str]:
    try:
        check_voting(
            run.task,
            run.goal.metric,
            plan.voting,
            max(1, plan.top),
            plan.min_votes,
            columns=bool(run.config.data.columns),
        )
    except InputError as error:
        return [_as_option(text) for text in error.problems]
    return []


def _as_option(problem: str) -> str:
    """A problem of a vote, named as the command names it."""
    if problem.startswith("min_votes"):
        return "--" + problem.replace("min_votes", "min-votes", 1)
    return f"--{problem}" if problem.startswith("voting ") else f"--voting: {problem}"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A configuration of a run.

    Attributes:
        id: id of the member: TRIAL, or RUN/TRIAL for a trial of another run than the ensemble's.
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
    return f"{run.task.name} of {run.config.data.target_described} with {len(labels)} classes ({shown})"


def choose_finalists(runs: Sequence[Run], plan: EnsembleConfig) -> list[Candidate]:
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
