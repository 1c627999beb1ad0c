"""The training loop against the same optimizer steps on tensors that are in memory already."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.images import Images
from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.loading.tta import Normalize
from foldtune.trainers.networks.models import input_stats
from foldtune.trainers.optim.optimizers import build_optimizer
from foldtune.trainers.optim.precision import choose_precision
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.network import create_model
from foldtune.trainers.tasks.parsing import parse_settings

CONFIG = {"model_name": "resnet10t", "batch_size": 64}
"""All other settings have their defaults, the augmentation included."""
_VALID_ROWS = 64


class ReadySteps:
    """Forward, backward, clipping and optimizer step of `settings` alone.

    Its batches are normalised float32 tensors on the device in the network's memory format, so the conversion from
    uint8 counts as a cost of the training loop.
    """

    def __init__(self, settings: TrialSettings, task: Task, data: FoldData, device: torch.device) -> None:
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self._settings = settings
        self._precision = choose_precision(settings.amp, device)
        self._model: nn.Module = create_model(task, settings, data.images.shape[1:3])
        self._model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self._criterion = task.build_loss(settings.loss, data.targets[data.train_rows]).to(device)
        self._optimizer = build_optimizer(
            self._model, settings.optimizer, lr=settings.lr, weight_decay=settings.weight_decay
        )
        normalize = Normalize(*input_stats(self._model), device, channels_last=settings.channels_last)
        height, width = data.images.shape[1:3]
        self._batches: list[tuple[Tensor, Tensor]] = [
            (
                normalize(torch.from_numpy(data.images.read(rows)).to(device)),
                task.collate(data.targets[rows], (height, width)).to(device),
            )
            for rows in np.split(data.train_rows, range(settings.batch_size, len(data.train_rows), settings.batch_size))
        ]
        self._images = len(data.train_rows)

    def epoch(self) -> float:
        """Train on every batch once; return the speed in images/s."""
        self._model.train()
        started = time.perf_counter()
        for images, targets in self._batches:
            with self._precision.autocast():
                loss = self._criterion(self._model(images), targets).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(self._model.parameters(), self._settings.clip_grad)
            self._optimizer.step()
            self._optimizer.zero_grad()
            last = loss.item()  # the training loop checks each loss for finiteness
        if not np.isfinite(last):
            raise RuntimeError(f"loss became {last}")
        return self._images / (time.perf_counter() - started)


def loop_speeds(images: Images, *, threads: int, rows: int, repeats: int) -> tuple[list[float], list[float]]:
    """Return images/s of each repeat of the training loop and of the bare steps, alternating, after a warm-up."""
    settings, task = parse_settings(CONFIG, images.task), images.task
    table = images.table
    assert table.targets is not None
    data = FoldData(
        images=images.source,
        targets=table.targets,
        ids=table.ids,
        train_rows=np.arange(rows),
        valid_rows=np.arange(rows, min(rows + _VALID_ROWS, len(table))),
    )
    with _threads(threads):
        fit = Fit(TrainSpec(settings, task, data, metric="loss", epochs=repeats + 1, seed=0))
        ready = ReadySteps(settings, task, data, fit.device)
        fit.step()
        ready.epoch()
        pairs = [(fit.step().images_per_s, ready.epoch()) for _ in range(repeats)]
        fit.close()
    return [real for real, _ in pairs], [plain for _, plain in pairs]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Limit torch to `count` threads in the block, as in a trial's worker."""
    before, named = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        os.environ.pop("OMP_NUM_THREADS")
        if named is not None:
            os.environ["OMP_NUM_THREADS"] = named
