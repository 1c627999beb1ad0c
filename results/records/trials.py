"""Stored facts of a trial, as frozen values: its epochs, status and scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from foldtune.errors import RunCorrupt

Mode = Literal["max", "min"]
Status = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
FINISHED: tuple[Status, ...] = ("COMPLETE", "PRUNED", "FAIL")
_DECISIVE = ("epoch", "metrics", "best_epoch", "best_metrics")
"""Fields of an epoch without which a trial cannot be judged."""


@dataclass(frozen=True)
class EpochRow:
    """One epoch of a trial, one line of its metrics.jsonl.

    Attributes:
        epoch: number of the epoch, from 1.
        best_epoch: number of the best epoch so far.
        best_metrics: {metric: value} of the best epoch, with ``<metric>_tuned``.
        lr: learning rate at its end, > 0.
        micro_batch_size: images per forward pass, 0 where another version did not store it.
        params_m: parameters of the network, in millions.
    """

    epoch: int
    metrics: Mapping[str, float]
    best_epoch: int
    best_metrics: Mapping[str, float]
    time_s: float
    images_per_s: float
    lr: float
    micro_batch_size: int
    params_m: float

    def to_dict(self) -> dict[str, Any]:
        """Return the row as stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], where: str) -> EpochRow:
        """Read a stored row; unknown keys are ignored, and another version may lack what only describes the training.

        Raises RunCorrupt, which names ``where``.
        """
        missing = [name for name in _DECISIVE if name not in row]
        if missing:
            raise RunCorrupt(f"{where}: an epoch without {', '.join(missing)}")
        try:
            return cls(
                epoch=int(row["epoch"]),
                metrics=_numbers(row["metrics"]),
                best_epoch=int(row["best_epoch"]),
                best_metrics=_numbers(row["best_metrics"]),
                time_s=_number(row.get("time_s")),
                images_per_s=_number(row.get("images_per_s")),
                lr=_number(row.get("lr")),
                micro_batch_size=int(row.get("micro_batch_size") or 0),
                params_m=_number(row.get("params_m")),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise RunCorrupt(f"{where}: an epoch that cannot be read: {error}") from error


@dataclass(frozen=True)
class Scores:
    """Model outputs on N validation rows at an epoch: ids (N,), logits (N, ...), targets (N, ...) or None.

    ``cases``: (N,) names of the cases that are judged in the place of rows, None without cases.
    """

    ids: npt.NDArray[np.str_]
    logits: npt.NDArray[Any]
    targets: npt.NDArray[Any] | None
    epoch: int
    cases: npt.NDArray[np.str_] | None = None


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the leaderboard shows it: ``metrics`` of its best epoch, sampled ``params`` by dotted name.

    ``surroundings``: a FAIL for what surrounded the trial, which `--resume` tries again.
    """

    trial_id: str
    number: int
    status: Status
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    epochs: int
    best_epoch: int | None
    metrics: Mapping[str, float]
    fit_time_s: float | None
    images_per_s: float | None
    params_m: float | None
    error: str | None
    surroundings: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether its files could be read; see ``unreadable_record``."""
        return self.number >= 0

    def value(self, metric: str) -> float:
        """Return the metric at the best epoch, NaN without one."""
        return self.metrics.get(metric, math.nan)


def current_epochs(rows: Sequence[EpochRow]) -> tuple[EpochRow, ...]:
    """Return the epochs in order; a repeated epoch replaces its earlier row and all rows after that.

    A trial resumed from a checkpoint repeats the epochs after the checkpoint.
    """
    kept: list[EpochRow] = []
    for row in rows:
        while kept and kept[-1].epoch >= row.epoch:
            kept.pop()
        kept.append(row)
    return tuple(kept)


def build_record(config: Mapping[str, Any], epochs: Sequence[EpochRow], done: Mapping[str, Any] | None) -> TrialRecord:
    """Build a trial's record from config.json, the current epochs and, once it has ended, trial.json."""
    last = epochs[-1] if epochs else None
    done = done or {}
    fit_time_s = done.get("fit_time_s")
    if fit_time_s is None and epochs:
        fit_time_s = sum(row.time_s for row in epochs)
    return TrialRecord(
        trial_id=config["trial_id"],
        number=config["number"],
        status=done.get("status", "RUNNING"),
        params=config["params"],
        config=config["config"],
        epochs=last.epoch if last else 0,
        best_epoch=last.best_epoch if last else None,
        metrics=last.best_metrics if last else {},
        fit_time_s=fit_time_s,
        images_per_s=median(row.images_per_s for row in epochs) if epochs else None,
        params_m=last.params_m if last else None,
        error=done.get("error"),
        surroundings=done.get("surroundings") is True,
    )


def unreadable_record(trial_id: str, reason: str) -> TrialRecord:
    """Return a FAIL record for a trial with damaged files, so that the other trials remain readable."""
    return TrialRecord(
        trial_id=trial_id,
        number=-1,
        status="FAIL",
        params={},
        config={},
        epochs=0,
        best_epoch=None,
        metrics={},
        fit_time_s=None,
        images_per_s=None,
        params_m=None,
        error=f"unreadable: {reason}",
    )


def _number(value: Any) -> float:
    """JSON has no NaN: it is stored as null."""
    return math.nan if value is None else float(value)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: _number(value) for name, value in values.items()}
