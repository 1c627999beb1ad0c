"""One epoch, to be read from top to bottom: batches, forward, loss, backward, step, average of weights, evaluation.

Every process of a training calls `run_epoch`, each with its shard of every batch; then the first one alone calls
`Evaluator.evaluate` on the validation logits of all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from foldtune.errors import MemoryExhausted, TrialFailed
from foldtune.trainers.fitting.fit_types import EpochResult
from foldtune.trainers.fitting.learner import Learner
from foldtune.trainers.fitting.rank_trainer import RankTrainer, translate_torch_errors
from foldtune.trainers.loading.augment import Mix
from foldtune.trainers.parallel.process_group import fixed_statistics, own_statistics
from foldtune.trainers.runtime import seeded

CHECK_EVERY = 20
"""Steps between two checks of the losses on a GPU: each check waits for the device."""


def run_epoch(trainer: RankTrainer, epoch: int) -> EpochResult:
    """Train epoch `epoch` (from 1) and predict this process's validation rows.

    Random numbers follow from (seed, epoch), and from the rank past the first process.

    Raises:
        TrialFailed: a loss is not finite, or the smallest micro-batch does not fit into memory.
        MemoryExhausted: one of several processes ran out of memory after its first batch.
    """
    spec, learner, rank = trainer.spec, trainer.learner, trainer.group.rank
    started = time.perf_counter()
    with seeded(learner.device, spec.seed, epoch, *([rank] if rank else [])), translate_torch_errors(spec.settings):
        order = trainer.sampler.order(spec.data.train_rows, trainer.classes, epoch, spec.seed)
        loss, images = train_epoch(learner, trainer.batches.epoch(epoch, order), epoch)
        time_s = time.perf_counter() - started
        lr = learner.lr
        logits = None if trainer.predictor is None else trainer.predictor(learner.eval_model)
    return EpochResult(loss, images, time_s, lr, logits)


def train_epoch(learner: Learner, batches: Iterable[tuple[Tensor, Any, Any]], epoch: int) -> tuple[float, int]:
    """Take one step a batch; return the mean loss and the number of images of all processes.

    Args:
        batches: (images (B, H, W, 3) uint8, targets, rows of the whole batch); B are this process's.
    """
    learner.begin_epoch(epoch)
    losses = EpochLosses(learner, epoch)
    for images, targets, rows in batches:
        learner.lr_scheduler.before_step(learner.step)
        images = images.to(learner.device, non_blocking=True)
        targets = map_tensors(lambda tensor: tensor.to(learner.device, non_blocking=True), targets)
        losses.add(batch_gradient(learner, images, targets, len(rows)), len(rows))
        optimizer_step(learner)
    learner.group.average(own_statistics(learner.model, None if learner.ema is None else learner.ema.module))
    return losses.mean()


def batch_gradient(learner: Learner, images: Tensor, targets: Any, batch: int) -> Tensor:
    """Leave the gradient of the mean loss of the whole batch in the parameters, in micro-batches that fit into memory.

    Several processes exchange gradients in the last backward pass of a batch, where none may leave the others: so the
    size that fits is found on the first batch, without exchange.

    Args:
        images, targets: this process's rows of the batch.
        batch: rows of the whole batch.

    Returns:
        This process's part of the mean loss, (); the sum over processes is that of the batch.
    """
    losses_of = micro_batch_losses(learner, images, targets, batch)

    def backward(network: nn.Module, rows: slice) -> Tensor:
        with learner.precision.autocast():
            loss = losses_of(network, rows).sum() / batch
        learner.backward(loss, exchange=network is not learner.model)
        return loss.detach()

    micro, undo = learner.micro, learner.optimizer.zero_grad
    if not learner.group.connected:
        return micro.run(batch, lambda rows: backward(learner.model, rows), undo)
    if learner.fitting_size != micro.size:
        find_micro_batch(learner, batch, lambda rows: backward(learner.model, rows))
    own = learner.shard.rows(batch)
    if own.stop == own.start:
        return zero_gradient(learner, images, targets)

    def backward_and_exchange(rows: slice) -> Tensor:
        network = learner.data_parallel()
        last = rows.stop == own.stop - own.start  # which sums the gradients over the processes
        with nullcontext() if last else network.no_sync():
            return backward(network, rows)

    def refuse(reason: str | None) -> None:
        if reason is not None:
            micro.smaller(batch, reason)  # raises where there is none
            raise MemoryExhausted(f"out of memory at micro-batch {micro.size}, which had fitted before ({reason})")

    return micro.run(batch, backward_and_exchange, undo, refuse)


def micro_batch_losses(
    learner: Learner, images: Tensor, targets: Any, batch: int
) -> Callable[[nn.Module, slice], Tensor]:
    """Return the function (network, rows) -> losses (len(rows),): forward pass and loss, with mixup where it is on."""

    def plain(network: nn.Module, rows: slice) -> Tensor:
        losses: Tensor = learner.criterion(
            network(learner.normalize(images[rows])), map_tensors(lambda tensor: tensor[rows], targets)
        )
        return losses

    if learner.mixup == 0:
        return plain
    mix = draw_mixup(learner, batch)
    first = learner.shard.rows(batch).start
    all_images, all_targets = (
        map_tensors(lambda part: learner.group.gather_batch(part, batch, learner.shard), each)
        for each in (images, targets)
    )

    def mixed(network: nn.Module, rows: slice) -> Tensor:
        pixels, own = learner.normalize(images[rows]), map_tensors(lambda tensor: tensor[rows], targets)
        partners = mix.partners[first + rows.start : first + rows.stop].to(learner.device)
        others = map_tensors(lambda tensor: tensor[partners], all_targets)
        output = network(mix.blend(pixels, learner.normalize(all_images[partners])))
        return mix.blend(learner.criterion(output, own), learner.criterion(output, others))

    return mixed


def draw_mixup(learner: Learner, batch: int) -> Mix:
    """Return the mixup of a batch, the first process's draw in all of them."""
    mix = Mix(learner.mixup, batch)
    if learner.group.connected:
        weight = torch.tensor([mix.weight], dtype=torch.float64)
        drawn = learner.group.broadcast(torch.cat([weight, mix.partners.double()]))
        mix.weight, mix.partners = float(drawn[0]), drawn[1:].long()
    return mix


