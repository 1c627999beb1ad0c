"""An ensemble that ends in time: what of its plan gives way, by what its trials have cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from foldtune.errors import TimeTooShort
from foldtune.results.runs.ensemble_dir import ALL_ROWS
from foldtune.results.tables.formatting import duration_text
from foldtune.search.config.schema import EnsembleConfig
from foldtune.search.ensemble.fold_training import Terms
from foldtune.search.ensemble.plan import RACE_FOLDS, Candidate
from foldtune.search.ensemble.sources import Source
from foldtune.search.planning.fold_plan import FoldCosts, FoldPlan, cut_lines, fitted, forecast_s, smallest
from foldtune.search.planning.reserve import FoldNeeds
from foldtune.search.planning.timings import Timings
from foldtune.search.runs.run import Run
from foldtune.search.workers.fold_job import FoldJob, FoldModelStatus
from foldtune.search.workers.fold_model import status
from foldtune.trainers.loading.tta import TTA


@dataclass(frozen=True)
class TimedEnsemble:
    """An ensemble as it fits into the time.

    Attributes:
        expected_s: forecast of its seconds without a drop-out, None where nothing is measured.
        job_s: returns the forecast of one fold model.
        vote_s: seconds to keep for the vote and the submission.
    """

    plan: EnsembleConfig
    chosen: Sequence[Candidate]
    terms: Terms
    expected_s: float | None
    job_s: Callable[[FoldJob], float]
    vote_s: float


def fold_needs(run: Run, plan: EnsembleConfig, rows: tuple[int, int], slots: Callable[[], int]) -> FoldNeeds:
    """Return what the ensemble of a run needs, as it is configured.

    Args:
        rows: labelled rows, and rows to submit.
        slots: returns the fold models that train at a time.
    """
    views = 1 if plan.tta is None else len(TTA[plan.tta])
    wanted = FoldPlan(plan.top, plan.folds, views, run.config.search.max_epochs)
    return FoldNeeds(run.goal, wanted, rows, plan.min_votes or 1, slots)


def fit_into(
    sources: Sequence[Source],
    plan: EnsembleConfig,
    chosen: Sequence[Candidate],
    left_s: float,
    slots: Callable[[], int],
) -> TimedEnsemble:
    """Return the ensemble with as little cut as fits into `left_s` seconds.

    Raises:
        TimeTooShort: not even two folds of one configuration fit.
    """
    home = sources[0]
    records = [record for source in sources for record in source.run.store.trials()]
    test = 0 if home.test is None else len(home.test.table)
    needs = fold_needs(home.run, plan, (len(home.labelled.table), test), slots)
    wanted = replace(needs.plan, finalists=min(needs.plan.finalists, len(chosen)))
    costs = needs.costs([each.record for each in chosen], Timings.of(records))
    if costs is None:
        return TimedEnsemble(plan, chosen, Terms(partial=True), None, lambda job: 0.0, 0.0)
    if math.isfinite(left_s):
        costs = _with_ready(costs, sources, plan, chosen)
    planned = fitted(wanted, costs, left_s, needs.min_finalists)
    if planned is None:
        least_s = forecast_s(smallest(wanted, needs.min_finalists), costs)
        raise TimeTooShort(
            f"{duration_text(max(0.0, left_s))} are left for the folds, and the least of them (2 folds, a third of the "
            f"epochs, top: {needs.min_finalists}) take about {duration_text(least_s)}: a longer --time-limit has room"
        )
    places = {each.id: place for place, each in enumerate(chosen)}

    def job_s(job: FoldJob) -> float:
        return costs.model_s(planned, places[job.member], job.fold if job.seed == 0 else ALL_ROWS)  # which is not ready

    cuts = tuple(cut_lines(wanted, planned))
    terms = Terms(planned.epochs if planned.epochs < wanted.epochs else None, cuts, partial=True)
    changed = {
        "top": planned.finalists,
        "folds": planned.folds,
        "tta": plan.tta if planned.views == wanted.views else None,
        "race": plan.race and planned.folds > RACE_FOLDS,
    }
    plan = plan.model_copy(update=changed)
    expected_s = forecast_s(planned, costs)
    return TimedEnsemble(plan, chosen[: planned.finalists], terms, expected_s, job_s, costs.vote_s)


def _with_ready(
    costs: FoldCosts, sources: Sequence[Source], plan: EnsembleConfig, chosen: Sequence[Candidate]
) -> FoldCosts:
    """Return the costs with the fold models that are on disk, whosever they are."""
    home = sources[0].run.store.ensemble
    works = {source.run.store.name: source.work(home.root, plan.tta) for source in sources}
    ready = {
        (place, fold)
        for place, each in enumerate(chosen)
        for fold in range(plan.folds)
        if status(works[each.run.store.name], FoldJob(each.id, each.run.store.name, each.record.trial_id, fold))
        is not FoldModelStatus.TO_TRAIN
    }
    return replace(costs, ready=ready)
