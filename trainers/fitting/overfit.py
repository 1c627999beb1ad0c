"""Whether a configuration trains at all: its first loss against chance, and a few batches learned by heart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from foldtune.trainers.components import default_component
from foldtune.trainers.fitting.epoch import map_tensors, run_epoch
from foldtune.trainers.fitting.fit_types import FoldData, TrainSpec
from foldtune.trainers.fitting.rank_trainer import RankTrainer, translate_torch_errors
from foldtune.trainers.fitting.timing import open_training
from foldtune.trainers.loading.augment import AUGMENTATIONS
from foldtune.trainers.loading.samplers import SAMPLERS
from foldtune.trainers.optim.lr_schedulers import LR_SCHEDULERS
from foldtune.trainers.runtime import seeded
from foldtune.trainers.settings import TrialSettings

MAX_PASSES = 100
_LEARNED_SHARE, _LEARNED_LOSS, _PROGRESS = 0.95, 0.2, 0.98


@dataclass(frozen=True, eq=False)
class Overfit:
    """A few batches learned by heart, without augmentation, mixup, dropout and averages of weights.

    Attributes:
        chance: mean loss of outputs that are all zero: log C for the cross entropy of C classes.
        first: mean loss of the network before its first step.
        losses: mean loss of each pass over the rows.
        share: share of the labels (N, …) that are predicted right after the last pass; None for boxes.
        collapsed: whether one prediction stands for all rows, whose labels differ.
        predictions: (N, …), in the order of the rows.
    """

    chance: float
    first: float
    losses: tuple[float, ...]
    share: float | None
    collapsed: bool
    predictions: npt.NDArray[Any]

    @property
    def learned(self) -> bool:
        """Nearly all labels are right, or the loss is down to a fifth. A loss on soft labels cannot reach zero."""
        loss = self.losses[-1]
        return _labels_learned(self.share, loss, self.first) or _is_small(loss, self.first)


def overfit(
    spec: TrainSpec,
    seconds: float,
    progress: Callable[[int, float], None] | None = None,
    device: str | None = None,
) -> Overfit:
    """Train the rows of a training until they are learned, at most `MAX_PASSES` times or for about `seconds`.

    Args:
        spec: its validation rows are its training rows.
        progress: called with the number of passes and the loss after each.
        device: as for `open_training`.

    Raises:
        TrialFailed: a loss is not finite, or memory is out.
    """
    spec, end = replace(spec, settings=_plain(spec.settings), epochs=MAX_PASSES), time.monotonic() + seconds
    task, targets = spec.task, spec.data.targets[spec.data.valid_rows]
    truth = None if task.has_spatial_targets else task.as_predictions(targets)
    losses: list[float] = []
    with open_training(spec, device) as trainer:
        first, chance = first_losses(trainer)
        while True:
            result = run_epoch(trainer, len(losses) + 1)
            assert result.logits is not None
            losses.append(result.loss)
            predictions = task.predict(task.scores(result.logits), task.default_postprocess())
            share = None if truth is None else float(np.mean(predictions == truth))
            if progress is not None:
                progress(len(losses), result.loss)
            learned = _labels_learned(share, result.loss, first) if share is not None else _is_small(result.loss, first)
            if learned or len(losses) == MAX_PASSES or time.monotonic() > end:
                break
    collapsed = truth is not None and _distinct(predictions) == 1 < _distinct(truth)
    return Overfit(chance, first, tuple(losses), share, collapsed, predictions)


def first_losses(trainer: RankTrainer) -> tuple[float, float]:
    """Return the mean loss of the untrained network in training mode, and that of outputs that are all zero."""
    learner, spec = trainer.learner, trainer.spec
    sums, images = np.zeros(2), 0
    learner.train()
    state = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    with torch.no_grad(), seeded(learner.device, spec.seed, 0), translate_torch_errors(spec.settings):
        for pixels, targets, rows in trainer.batches.epoch(0, spec.data.train_rows):
            output = learner.model(learner.normalize(pixels.to(learner.device)))
            targets = map_tensors(lambda tensor: tensor.to(learner.device), targets)
            for place, each in enumerate((output, map_tensors(torch.zeros_like, output))):
                sums[place] += float(learner.criterion(each, targets).sum())
            images += len(rows)
    learner.model.load_state_dict(state)  # its running statistics have seen the batches
    return float(sums[0] / images), float(sums[1] / images)


def rows_as_fold(data: FoldData) -> FoldData:
    """Return data whose every row is trained and evaluated."""
    rows = np.arange(len(data.ids))
    return replace(data, train_rows=rows, valid_rows=rows)


def _plain(settings: TrialSettings) -> TrialSettings:
    """Return settings without what keeps a network from learning rows by heart."""
    return replace(
        settings,
        augmentation=default_component(AUGMENTATIONS, "none"),
        sampler=default_component(SAMPLERS, "none"),
        lr_scheduler=default_component(LR_SCHEDULERS, "constant"),
        mixup=0.0,
        drop_rate=0.0,
        drop_path_rate=0.0,
        ema_decay=0.0,
        unfreeze_epochs=0,
    )


def _labels_learned(share: float | None, loss: float, first: float) -> bool:
    # A few rows of a few classes may be right before any step.
    return share is not None and share >= _LEARNED_SHARE and loss <= _PROGRESS * first


def _is_small(loss: float, first: float) -> bool:
    return loss <= _LEARNED_LOSS * first


def _distinct(predictions: npt.NDArray[Any]) -> int:
    return len(np.unique(predictions, axis=0))
