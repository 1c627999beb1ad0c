"""One process's part of a training: its learner, its batches and its validation rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from foldtune.errors import TrialFailed
from foldtune.trainers.fitting.fit_types import TrainSpec
from foldtune.trainers.fitting.learner import Learner, TrainingLength
from foldtune.trainers.inference.predictor import InferenceOptions, Predictor, eval_batch_size
from foldtune.trainers.loading.augment import build_augmentation
from foldtune.trainers.loading.crops import output_size, training_crop
from foldtune.trainers.loading.loader import Batches, BatchReader
from foldtune.trainers.loading.samplers import build_sampler
from foldtune.trainers.losses.module import WeightedRows
from foldtune.trainers.networks.models import has_batch_norm
from foldtune.trainers.parallel.microbatch import BatchShard, cut, is_out_of_memory
from foldtune.trainers.parallel.process_group import ProcessGroup, share_statistics
from foldtune.trainers.runtime import follow_omp_threads, free_gpu_cache, seeded
from foldtune.trainers.tasks.network import create_model

if TYPE_CHECKING:
    from foldtune.trainers.settings import TrialSettings


@contextmanager
def translate_torch_errors(settings: TrialSettings) -> Iterator[None]:
    """Turn torch's out of memory, and a batch too small for batch normalisation, into TrialFailed."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:
        text = " ".join(str(error).split())[:200]
        if is_out_of_memory(error):
            raise TrialFailed(f"out of memory ({text}); use a smaller model, image or batch") from error
        if "Expected more than 1 value per channel" in text:
            size = settings.batch_size
            reason = f"batch normalisation cannot train on one image; batch_size {size} is too small"
            raise TrialFailed(reason) from error
        raise


_MODEL_SEED = 0  # epochs are numbered from 1
_EVAL_BATCH = 64  # without gradients larger batches fit than in training


class RankTrainer:
    """The process of one rank in a training; a single process is the whole training.

    Attributes:
        predictor: predicts this process's validation rows; None where it has none.

    Raises:
        SettingsError: the warm-up is too long, or the model lacks a part that the settings name.
        TrialFailed: the model cannot be built, or not at this image size.
    """

    def __init__(self, spec: TrainSpec, group: ProcessGroup, num_workers: int = 0) -> None:
        follow_omp_threads(group.size)
        settings, task, data = spec.settings, spec.task, spec.data
        train_targets = data.targets[data.train_rows]
        self.spec, self.group = spec, group
        self._num_workers = -(-num_workers // group.size)
        self.classes = task.sampling_classes(train_targets)
        self.sampler = build_sampler(settings.sampler.name, **settings.sampler.params)
        epoch_size = self.sampler.epoch_size(self.classes)
        with seeded(group.device, spec.seed, _MODEL_SEED), translate_torch_errors(settings):
            start = settings if spec.weights is None else replace(settings, pretrained=str(spec.weights))
            model = create_model(task, start, data.images.shape[1:3])
            norms, on_gpu = has_batch_norm(model), group.device.type == "cuda"
            shared = norms and on_gpu and 1 < group.size <= min(settings.batch_size, epoch_size)
            if shared:
                model = share_statistics(model)
            shard = BatchShard(group.rank, group.size, min_rows=2 if norms and not shared else 1, equal_parts=shared)
            # A last batch of one image has no variance to normalise by; shared statistics need a row of every process.
            fewest = 0 if not norms else group.size if shared else 2
            self.batches = self._build_batches(shard, drop_last=0 < epoch_size % settings.batch_size < fewest)
            criterion = task.build_loss(settings.loss, train_targets)
            if spec.loss_weights is not None:
                criterion = WeightedRows(criterion)
            length = TrainingLength(spec.epochs, self.batches.steps(epoch_size), task.mode(spec.metric))
            self.learner = Learner(model, criterion, settings, length, group, shard)
        self.predictor = self._build_predictor()

    def end_epoch(self, epoch: int, value: float) -> None:
        """Set the learning rate by the metric's `value` after `epoch`."""
        self.learner.lr_scheduler.after_epoch(epoch, value)

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's `learner`, whatever the number of processes that wrote it."""
        self.learner.load_state_dict(state)

    def close(self) -> None:
        """End the loaders, and free the GPU's cache once no one else holds the learner."""
        del self.learner
        self.batches.close()
        if self.predictor is not None:
            self.predictor.close()
        free_gpu_cache(self.group.device)

    def _build_batches(self, shard: BatchShard, *, drop_last: bool) -> Batches:
        settings, data, task = self.spec.settings, self.spec.data, self.spec.task
        image_size = data.images.shape[1:3]
        augmentation = build_augmentation(
            settings.augmentation.name,
            size=max(output_size(settings.crop, image_size)),
            first=training_crop(settings.crop, image_size),
            points=task.has_spatial_targets,
            **settings.augmentation.params,
        )
        augment = task.augment if task.has_spatial_targets else None
        weights = self.spec.loss_weights
        return Batches(
            BatchReader(data.images, data.targets, augmentation, augment, task.collate, self.spec.seed, weights),
            data.train_rows,
            batch_size=settings.batch_size,
            drop_last=drop_last,
            shard=shard,
            num_workers=self._num_workers,
            pin_memory=self.group.device.type == "cuda",
        )

    def _build_predictor(self) -> Predictor | None:
        settings, data, task, group = self.spec.settings, self.spec.data, self.spec.task, self.group
        parts = cut(len(data.valid_rows), min(group.size, len(data.valid_rows)))
        if group.rank >= len(parts):
            return None
        image_size = data.images.shape[1:3]
        options = replace(
            InferenceOptions.of_settings(task, settings),
            batch_size=eval_batch_size(_EVAL_BATCH, image_size, -(-settings.batch_size // group.size)),
            device=str(group.device),
            num_workers=self._num_workers,
        )
        return Predictor(data.images, data.valid_rows[parts[group.rank]], options)
