"""The ensemble of a run: finalists on every fold, their vote, and everything written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cluster.resources import TrialResources
from results.ensembledir import EnsembleDir
from results.records import Scores, TrialRecord
from results.submission import arrange_submission, read_sample, write_submission
from search.dataset import Labelled
from search.ensembling import Ballot, Estimate, Member, best_single, estimate
from search.errors import InputError, WorkError, unknown
from search.finalists import FoldOutcome, FoldWork, Unlabelled, train_folds
from search.recorder import finalists
from search.runs import Run
from search.training import TrialWork

VOTINGS = ("soft", "hard")


@dataclass(frozen=True)
class EnsemblePlan:
    """What an ensemble is made of."""

    top: int
    folds: int
    voting: str
    min_votes: int | None


@dataclass(frozen=True)
class Ensemble:
    """A finished ensemble.

    Attributes:
        description: what ensemble.json holds.
        submission: as stored in submission.csv, None without a test table.
    """

    description: dict[str, Any]
    submission: pd.DataFrame | None


def plan_ensemble(
    run: Run, top: int | None, folds: int | None, voting: str | None, min_votes: int | None
) -> EnsemblePlan:
    """Fill in the run's own settings and check the sum.

    Raises:
        InputError: more folds than the run has, a voting that the task does not know, too many votes.
    """
    own = run.config.ensemble
    chosen = own.voting if voting is None else voting
    if min_votes is None and chosen == "hard":
        min_votes = own.min_votes
    plan = EnsemblePlan(
        own.top if top is None else top,
        own.folds if folds is None else folds,
        chosen,
        min_votes,
    )
    problems = []
    if not 2 <= plan.folds <= own.folds:
        problems.append(
            f"--folds {plan.folds}: the run's rows are frozen into {own.folds} folds; give 2 to {own.folds}"
        )
    if plan.top < 1:
        problems.append(f"--top {plan.top}: give at least 1 configuration")
    if plan.voting not in VOTINGS:
        problems.append(f"--voting: {unknown('voting', plan.voting, VOTINGS)}")
    if plan.min_votes is not None and plan.voting != "hard":
        problems.append("--min-votes: only a hard vote counts votes; add --voting hard")
    if plan.min_votes is not None and not 1 <= plan.min_votes <= plan.top:
        problems.append(
            f"--min-votes {plan.min_votes}: each of {plan.top} configurations has one vote; give 1 to {plan.top}"
        )
    if problems:
        raise InputError(problems)
    return plan


def choose_finalists(run: Run, plan: EnsemblePlan) -> list[TrialRecord]:
    """The best trials of the run, at most `plan.top`.

    Raises:
        InputError: no trial has finished, or fewer than a hard vote needs.
    """
    chosen = finalists(run.store.trials(), run.goal, plan.top)
    if not chosen:
        raise InputError(f"run {run.store.name!r} has no finished trial to ensemble: search first")
    if plan.min_votes is not None and plan.min_votes > len(chosen):
        raise InputError(f"--min-votes {plan.min_votes}: only {len(chosen)} trials of the run can vote")
    return chosen


def build_ensemble(
    run: Run,
    plan: EnsemblePlan,
    chosen: Sequence[TrialRecord],
    labelled: Labelled,
    test: Unlabelled | None,
    on_outcome: Callable[[FoldOutcome], None],
) -> Ensemble:
    """Train what is missing in the connected Ray session, vote, and put the ensemble in the place of an earlier one.

    Fold models of trials that are neither members nor among the run's best `ensemble.top` are removed afterwards:
    so trying fewer members or another voting trains nothing again, and the disk stays bounded.

    Args:
        on_outcome: told each fold model that is ready.

    Raises:
        WorkError: fold models failed; what is ready stays on disk, so running it again trains only the rest.
        results.errors.SubmissionError: the ids or columns are not those of the sample.
    """
    outcomes = _train(run, plan, chosen, labelled, test, on_outcome)
    rows = np.flatnonzero(labelled.folds < plan.folds)
    members = [_member(run, record, plan.folds, labelled, rows, test, outcomes) for record in chosen]
    built = _vote(run, plan, chosen, members, labelled, rows, test)
    likely = finalists(run.store.trials(), run.goal, run.config.ensemble.top)
    run.store.ensemble.keep(record.trial_id for record in [*chosen, *likely])
    return built


def _train(
    run: Run,
    plan: EnsemblePlan,
    chosen: Sequence[TrialRecord],
    labelled: Labelled,
    test: Unlabelled | None,
    on_outcome: Callable[[FoldOutcome], None],
) -> dict[tuple[str, int], FoldOutcome]:
    config = run.config
    trial = TrialWork(
        root=str(run.store.root.resolve()),
        labelled=labelled,
        metric=run.goal.metric,
        epochs=config.search.max_epochs,
        seed=config.search.seed,
        loader_workers=config.resources.loader_workers,
    )
    pairs = [(record.trial_id, fold) for record in chosen for fold in range(plan.folds)]
    resources = TrialResources(config.resources.cpus_per_trial, config.resources.gpus_per_trial)
    outcomes: dict[tuple[str, int], FoldOutcome] = {}
    for outcome in train_folds(FoldWork(trial, test), pairs, resources):
        outcomes[outcome.trial_id, outcome.fold] = outcome
        on_outcome(outcome)
    failed = [outcomes[pair] for pair in pairs if outcomes[pair].error]
    if failed:
        first = failed[0]
        where = run.store.ensemble.member(first.trial_id, first.fold).root
        raise WorkError(
            f"{len(failed)} of {len(pairs)} fold models failed; trial {first.trial_id}, fold {first.fold}: "
            f"{first.error} (see {where}); the others are kept, run the command again to train the rest"
        )
    return outcomes


def _member(
    run: Run,
    record: TrialRecord,
    folds: int,
    labelled: Labelled,
    rows: npt.NDArray[np.int64],
    test: Unlabelled | None,
    outcomes: Mapping[tuple[str, int], FoldOutcome],
) -> Member:
    """Gather a configuration's out-of-fold and test scores from its fold folders."""
    by_id: dict[str, Any] = {}
    for fold in range(folds):
        stored = _stored_scores(run, record.trial_id, fold)
        by_id |= dict(zip(stored.ids.tolist(), run.task.scores(stored.logits), strict=True))
    scores = np.stack([by_id[name] for name in labelled.table.ids[rows].tolist()])
    values = tuple(float(outcomes[record.trial_id, fold].value or 0.0) for fold in range(folds))
    if test is None:
        return Member(record.trial_id, scores, values)
    tests = [_test_scores(run, record.trial_id, fold, test) for fold in range(folds)]
    return Member(record.trial_id, scores, values, run.task.vote(tests, voting="soft")[0])


