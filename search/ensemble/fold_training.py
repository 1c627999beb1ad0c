"""The models of an ensemble's candidates: what is trained, what of it was ready in time, where its scores lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from foldtune.cluster.resources import TrialResources
from foldtune.errors import TimeIsUp, WorkError
from foldtune.results.runs.ensemble_dir import ALL_ROWS, ModelKey, model_name
from foldtune.search.config.schema import EnsembleConfig
from foldtune.search.ensemble.members import StoredMember
from foldtune.search.ensemble.plan import Candidate
from foldtune.search.ensemble.racing import Dropped
from foldtune.search.ensemble.sources import JudgedRows, Source
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome, FoldWork

Train: TypeAlias = Callable[
    [Mapping[str, tuple[FoldWork, TrialResources]], Sequence[FoldJob]],
    Iterator[FoldOutcome],
]
"""Where fold models come from, as `search.ensemble.fold_tasks.ensure_all_trained`, which trains in a Ray session."""


Values: TypeAlias = dict[tuple[str, ModelKey], float | None]
"""By member and model."""


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


class Training:
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

    def job(self, candidate: Candidate, fold: int, seed: int = 0, *, model: bool = True, test: bool = True) -> FoldJob:
        names = candidate.id, candidate.run.store.name, candidate.record.trial_id
        return FoldJob(*names, fold, model, test, seed)

    def fold_jobs(self, staying: Sequence[Candidate], seeds: range) -> list[FoldJob]:
        """The fold models of some seeds; where models of all rows predict, one a member predicts for comparison."""
        every = self.plan.refit is None
        return [
            self.job(each, fold, seed, test=every or fold == seed == 0)
            for seed in seeds
            for each in staying
            for fold in range(self.plan.folds)
        ]

    def run(self, jobs: Sequence[FoldJob]) -> Values:
        """The value of each model, None of all rows', once all are ready; raises WorkError."""
        failed: list[FoldOutcome] = []
        values: Values = {}
        for outcome in self._train(self._works, jobs):
            self._watcher.on_outcome(outcome)
            if outcome.error is not None:
                failed.append(outcome)
            else:
                values[outcome.member, (outcome.fold, outcome.seed)] = outcome.value
        if failed:
            first = min(failed, key=lambda outcome: (outcome.member, outcome.seed, outcome.fold))
            where = self.home.member(first.member, first.fold, first.seed).root
            raise WorkError(
                f"{len(failed)} of {len(jobs)} fold models failed; trial {first.member}, {_named(first)}: "
                f"{first.error} (see {where}); the others are kept, run the command again to train the rest"
            )
        return values

    def run_further(self, staying: Sequence[Candidate]) -> None:
        """Train the further seeds of the members, and their models of all rows; those out of time are left out."""
        plan = self.plan
        jobs = self.fold_jobs(staying, range(1, plan.seeds))
        if plan.refit is not None:
            epochs = [self.stored(each, seeds=1).best_epoch(plan.folds) for each in staying]
            jobs += [replace(self.job(each, ALL_ROWS), epochs=own) for each, own in zip(staying, epochs, strict=True)]
        ready = self.run(jobs) if jobs else {}
        missing = {model for job in jobs if (job.member, model := (job.fold, job.seed)) not in ready}
        if not missing:
            return
        seeds = min((seed for fold, seed in missing if fold != ALL_ROWS), default=plan.seeds)
        refit = None if (ALL_ROWS, 0) in missing else plan.refit
        lines = [f"{seeds} {'seeds' if seeds > 1 else 'seed'} in time, of {plan.seeds}"] if seeds < plan.seeds else []
        lines += [] if refit == plan.refit else ["no model of all rows: not all were ready in time"]
        self.terms = replace(self.terms, cuts=(*self.terms.cuts, *lines))
        self.plan = plan.model_copy(update={"seeds": seeds, "refit": refit})

    def leave_out(self, staying: Sequence[Candidate], values: Values) -> list[Candidate]:
        """The members whose fold models are all there; where none is, of fewer folds. Raises TimeIsUp."""
        every = range(self.plan.folds)
        counts = {
            each.id: next((fold for fold in every if (each.id, (fold, 0)) not in values), self.plan.folds)
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

    def stored(self, candidate: Candidate, seeds: int | None = None) -> StoredMember:
        """A member by what is on disk, of all seeds of the plan or of the first so many."""
        source, plan = source_of(self.sources, candidate), self.plan
        return StoredMember(self.home, candidate, source, plan.tta, seeds or plan.seeds, plan.refit is not None)

    def rows(self, folds: int) -> JudgedRows:
        """The rows of the first so many folds, or their cases."""
        return JudgedRows.of(self.sources[0].labelled, folds)

    def drop(self, dropped: Sequence[Dropped]) -> None:
        self._watcher.on_dropped(dropped)


def _named(outcome: FoldOutcome) -> str:
    return model_name(outcome.fold, outcome.seed).replace("_", " ")


def source_of(sources: Sequence[Source], candidate: Candidate) -> Source:
    """The source of a candidate's run."""
    return next(source for source in sources if source.run is candidate.run)
