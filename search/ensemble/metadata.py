"""What ensemble.json holds: everything that `predict` and a reader need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from foldtune.results.records.identity import written_by
from foldtune.search.config.schema import EnsembleConfig
from foldtune.search.ensemble.members import StoredMember
from foldtune.search.ensemble.plan import Candidate
from foldtune.search.ensemble.racing import Dropped
from foldtune.search.predict.box_files import read_form
from foldtune.search.runs.run import Run
from foldtune.search.voting.estimate import Estimate, Member, best_single


def describe(
    runs: Sequence[Run],
    plan: EnsembleConfig,
    stored: Sequence[StoredMember],
    members: Sequence[Member],
    judged: Estimate,
    targets: npt.NDArray[Any],
    *,
    fixed: Mapping[str, Any] | None,
    data: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The description of an ensemble, as JSON.

    Args:
        runs: whose trials stood for it; the first is the one that it belongs to.
        stored: where each member comes from, in the order of `members`.
        targets: (N, ...) of the rows of the estimate.
        fixed: the post-processing that the user fixed, None where it is fitted.
        data: digests of the labelled rows and of the rows to submit.
    """
    home = runs[0]
    single_id, single_value = best_single(members, judged.member_values, home.goal)
    return {
        **written_by(),
        "run": home.store.name,
        "runs": [run.store.name for run in runs],
        "task": home.task.to_dict(),
        "metric": home.goal.metric,
        "mode": home.goal.mode,
        "folds": plan.folds,
        **judged.combiner.to_dict(),
        "asked": plan.voting,
        "asked_min_votes": plan.min_votes,
        "compared": dict(judged.compared),
        "tta": plan.tta,
        **_images(home),
        "boxes_form": _boxes_form(home),
        "data": dict(data),
        **({} if home.config.data.encoding is None else {"encoding": home.config.data.encoding}),
        **_cases(home),
        "rows": len(targets),
        "members": [
            {
                "id": each.candidate.id,
                "trial_id": each.candidate.record.trial_id,
                "run": each.candidate.run.store.name,
                "status": each.candidate.record.status,
                "weight": weight,
                "oof": oof,
                "fold_values": list(member.fold_values),
                "fold_offsets": [offset.tolist() for offset in each.fold_offsets(plan.folds)],
                **_further(each, plan),
                **_images(each.candidate.run),
                "tta": each.tta,
                **({"case_reduce": each.case_reduce} if home.config.data.case_column else {}),
                "params": dict(each.candidate.record.params),
                "config": dict(each.candidate.record.config),
            }
            for each, member, oof, weight in zip(
                stored, members, judged.member_values, judged.combiner.weights, strict=True
            )
        ],
        "race": plan.race,
        "estimate": judged.metrics,
        "score_metrics": [name for name in home.task.metrics if name not in home.task.tunable_metrics],
        "best_single": {"trial_id": single_id, "value": single_value},
        "test_single": single_id,
        "fixed_postprocess": None if fixed is None else dict(fixed),
        "interval": [judged.interval.low, judged.interval.high],
        "gain": judged.gain.value,
        "gain_interval": [judged.gain.low, judged.gain.high],
        "per_class": home.task.per_class(judged.predictions, targets),
    }


def describe_finalists(ranked_first: Candidate, dropped: Sequence[tuple[Candidate, Dropped]]) -> dict[str, Any]:
    """The candidate that the search ranked first, and those who raced and went no further, as JSON."""
    return {"ranked_first": ranked_first.id, "dropped": [_dropped(candidate, each) for candidate, each in dropped]}


def _further(member: StoredMember, plan: EnsembleConfig) -> dict[str, Any]:
    """What predictions by further seeds, or by the model of all rows, need."""
    seeds = range(1, member.seeds)
    offsets = [[offset.tolist() for offset in member.fold_offsets(plan.folds, seed)] for seed in seeds]
    refit = {} if plan.refit is None else {"refit_epochs": member.best_epoch(plan.folds)}
    return ({"seed_offsets": offsets} if offsets else {}) | refit


def _cases(run: Run) -> dict[str, Any]:
    """Columns that name the images and the cases of new rows, where cases are judged."""
    data = run.config.data
    if data.case_column is None:
        return {}
    images = [data.id] if isinstance(data.id, str) else list(data.id)
    return {"case": {"column": data.case, "images": images}}


def _images(run: Run) -> dict[str, Any]:
    """How the models of a run see images."""
    data = run.config.data
    return {
        "image_size": list(data.size),
        "resize": data.resize,
        "preprocess": list(data.preprocess),
        "pixel_range": data.pixel_range,
        "window": data.window,
        "max_megapixels": data.max_megapixels,
    }


def _boxes_form(run: Run) -> str | None:
    """Return the form in which the labels of text detection came, None for other tasks."""
    data = run.config.data
    form = read_form(run.task, data.train, data.encoding) if run.task.has_spatial_targets else None
    return None if form is None else form.name


def _dropped(candidate: Candidate, each: Dropped) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "trial_id": candidate.record.trial_id,
        "run": candidate.run.store.name,
        "value": each.value,
        "leader": each.leader,
        "difference": each.difference.to_dict(),
        "reason": each.reason,
        "params": dict(candidate.record.params),
    }
