"""The rows to submit: an ensemble's scores and answers, written in the form of the sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import WorkError
from foldtune.results.exports.submission import arrange_submission, read_sample, write_submission
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.search.checks.sample import target_part
from foldtune.search.checks.submission_form import submission_form
from foldtune.search.data.columns import submitted_columns
from foldtune.search.ensemble.members import StoredMember
from foldtune.search.ensemble.plan import Candidate
from foldtune.search.predict.box_files import box_form, submission_bytes
from foldtune.search.predict.tables import finite_rows, submission_frame, submission_image_sizes
from foldtune.search.runs.postprocessing import own_postprocess
from foldtune.search.runs.run import Run
from foldtune.search.voting.estimate import EnsembleCombiner, Member
from foldtune.search.workers.unlabelled import Unlabelled
from foldtune.trainers.arrays.lazy import stack

Array = npt.NDArray[Any]


def write_test_rows(
    run: Run,
    members: list[Member],
    combiner: EnsembleCombiner,
    best: StoredMember,
    test: Unlabelled,
    stage: EnsembleDir,
) -> pd.DataFrame:
    """Write the test rows' scores and predictions by id, and the submission; gives the latter.

    Args:
        best: the member that does best alone, whose own model is stored beside for comparison.

    Raises:
        WorkError: scores that are not finite.
        SubmissionError: the ids or columns are not those of the sample.
    """
    member_scores = [member.test_scores for member in members if member.test_scores is not None]
    columns = submitted_columns(run.config.data, run.task, test.ids.tolist())
    scores, predictions = combiner.apply(run.task, member_scores, columns)
    _check_finite(run, test.ids, scores)
    single_scores, single_predictions = _single(run, best, test)
    stage.write_test(
        drop_object_arrays(
            {
                "ids": test.ids,
                "scores": scores,
                "predictions": predictions,
                "member_scores": stack(member_scores),
                "single_scores": single_scores,
                "single_predictions": single_predictions,
                "images": np.asarray(test.digest),
            }
        )
    )
    frame = submission_frame(run.task, run.config.data, test.ids, scores, predictions, metric=run.goal.metric)
    _write_boxes(run, test.ids, predictions, list(frame.columns), stage)
    data = run.config.data
    named = {"id_column": frame.columns[0], "encoding": data.encoding}
    return write_submission(frame, stage.submission_path, data.sample_submission, **named)


def _write_boxes(
    run: Run, ids: npt.NDArray[np.str_], predictions: Array, columns: list[str], stage: EnsembleDir
) -> None:
    """Write the submission's boxes in the form in which labels came, where that is another than a table."""
    form, sizes = box_form(run.task, run.config.data), submission_image_sizes(run.task, run.config.data, ids)
    if form is not None and sizes is not None:
        content = submission_bytes(form, run.config.data, ids, predictions, sizes, columns)
        stage.write_boxes(form.suffix, content)


def in_form_of(run: Run, target: str, frame: pd.DataFrame, sample: Path | None) -> pd.DataFrame:
    """Return a target's part of a common submission in the form of the sample's column of it.

    Args:
        run: run of the target, whose ensemble holds the scores.
        sample: sample of the submission of all targets, None without one.
    """
    stored = run.store.ensemble.read_test()
    if sample is None or stored is None or "predictions" not in stored:  # those of a task may be objects
        return frame
    part = target_part(read_sample(sample), run.config.data.judged_column, target)
    form = submission_form(run.task, run.goal.metric, part, id_column=part.columns[0], target=part.columns[1])
    return form.fill(run.task, stored["ids"], stored["predictions"], scores=stored["scores"])


def _check_finite(run: Run, ids: npt.NDArray[np.str_], scores: Array) -> None:
    strange = ids[~finite_rows(run.task, scores)]
    if len(strange):
        raise WorkError(
            f"the scores of {len(strange)} of {len(ids)} rows to submit are not finite (first: {strange[0]}); no "
            "submission is written: weights are damaged, or numbers too large for the precision (amp: off)"
        )


def column_notes(run: Run, combiner: EnsembleCombiner, ids: npt.NDArray[np.str_]) -> tuple[str, ...]:
    """Return the line on columns of the rows to submit (T,) that training does not cover, none without any."""
    if combiner.stacker is None:
        return ()
    columns = submitted_columns(run.config.data, run.task, ids.tolist())
    return () if columns is None else combiner.stacker.beyond(columns)


def drop_object_arrays(arrays: dict[str, Array]) -> dict[str, Array]:
    """Return the arrays that can be stored without pickle; predictions of a task may be object arrays."""
    return {name: values for name, values in arrays.items() if values.dtype != object}


def _single(run: Run, best: StoredMember, test: Unlabelled) -> tuple[Array, Array]:
    """What a user without an ensemble would submit: the best trial's own model and post-processing."""
    scores = best.fold_test_scores(0, test.ids)
    postprocess = own_postprocess(run, best.candidate.record, best.fold_scores(0))
    return scores, run.task.predict(scores, postprocess)


def check_submission_format(run: Run, best: Candidate, ids: npt.NDArray[np.str_]) -> None:
    """Check before any training that these rows (T,) make a submission in the sample's form.

    Args:
        best: any candidate with stored scores.

    Raises:
        SubmissionError, DataError: the ids or columns are not those of the sample.
    """
    stored = best.run.store.trial(best.record.trial_id).read_scores()
    if stored is None:
        return
    one = run.task.scores(stored.logits[:1])
    scores = np.broadcast_to(one, (len(ids), *one.shape[1:]))  # any answer serves, and takes no memory
    predictions = run.task.predict(one).repeat(len(ids), axis=0)
    frame = submission_frame(run.task, run.config.data, ids, scores, predictions, metric=run.goal.metric)
    data = run.config.data
    arrange_submission(frame, data.sample_submission, id_column=frame.columns[0], encoding=data.encoding)
