"""A network with everything that changes while it is trained. Independent of task and metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from foldtune.trainers.arrays.types import Mode
from foldtune.trainers.loading.tta import Normalize
from foldtune.trainers.networks.models import freeze_all_but_last, input_stats
from foldtune.trainers.networks.unfreezing import unfreeze
from foldtune.trainers.optim.lr_schedulers import LrScheduler
from foldtune.trainers.optim.optimizers import build_optimizer
from foldtune.trainers.optim.precision import choose_precision
from foldtune.trainers.parallel.microbatch import BatchShard, MicroBatches
from foldtune.trainers.parallel.process_group import ProcessGroup, data_parallel, disconnections
from foldtune.trainers.settings import TrialSettings


@dataclass(frozen=True)
class TrainingLength:
    """Length of a training, for the learning rate.

    Args:
        epochs: epochs of the whole training, at least 1.
        steps_per_epoch: batches an epoch, at least 1.
        mode: direction in which the metric after each epoch is better.
    """

    epochs: int
    steps_per_epoch: int
    mode: Mode


class Learner:
    """Network, average of its weights, optimizer, learning rate, gradient scale and micro-batch.

    Args:
        model: network on any device; moved to the group's.
        criterion: (network's output, targets) -> losses (B,).

    Attributes:
        eval_model: network to evaluate and to keep: the average of the weights where there is one.
        fitting_size: micro-batch that is known to fit in every process, 0 for none yet.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: nn.Module,
        settings: TrialSettings,
        length: TrainingLength,
        group: ProcessGroup,
        shard: BatchShard,
    ) -> None:
        self.device = device = group.device
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.model = model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.criterion = criterion.to(device)
        self.precision = choose_precision(settings.amp, device)
        self.normalize = Normalize(*input_stats(model), device, channels_last=settings.channels_last)
        self._frozen_norms = freeze_all_but_last(self.model, settings.train_last)
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = build_optimizer(
            self.model,
            settings.optimizer,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            layer_decay=settings.layer_decay,
            body_lr_ratio=settings.body_lr_ratio,
        )
        self._unfreeze_epochs = settings.unfreeze_epochs
        self.lr_scheduler = LrScheduler(self.optimizer, settings.lr_scheduler, settings.lr, **asdict(length))
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision.scaled)
        # Its decay is warmed up: a short training would else average mostly the random start.
        self.ema = ModelEmaV3(self.model, decay=settings.ema_decay, use_warmup=True) if settings.ema_decay > 0 else None
        self.micro = MicroBatches(shard.max_rows(settings.batch_size), shard)
        self.fitting_size = 0
        self.step = 0
        self.clip_grad, self.mixup = settings.clip_grad, settings.mixup
        self.steps_per_epoch = length.steps_per_epoch
        self.group, self.shard = group, shard
        self._unused_parameters = False
        self._data_parallel: DistributedDataParallel | None = None

    @property
    def eval_model(self) -> nn.Module:
        module: nn.Module = self.model if self.ema is None else self.ema.module
        return module

    @property
    def lr(self) -> float:
        """The largest lr of any parameter group (they differ under layer decay alone)."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def begin_epoch(self, epoch: int) -> None:
        """Put the network into training mode, with the layers that are trained in epoch `epoch` (from 1)."""
        if self._unfreeze_epochs > 0:
            norms = unfreeze(self.model, self.parameters, epoch, self._unfreeze_epochs)
            if norms is not None:
                self._frozen_norms = norms
                self.fitting_size, self._data_parallel = 0, None  # other gradients, in memory and to exchange
        self.train()

    def train(self) -> None:
        """Put the network into training mode, its frozen normalisations excepted."""
        self.model.train()
        for norm in self._frozen_norms:
            norm.eval()

    def backward(self, loss: Tensor, *, exchange: bool = False) -> None:
        """Add the gradient of `loss`, this process's part of a batch's mean loss, ().

        Args:
            exchange: whether the loss is that of `data_parallel`, which averages gradients over the processes; the
                gradient of the batch is their sum.
        """
        if not exchange:
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            return
        with disconnections():
            self.scaler.scale(loss * self.group.size).backward()  # type: ignore[no-untyped-call]

    def data_parallel(self) -> DistributedDataParallel:
        """Return the network whose backward pass sums gradients over all processes, which call this together."""
        if self._data_parallel is None:
            with disconnections():
                self._data_parallel = data_parallel(self.model, self.group, unused_parameters=self._unused_parameters)
        return self._data_parallel

    def note_fitting_size(self, *, unused_parameters: bool) -> None:
        """Note that the micro-batch fits in every process, and whether a batch's loss leaves parameters unused."""
        self._unused_parameters = bool(self.group.sum(torch.tensor(float(unused_parameters))))
        self.fitting_size = self.micro.size

    def broadcast_weights(self) -> None:
        """Take over the first process's weights, which may be pretrained; every process calls it."""
        for model in (self.model, *([] if self.ema is None else [self.ema.module])):
            for tensor in model.state_dict().values():
                tensor.copy_(self.group.broadcast(tensor.contiguous().clone()))

    def state_dict(self) -> dict[str, Any]:
        """Return tensors, numbers and containers only."""
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "micro_batch_size": self.micro.size,
            "step": self.step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the learner that `state_dict` came from would have."""
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.lr_scheduler.load_state_dict(state["lr_scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.micro.size = min(self.micro.size, state["micro_batch_size"])
        self.step = state["step"]
