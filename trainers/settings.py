"""The settings of one trial as one frozen value, and as a plain mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from foldtune.trainers.components import (
    Component,
    FrozenMapping,
    choice,
    default_component,
    number,
)
from foldtune.trainers.loading.augment import AUGMENTATIONS
from foldtune.trainers.loading.crops import CROPS
from foldtune.trainers.loading.samplers import SAMPLERS
from foldtune.trainers.loading.tta import TTA
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.networks.models import HEADS
from foldtune.trainers.optim.lr_schedulers import LR_SCHEDULERS
from foldtune.trainers.optim.optimizers import OPTIMIZERS

COMPONENTS: Mapping[str, Mapping[str, type]] = {
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "lr_scheduler": LR_SCHEDULERS,
    "sampler": SAMPLERS,
    "augmentation": AUGMENTATIONS,
    "head": HEADS,
    "crop": CROPS,
}
"""Setting → name → dataclass of that component's parameters."""


_DEFAULTS = {
    setting: default_component(COMPONENTS[setting], name)
    for setting, name in {
        "loss": "cross_entropy",
        "optimizer": "adamw",
        "lr_scheduler": "cosine",
        "sampler": "none",
        "augmentation": "light",
        "head": "linear",
        "crop": "resize",
    }.items()
}


TUNED = "tuned"
AUTO = "auto"
"""Value of `amp` and `channels_last` in a space: by timing, once a run (`trainers.fitting.formats`)."""


@dataclass(frozen=True)
class TrialSettings:
    """One configuration. Numbers carry their bounds; `parse_settings` checks them, the constructor does not.

    Zero switches off: clip_grad (largest gradient norm), ema_decay (average of weights used for validation), mixup
    (alpha of its Beta distribution, .1–.4 is usual; only for losses that take soft labels),
    layer_decay (lr factor a layer towards the input), patience (epochs without improvement before the end).
    `pretrained` is whether the network starts from timm's own weights, or the name of a file that the run keeps;
    where a space is checked it may be "auto" or any file, too (`trainers.networks.pretrained`).
    `train_last` n > 0 trains the head and the n layer groups before it alone (`trainers.networks.models`);
    0 trains all. `body_lr_ratio` is the lr of all layers before the head, over the head's, which is `lr`.
    `unfreeze_epochs` n > 0 trains the head alone at first, and all layers after n epochs (`networks.unfreezing`).
    `extra_weight` is a factor of the loss of rows that only ever train (`data.extra`), beside their own.
    `tta` names the views of an image in validation and prediction (`trainers.loading.tta`), never in training.
    `postprocess` holds fixed values, or is TUNED: then it is fitted to the validation scores of each epoch, and every
    figure of the trial is cross-fitted. A trial of a search has `amp` and `channels_last` by its run's timing; without
    one amp "auto" is bf16 on a GPU that has it, fp16 on an older one, off on a CPU.
    """

    model_name: str = "resnet10t"
    pretrained: bool | str = False
    drop_rate: float = number(0.0, 0.0, 1.0, open_high=True)
    drop_path_rate: float = number(0.0, 0.0, 1.0, open_high=True)
    loss: Component = _DEFAULTS["loss"]
    optimizer: Component = _DEFAULTS["optimizer"]
    lr: float = number(1e-3, 0.0, 100.0, open_low=True)
    weight_decay: float = number(1e-2, 0.0, 10.0)
    lr_scheduler: Component = _DEFAULTS["lr_scheduler"]
    batch_size: int = number(64, 1, 65536)
    clip_grad: float = number(1.0, 0.0)
    ema_decay: float = number(0.0, 0.0, 1.0, open_high=True)
    sampler: Component = _DEFAULTS["sampler"]
    augmentation: Component = _DEFAULTS["augmentation"]
    amp: str = choice("auto", "auto", "off", "bf16", "fp16")
    channels_last: bool = True
    patience: int = number(0, 0)
    layer_decay: float = number(0.0, 0.0, 1.0)
    postprocess: Mapping[str, Any] | str = field(default_factory=FrozenMapping)
    head: Component = _DEFAULTS["head"]
    train_last: int = number(0, 0)
    tta: str = choice("none", *TTA)
    crop: Component = _DEFAULTS["crop"]
    mixup: float = number(0.0, 0.0, 10.0)
    extra_weight: float = number(1.0, 0.0, 100.0, open_low=True)
    body_lr_ratio: float = number(1.0, 0.0, 1.0, open_low=True)
    unfreeze_epochs: int = number(0, 0)


_PLAIN = tuple(f.name for f in fields(TrialSettings) if f.name not in {*COMPONENTS, "postprocess"})


_LATER = ("extra_weight", "body_lr_ratio", "unfreeze_epochs")
_OFF = {f.name: f.default for f in fields(TrialSettings)}


def settings_to_dict(settings: TrialSettings) -> dict[str, Any]:
    """Plain mappings, numbers and texts, for JSON; `parse_settings` reads it back to an equal value."""
    plain = {name: getattr(settings, name) for name in _PLAIN}
    for name in _LATER:
        if plain[name] == _OFF[name]:  # checkpoints of before have no such setting
            del plain[name]
    components = {name: getattr(settings, name).to_dict() for name in COMPONENTS}
    return plain | components | {"postprocess": _thaw(settings.postprocess)}


def _thaw(value: Any) -> Any:
    return {key: _thaw(item) for key, item in value.items()} if isinstance(value, Mapping) else value
