"""Parts of the task protocol: how its networks are trained, and how an ensemble's members vote."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from foldtune.errors import Problem
from foldtune.trainers.arrays.types import Postprocess, Predictions, Scores, Targets
from foldtune.trainers.arrays.voting import check_voting, mean_scores
from foldtune.trainers.components import Component
from foldtune.trainers.deferred import torch
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.networks.models import build_model

if TYPE_CHECKING:
    from torch import nn

    from foldtune.trainers.loading.augment import Augmentation
    from foldtune.trainers.settings import TrialSettings


class Trains(ABC):
    """The training of a `foldtune.trainers.tasks.base.Task`: network, loss, batches."""

    @abstractmethod
    def class_counts(self, targets: Targets) -> npt.NDArray[np.int64]:
        """(C,) rows of each class, for the weights of losses. Multilabel: (L, 2) negatives and positives a label.

        Absent classes count 0. Text detection: (1,) boxes. Soft targets: sums of probabilities, which are float.
        """

    @property
    @abstractmethod
    def head_size(self) -> int:
        """Outputs of the model in evaluation mode. Text detection: 1 (a map)."""

    def build_model(self, settings: TrialSettings) -> nn.Module:
        """The network, from normalised images (B, 3, H, W) to logits."""
        return self._timm_network(settings, self.head_size)

    @staticmethod
    def _timm_network(settings: TrialSettings, num_outputs: int) -> nn.Module:
        return build_model(
            settings.model_name,
            num_outputs,
            pretrained=settings.pretrained,
            drop_rate=settings.drop_rate,
            drop_path_rate=settings.drop_path_rate,
            head=settings.head,
        )

    def build_loss(self, loss: Component, train_targets: Targets) -> nn.Module:
        """The loss function: (outputs of the model in training mode, collated targets) -> (B,) losses, one a row.

        Args:
            train_targets: targets of the original training fold, before any oversampling.
        """
        return LOSSES[loss.name](**loss.params).build(self.class_counts(train_targets))

    def collate(self, targets: Targets, image_size: tuple[int, int]) -> Any:
        """Targets (B, ...) of a batch in the form of the loss; runs in the loader's workers.

        Args:
            image_size: height and width of the batch's images after crop and augmentation.
        """
        return torch.from_numpy(np.ascontiguousarray(targets))

    def augment(
        self,
        transform: Augmentation,
        image: npt.NDArray[np.uint8],
        target: Any,
    ) -> tuple[npt.NDArray[np.uint8], Any]:
        """Transform one image (H, W, 3) and, where the target lies in the image, its target with it.

        The default changes the image alone. Text detection moves its corners as keypoints; in the target, of the same
        shape, polygons that have left the image are NaN.
        """
        return transform(image), target

    @property
    def has_spatial_targets(self) -> bool:
        """Whether targets lie in the image and move with it, so that a random crop is for training alone."""
        return type(self).augment is not Trains.augment

    def check_settings(self, settings: TrialSettings) -> list[Problem]:
        """Problems of a configuration, valid by itself, with this task's network."""
        return []

    def quantize_outputs(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A batch's float32 outputs (B, ...) in the form that is kept, in memory and on disk, for `scores`."""
        return logits


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
