"""The rows to submit: an ensemble's scores and answers, written in the form of the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.results.exports.submission import arrange_submission, write_submission
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.search.ensemble.candidates import Candidate
from foldtune.search.ensemble.members import StoredMember
from foldtune.search.predict.tables import submission_frame
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
        run: run of the ensemble.
        best: the trial that the search ranked first, whose own model is stored beside for comparison.

    Raises:
        SubmissionError: the ids or columns are not those of the sample.
    """
    member_scores = [member.test_scores for member in members if member.test_scores is not None]
    scores, predictions = combiner.apply(run.task, member_scores)
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
    frame = submission_frame(run.task, run.config.data, test.ids, scores, predictions)
    return write_submission(frame, stage.submission_path, run.config.data.sample_submission)


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
    frame = submission_frame(run.task, run.config.data, ids, scores, run.task.predict(one).repeat(len(ids), axis=0))
    arrange_submission(frame, run.config.data.sample_submission)
