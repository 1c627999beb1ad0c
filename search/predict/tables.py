"""Rows of a submission before they are arranged as the sample is: those of an ensemble and of a sweep alike. No Ray."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.results.exports.submission import read_sample
from foldtune.search.config.schema import DataConfig
from foldtune.search.predict.original_sizes import sizes_to_submit
from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]


def submission_frame(
    task: Task, data: DataConfig, ids: npt.NDArray[np.str_], scores: Array, predictions: Array
) -> pd.DataFrame:
    """Rows of a submission in the order of `ids` (T,), with the sample's columns, or the id's and the target's."""
    sample = data.sample_submission
    columns = list(read_sample(sample).columns) if sample else [data.id, data.target]
    sizes = sizes_to_submit(task, data, ids)
    return task.submission_frame(ids, predictions, columns, scores=scores, image_sizes=sizes)
