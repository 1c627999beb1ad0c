"""One training of one configuration on one fold, epoch by epoch."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from foldtune.trainers.fitting.checkpoint import read_checkpoint, write_checkpoint
from foldtune.trainers.fitting.evaluator import Judge
from foldtune.trainers.fitting.fit_types import Best, EpochReport, FitResult, FoldData, Logits
from foldtune.trainers.fitting.learner import Learner
from foldtune.trainers.fitting.replica import Job, Replica
from foldtune.trainers.fitting.team import Team
from foldtune.trainers.networks.models import count_params_m
from foldtune.trainers.parallel.group import Group
from foldtune.trainers.runtime import choose_device
from foldtune.trainers.settings import TrialSettings, settings_to_dict
from foldtune.trainers.tasks.base import Task

__all__ = ["EpochReport", "Fit", "FitResult", "FoldData", "fit"]


class Fit:
    """A training that is run one epoch at a time; `save` and `restore` work between epochs.

    Random numbers of an epoch follow from (seed, epoch) alone, so a resumed training equals one that was not
    interrupted, on a CPU bit for bit.

    Args:
        metric: a metric of the task; the best epoch is the one that is best by it.
        epochs: budget of epochs and length of the lr schedule.
        seed: at least 0.
        device: "cpu", "cuda", "cuda:1"; by default the first GPU, or the CPU.
        num_workers: processes that read and augment; 0 does it in those that train.
        team: processes that train together, each with its share of every batch: gradients, metrics and checkpoints
            are those of one process. It has one training at a time and outlives it; `device` is its own.

    Raises:
        SettingsError: the metric is unknown, the warm-up too long, or the model lacks what is asked of it.
        TrialFailed: the model cannot be had, or not at this image size.
        ProcessLost: a process of the team is gone, here and in every method that trains.
    """

    def __init__(
        self,
        settings: TrialSettings,
        task: Task,
        data: FoldData,
        *,
        metric: str,
        epochs: int,
        seed: int,
        device: str | None = None,
        num_workers: int = 0,
        team: Team | None = None,
    ) -> None:
        train_targets = data.targets[data.train_rows]
        self.settings, self.task, self.data = settings, task.for_training(train_targets), data
        self.metric = metric
        self._judge = Judge(self.task, data, metric, settings.postprocess)
        self.epochs, self.seed = epochs, seed
        self.device = choose_device(device) if team is None else team.device
        self.epoch = 0
        self.best: Best | None = None
        self._best_weights: dict[str, Tensor] = {}
        self._broken_off = False
        self._team = team
        job = Job(settings, task, data, epochs, seed, self._judge.mode, num_workers)
        if team is not None:
            team.start()
        self._replica = replica = Replica(job, Group() if team is None else team.group, self.device)
        if team is not None:
            team.open(job, replica)
        self._learner: Learner | None = replica.learner
        self.params_m = count_params_m(replica.learner.model)

    @property
    def done(self) -> bool:
        """All epochs are run, or `patience` epochs went by without a better one."""
        patience = self.settings.patience
        stale = self.best is not None and 0 < patience <= self.epoch - self.best.epoch
        return self.epoch >= self.epochs or stale

    @property
    def valid_logits(self) -> Logits:
        """Logits (N_valid, …) of the best epoch, in the order of ``data.valid_rows``."""
        return self._require_best().logits

    def best_weights(self) -> dict[str, Tensor]:
        """State dict of the best epoch, on the CPU: the average of weights where ``ema_decay`` is on."""
        self._require_best()
        return dict(self._best_weights)

    def halve_micro_batch(self) -> None:
        """Compute a batch in smaller parts from now on; the batch and its gradient stay what they are."""
        self._between_epochs().micro.halve()
        if self._team is not None:
            self._team.ask(self._replica, "halve")

    def step(self) -> EpochReport:
        """Train one epoch and validate.

        Raises:
            TrialFailed: loss, logits or metric are not finite, or memory is out at the smallest micro-batch.
            ProcessLost: a process of the team is gone.
        """
        learner, epoch = self._between_epochs(), self.epoch + 1
        if self.done:
            raise RuntimeError(f"the training ended after epoch {self.epoch}")
        self._broken_off = True  # until the epoch is whole
        started = time.perf_counter()
        if self._team is None:
            trained = self._replica.run_epoch(epoch)
            logits = trained.logits
        else:
            trained, logits = self._team.run_epoch(self._replica, epoch)
        assert logits is not None
        metrics = self._judge.metrics(logits, epoch)
        is_best = self._judge.better(metrics[self.metric], self.best)
        if is_best:
            tuned = {f"{self.metric}_tuned": self._judge.tuned(logits, metrics)}
            self.best = Best(epoch, metrics[self.metric], metrics | tuned, logits)
            self._best_weights = _copy_to_cpu(learner.eval_model)
        self._replica.end_epoch(epoch, metrics[self.metric])
        if self._team is not None:
            self._team.ask(self._replica, "end_epoch", epoch, metrics[self.metric])
        self.epoch = epoch
        self._broken_off = False
        best = self._require_best()
        return EpochReport(
            epoch=epoch,
            metrics=metrics | {"train_loss": trained.loss},
            best_metrics=dict(best.metrics),
            best_epoch=best.epoch,
            best_value=best.value,
            is_best=is_best,
            done=self.done,
            time_s=time.perf_counter() - started,
            images_per_s=trained.images / trained.time_s,
            lr=trained.lr,
            micro_batch_size=learner.micro.size,
        )

    def save(self, path: Path) -> None:
        """Write all that `restore` needs to go on exactly as this training would.

        Raises:
            TrialFailed: no room for the file; an earlier checkpoint at `path` still stands.
        """
        learner, best = self._between_epochs(), self._require_best()
        weights = None if best.epoch == self.epoch else self._best_weights  # else they are the learner's own
        state = {
            "epoch": self.epoch,
            "learner": learner.state_dict(),
            "best": {"epoch": best.epoch, "value": best.value, "metrics": best.metrics},
            "best_logits": torch.from_numpy(best.logits),
            "best_weights": weights,
        }
        write_checkpoint(path, state, self._fingerprint())

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint of the same settings, task, data, epochs and seed.

        Raises:
            CheckpointError: nothing there that this training can go on from; it stays as it was.
        """
        learner = self._between_epochs()
        state = read_checkpoint(path, self._fingerprint())
        self._replica.load(state["learner"])
        if self._team is not None:
            self._team.ask(self._replica, "restore", path, self._fingerprint())
        self.epoch = state["epoch"]
        self.best = Best(**state["best"], logits=state["best_logits"].numpy())
        weights = state["best_weights"]
        self._best_weights = _copy_to_cpu(learner.eval_model) if weights is None else weights

    def close(self) -> None:
        """Free the model, the workers and the GPU's cache; the best epoch's logits and weights stay."""
        if self._learner is None:
            return
        self._learner = None
        self._replica.close()
        if self._team is not None:
            self._team.release(self._replica)

    def _between_epochs(self) -> Learner:
        if self._learner is None:
            raise RuntimeError("the training is closed")
        if self._broken_off:
            raise RuntimeError(f"epoch {self.epoch + 1} was broken off; restore a checkpoint into a new Fit")
        return self._learner

    def _require_best(self) -> Best:
        if self.best is None:
            raise RuntimeError("no epoch has been run yet")
        return self.best

    def _fingerprint(self) -> str:
        """Digest of everything that a checkpoint must agree with."""
        plain = [settings_to_dict(self.settings), self.task.to_dict(), self.metric, self.epochs, self.seed]
        digest = hashlib.sha256(json.dumps([*plain, self.data.images.shape], sort_keys=True).encode())
        for rows in (self.data.train_rows, self.data.valid_rows):
            digest.update(json.dumps(self.data.ids[rows].tolist()).encode())
            digest.update(np.ascontiguousarray(self.data.targets[rows]).tobytes())
        return digest.hexdigest()


