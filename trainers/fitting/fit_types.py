"""What goes into a training and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    from foldtune.trainers.data.cache import ImageSource

Rows = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FoldData:
    """N images with targets (N, …) and ids (N,), of which `train_rows` and `valid_rows` are indices.

    `groups` (N,), where given, keep the rows of a group together when post-processing is cross-fitted.
    """

    images: ImageSource
    targets: npt.NDArray[Any]
    ids: npt.NDArray[np.str_]
    train_rows: Rows
    valid_rows: Rows
    groups: npt.NDArray[np.str_] | None = None


@dataclass(frozen=True)
class EpochReport:
    """What an epoch (1-based) came to.

    `metrics` are this epoch's: the task's, by the settings' post-processing, and ``train_loss``;
    `best_metrics` are the best epoch's and have ``<metric>_tuned`` besides. `time_s` is the whole epoch's,
    `images_per_s` that of training alone, `lr` the one of the last step.
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
class Best:
    """The best epoch so far: its metrics (with ``<metric>_tuned``) and validation logits (N_valid, …)."""

    epoch: int
    value: float
    metrics: dict[str, float]
    logits: Logits


@dataclass(frozen=True, eq=False)
class FitResult:
    """A whole training. `reports` are those of the epochs run in this call; all else is the best epoch's."""

    reports: tuple[EpochReport, ...]
    best_epoch: int
    best_value: float
    best_metrics: dict[str, float]
    valid_logits: Logits
    weights: dict[str, Tensor]
    params_m: float
    fit_time_s: float
