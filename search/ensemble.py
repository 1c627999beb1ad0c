"""The ensemble of a run: finalists on every fold, their vote, and everything written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cluster.resources import TrialResources
from results.records import TrialRecord
from results.submission import read_sample, write_submission
from search.dataset import Labelled
from search.ensembling import Ballot, Estimate, Member, best_single, estimate
from search.errors import InputError, WorkError
from search.finalists import FoldOutcome, FoldWork, Unlabelled, train_folds
from search.recorder import finalists
from search.runs import Run
from search.trainable import TrialWork


@dataclass(frozen=True)
class EnsemblePlan:
    """What an ensemble is made of."""

    top: int
    folds: int
    voting: Literal["soft", "hard"]
    min_votes: int | None


@dataclass(frozen=True)
class Ensemble:
    """A finished ensemble.

    Attributes:
        description: what ensemble.json holds.
        test_ids: (T,) rows to submit, None without a test table.
        test_predictions: (T, ...).
        test_scores: (T, ...) mean scores.
    """

    description: dict[str, Any]
    test_ids: npt.NDArray[np.str_] | None
    test_predictions: npt.NDArray[Any] | None
    test_scores: npt.NDArray[Any] | None


def plan_ensemble(
    run: Run, top: int | None, folds: int | None, voting: str | None, min_votes: int | None
) -> EnsemblePlan:
    """Fill in the run's own settings and check the sum.

    Raises:
        InputError: more folds than the run has, a voting that the task does not know, too many votes.
    """
    own = run.config.ensemble
    plan = EnsemblePlan(
        own.top if top is None else top,
        own.folds if folds is None else folds,
        voting or own.voting,  # type: ignore[arg-type]
        own.min_votes if min_votes is None else min_votes,
    )
    problems = []
    if not 2 <= plan.folds <= own.folds:
        problems.append(
            f"--folds {plan.folds}: the run's rows are frozen into {own.folds} folds; give 2 to {own.folds}"
        )
    if plan.top < 1:
        problems.append(f"--top {plan.top}: give at least 1 configuration")
    if plan.voting not in ("soft", "hard"):
        problems.append(f"--voting {plan.voting}: valid are soft, hard")
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
    """Train what is missing in the connected Ray session, vote, and store the ensemble.

    Args:
        on_outcome: told each fold model that is ready.

    Raises:
        WorkError: fold models failed; what is ready stays on disk, so running it again trains only the rest.
    """
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
    failed = [outcome for outcome in outcomes.values() if outcome.error]
    if failed:
        first = failed[0]
        where = run.store.ensemble.member(first.trial_id, first.fold).root
        raise WorkError(
            f"{len(failed)} of {len(pairs)} fold models failed; trial {first.trial_id}, fold {first.fold}: "
            f"{first.error} (see {where}); the others are kept, run the command again to train the rest"
        )
    rows = np.flatnonzero(labelled.folds < plan.folds)
    members = [_member(run, record, plan.folds, labelled, rows, test, outcomes) for record in chosen]
    return _vote(run, plan, chosen, members, labelled, rows, test)


def _member(
    run: Run,
    record: TrialRecord,
    folds: int,
    labelled: Labelled,
    rows: npt.NDArray[np.int64],
    test: Unlabelled | None,
    outcomes: dict[tuple[str, int], FoldOutcome],
) -> Member:
    """Gather a configuration's out-of-fold and test scores from its fold folders."""
    by_id: dict[str, Any] = {}
    tests = []
    for fold in range(folds):
        directory = run.store.ensemble.member(record.trial_id, fold)
        stored = directory.read_scores()
        if stored is None:
            raise WorkError(f"{directory.scores_path} is gone; run the command again")
        by_id |= dict(zip(stored.ids.tolist(), run.task.scores(stored.logits), strict=True))
        if test is not None:
            tests.append(_test_scores(run, record.trial_id, fold, test))
    scores = np.stack([by_id[name] for name in labelled.table.ids[rows].tolist()])
    values = tuple(float(outcomes[record.trial_id, fold].value or 0.0) for fold in range(folds))
    test_scores = run.task.vote(tests, voting="soft")[0] if tests else None
    return Member(record.trial_id, scores, values, test_scores)


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
    judged = estimate(
        run.task, members, targets, folds, run.goal.metric, voting=plan.voting, min_votes=plan.min_votes
    )
    description = describe(run, plan, chosen, members, judged, targets)
    test_ids = test_predictions = test_scores = None
    if test is not None:
        test_ids = test.table.ids
        member_scores = [member.test_scores for member in members if member.test_scores is not None]
        test_scores, test_predictions = judged.ballot.apply(run.task, member_scores)
        run.store.ensemble.write_test(
            {
                "ids": test_ids,
                "scores": test_scores,
                "predictions": test_predictions,
                "member_scores": np.stack(member_scores),
                **_single(run, chosen[0], test),
            }
        )
    run.store.ensemble.write_oof(
        {
            "ids": labelled.table.ids[rows],
            "folds": folds,
            "targets": targets,
            "scores": judged.scores,
            "member_scores": np.stack([member.scores for member in members]),
        }
    )
    run.store.ensemble.write(description)
    return Ensemble(description, test_ids, test_predictions, test_scores)


def _test_scores(run: Run, trial_id: str, fold: int, test: Unlabelled) -> npt.NDArray[Any]:
    directory = run.store.ensemble.member(trial_id, fold)
    logits = directory.read_test_logits(test.table.ids)
    if logits is None:
        raise WorkError(f"{directory.test_path} is gone; run the command again")
    return run.task.scores(logits)


def _single(run: Run, best: TrialRecord, test: Unlabelled) -> dict[str, npt.NDArray[Any]]:
    """What a user without an ensemble would submit: the best trial's own model and sampled post-processing."""
    scores = _test_scores(run, best.trial_id, 0, test)
    predictions = run.task.predict(scores, best.config.get("postprocess"))
    return {"single_scores": scores, "single_predictions": predictions}


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


def write_submission_of(run: Run, ensemble: Ensemble, targets: set[Path]) -> None:
    """Write the test predictions in the sample's form, to each of the files, whole or not at all.

    Raises:
        results.errors.SubmissionError: the ids or columns are not those of the sample.
    """
    data = run.config.data
    assert ensemble.test_ids is not None
    assert ensemble.test_predictions is not None
    sample = data.sample_submission
    columns = list(read_sample(sample).columns) if sample else [data.id, data.target]
    frame = run.task.submission_frame(
        ensemble.test_ids, ensemble.test_predictions, columns, scores=ensemble.test_scores
    )
    for target in sorted(targets):
        write_submission(frame, target, sample)
