"""The ensemble of a run, or of several: finalists race over the folds, vote, and everything is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt
import pandas as pd

from foldtune.cluster.resources import TrialResources
from foldtune.errors import TimeIsUp, WorkError
from foldtune.results.records.ranking import finalists
from foldtune.search.config.schema import EnsembleConfig
from foldtune.search.data.columns import labelled_columns
from foldtune.search.ensemble.members import StoredMember
from foldtune.search.ensemble.metadata import describe
from foldtune.search.ensemble.plan import RACE_FOLDS, Candidate
from foldtune.search.ensemble.racing import MIN_FINALISTS, Dropped, drop_weak
from foldtune.search.ensemble.sources import JudgedRows, Source
from foldtune.search.ensemble.submission import drop_object_arrays, write_test_rows
from foldtune.search.runs.postprocessing import common_postprocess
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.search.workers.fold_model import FoldJob, FoldOutcome, FoldWork
from foldtune.trainers.arrays.lazy import stack

Array = npt.NDArray[Any]
Train: TypeAlias = Callable[
    [Mapping[str, tuple[FoldWork, TrialResources]], Sequence[FoldJob]],
    Iterator[FoldOutcome],
]
"""Where fold models come from, as `search.ensemble.fold_tasks.ensure_all_trained`, which trains in a Ray session."""


@dataclass(frozen=True)
class Ensemble:
    """A finished ensemble.

    Attributes:
        description: what ensemble.json holds.
        submission: as stored in submission.csv, None without a test table.
    """

    description: dict[str, Any]
    submission: pd.DataFrame | None


class Watcher(Protocol):
    """Observer of the training of fold models."""

    def on_outcome(self, outcome: FoldOutcome) -> None:
        """A fold model is ready, or failed; called again where a later stage uses it again."""

    def on_dropped(self, dropped: Sequence[Dropped]) -> None:
        """These candidates were eliminated."""


@dataclass(frozen=True)
class Terms:
    """What may differ from an ensemble as its configuration has it.

    Attributes:
        epochs: length of the schedule of models that are trained, None for the run's own.
        cuts: what of the configured ensemble gave way to the time, a text each.
        partial: whether members, then folds, whose models were not trained are left out; else each has to be there.
        as_searched: whether a trial that was stopped stands for its fold with the model that it has.
    """

    epochs: int | None = None
    cuts: tuple[str, ...] = ()
    partial: bool = False
    as_searched: bool = False


def build_ensemble(
    sources: Sequence[Source],
    plan: EnsembleConfig,
    chosen: Sequence[Candidate],
    train: Train,
    watcher: Watcher,
    terms: Terms | None = None,
) -> Ensemble:
    """Train what is missing, vote, and replace an earlier ensemble.

    Only models of its members and of the run's best `ensemble.top` trials are kept, so that fewer members or another
    voting train nothing again; of eliminated candidates only their scores are kept.

    Args:
        sources: the runs; the ensemble lies in the folder of the first.
        chosen: the finalists, the best first.

    Raises:
        WorkError: fold models failed; what is ready stays on disk, so running it again trains only the rest.
        TimeIsUp: no fold of the best one was ready in time.
        SubmissionError: the ids or columns are not those of the sample.
    """
    home = sources[0].run
    training = _Training(sources, plan, train, watcher, terms or Terms())
    dropped = _race(training, chosen) if plan.race else []
    out = {each.member for each in dropped}
    staying = [candidate for candidate in chosen if candidate.id not in out]
    values = training.run([training.job(each, fold) for each in staying for fold in range(plan.folds)])
    if training.terms.partial:
        staying = training.leave_out(staying, values)
    built = _vote(training, chosen, staying, values, dropped)
    records = home.store.trials()
    likely = finalists(records, home.goal, home.config.ensemble.top)
    unreadable = {record.trial_id for record in records if not record.is_readable}
    models = {each.id for each in staying} | {record.trial_id for record in likely} | unreadable
    home.store.ensemble.keep(models - out, out)
    return built


class _Training:
    """Trains folds of candidates for one ensemble."""

    def __init__(
        self, sources: Sequence[Source], plan: EnsembleConfig, train: Train, watcher: Watcher, terms: Terms
    ) -> None:
        self.sources, self.plan, self.terms = sources, plan, terms
        self.home = sources[0].run.store.ensemble
        self._train, self._watcher = train, watcher
        self._works = {
            source.run.store.name: (
                replace(source.work(self.home.root, plan.tta), epochs=terms.epochs, as_searched=terms.as_searched),
                source.run.config.resources.of_trial,
            )
            for source in sources
        }

    def job(self, candidate: Candidate, fold: int, *, model: bool = True, test: bool = True) -> FoldJob:
        return FoldJob(candidate.id, candidate.run.store.name, candidate.record.trial_id, fold, model, test)

    def run(self, jobs: Sequence[FoldJob]) -> dict[tuple[str, int], float]:
        """The value of each fold model, once all are ready; raises WorkError."""
        failed: list[FoldOutcome] = []
        values: dict[tuple[str, int], float] = {}
        for outcome in self._train(self._works, jobs):
            self._watcher.on_outcome(outcome)
            if outcome.value is None:
                failed.append(outcome)
            else:
                values[outcome.member, outcome.fold] = outcome.value
        if failed:
            first = min(failed, key=lambda outcome: (outcome.member, outcome.fold))
            where = self.home.member(first.member, first.fold).root
            raise WorkError(
                f"{len(failed)} of {len(jobs)} fold models failed; trial {first.member}, fold {first.fold}: "
                f"{first.error} (see {where}); the others are kept, run the command again to train the rest"
            )
        return values

    def leave_out(self, staying: Sequence[Candidate], values: Mapping[tuple[str, int], float]) -> list[Candidate]:
        """The members whose fold models are all there; where none is, of fewer folds. Raises TimeIsUp."""
        counts = {
            each.id: next((fold for fold in range(self.plan.folds) if (each.id, fold) not in values), self.plan.folds)
            for each in staying
        }
        folds = max(counts.values(), default=0)
        whole = [each for each in staying if counts[each.id] >= folds]
        if folds == 0 or len(whole) < (self.plan.min_votes or 1):
            raise TimeIsUp(
                "the time was over before the folds of a finalist were trained; what is trained is kept: the same "
                "command goes on from there"
            )
        lines = [
            f"trial {each.id}: {counts[each.id]} of {self.plan.folds} folds in time, left out"
            for each in staying
            if each not in whole
        ]
        if folds < self.plan.folds:
            lines.append(f"{folds} {'folds' if folds > 1 else 'fold'} in time, of {self.plan.folds}")
        self.terms = replace(self.terms, cuts=(*self.terms.cuts, *lines))
        self.plan = self.plan.model_copy(update={"folds": folds})
        return whole

    def stored(self, candidate: Candidate) -> StoredMember:
        return StoredMember(self.home, candidate, source_of(self.sources, candidate), self.plan.tta)

    def rows(self, folds: int) -> JudgedRows:
        """The rows of the first so many folds, or their cases."""
        return JudgedRows.of(self.sources[0].labelled, folds)

    def drop(self, dropped: Sequence[Dropped]) -> None:
        self._watcher.on_dropped(dropped)


def _race(training: _Training, chosen: Sequence[Candidate]) -> list[Dropped]:
    """Train the first folds of all and return the eliminated candidates; deterministic."""
    plan, first = training.plan, training.sources[0]
    at_least = max(MIN_FINALISTS, plan.min_votes or 0)
    if len(chosen) <= at_least:
        return []
    # The first one's model of fold 0 is what test scores are compared with, whoever wins.
    raced = training.run(
        [
            training.job(each, fold, model=False, test=each is chosen[0] and fold == 0)
            for each in chosen
            for fold in range(RACE_FOLDS)
        ]
    )
    if training.terms.partial and len(raced) < len(chosen) * RACE_FOLDS:
        return []  # the time is over
    rows = training.rows(RACE_FOLDS)
    dropped = drop_weak(
        first.run.task,
        first.run.goal,
        {each.id: training.stored(each).oof_scores(rows.ids, RACE_FOLDS) for each in chosen},
        rows.targets,
        rows.folds,
        rows.ids if rows.groups is None else rows.groups,
        at_least=at_least,
        fixed=common_postprocess([each.record for each in chosen]),
    )
    training.drop(dropped)
    return dropped


def _vote(
    training: _Training,
    chosen: Sequence[Candidate],
    staying: Sequence[Candidate],
    values: dict[tuple[str, int], float],
    dropped: Sequence[Dropped],
) -> Ensemble:
    plan, first = training.plan, training.sources[0]
    run, labelled, test = first.run, first.labelled, first.test
    rows = training.rows(plan.folds)
    ids, folds, targets, groups = rows.ids, rows.folds, rows.targets, rows.groups
    stored = [training.stored(each) for each in staying]
    members = [
        Member(
            each.candidate.id,
            each.oof_scores(ids, plan.folds),
            tuple(values[each.candidate.id, fold] for fold in range(plan.folds)),
            None if test is None else each.test_scores(test.ids, plan.folds),
        )
        for each in stored
    ]
    fixed = common_postprocess([each.record for each in staying])
    judged = estimate(
        Objective(run.task, run.goal.metric, targets),
        members,
        folds,
        voting=plan.voting,
        min_votes=plan.min_votes,
        bootstrap=Bootstrap(groups, seed=run.config.search.seed),
        fixed=fixed,
        columns=labelled_columns(run.config.data, run.task, ids.tolist()),
    )
    if test is not None and fixed is None:
        tests = [member.test_scores for member in members if member.test_scores is not None]
        combiner = judged.combiner.with_adapted_thresholds(run.task, [member.scores for member in members], tests)
        judged = replace(judged, combiner=combiner)  # for new rows alone: the estimate is of out-of-fold scores
    by_id = {each.id: each for each in chosen}
    cuts = {"cuts": list(training.terms.cuts)} if training.terms.cuts else {}
    description = cuts | describe(
        [source.run for source in training.sources],
        plan,
        stored,
        members,
        judged,
        targets,
        ranked_first=chosen[0],
        fixed=fixed,
        dropped=[(by_id[each.member], each) for each in dropped],
        data={"train": labelled.digest, "test": "" if test is None else test.digest},
    )
    oof: dict[str, Array] = {
        "ids": ids,
        "folds": folds,
        "targets": targets,
        "scores": judged.scores,
        "predictions": judged.predictions,
        "member_scores": stack([member.scores for member in members]),
    }
    if groups is not None:
        oof["groups"] = groups
    with run.store.ensemble.replacing() as stage:
        submission = None
        if test is not None:
            single = training.stored(by_id[description["best_single"]["trial_id"]])
            submission = write_test_rows(run, members, judged.combiner, single, test, stage)
        stage.write_oof(drop_object_arrays(oof))
        stage.write(description)
    return Ensemble(description, submission)


def source_of(sources: Sequence[Source], candidate: Candidate) -> Source:
    """The source of a candidate's run."""
    return next(source for source in sources if source.run is candidate.run)
