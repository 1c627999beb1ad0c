"""The post-processing that trials have by their configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foldtune.results.runs.records import Scores, TrialRecord
from foldtune.search.runs.run import Run
from foldtune.trainers.tasks.base import Postprocess


def own_postprocess(run: Run, record: TrialRecord, held_out: Scores) -> Postprocess | None:
    """The post-processing of a trial's own model; a tuned one is fitted on the validation rows, all that it has."""
    postprocess = record.config.get("postprocess")
    if not isinstance(postprocess, str):
        return postprocess
    assert held_out.targets is not None
    return run.task.fit_postprocess(run.task.scores(held_out.logits), held_out.targets, run.goal.metric)


def common_postprocess(records: Sequence[TrialRecord]) -> Postprocess | None:
    """The post-processing that the space fixes for all of these trials; None if sampled, tuned or not given."""
    first, *others = (record.config.get("postprocess") for record in records)
    sampled = any(name.partition(".")[0] == "postprocess" for record in records for name in record.params)
    fixed = isinstance(first, Mapping) and bool(first) and not sampled and all(other == first for other in others)
    return first if fixed else None
