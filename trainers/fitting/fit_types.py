"""Inputs and results of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from foldtune.trainers.images.cache import ImageSource
    from foldtune.trainers.settings import TrialSettings
    from foldtune.trainers.tasks.base import Task

Rows = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FoldData:
    """Images of one fold.

    Args:
        images: N images (H, W, 3) uint8.
        targets: (N, …).
        ids: (N,).
        train_rows, valid_rows: indices of images.
        groups: (N,); rows of a group stay together when post-processing is cross-fitted.
        cases: (N,) names; rows of a case are judged as one. None where each row is judged.
        digest: digest of rows and images, which a checkpoint must agree with; "" where it is not known.
        extra_weights: (N,) factor of the loss of rows that only ever train, 0 for the others; None without such rows.
    """

    images: ImageSource
    targets: npt.NDArray[Any]
    ids: npt.NDArray[np.str_]
    train_rows: Rows
    valid_rows: Rows
    groups: npt.NDArray[np.str_] | None = None
    digest: str = ""
    cases: npt.NDArray[np.str_] | None = None
    extra_weights: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class TrainSpec:
    """Everything that the numbers of a training depend on; a checkpoint belongs to one of them.

    Args:
        metric: name of a metric of the task; the best epoch is the one that is best by it.
        epochs: budget of epochs and length of the lr schedule, at least 1.
        seed: at least 0.
        weights: file of the pretrained weights that `settings.pretrained` names; None without.
    """

    settings: TrialSettings
    task: Task
    data: FoldData
    metric: str
    epochs: int
    seed: int
    weights: Path | None = None

    @property
    def loss_weights(self) -> npt.NDArray[np.float32] | None:
        """Factors (N,) of the rows' losses; None where each counts as it is."""
        given = self.data.extra_weights
        if given is None:
            return None
        return np.where(given > 0, given * self.settings.extra_weight, 1.0).astype(np.float32)


@dataclass(frozen=True)
class EpochReport:
    """Figures of one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        metrics: the task's metrics by the settings' post-processing, and ``train_loss``.
        best_metrics: metrics of the best epoch so far, and ``<metric>_tuned``.
        best_epoch, best_value: the best epoch so far and its value of the metric.
        time_s: seconds of the whole epoch.
        images_per_s: images a second of training alone.
        lr: learning rate of the last step.
        micro_batch_size: images of one forward pass.
    """

    epoch: int
    metrics: dict[str, float]
    best_metrics: dict[str, float]
    best_epoch: int
    best_value: float
    is_best: bool
    done: bool
    time_s: float
    images_per_s: float
    lr: float
    micro_batch_size: int


@dataclass(frozen=True, eq=False)
class EpochResult:
    """What one process has after an epoch.

    Attributes:
        loss: mean training loss over the images of all processes.
        images: trained images of all processes.
        time_s: seconds of training, without validation.
        lr: learning rate of the last step.
        logits: (N_valid, …) of this process's validation rows, None where it has none.
    """

    loss: float
    images: int
    time_s: float
    lr: float
    logits: Logits | None


@dataclass(frozen=True, eq=False)
class Best:
    """The best epoch so far: its metrics (with ``<metric>_tuned``) and validation logits (N_valid, …)."""

    epoch: int
    value: float
    metrics: dict[str, float]
    logits: Logits
