"""Rows to submit, and a fold model's stored outputs on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.results.runs.ensemble_dir import FoldDir
from foldtune.search.runs.dataset import ImagePlan
from foldtune.trainers.arrays.lazy import concatenate, sum_rows
from foldtune.trainers.data.table import Table
from foldtune.trainers.postprocess.case_scores import Cases


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Rows to submit, and how to open their images.

    Attributes:
        table: rows with readable images.
        images: how to open the images.
        ids: ids (T,) of every row to submit, or names of every case, in the order of the CSV.
        readable: mask (T,) of the rows in `table`, or of the cases that have one there.
        digest: digest of ids and images' contents; "" where it is not known.
        of_before: whether predictions without a digest are of these images.
    """

    table: Table
    images: ImagePlan
    ids: npt.NDArray[np.str_]
    readable: npt.NDArray[np.bool_]
    digest: str = ""
    of_before: bool = False

    def stored_logits(self, directory: FoldDir) -> npt.NDArray[Any] | None:
        """Return a fold model's stored outputs (T, ...) on the rows of `table`, None where they are of others."""
        return directory.read_test_logits(self.table.ids, self.digest, of_before=self.of_before)

    def reduced(self, scores: npt.NDArray[Any], how: str, *, exclusive: bool) -> npt.NDArray[Any]:
        """Return scores of the readable cases, in the order of `ids`; arguments as of `Cases.reduce`."""
        assert self.table.cases is not None
        cases = Cases.of(self.table.cases)
        place = {name: row for row, name in enumerate(cases.names.tolist())}
        order = [place[name] for name in self.ids[self.readable].tolist()]
        return np.asarray(cases.reduce(scores, how, exclusive=exclusive)[order])

    def complete(self, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return scores (T, ...) of every row; an unreadable image gets the mean of the others."""
        if self.readable.all():
            return scores
        mean = np.asarray(sum_rows(scores) / len(scores), dtype=scores.dtype)
        indices = np.where(self.readable, np.cumsum(self.readable) - 1, len(scores))  # the mean is behind the others
        completed: npt.NDArray[Any] = concatenate([scores, mean[None]])[indices]
        return completed
