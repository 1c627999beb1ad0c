"""The ensemble of a run, or of several: finalists race over the folds, vote, and everything is written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt
import pandas as pd

from foldtune.results.records.ranking import finalists
from foldtune.search.config.schema import EnsembleConfig
from foldtune.search.data.columns import labelled_columns
from foldtune.search.ensemble.fold_training import Terms, Train, Training, Values, Watcher
from foldtune.search.ensemble.metadata import describe, describe_finalists
from foldtune.search.ensemble.plan import RACE_FOLDS, Candidate
from foldtune.search.ensemble.racing import MIN_FINALISTS, Dropped, drop_weak
from foldtune.search.ensemble.sources import Source
from foldtune.search.ensemble.submission import drop_object_arrays, write_test_rows
from foldtune.search.runs.postprocessing import common_postprocess
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.search.voting.seeds import seed_values
from foldtune.trainers.arrays.lazy import stack

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ensemble:
    """A finished ensemble.

    Attributes:
        description: what ensemble.json holds.
        submission: as stored in submission.csv, None without a test table.
    """

    description: dict[str, Any]
    submission: pd.DataFrame | None


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
    training = Training(sources, plan, train, watcher, terms or Terms())
    dropped = race_finalists(training, chosen) if plan.race else []
    out = {each.member for each in dropped}
    staying = [candidate for candidate in chosen if candidate.id not in out]
    values = training.run(training.fold_jobs(staying, range(1)))
    if training.terms.partial:
        staying = training.leave_out(staying, values)
    training.run_further(staying)
    built = _vote(training, chosen, staying, values, dropped)
    records = home.store.trials()
    likely = finalists(records, home.goal, home.config.ensemble.top)
    unreadable = {record.trial_id for record in records if not record.is_readable}
    models = {each.id for each in staying} | {record.trial_id for record in likely} | unreadable
    home.store.ensemble.keep(models - out, out)
    return built


def race_finalists(training: Training, chosen: Sequence[Candidate]) -> list[Dropped]:
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
        {each.id: training.stored(each, seeds=1).oof_scores(rows.ids, RACE_FOLDS) for each in chosen},
        rows.targets,
        rows.folds,
        rows.ids if rows.groups is None else rows.groups,
        at_least=at_least,
        fixed=common_postprocess([each.record for each in chosen]),
    )
    training.drop(dropped)
    return dropped


def _vote(
    training: Training,
    chosen: Sequence[Candidate],
    staying: Sequence[Candidate],
    values: Values,
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
            tuple(values[each.candidate.id, (fold, 0)] or math.nan for fold in range(plan.folds)),
            None if test is None else each.test_scores(test.ids, plan.folds),
        )
        for each in stored
    ]
    fixed = common_postprocess([each.record for each in staying])
    objective = Objective(run.task, run.goal.metric, targets)
    columns = labelled_columns(run.config.data, run.task, ids.tolist())
    bootstrap = Bootstrap(groups, seed=run.config.search.seed)
    options: dict[str, Any] = {"min_votes": plan.min_votes, "bootstrap": bootstrap, "fixed": fixed, "columns": columns}
    judged = estimate(objective, members, folds, voting=plan.voting, **options)
    further: dict[str, Any] = {} if plan.refit is None else {"refit": plan.refit}
    if plan.seeds > 1:
        of_seeds = [[each.seed_scores(ids, plan.folds, seed) for each in stored] for seed in range(plan.seeds)]
        alone = seed_values(objective, of_seeds, folds, voting=judged.combiner.voting, **options)
        further |= {"seeds": plan.seeds, "seed_values": alone}
    if test is not None and fixed is None:
        tests = [member.test_scores for member in members if member.test_scores is not None]
        combiner = judged.combiner.with_adapted_thresholds(run.task, [member.scores for member in members], tests)
        judged = replace(judged, combiner=combiner)  # for new rows alone: the estimate is of out-of-fold scores
    by_id = {each.id: each for each in chosen}
    cuts = {"cuts": list(training.terms.cuts)} if training.terms.cuts else {}
    description = (
        cuts
        | further
        | describe(
            [source.run for source in training.sources],
            plan,
            stored,
            members,
            judged,
            targets,
            fixed=fixed,
            data={"train": labelled.digest, "test": "" if test is None else test.digest},
        )
        | describe_finalists(chosen[0], [(by_id[each.member], each) for each in dropped])
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
