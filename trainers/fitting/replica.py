"""What every process of a training holds: a model that learns from its share of each batch, and its rows to judge."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from foldtune.trainers.arrays.types import Mode
from foldtune.trainers.fitting.failures import failing_plainly
from foldtune.trainers.fitting.fit_types import FoldData, Logits
from foldtune.trainers.fitting.learner import Learner
from foldtune.trainers.inference.options import InferenceOptions
from foldtune.trainers.inference.predictor import Predictor, eval_batch_size
from foldtune.trainers.loading.augment import build_augmentation
from foldtune.trainers.loading.crops import output_size, training_crop
from foldtune.trainers.loading.loader import Batches, BatchReader
from foldtune.trainers.loading.samplers import build_sampler
from foldtune.trainers.networks.models import has_batch_norm
from foldtune.trainers.parallel.group import Group
from foldtune.trainers.parallel.norms import share_statistics
from foldtune.trainers.parallel.shares import Share, cut
from foldtune.trainers.runtime import follow_omp_threads, free_gpu_cache, seeded
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.network import create_model

_MODEL_SEED = 0  # epochs are numbered from 1
_EVAL_BATCH = 64  # without gradients larger batches fit than in training


@dataclass(frozen=True, eq=False)
class Job:
    """A training, as all of its processes must know it; `num_workers` are those of all processes together."""

    settings: TrialSettings
    task: Task
    data: FoldData
    epochs: int
    seed: int
    mode: Mode
    num_workers: int


@dataclass(frozen=True, eq=False)
class Trained:
    """An epoch: mean loss and images of all processes, seconds that learning took, lr of the last step, and the logits
    (N_valid, …) of this process's validation rows, None where it has none."""

    loss: float
    images: int
    time_s: float
    lr: float
    logits: Logits | None


class Replica:
    """One process's share of a training; alone, it is the whole training.

    Random numbers of an epoch follow from (seed, epoch) alone, those of a further process from its rank, too.

    Raises:
        SettingsError: the warm-up is too long, or the model lacks what is asked of it.
        TrialFailed: the model cannot be had, or not at this image size.
    """

    def __init__(self, job: Job, group: Group, device: torch.device) -> None:
        follow_omp_threads(group.size)
        settings, task, data = job.settings, job.task, job.data
        train_targets = data.targets[data.train_rows]
        self._job, self._group, self._device = job, group, device
        self._workers = -(-job.num_workers // group.size)
        self.classes = task.sampling_classes(train_targets)
        self.sampler = build_sampler(settings.sampler.name, **settings.sampler.params)
        epoch_size = self.sampler.epoch_size(self.classes)
        with seeded(device, job.seed, _MODEL_SEED), failing_plainly(settings):
            model = create_model(task, settings, data.images.shape[1:3])
            norms = has_batch_norm(model)
            together = norms and device.type == "cuda" and 1 < group.size <= min(settings.batch_size, epoch_size)
            if together:
                model = share_statistics(model)
            share = Share(group.rank, group.size, smallest=2 if norms and not together else 1, even=together)
            # A last batch of one image has no variance to normalise by; where all normalise together, all take part.
            fewest = 0 if not norms else group.size if together else 2
            self.batches = self._build_batches(share, drop_last=0 < epoch_size % settings.batch_size < fewest)
            self.learner = Learner(
                model,
                task.build_loss(settings.loss, train_targets),
                settings,
                device=device,
                epochs=job.epochs,
                steps_per_epoch=self.batches.steps(epoch_size),
                mode=job.mode,
                group=group,
                share=share,
            )
        self._predictor = self._build_predictor()

    def align(self) -> None:
        """Take over the first process's weights, which may be pretrained; every process calls it."""
        learner = self.learner
        for model in (learner.model, *([] if learner.ema is None else [learner.ema.module])):
            for tensor in model.state_dict().values():
                tensor.copy_(self._group.first(tensor.contiguous().clone()))

    def run_epoch(self, epoch: int) -> Trained:
        """Train epoch `epoch` (1-based) and predict this process's validation rows.

        Raises:
            TrialFailed: a loss is not finite, or memory is out at the smallest micro-batch.
        """
        job, learner, rank = self._job, self.learner, self._group.rank
        started = time.perf_counter()
        with seeded(self._device, job.seed, epoch, *([rank] if rank else [])), failing_plainly(job.settings):
            order = self.sampler.order(job.data.train_rows, self.classes, epoch, job.seed)
            loss, images = learner.train_epoch(self.batches.epoch(epoch, order), epoch)
            trained_s = time.perf_counter() - started
            lr = learner.lr
            logits = None if self._predictor is None else self._predictor(learner.eval_model)
        return Trained(loss, images, trained_s, lr, logits)

    def end_epoch(self, epoch: int, value: float) -> None:
        """Tell the lr what the metric was."""
        self.learner.lr_scheduler.after_epoch(epoch, value)

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from the `learner` of a checkpoint, whatever the number of processes that wrote it."""
        self.learner.load_state_dict(state)

    def close(self) -> None:
        """End the workers, and free the GPU's cache once the learner is no longer held."""
        del self.learner
        self.batches.close()
        if self._predictor is not None:
            self._predictor.close()
        free_gpu_cache(self._device)

    def _build_batches(self, share: Share, *, drop_last: bool) -> Batches:
        settings, data, task = self._job.settings, self._job.data, self._job.task
        image_size = data.images.shape[1:3]
        augmentation = build_augmentation(
            settings.augmentation.name,
            size=max(output_size(settings.crop, image_size)),
            first=training_crop(settings.crop, image_size),
            points=task.has_spatial_targets,
            **settings.augmentation.params,
        )
        augment = task.augment if task.has_spatial_targets else None
        return Batches(
            BatchReader(data.images, data.targets, augmentation, augment, task.collate, self._job.seed),
            data.train_rows,
            batch_size=settings.batch_size,
            drop_last=drop_last,
            share=share,
            num_workers=self._workers,
            pin_memory=self._device.type == "cuda",
        )

    def _build_predictor(self) -> Predictor | None:
        settings, data, task, group = self._job.settings, self._job.data, self._job.task, self._group
        parts = cut(len(data.valid_rows), min(group.size, len(data.valid_rows)))
        if group.rank >= len(parts):
            return None
        image_size = data.images.shape[1:3]
        options = replace(
            InferenceOptions.of_settings(task, settings),
            batch_size=eval_batch_size(_EVAL_BATCH, image_size, -(-settings.batch_size // group.size)),
            device=str(self._device),
            num_workers=self._workers,
        )
        return Predictor(data.images, data.valid_rows[parts[group.rank]], options)
