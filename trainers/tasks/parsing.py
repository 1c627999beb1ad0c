"""A trial's configuration, read and checked for a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.components import (
    Component,
    FrozenMapping,
    read_component,
    read_fields,
)
from foldtune.trainers.loading.augment import check_mixup
from foldtune.trainers.loading.crops import check_whole
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.losses.registry import by_any_name
from foldtune.trainers.networks.models import BY_LAYER, check_layers, check_model
from foldtune.trainers.networks.pretrained import pretrained_of
from foldtune.trainers.optim.lr_schedulers import check_warmup
from foldtune.trainers.postprocess.case_scores import reduction_problems, without_reduction
from foldtune.trainers.settings import _DEFAULTS, _PLAIN, AUTO, COMPONENTS, TUNED, TrialSettings
from foldtune.wording import unknown

if TYPE_CHECKING:
    from foldtune.trainers.tasks.base import Task

_READ_APART = frozenset({*COMPONENTS, "postprocess", "pretrained", "channels_last"})
_OF_MODEL = frozenset({"model_name", "drop_rate", "drop_path_rate", "head", *BY_LAYER})


def parse_settings(mapping: Mapping[str, Any], task: Task, *, epochs: int | None = None) -> TrialSettings:
    """Read and check a configuration; absent settings get their defaults, the loss the task's first one.

    Components are written ``"focal"`` or ``{"name": "focal", "gamma": 2.0}``; an ``lr`` beside the name of an
    optimizer stands for that setting, so that each branch may sample its own. With `epochs` given, the warm-up is
    checked against them too. Where `channels_last` is "auto", and no timing has decided, it is true.

    Raises:
        SettingsError: holds every problem found, each with its dotted path and what is valid.
    """
    mapping, of_branch = _with_lr_of_branch(mapping)
    plain = {key: value for key, value in mapping.items() if key not in _READ_APART}
    values, problems = _read_plain(plain)
    try:
        values["pretrained"] = pretrained_of(mapping.get("pretrained", False), values["model_name"])
    except ValueError as error:
        problems.append(Problem("pretrained", str(error)))
    layout = mapping.get("channels_last", AUTO)
    values["channels_last"] = layout if isinstance(layout, bool) else values["channels_last"]
    if layout != AUTO and not isinstance(layout, bool):
        problems.append(Problem("channels_last", f"must be {AUTO}, true or false, not {layout!r}"))
    if of_branch:
        problems = [replace(each, path="optimizer.lr") if each.path == "lr" else each for each in problems]
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
    if task.has_spatial_targets and (crop := values.get("crop")) is not None:
        problems += check_whole(crop)
    if values["loss"] is not None:
        problems += check_mixup(values["mixup"], values["loss"], task.losses)
    if problems:
        raise SettingsError(problems)
    kept = postprocess if isinstance(postprocess, str) else FrozenMapping(postprocess)
    settings = TrialSettings(**values, postprocess=kept)
    if strange := task.check_settings(settings):
        raise SettingsError(strange)
    if epochs is not None and (late := check_warmup(settings.lr_scheduler, epochs)):
        raise SettingsError(late)
    return settings


def _with_lr_of_branch(mapping: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The configuration with the optimizer's own lr as its lr, and whether it has one."""
    optimizer = mapping.get("optimizer")
    if not isinstance(optimizer, Mapping) or "lr" not in optimizer:
        return mapping, False
    own = {key: value for key, value in optimizer.items() if key != "lr"}
    return {**mapping, "optimizer": own, "lr": optimizer["lr"]}, True


def _read_plain(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Numbers, texts and switches; an unknown key is compared with the names of all settings."""
    known = {key: value for key, value in given.items() if key in _PLAIN}
    names = [f.name for f in fields(TrialSettings)]
    strange = [Problem(str(key), unknown("setting", str(key), names)) for key in given if key not in known]
    values, problems = read_fields(TrialSettings, known, owner="a trial")
    return {name: values[name] for name in _PLAIN}, strange + problems


def _read_loss(given: object, task: Task) -> tuple[Component | None, list[Problem]]:
    """The loss in the task's form, under its explicit name; for one of another form of targets, what it needs."""
    explicit = by_any_name(task.losses)
    name = given.get("name") if isinstance(given, Mapping) else getattr(given, "name", given)
    if isinstance(name, str) and name in LOSSES and name not in explicit:
        reason = f"loss '{name}' does not fit task {task.name}: it needs {LOSSES[name].needs}"
        return None, [Problem("loss", f"{reason}; valid: {', '.join(explicit)}")]
    found, problems = read_component("loss", {key: LOSSES[own] for key, own in explicit.items()}, given, "loss")
    return found and Component(explicit[found.name], found.params), problems


def _check_postprocess(postprocess: object, task: Task) -> list[Problem]:
    if postprocess == TUNED:
        return []
    if not isinstance(postprocess, Mapping):
        return [Problem("postprocess", f"must be a mapping or {TUNED!r}, not {postprocess!r}")]
    return reduction_problems(postprocess) + task.check_postprocess(without_reduction(postprocess))


def _check_model(values: Mapping[str, Any]) -> list[Problem]:
    if problems := check_model(values["model_name"], values["drop_rate"], values["drop_path_rate"]):
        return problems
    head = values.get("head", _DEFAULTS["head"])
    return check_layers(values["model_name"], head, values)
