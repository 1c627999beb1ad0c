"""Out-of-fold and test scores of a member, collected from the folders of its fold models."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import WorkError
from foldtune.results.records.trials import Scores
from foldtune.results.runs.ensemble_dir import EnsembleDir, FoldDir
from foldtune.search.ensemble.plan import Candidate
from foldtune.search.ensemble.sources import Source
from foldtune.search.runs.postprocessing import own_postprocess
from foldtune.search.workers.fold_model import views_of
from foldtune.search.workers.unlabelled import Unlabelled, completed
from foldtune.trainers.arrays.lazy import concatenate
from foldtune.trainers.arrays.voting import mean_scores
from foldtune.trainers.postprocess.case_scores import Cases, reduction_of
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.parsing import parse_settings

Array = npt.NDArray[Any]
NOTHING = np.zeros((), dtype=np.float16)
"""The offset of logits that stay as they are."""


class StoredMember:
    """A candidate whose fold models are ready.

    Args:
        source: the candidate's run with its rows.
        tta: test-time augmentation of the scores, None for the configuration's own.
    """

    def __init__(self, home: EnsembleDir, candidate: Candidate, source: Source, tta: str | None) -> None:
        self.candidate = candidate
        self.source = source
        self._home = home
        self._asked = tta

    @property
    def settings(self) -> TrialSettings:
        """The configuration, read."""
        return parse_settings(self.candidate.record.config, self.candidate.run.task)

    @property
    def tta(self) -> str:
        """Views in which its models see an image."""
        return self._asked or self.settings.tta

    @cached_property
    def case_reduce(self) -> str:
        """How it scores a case by its images: as its configuration has it, or as fits its rows of fold 0 best."""
        postprocess = self.candidate.record.config.get("postprocess")
        if isinstance(postprocess, str):
            postprocess = own_postprocess(self.candidate.run, self.candidate.record, self.fold_scores(0))
        return reduction_of(postprocess)

    def oof_scores(self, ids: npt.NDArray[np.str_], folds: int) -> Array:
        """Scores (N, ...) of the rows or cases `ids` (N,), each by the model of its fold, of the first so many folds.

        Raises:
            WorkError: a fold's scores are gone.
        """
        stored = [self.fold_scores(fold) for fold in range(folds)]
        offsets = self.fold_offsets(folds)
        task = self.candidate.run.task
        scores = [task.scores(_moved(each.logits, offset)) for each, offset in zip(stored, offsets, strict=True)]
        names = [each.ids for each in stored]
        for place, each in enumerate(stored):
            if each.cases is not None:
                cases = Cases.of(each.cases)
                names[place] = cases.names
                scores[place] = cases.reduce(scores[place], self.case_reduce, exclusive=task.exclusive_classes)
        return arranged(concatenate(scores), np.concatenate(names), ids)

    def fold_offsets(self, folds: int) -> list[Array]:
        """Return the offset of each fold model's logits that aligns their biases, 0 for none. Raises WorkError."""
        offsets = self.candidate.run.task.fold_offsets(self.fold_scores(fold).logits for fold in range(folds))
        return [NOTHING] * folds if offsets is None else [offset.astype(np.float32) for offset in offsets]

    def fold_scores(self, fold: int) -> Scores:
        """Return the scores of one fold's model on its validation rows. Raises WorkError."""
        directory = self._directory(fold)
        stored = directory.read_scores()
        if stored is None:
            raise WorkError(f"{directory.scores_path} is gone; run the command again")
        return stored

    def test_scores(self, ids: npt.NDArray[np.str_], folds: int) -> Array:
        """Mean scores (T, ...) of the rows or cases to submit `ids` (T,) over its fold models; raises WorkError."""
        offsets = self.fold_offsets(folds)
        of_folds = [self.fold_test_scores(fold, ids, offset) for fold, offset in enumerate(offsets)]
        return mean_scores(of_folds)

    def fold_test_scores(self, fold: int, ids: npt.NDArray[np.str_], offset: Array = NOTHING) -> Array:
        """Scores (T, ...) of one fold's model, whose logits `offset` is added to; raises WorkError."""
        test, directory = self.source.test, self._directory(fold)
        assert isinstance(test, Unlabelled)
        logits = test.stored_logits(directory)
        if logits is None:
            raise WorkError(f"{directory.test_path} is gone; run the command again")
        task = self.candidate.run.task
        scores, names = task.scores(_moved(logits, offset)), test.table.ids
        if test.table.cases is not None:
            cases = Cases.of(test.table.cases)
            scores, names = cases.reduce(scores, self.case_reduce, exclusive=task.exclusive_classes), cases.names
        return completed(scores, names, ids)

    def _directory(self, fold: int) -> FoldDir:
        return self._home.member(self.candidate.id, fold).with_tta(views_of(self._asked, self.settings))


def _moved(logits: Array, offset: Array) -> Array:
    """The logits with the offset added. What stays as it is keeps its type, too: maps come in bytes."""
    return logits if offset is NOTHING else logits + offset


def arranged(values: np.ndarray, ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rows (N, ...) of `ids` (N,) in the order of `wanted`, which names each of them."""
    place = {row: index for index, row in enumerate(ids.tolist())}
    return values[[place[row] for row in wanted.tolist()]]