def fit(
    settings: TrialSettings,
    task: Task,
    data: FoldData,
    *,
    metric: str,
    epochs: int,
    seed: int,
    report: Callable[[EpochReport, Fit], None] | None = None,
    resume: Path | None = None,
    device: str | None = None,
    num_workers: int = 0,
    processes: int = 1,
) -> FitResult:
    """Train to the end, from a checkpoint where `resume` names one; `report` is called after each epoch.

    Several `processes` share every batch: one a GPU, or so many on the CPU.

    Raises:
        SettingsError, TrialFailed, CheckpointError, ProcessLost: as `Fit` and its methods do.
    """
    started = time.perf_counter()
    with nullcontext() if processes == 1 else Team(processes, device) as team:
        training = Fit(
            settings,
            task,
            data,
            metric=metric,
            epochs=epochs,
            seed=seed,
            device=device,
            num_workers=num_workers,
            team=team,
        )
        reports = []
        try:
            if resume is not None:
                training.restore(resume)
            while not training.done:
                reports.append(training.step())
                if report is not None:
                    report(reports[-1], training)
            best = training._require_best()
        finally:
            training.close()
    return FitResult(
        reports=tuple(reports),
        best_epoch=best.epoch,
        best_value=best.value,
        best_metrics=dict(best.metrics),
        valid_logits=best.logits,
        weights=training.best_weights(),
        params_m=training.params_m,
        fit_time_s=time.perf_counter() - started,
    )


def _copy_to_cpu(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