def _stored_scores(run: Run, trial_id: str, fold: int) -> Scores:
    directory = run.store.ensemble.member(trial_id, fold)
    stored = directory.read_scores()
    if stored is None:
        raise WorkError(f"{directory.scores_path} is gone; run the command again")
    return stored


def _test_scores(run: Run, trial_id: str, fold: int, test: Unlabelled) -> npt.NDArray[Any]:
    directory = run.store.ensemble.member(trial_id, fold)
    logits = directory.read_test_logits(test.table.ids)
    if logits is None:
        raise WorkError(f"{directory.test_path} is gone; run the command again")
    return test.complete(run.task.scores(logits))


def _vote(
    run: Run,
    plan: EnsemblePlan,
    chosen: Sequence[TrialRecord],
    members: Sequence[Member],
    labelled: Labelled,
    rows: npt.NDArray[np.int64],
    test: Unlabelled | None,
) -> Ensemble:
    assert labelled.table.targets is not None
    targets, folds = labelled.table.targets[rows], labelled.folds[rows]
    judged = estimate(run.task, members, targets, folds, run.goal.metric, voting=plan.voting, min_votes=plan.min_votes)
    description = describe(run, plan, chosen, members, judged, targets)
    with run.store.ensemble.replacing() as stage:
        submission = None if test is None else _submit(run, chosen[0], members, judged.ballot, test, stage)
        stage.write_oof(
            {
                "ids": labelled.table.ids[rows],
                "folds": folds,
                "targets": targets,
                "scores": judged.scores,
                "member_scores": np.stack([member.scores for member in members]),
            }
        )
        stage.write(description)
    return Ensemble(description, submission)


