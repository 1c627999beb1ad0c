"""Voting of an ensemble's members: the part of the task protocol for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy.typing as npt

from foldtune.trainers.arrays.types import Postprocess, Predictions, Scores
from foldtune.trainers.arrays.voting import check_voting, mean_scores


class Votes(ABC):
    """The votes of a `foldtune.trainers.tasks.base.Task`, which implements the hard vote alone."""

    votings: ClassVar[tuple[str, ...]] = ("soft", "hard", "weighted")

    @abstractmethod
    def predict(self, scores: Scores, postprocess: Postprocess | None = None) -> Predictions:
        """Predictions (N, ...) of scores; absent keys are the default's. Ties are broken deterministically."""

    def fold_offsets(self, fold_logits: Iterable[npt.NDArray[Any]]) -> list[npt.NDArray[Any]] | None:
        """Return the offsets of each fold model's logits before `scores` that align the models' biases.

        ``fold_logits`` are of rows that the models were not trained on; no labels are needed. None (the default): no
        offsets; the iterable is not consumed, so it may read its arrays lazily.
        """
        return None

    def vote(
        self,
        member_scores: Sequence[Scores] | Scores,
        member_predictions: Sequence[Predictions] | None = None,
        *,
        voting: str,
        weights: Sequence[float] | None = None,
        min_votes: int | None = None,
        postprocess: Postprocess | None = None,
    ) -> tuple[Scores, Predictions]:
        """Scores and predictions of M members together on the same N rows, whatever the order of the members.

        Args:
            member_scores: M arrays of scores (N, ...).
            member_predictions: M arrays of predictions, for a hard vote; by default each member's scores with
                ``postprocess``. Give them to vote with members that have a post-processing each.
            voting: soft: mean of scores, then ``postprocess``. weighted: the same with ``weights``. hard:
                the members' predictions vote; ties go by mean score.
            weights: M weights >= 0, for weighted.
            min_votes: votes that a hard decision needs, 1 to M. Multiclass, ordinal: with fewer the soft
                vote decides. Binary, multilabel: with fewer the label is off. Text detection: distinct
                members in a cluster of polygons (IoU >= .5); with fewer the cluster is dropped.

        Returns:
            The (weighted) mean scores, whatever the voting, so that auroc and loss keep their meaning; and
            the predictions.

        Raises SettingsError where voting is unknown, or weights or min_votes do not fit it.
        """
        check_voting(voting, self.votings, len(member_scores), weights=weights, min_votes=min_votes)
        mean = mean_scores(member_scores, weights)
        soft = self.predict(mean, postprocess)
        if voting != "hard":
            return mean, soft
        if member_predictions is None:
            member_predictions = [self.predict(scores, postprocess) for scores in member_scores]
        return mean, self.hard_vote(member_predictions, mean, soft, min_votes)

    @abstractmethod
    def hard_vote(
        self, member_predictions: Sequence[Predictions], mean: Scores, soft: Predictions, min_votes: int | None
    ) -> Predictions:
        """The hard vote of M members' predictions, as in `vote`, which has checked the arguments.

        Args:
            mean: (N, ...) mean scores, by which ties go.
            soft: predictions of the soft vote.
        """
