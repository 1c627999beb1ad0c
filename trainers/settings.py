"""Everything one trial may vary, as one frozen value, and its reading from a plain mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from foldtune.errors import Problem, SettingsError, unknown
from foldtune.trainers.augment import AUGMENTATIONS
from foldtune.trainers.components import (
    Component,
    FrozenMapping,
    choice,
    default_component,
    number,
    read_component,
    read_fields,
)
from foldtune.trainers.crops import CROPS, check_whole
from foldtune.trainers.heads import HEADS
from foldtune.trainers.losses.registry import LOSSES
from foldtune.trainers.lr_schedulers import LR_SCHEDULERS, check_warmup
from foldtune.trainers.mixup import check_mixup
from foldtune.trainers.optim import OPTIMIZERS
from foldtune.trainers.samplers import SAMPLERS
from foldtune.trainers.tta import TTA

if TYPE_CHECKING:
    from foldtune.trainers.tasks.base import Task

_LOSS_PARAMS: Mapping[str, type] = {name: spec.params for name, spec in LOSSES.items()}
COMPONENTS: Mapping[str, Mapping[str, type]] = {
    "loss": _LOSS_PARAMS,
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


@dataclass(frozen=True)
class TrialSettings:
    """One configuration. Numbers carry their bounds; `parse_settings` checks them, the constructor does not.

    Zero switches off: clip_grad (largest gradient norm), ema_decay (average of weights used for validation), mixup
    (alpha of its Beta distribution, .1–.4 is usual; only for losses that take soft labels),
    layer_decay (lr factor a layer towards the input), patience (epochs without improvement before the end).
    `train_last` n > 0 trains the head and the n layer groups before it alone (`foldtune.trainers.freezing`); 0 trains all.
    `tta` is how images are shown in validation and prediction (`foldtune.trainers.tta`), never in training.
    `postprocess` holds fixed values, or is TUNED: then it is fitted to the validation scores of each epoch, and every
    figure of the trial is cross-fitted. amp "auto" is bf16 on a GPU that has it, fp16 on an older one, off on a CPU.
    """

    model_name: str = "resnet10t"
    pretrained: bool = False
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


_PLAIN = tuple(f.name for f in fields(TrialSettings) if f.name not in {*COMPONENTS, "postprocess"})


_OF_MODEL = frozenset({"model_name", "drop_rate", "drop_path_rate", "head", "train_last"})


def parse_settings(mapping: Mapping[str, Any], task: Task, *, epochs: int | None = None) -> TrialSettings:
    """Read and check a configuration; absent settings get their defaults, the loss the task's first one.

    Components are written ``"focal"`` or ``{"name": "focal", "gamma": 2.0}``. With `epochs` given, the
    warm-up is checked against them too.

    Raises:
        SettingsError: holds every problem found, each with its dotted path and what is valid.
    """
    plain = {key: value for key, value in mapping.items() if key not in {*COMPONENTS, "postprocess"}}
    values, problems = _read_plain(plain)
    components = {"loss": task.losses[0]} | {key: mapping[key] for key in COMPONENTS if key in mapping}
    for name, given in components.items():
        values[name], found = (
            _read_loss(given, task) if name == "loss" else read_component(name, COMPONENTS[name], given, name)
        )
        problems += found
    postprocess = mapping.get("postprocess") or {}
    problems += _check_postprocess(postprocess, task)
    if not any(problem.path.partition(".")[0] in _OF_MODEL for problem in problems):
        problems += _check_model(values)
    if task.judges_whole_images and (crop := values.get("crop")) is not None:
        problems += check_whole(crop)
    if values["loss"] is not None:
        problems += check_mixup(values["mixup"], values["loss"], task.losses)
    if problems:
        raise SettingsError(problems)
    kept = postprocess if isinstance(postprocess, str) else FrozenMapping(postprocess)
    settings = TrialSettings(**values, postprocess=kept)
    if strange := task.check_settings(settings):
        raise SettingsError(strange)
    if epochs is not None and (late := check_warmup(settings, epochs)):
        raise SettingsError(late)
    return settings


def settings_to_dict(settings: TrialSettings) -> dict[str, Any]:
    """Plain mappings, numbers and texts, for JSON; `parse_settings` reads it back to an equal value."""
    plain = {name: getattr(settings, name) for name in _PLAIN}
    components = {name: getattr(settings, name).to_dict() for name in COMPONENTS}
    return plain | components | {"postprocess": _thaw(settings.postprocess)}


def _read_plain(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Numbers, texts and switches; an unknown key is compared with the names of all settings."""
    known = {key: value for key, value in given.items() if key in _PLAIN}
    names = [f.name for f in fields(TrialSettings)]
    strange = [Problem(str(key), unknown("setting", str(key), names)) for key in given if key not in known]
    values, problems = read_fields(TrialSettings, known, owner="a trial")
    return {name: values[name] for name in _PLAIN}, strange + problems


def _read_loss(given: object, task: Task) -> tuple[Component | None, list[Problem]]:
    """A loss that fits the task; of one that does not, the message says what it needs."""
    name = given.get("name") if isinstance(given, Mapping) else getattr(given, "name", given)
    if isinstance(name, str) and name in LOSSES and name not in task.losses:
        reason = f"loss '{name}' does not fit task {task.name}: it needs {LOSSES[name].needs}"
        return None, [Problem("loss", f"{reason}; valid: {', '.join(task.losses)}")]
    return read_component("loss", {key: _LOSS_PARAMS[key] for key in task.losses}, given, "loss")


def _check_postprocess(postprocess: object, task: Task) -> list[Problem]:
    if postprocess == TUNED:
        return []
    if not isinstance(postprocess, Mapping):
        return [Problem("postprocess", f"must be a mapping or {TUNED!r}, not {postprocess!r}")]
    return task.check_postprocess(postprocess)


def _check_model(values: Mapping[str, Any]) -> list[Problem]:
    from foldtune.trainers.models import check_layers, check_model

    if problems := check_model(values["model_name"], values["drop_rate"], values["drop_path_rate"]):
        return problems
    head = values.get("head", _DEFAULTS["head"])
    return check_layers(values["model_name"], head, values["train_last"])


def _thaw(value: Any) -> Any:
    return {key: _thaw(item) for key, item in value.items()} if isinstance(value, Mapping) else value