def _submit(
    run: Run,
    best: TrialRecord,
    members: Sequence[Member],
    ballot: Ballot,
    test: Unlabelled,
    stage: EnsembleDir,
) -> pd.DataFrame:
    """Write the test rows' scores, predictions and submission."""
    member_scores = [member.test_scores for member in members if member.test_scores is not None]
    scores, predictions = ballot.apply(run.task, member_scores)
    single_scores, single_predictions = _single(run, best, test)
    stage.write_test(
        {
            "ids": test.ids,
            "scores": scores,
            "predictions": predictions,
            "member_scores": np.stack(member_scores),
            "single_scores": single_scores,
            "single_predictions": single_predictions,
        }
    )
    frame = _submission_frame(run, test.ids, scores, predictions)
    return write_submission(frame, stage.submission_path, run.config.data.sample_submission)


def _single(run: Run, best: TrialRecord, test: Unlabelled) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """What a user without an ensemble would submit: the best trial's own model and post-processing."""
    scores = _test_scores(run, best.trial_id, 0, test)
    postprocess = best.config.get("postprocess")
    if isinstance(postprocess, str):  # tuned: on the validation rows, which are all that a single model has
        held_out = _stored_scores(run, best.trial_id, 0)
        assert held_out.targets is not None
        postprocess = run.task.fit_postprocess(run.task.scores(held_out.logits), held_out.targets, run.goal.metric)
    return scores, run.task.predict(scores, postprocess)


def rehearse_submission(run: Run, chosen: Sequence[TrialRecord], ids: npt.NDArray[np.str_]) -> None:
    """Check before any training that these rows (T,) make a submission in the sample's form.

    Raises:
        results.errors.SubmissionError, trainers.errors.DataError: the ids or columns are not those of the sample.
    """
    stored = run.store.trial(chosen[0].trial_id).read_scores()
    if stored is None:
        return
    one = run.task.scores(stored.logits[:1])
    scores = np.broadcast_to(one, (len(ids), *one.shape[1:]))  # any answer serves, and takes no memory
    frame = _submission_frame(run, ids, scores, run.task.predict(one).repeat(len(ids), axis=0))
    arrange_submission(frame, run.config.data.sample_submission)


def _submission_frame(
    run: Run, ids: npt.NDArray[np.str_], scores: npt.NDArray[Any], predictions: npt.NDArray[Any]
) -> pd.DataFrame:
    data = run.config.data
    sample = data.sample_submission
    columns = list(read_sample(sample).columns) if sample else [data.id, data.target]
    return run.task.submission_frame(ids, predictions, columns, scores=scores)


def describe(
    run: Run,
    plan: EnsemblePlan,
    chosen: Sequence[TrialRecord],
    members: Sequence[Member],
    judged: Estimate,
    targets: npt.NDArray[Any],
) -> dict[str, Any]:
    """Everything that `predict` and a reader need, as JSON."""
    single_id, single_value = best_single(members, judged.member_values, run.goal)
    value = judged.metrics[run.goal.metric]
    return {
        "run": run.store.name,
        "task": run.task.to_dict(),
        "metric": run.goal.metric,
        "mode": run.goal.mode,
        "folds": plan.folds,
        **_ballot(judged.ballot),
        "image_size": list(run.config.data.size),
        "resize": run.config.data.resize,
        "preprocess": list(run.config.data.preprocess),
        "rows": len(targets),
        "members": [
            {
                "trial_id": record.trial_id,
                "run": run.store.name,
                "weight": 1 / len(members),
                "oof": oof,
                "fold_values": list(member.fold_values),
                "params": dict(record.params),
                "config": dict(record.config),
            }
            for record, member, oof in zip(chosen, members, judged.member_values, strict=True)
        ],
        "estimate": judged.metrics,
        "best_single": {"trial_id": single_id, "value": single_value},
        "gain": value - single_value,
        "per_class": run.task.per_class(judged.predictions, targets),
    }


def _ballot(ballot: Ballot) -> dict[str, Any]:
    return {
        "voting": ballot.voting,
        "min_votes": ballot.min_votes,
        "postprocess": dict(ballot.postprocess),
        "member_postprocess": [dict(own) for own in ballot.member_postprocess],
    }
