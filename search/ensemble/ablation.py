"""What each of several choices changes, beside a base, on the same rows, folds and seeds, after a race of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from foldtune.search.ensemble.build import race_finalists
from foldtune.search.ensemble.fold_training import Training
from foldtune.search.ensemble.plan import RACE_FOLDS, Candidate
from foldtune.search.ensemble.racing import cross_fitted_answers
from foldtune.search.runs.postprocessing import common_postprocess
from foldtune.search.voting.bootstrap import Answers, Bootstrap, Interval, mean_paired_interval
from foldtune.search.voting.evaluation import Objective


@dataclass(frozen=True)
class Effect:
    """What one choice gives.

    Attributes:
        value: the metric of its out-of-fold predictions, cross-fitted; the mean over the seeds.
        difference: from the base on the same rows, with its interval over their choice; None for the base.
        folds, seeds: numbers of folds and seeds that it was trained on: fewer where it dropped out.
        is_certain: whether the interval, and the difference of each seed, lie on one side of 0.
    """

    candidate: Candidate
    value: float
    difference: Interval | None
    folds: int
    seeds: int
    is_certain: bool = False


def effects(training: Training, chosen: Sequence[Candidate]) -> list[Effect]:
    """Train what is missing and return the effect of each choice, the first of which is the base.

    After two folds of the first seed the clearly weak ones drop out; the base never does. Models stay for those that do
    not, scores for all.

    Args:
        training: with the numbers of folds and seeds, from 2 and 1.

    Raises:
        WorkError: fold models failed; the others are kept.
    """
    plan, base = training.plan, chosen[0]
    dropped = race_finalists(training, chosen) if plan.folds > RACE_FOLDS else []
    out = {each.member for each in dropped} - {base.id}
    staying = [each for each in chosen if each.id not in out]
    training.run([replace(job, model=False) for job in training.fold_jobs(staying, range(plan.seeds))])
    if not training.home.exists():  # else its members' models stay
        training.home.keep((each.id for each in staying), (each.id for each in chosen))
    whole, raced = _Rows(training, chosen, plan.folds, plan.seeds), _Rows(training, chosen, RACE_FOLDS, 1)
    return [(raced if each.id in out else whole).effect(each, base) for each in chosen]


class _Rows:
    """The rows of the first so many folds, as the models of the first so many seeds answer for them."""

    def __init__(self, training: Training, chosen: Sequence[Candidate], folds: int, seeds: int) -> None:
        run, self._rows = training.sources[0].run, training.rows(folds)
        self._training, self._folds, self._seeds = training, folds, seeds
        self._fixed = common_postprocess([each.record for each in chosen])
        self._objective = Objective(run.task, run.goal.metric, self._rows.targets)
        groups = self._rows.ids if self._rows.groups is None else self._rows.groups
        self._bootstrap = Bootstrap(groups, seed=run.config.search.seed)

    def effect(self, candidate: Candidate, base: Candidate) -> Effect:
        ours = self._answers(candidate)
        values = [self._objective.value(*each) for each in ours]
        value = sum(values) / len(values)
        if candidate is base:
            return Effect(candidate, value, None, self._folds, self._seeds)
        theirs = self._answers(base)
        difference = mean_paired_interval(self._objective, list(zip(ours, theirs, strict=True)), self._bootstrap)
        of_seeds = [own - self._objective.value(*other) for own, other in zip(values, theirs, strict=True)]
        bounds = (difference.low, difference.high, *of_seeds)
        certain = min(bounds) > 0 or max(bounds) < 0
        return Effect(candidate, value, difference, self._folds, self._seeds, certain)

    def _answers(self, candidate: Candidate) -> list[Answers]:
        rows, stored = self._rows, self._training.stored(candidate)
        scores = (stored.seed_scores(rows.ids, self._folds, seed) for seed in range(self._seeds))
        return [cross_fitted_answers(self._objective, each, rows.folds, self._fixed) for each in scores]
