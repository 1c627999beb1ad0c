"""A model with all that changes while it learns, and the pass over an epoch. Knows no task and no metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from foldtune.errors import TrialFailed
from foldtune.trainers.arrays.types import Mode
from foldtune.trainers.loading.mixup import Mix
from foldtune.trainers.loading.normalize import Normalize
from foldtune.trainers.networks.freezing import freeze_all_but_last
from foldtune.trainers.networks.models import input_stats
from foldtune.trainers.optim.lr_schedulers import LrScheduler
from foldtune.trainers.optim.optimizers import build_optimizer
from foldtune.trainers.optim.precision import choose_precision
from foldtune.trainers.parallel.group import Group
from foldtune.trainers.parallel.microbatch import MicroBatches
from foldtune.trainers.parallel.norms import apart, own_statistics, shares_statistics
from foldtune.trainers.parallel.shares import Share
from foldtune.trainers.settings import TrialSettings

CHECK_EVERY = 20
"""Steps between two looks at the losses on a GPU: each look waits for the device."""


class Learner:
    """Model, average of its weights, optimizer, lr and gradient scale, and how they take one step.

    Args:
        model: network on any device; moved to `device`.
        criterion: (model's output, targets) -> one loss an image, (B,).
        epochs: length of the whole training, for the lr.
        steps_per_epoch: batches an epoch.
        mode: which way the metric given to `end_epoch` is better.
        group: the processes that train together.
        share: the rows of every batch that this one computes.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: nn.Module,
        settings: TrialSettings,
        *,
        device: torch.device,
        epochs: int,
        steps_per_epoch: int,
        mode: Mode,
        group: Group,
        share: Share,
    ) -> None:
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.model = model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.criterion = criterion.to(device)
        self.device = device
        self.precision = choose_precision(settings.amp, device)
        self.normalize = Normalize(*input_stats(model), device, channels_last=settings.channels_last)
        self._frozen_norms = freeze_all_but_last(self.model, settings.train_last)
        self.optimizer = build_optimizer(
            self.model,
            settings.optimizer,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            layer_decay=settings.layer_decay,
        )
        self.lr_scheduler = LrScheduler(
            self.optimizer,
            settings.lr_scheduler,
            settings.lr,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            mode=mode,
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision.scaled)
        self.scaler.scale(torch.zeros((), device=device))  # it begins with that, and a process may have no image
        # Its decay is warmed up: a short training would else average mostly the random start.
        self.ema = ModelEmaV3(self.model, decay=settings.ema_decay, use_warmup=True) if settings.ema_decay > 0 else None
        self.micro = MicroBatches(share.most(settings.batch_size), share=share, out_of_memory=self._out_of_memory)
        self.step = 0
        self._group, self._share = group, share
        self._meets = shares_statistics(model)
        self._tried = 0
        self._steps_per_epoch = steps_per_epoch
        self._clip_grad = settings.clip_grad
        self._mixup = settings.mixup
        self._parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @property
    def eval_model(self) -> nn.Module:
        """The network to judge and to keep: the average of the weights where there is one."""
        module: nn.Module = self.model if self.ema is None else self.ema.module
        return module

    @property
    def lr(self) -> float:
        """The largest lr of any parameter group (they differ under layer decay alone)."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def train_epoch(self, batches: Iterable[tuple[Tensor, Any, Any]], epoch: int) -> tuple[float, int]:
        """One step a batch of (uint8 images, targets, rows). Returns the mean loss and the number of images.

        Of several processes each gets its share of the images and targets, and all rows; the gradient and the
        figures are those of the whole batch. `epoch` (1-based) is for messages.

        Raises:
            TrialFailed: a loss is not finite, or the smallest micro-batch does not fit into memory.
        """
        self.model.train()
        for norm in self._frozen_norms:
            norm.eval()
        losses = _Losses(self._steps_per_epoch, self.device, lambda *found: self._explain(epoch, *found))
        for images, targets, rows in batches:
            self.lr_scheduler.before_step(self.step)
            images = images.to(self.device, non_blocking=True)
            targets = map_tensors(lambda tensor: tensor.to(self.device, non_blocking=True), targets)
            losses.add(self._gradient(images, targets, len(rows)), len(rows))
            self._update()
        if self._group.size > 1:
            self._group.average(own_statistics(self.model, None if self.ema is None else self.ema.module))
        return losses.finish()

    def _gradient(self, images: Tensor, targets: Any, batch: int | None = None) -> Tensor:
        """Leave the batch's gradient in the parameters; return its mean loss, on the device.

        `images` (B, …) and `targets` are this process's share of the `batch`; all of it by default.
        """
        batch = len(images) if batch is None else batch
        mix = Mix(self._mixup, batch) if self._mixup > 0 else None
        if mix is not None and self._group.size > 1:
            mix = self._drawn_once(mix)
        all_images, all_targets = (images, targets) if mix is None else self._whole(images, targets, batch)
        first = self._share.of(batch).start

        def losses(rows: slice) -> Tensor:
            pixels, wanted = self.normalize(images[rows]), map_tensors(lambda tensor: tensor[rows], targets)
            if mix is None:
                return self._losses(self.model(pixels), wanted)
            partners = mix.partners[first + rows.start : first + rows.stop].to(self.device)
            others = map_tensors(lambda tensor: tensor[partners], all_targets)
            output = self.model(mix.blend(pixels, self.normalize(all_images[partners])))
            return mix.blend(self._losses(output, wanted), self._losses(output, others))

        def part(rows: slice) -> Tensor:
            with self.precision.autocast():
                loss = losses(rows).sum() / batch
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        if self._meets and self._tried != self.micro.size:
            self._try_apart(lambda: self.micro.run(batch, part, self.optimizer.zero_grad))
        loss = self._group.add(self.micro.run(batch, part, self.optimizer.zero_grad))
        self._group.add_gradients(self._parameters)
        return loss

    def _try_apart(self, run: Callable[[], Tensor]) -> None:
        """Find the micro-batch that fits before processes meet in the forward pass, where none may leave the others."""
        self._meets = False
        with apart(self.model):
            run()
        self.optimizer.zero_grad()
        self._meets, self._tried = True, self.micro.size

    def _out_of_memory(self, reason: str | None) -> str | None:
        if reason is not None and self._meets:
            raise TrialFailed(f"out of memory at micro-batch {self.micro.size}, which had fitted before ({reason})")
        return self._group.out_of_memory(reason)

    def _drawn_once(self, mix: Mix) -> Mix:
        """The draw of the first process, in all of them."""
        weight = torch.tensor([mix.weight], dtype=torch.float64)
        drawn = self._group.first(torch.cat([weight, mix.partners.double()]))
        mix.weight, mix.partners = float(drawn[0]), drawn[1:].long()
        return mix

    def _whole(self, images: Tensor, targets: Any, batch: int) -> tuple[Tensor, Any]:
        """The whole batch: an image's partner may be another process's."""

        def whole(part: Tensor) -> Tensor:
            return self._group.whole(part, batch, self._share)

        return whole(images), map_tensors(whole, targets)

    def _losses(self, output: Any, targets: Any) -> Tensor:
        losses: Tensor = self.criterion(output, targets)
        return losses

    def _update(self) -> None:
        if self._clip_grad > 0:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self._clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.model, step=self.step)

    def _explain(self, epoch: int, step: int, loss: float) -> str:
        advice = f"lr {self.lr:g} may be too high"
        if self.precision.scaled:
            advice += ", or float16 too narrow (amp: bf16 or off)"
        return f"loss became {loss} at epoch {epoch}, step {step}; {advice}"

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and containers only."""
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


class _Losses:
    """An epoch's losses, kept on the device. A CPU is looked at each step, before the step is taken."""

    def __init__(self, steps: int, device: torch.device, explain: Callable[[int, float], str]) -> None:
        self._values = torch.zeros(steps, device=device)
        self._images: list[int] = []
        self._checked = 0
        self._every = 1 if device.type == "cpu" else CHECK_EVERY
        self._explain = explain

    def add(self, loss: Tensor, images: int) -> None:
        self._values[len(self._images)] = loss
        self._images.append(images)
        if len(self._images) - self._checked >= self._every:
            self._check()

    def finish(self) -> tuple[float, int]:
        self._check()
        images = torch.tensor(self._images, dtype=torch.float64)
        total = int(images.sum())
        return float((self._values[: len(images)].double().cpu() * images).sum() / total), total

    def _check(self) -> None:
        fresh = self._values[self._checked : len(self._images)]
        if not torch.isfinite(fresh).all():
            place = int((~torch.isfinite(fresh)).nonzero()[0])
            raise TrialFailed(self._explain(self._checked + place + 1, float(fresh[place])))
        self._checked = len(self._images)


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """`function` of a tensor, or of each tensor in nested containers (targets that are several maps)."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map_tensors(function, item) for item in value)
    return value
