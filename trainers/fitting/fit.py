"""One training of one configuration on one fold, epoch by epoch."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foldtune.trainers.fitting.checkpoint import read_checkpoint, write_checkpoint
from foldtune.trainers.fitting.epoch import run_epoch
from foldtune.trainers.fitting.evaluator import Evaluator
from foldtune.trainers.fitting.fit_types import Best, EpochReport, FoldData, Logits, TrainSpec
from foldtune.trainers.fitting.learner import Learner
from foldtune.trainers.fitting.rank_trainer import RankTrainer
from foldtune.trainers.fitting.worker_pool import WorkerPool
from foldtune.trainers.networks.models import count_params_m
from foldtune.trainers.parallel.process_group import ProcessGroup
from foldtune.trainers.runtime import choose_device
from foldtune.trainers.settings import settings_to_dict

__all__ = ["EpochReport", "Fit", "FoldData", "TrainSpec"]


class Fit:
    """A training that is run one epoch at a time; `save` and `restore` work between epochs.

    Random numbers of an epoch follow from (seed, epoch) alone, so a resumed training equals one that was not
    interrupted, on a CPU bit for bit.

    Args:
        device: "cpu", "cuda", "cuda:1"; by default the first GPU, or the CPU.
        num_workers: processes that read and augment; 0 does it in those that train.
        pool: processes that train together, each with its shard of every batch: gradients, metrics and checkpoints
            are those of one process. It has one training at a time and outlives it; `device` is its own.

    Raises:
        SettingsError: the metric is unknown, the warm-up too long, or the model lacks a part that the settings name.
        TrialFailed: the model cannot be built, or not at this image size.
        ProcessLost: a process of the pool is gone, here and in every method that trains.
    """

    def __init__(
        self,
        spec: TrainSpec,
        *,
        device: str | None = None,
        num_workers: int = 0,
        pool: WorkerPool | None = None,
    ) -> None:
        self.spec, self.settings, self.data = spec, spec.settings, spec.data
        self.metric, self.epochs, self.seed = spec.metric, spec.epochs, spec.seed
        self.task = spec.task.for_training(spec.data.targets[spec.data.train_rows])
        self._evaluator = Evaluator(self.task, spec.data, spec.metric, spec.settings.postprocess)
        self.epoch = 0
        self.best: Best | None = None
        self._best_weights: dict[str, Tensor] = {}
        self._interrupted = False
        self._pool = pool
        if pool is not None:
            pool.start()
        group = ProcessGroup(choose_device(device)) if pool is None else pool.group
        self.device = group.device
        self._trainer = RankTrainer(spec, group, num_workers)
        if pool is not None:
            pool.open(spec, self._trainer, num_workers)
        self._learner: Learner | None = self._trainer.learner
        self.params_m = count_params_m(self._trainer.learner.model)

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
        """Return the best epoch's state dict, on the CPU: the average of weights where ``ema_decay`` is on."""
        self._require_best()
        return dict(self._best_weights)

    def weights(self) -> dict[str, Tensor]:
        """Return the last epoch's state dict, on the CPU: the average of weights where ``ema_decay`` is on."""
        return _copy_to_cpu(self._between_epochs().eval_model)

    def halve_micro_batch(self) -> None:
        """Compute a batch in smaller parts from now on; the batch and its gradient stay the same."""
        self._between_epochs().micro.halve()
        self._run_in_others("halve")

    def step(self) -> EpochReport:
        """Train one epoch and validate.

        Raises:
            TrialFailed: loss, logits or metric are not finite, or memory is out at the smallest micro-batch.
            MemoryExhausted: a process of the pool ran out of memory after its first batch.
            ProcessLost: a process of the pool is gone.
        """
        learner, epoch = self._between_epochs(), self.epoch + 1
        if self.done:
            raise RuntimeError(f"the training ended after epoch {self.epoch}")
        self._interrupted = True  # until the epoch is complete
        started = time.perf_counter()
        if self._pool is None:
            result = run_epoch(self._trainer, epoch)
            logits = result.logits
        else:
            result, logits = self._pool.run_epoch(self._trainer, epoch)
        assert logits is not None
        metrics, best = self._evaluator.evaluate(logits, epoch, self.best)
        if best.epoch == epoch:
            self.best, self._best_weights = best, _copy_to_cpu(learner.eval_model)
        self._trainer.end_epoch(epoch, metrics[self.metric])
        self._run_in_others("end_epoch", epoch, metrics[self.metric])
        self.epoch = epoch
        self._interrupted = False
        return EpochReport(
            epoch=epoch,
            metrics=metrics | {"train_loss": result.loss},
            best_metrics=dict(best.metrics),
            best_epoch=best.epoch,
            best_value=best.value,
            is_best=best.epoch == epoch,
            done=self.done,
            time_s=time.perf_counter() - started,
            images_per_s=result.images / result.time_s,
            lr=result.lr,
            micro_batch_size=learner.micro.size,
        )

    def run(self, report: Callable[[EpochReport], None] = lambda report: None) -> tuple[EpochReport, ...]:
        """Train to the end and close; `report` is called after each epoch. Raises as `step`."""
        reports = []
        try:
            while not self.done:
                reports.append(self.step())
                report(reports[-1])
        finally:
            self.close()
        return tuple(reports)

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
        write_checkpoint(path, state, self._fingerprint(), self.data.digest)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint of the same settings, task, data, epochs and seed.

        Raises:
            CheckpointError: nothing there that this training can go on from; it stays as it was.
        """
        learner = self._between_epochs()
        state = read_checkpoint(path, self._fingerprint(), self.data.digest)
        self._trainer.load(state["learner"])
        self._run_in_others("restore", path, self._fingerprint())
        self.epoch = state["epoch"]
        self.best = Best(**state["best"], logits=state["best_logits"].numpy())
        weights = state["best_weights"]
        self._best_weights = _copy_to_cpu(learner.eval_model) if weights is None else weights

    def close(self) -> None:
        """Free the model, the loaders and the GPU's cache; the best epoch's logits and weights stay."""
        if self._learner is None:
            return
        self._learner = None
        self._trainer.close()
        if self._pool is not None:
            self._pool.release(self._trainer)

    def _run_in_others(self, command: str, *arguments: Any) -> None:
        if self._pool is not None:
            self._pool.run(self._trainer, command, *arguments)

    def _between_epochs(self) -> Learner:
        if self._learner is None:
            raise RuntimeError("the training is closed")
        if self._interrupted:
            raise RuntimeError(f"epoch {self.epoch + 1} was broken off; restore a checkpoint into a new Fit")
        return self._learner

    def _require_best(self) -> Best:
        if self.best is None:
            raise RuntimeError("no epoch has been run yet")
        return self.best

    def _fingerprint(self) -> str:
        """Return the digest of everything that a checkpoint must agree with."""
        plain = [settings_to_dict(self.settings), self.task.to_dict(), self.metric, self.epochs, self.seed]
        digest = hashlib.sha256(json.dumps([*plain, self.data.images.shape], sort_keys=True).encode())
        for rows in (self.data.train_rows, self.data.valid_rows):
            digest.update(json.dumps(self.data.ids[rows].tolist()).encode())
            digest.update(np.ascontiguousarray(self.data.targets[rows]).tobytes())
        if (weights := self.spec.loss_weights) is not None:
            digest.update(weights.tobytes())
        return digest.hexdigest()


def _copy_to_cpu(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
