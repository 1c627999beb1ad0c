"""Out-of-fold and test scores of a member, collected from the folders of its fold models."""

from __future__ import annotations

from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import WorkError
from foldtune.results.records.trials import Scores
from foldtune.results.runs.ensemble_dir import ALL_ROWS, EnsembleDir, FoldDir
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
        seeds: number of seeds, whose models' scores are averaged.
        refit: whether the model of all rows predicts, in the place of the fold models.
    """

    def __init__(
        self,
        home: EnsembleDir,
        candidate: Candidate,
        source: Source,
        tta: str | None,
        seeds: int = 1,
        refit: bool = False,
    ) -> None:
        self.candidate = candidate
        self.seeds, self._refit = seeds, refit
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
        """Scores (N, ...) of the rows or cases `ids` (N,), each by the models of its fold, of the first so many folds.

        Raises:
            WorkError: a fold's scores are gone.
        """
        of_seeds = [self.seed_scores(ids, folds, seed) for seed in range(self.seeds)]
        return of_seeds[0] if self.seeds == 1 else mean_scores(of_seeds)

    def seed_scores(self, ids: npt.NDArray[np.str_], folds: int, seed: int) -> Array:
        """Return the scores as of `oof_scores`, by the models of one seed alone. Raises WorkError."""
        stored = [self.fold_scores(fold, seed) for fold in range(folds)]
        offsets = self.fold_offsets(folds, seed)
        task = self.candidate.run.task
        scores = [task.scores(_moved(each.logits, offset)) for each, offset in zip(stored, offsets, strict=True)]
        names = [each.ids for each in stored]
        for place, each in enumerate(stored):
            if each.cases is not None:
                cases = Cases.of(each.cases)
                names[place] = cases.names
                scores[place] = cases.reduce(scores[place], self.case_reduce, exclusive=task.exclusive_classes)
        return arranged(concatenate(scores), np.concatenate(names), ids)

    def fold_offsets(self, folds: int, seed: int = 0) -> list[Array]:
        """Return the offset of each fold model's logits that aligns their biases, 0 for none. Raises WorkError."""
        logits = (self.fold_scores(fold, seed).logits for fold in range(folds))
        offsets = self.candidate.run.task.fold_offsets(logits)
        return [NOTHING] * folds if offsets is None else [offset.astype(np.float32) for offset in offsets]

    def fold_scores(self, fold: int, seed: int = 0) -> Scores:
        """Return the scores of one fold's model on its validation rows. Raises WorkError."""
        directory = self._directory(fold, seed)
        stored = directory.read_scores()
        if stored is None:
            raise WorkError(f"{directory.scores_path} is gone; run the command again")
        return stored

    def best_epoch(self, folds: int) -> int:
        """Return the median of the epochs that its fold models kept: where the model of all rows ends."""
        return round(median(self.fold_scores(fold).epoch for fold in range(folds)))

    def test_scores(self, ids: npt.NDArray[np.str_], folds: int) -> Array:
        """Mean scores (T, ...) of the rows or cases to submit `ids` (T,) over the models that predict; WorkError."""
        if self._refit:
            return mean_scores([self.fold_test_scores(ALL_ROWS, ids)])
        of_models = [
            self.fold_test_scores(fold, ids, offset, seed)
            for seed in range(self.seeds)
            for fold, offset in enumerate(self.fold_offsets(folds, seed))
        ]
        return mean_scores(of_models)

    def fold_test_scores(self, fold: int, ids: npt.NDArray[np.str_], offset: Array = NOTHING, seed: int = 0) -> Array:
        """Scores (T, ...) of one model, whose logits `offset` is added to; raises WorkError."""
        test, directory = self.source.test, self._directory(fold, seed)
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

    def _directory(self, fold: int, seed: int = 0) -> FoldDir:
        own = self._home.member(self.candidate.id, fold, seed)
        return own.with_tta(views_of(self._asked, self.settings))


def _moved(logits: Array, offset: Array) -> Array:
    """The logits with the offset added. What stays as it is keeps its type, too: maps come in bytes."""
    return logits if offset is NOTHING else logits + offset


def arranged(values: np.ndarray, ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rows (N, ...) of `ids` (N,) in the order of `wanted`, which names each of them."""
    place = {row: index for index, row in enumerate(ids.tolist())}
    return values[[place[row] for row in wanted.tolist()]]
