"""Rows to submit, and a fold model's stored outputs on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.results.runs.ensemble_dir import FoldDir
from foldtune.search.data.dataset import ImagePlan
from foldtune.trainers.arrays.lazy import concatenate, sum_rows
from foldtune.trainers.data.table import Table

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Rows to submit, and how to open their images.

    Attributes:
        table: rows with readable images.
        ids: ids (T,) of every row to submit, or names of every case, in the order of the CSV.
        digest: digest of ids and images' contents; "" where it is not known.
        of_before: whether predictions without a digest are of these images.
    """

    table: Table
    images: ImagePlan
    ids: npt.NDArray[np.str_]
    digest: str = ""
    of_before: bool = False

    def stored_logits(self, directory: FoldDir) -> Array | None:
        """Return a fold model's stored outputs (T, ...) on the rows of `table`, None where they are of others."""
        return directory.read_test_logits(self.table.ids, self.digest, of_before=self.of_before)


def completed(scores: Array, ids: npt.NDArray[np.str_], wanted: npt.NDArray[np.str_]) -> Array:
    """Return the scores (N, ...) of `ids` (N,) in the order of `wanted` (T,), where an id may lack scores.

    Such an image, which cannot be read, gets the mean of the others.
    """
    place = {name: row for row, name in enumerate(ids.tolist())}
    rows = np.array([place.get(name, len(scores)) for name in wanted.tolist()], dtype=np.int64)
    if (rows == len(scores)).any():  # the mean is behind the others
        mean = np.asarray(sum_rows(scores) / len(scores), dtype=scores.dtype)
        scores = concatenate([scores, mean[None]])
    found: Array = scores[rows]
    return found
