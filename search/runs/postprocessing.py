"""What is judged of stored scores, rows or cases, and the post-processing that trials have by their configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foldtune.results.records.trials import Scores, TrialRecord
from foldtune.search.runs.run import Run
from foldtune.trainers.fitting.judged_scores import JudgedScores
from foldtune.trainers.postprocess.case_scores import CASE_REDUCE, reduction_of, without_reduction
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.base import Postprocess


def judged_scores(task: Task, stored: Scores) -> JudgedScores:
    """Return what is judged of a trial's stored scores, which have targets."""
    assert stored.targets is not None
    return JudgedScores.of(task, task.scores(stored.logits), stored.targets, stored.cases)


def own_postprocess(run: Run, record: TrialRecord, held_out: Scores) -> Postprocess | None:
    """The post-processing of a trial's own model; a tuned one is fitted on the validation rows, all that it has."""
    postprocess = record.config.get("postprocess")
    return judged_scores(run.task, held_out).fit(run.goal.metric) if isinstance(postprocess, str) else postprocess


def reduction_of_trial(run: Run, held_out: Scores, trial_id: str) -> str:
    """The reduction of cases of a trial; "mean" where rows are judged."""
    record = run.store.trial(trial_id).record()
    if held_out.cases is None or record is None:
        return "mean"
    return reduction_of(own_postprocess(run, record, held_out))


def common_postprocess(records: Sequence[TrialRecord]) -> Postprocess | None:
    """The post-processing that the space fixes for all of these trials; None if sampled, tuned or not given."""
    given = [record.config.get("postprocess") for record in records]
    first, *others = (without_reduction(each) if isinstance(each, Mapping) else each for each in given)
    names = {name for record in records for name in record.params} - {f"postprocess.{CASE_REDUCE}"}
    sampled = any(name.partition(".")[0] == "postprocess" for name in names)
    if not isinstance(first, Mapping) or not first or sampled or any(other != first for other in others):
        return None
    return first
