"""What an ensemble is to be: the command's options over the run's own settings, checked as a whole."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from foldtune.errors import InputError, RunCorrupt
from foldtune.search.runs.run import Run
from foldtune.search.runs.trusted_metrics import require_available
from foldtune.search.voting.combiner import check_voting
from foldtune.trainers.loading.tta import TTA
from foldtune.wording import unknown

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


@dataclass(frozen=True)
class EnsemblePlan:
    """What an ensemble is made of.

    Attributes:
        top: number of configurations at the start.
        folds: number of folds, the first ones of the run's frozen assignment.
        voting: one of `search.voting.combiner.VOTINGS`.
        min_votes: votes needed in a hard vote, in which each configuration has one.
        tta: test-time augmentation of every model, see `trainers.loading.tta`; None: each configuration's own.
        race: whether weak configurations are eliminated after `RACE_FOLDS` folds.
    """

    top: int
    folds: int
    voting: str
    min_votes: int | None
    tta: str | None = None
    race: bool = False


def plan_ensemble(run: Run, asked: EnsembleOptions) -> EnsemblePlan:
    """Fill in the run's own settings and check the sum.

    Raises:
        InputError: all that cannot be: more folds than the run has, an unknown voting or view, too many votes.
    """
    require_available(run.task, run.goal.metric)
    own = run.config.ensemble
    voting = asked.voting or own.voting
    min_votes = asked.min_votes
    if min_votes is None and voting in ("hard", "auto"):
        min_votes = own.min_votes
    folds = own.folds if asked.folds is None else asked.folds
    race = own.race if asked.race is None else asked.race
    plan = EnsemblePlan(
        top=own.top if asked.top is None else asked.top,
        folds=folds,
        voting=voting,
        min_votes=min_votes,
        tta=asked.tta or own.tta,
        race=race and folds > RACE_FOLDS,
    )
    problems = _problems(plan, own.folds) + _vote_problems(run, plan)
    if asked.race and folds <= RACE_FOLDS:
        problems.append(f"--race: with --folds {folds} there is nothing to save after {RACE_FOLDS} folds; give more")
    if problems:
        raise InputError(problems)
    return plan


def left_views(run: Run, asked: EnsembleOptions, plan: EnsemblePlan) -> str | None:
    """Return a note if no augmentation is given and the run's present ensemble has another one, else None."""
    stored = None
    with suppress(RunCorrupt):  # it is about to be replaced
        stored = (run.store.ensemble.read() or {}).get("tta")
    if asked.tta is not None or stored not in TTA or stored == plan.tta:
        return None
    now = f"{plan.tta} views" if plan.tta else "each configuration's own views"
    return f"the ensemble of run {run.store.name!r} has {stored} views; this one takes {now}: --tta {stored} keeps them"


def _problems(plan: EnsemblePlan, frozen: int) -> list[str]:
    problems = []
    least = min(2, frozen)
    if not least <= plan.folds <= frozen:
        valid = f"give 2 to {frozen}" if frozen > 1 else "leave it out"
        problems.append(f"--folds {plan.folds}: the run's rows are frozen into {frozen} folds; {valid}")
    if plan.top < 1:
        problems.append(f"--top {plan.top}: give at least 1 configuration")
    if plan.tta is not None and plan.tta not in TTA:
        problems.append(f"--tta: {unknown('views', plan.tta, TTA)}")
    return problems


def _vote_problems(run: Run, plan: EnsemblePlan) -> list[str]:
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