def find_micro_batch(learner: Learner, batch: int, backward: Callable[[slice], Tensor]) -> None:
    """Halve the micro-batch until a batch fits in every process; gradients, statistics and random numbers stay."""
    devices = [learner.device] if learner.device.type == "cuda" else []
    with torch.random.fork_rng(devices), fixed_statistics(learner.model):
        learner.micro.run(batch, backward, learner.optimizer.zero_grad, learner.group.out_of_memory)
    rows = learner.shard.rows(batch)
    trained = [parameter for parameter in learner.parameters if parameter.requires_grad]  # others have no turn yet
    unused = rows.stop > rows.start and any(parameter.grad is None for parameter in trained)
    learner.note_fitting_size(unused_parameters=unused)
    learner.optimizer.zero_grad()


def zero_gradient(learner: Learner, images: Tensor, targets: Any) -> Tensor:
    """Take part in the exchange of gradients without a row of the batch; return a loss of 0, ()."""
    network = learner.data_parallel()
    with fixed_statistics(learner.model), learner.precision.autocast():
        loss: Tensor = learner.criterion(network(learner.normalize(images)), targets).sum() * 0.0
    learner.backward(loss, exchange=True)
    return loss.detach()


def optimizer_step(learner: Learner) -> None:
    """Clip the gradient, step (not where a scaled gradient overflows), and update the average of weights."""
    if learner.clip_grad > 0:
        learner.scaler.unscale_(learner.optimizer)
        nn.utils.clip_grad_norm_(learner.parameters, learner.clip_grad)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    learner.optimizer.zero_grad()
    learner.step += 1
    if learner.ema is not None:
        learner.ema.update(learner.model, step=learner.step)


class EpochLosses:
    """Losses of an epoch's batches, on the device; checked each step on a CPU, before the step is taken."""

    def __init__(self, learner: Learner, epoch: int) -> None:
        self._learner, self._epoch = learner, epoch
        self._values = torch.zeros(learner.steps_per_epoch, device=learner.device)
        self._images: list[int] = []
        self._checked = 0
        self._every = 1 if learner.device.type == "cpu" else CHECK_EVERY

    def add(self, loss: Tensor, images: int) -> None:
        """Add this process's part of a batch's mean loss, (); `images` are those of the whole batch.

        Raises:
            TrialFailed: a loss is not finite.
        """
        self._values[len(self._images)] = loss
        self._images.append(images)
        if len(self._images) - self._checked >= self._every:
            self._check()

    def mean(self) -> tuple[float, int]:
        """Return the mean loss of all images, and their number."""
        self._check()
        images = torch.tensor(self._images, dtype=torch.float64)
        total = int(images.sum())
        return float((self._values[: len(images)].double().cpu() * images).sum() / total), total

    def _check(self) -> None:
        new = slice(self._checked, len(self._images))
        if new.start == new.stop:
            return
        self._values[new] = losses = self._learner.group.sum(self._values[new])
        if not torch.isfinite(losses).all():
            place = int((~torch.isfinite(losses)).nonzero()[0])
            raise TrialFailed(self._explain(self._checked + place + 1, float(losses[place])))
        self._checked = len(self._images)

    def _explain(self, step: int, loss: float) -> str:
        advice = f"lr {self._learner.lr:g} may be too high"
        if self._learner.precision.scaled:
            advice += ", or float16 too narrow (amp: bf16 or off)"
        return f"loss became {loss} at epoch {self._epoch}, step {step}; {advice}"


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return `function` of a tensor, or of each tensor in nested containers (targets that are several maps)."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map_tensors(function, item) for item in value)
    return value
