"""The post-processing that trials have by their configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foldtune.results.runs.records import Scores, TrialRecord
from foldtune.search.runs.run import Run
from foldtune.trainers.postprocess.case_scores import CASE_REDUCE, Cases, reduction_of, without_reduction
from foldtune.trainers.tasks.base import Postprocess
from foldtune.trainers.tasks.case_fit import by_reduction, fit_cases


def own_postprocess(run: Run, record: TrialRecord, held_out: Scores) -> Postprocess | None:
    """The post-processing of a trial's own model; a tuned one is fitted on the validation rows, all that it has.

    That of a run with cases holds their reduction, too.
    """
    postprocess = record.config.get("postprocess")
    if not isinstance(postprocess, str):
        return postprocess
    assert held_out.targets is not None
    scores = run.task.scores(held_out.logits)
    if held_out.cases is None:
        return run.task.fit_postprocess(scores, held_out.targets, run.goal.metric)
    cases = Cases.of(held_out.cases)
    return fit_cases(run.task, by_reduction(run.task, scores, cases), held_out.targets[cases.first], run.goal.metric)


def reduction_of_trial(run: Run, held_out: Scores, trial_id: str) -> dict[str, str]:
    """The reduction of cases of a trial as a post-processing, empty where each row is judged by itself."""
    record = run.store.trial(trial_id).record()
    if held_out.cases is None or record is None:
        return {}
    return {CASE_REDUCE: reduction_of(own_postprocess(run, record, held_out))}


def _of_cases_reduced(postprocess: Mapping[str, Any] | str | None) -> Mapping[str, Any] | str | None:
    """Return what a post-processing does to the scores of cases, once they are reduced."""
    return without_reduction(postprocess) if isinstance(postprocess, Mapping) else postprocess


def common_postprocess(records: Sequence[TrialRecord]) -> Postprocess | None:
    """The post-processing that the space fixes for all of these trials; None if sampled, tuned or not given."""
    first, *others = (_of_cases_reduced(record.config.get("postprocess")) for record in records)
    names = {name for record in records for name in record.params} - {f"postprocess.{CASE_REDUCE}"}
    sampled = any(name.partition(".")[0] == "postprocess" for name in names)
    if not isinstance(first, Mapping) or not first or sampled or any(other != first for other in others):
        return None
    return first
