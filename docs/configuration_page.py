"""`python docs/configuration_page.py` writes docs/configuration.md: every key of a configuration, from the code."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from foldtune.search.config.schema import RunConfig
from foldtune.spaces.presets import list_presets, tasks_of
from foldtune.trainers.components import Component, describe_range
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.settings import COMPONENTS, TrialSettings

PAGE = Path(__file__).with_name("configuration.md")
SETTINGS = {
    "model_name": "classifier of timm, by name",
    "pretrained": "weights that it starts from ([pretrained](pretrained.md)): auto, true, false, FILE or {MODEL: FILE}",
    "drop_rate": "dropout before the head",
    "drop_path_rate": "stochastic depth",
    "loss": "loss, see below",
    "optimizer": "optimizer, see below",
    "lr": "peak learning rate; a branch of `optimizer` may bring its own",
    "weight_decay": "weight decay, not of biases and norms",
    "lr_scheduler": "learning rate over the epochs, see below",
    "batch_size": "images a step; halved in parts where memory runs out",
    "clip_grad": "largest norm of the gradient, 0: off",
    "ema_decay": "decay of the average of weights that is validated, 0: off",
    "sampler": "which rows an epoch draws, see below",
    "augmentation": "random changes of training images, see below",
    "amp": "number type of forward passes, off: float32; auto: by timing each model once, before a search",
    "channels_last": "memory layout of images and convolutions: auto (as `amp`), true or false",
    "patience": "epochs without improvement after which a trial ends, 0: off",
    "layer_decay": "factor of lr a layer towards the input, 0: off",
    "body_lr_ratio": "lr of all layers before the head over the head's",
    "unfreeze_epochs": "epochs until all layers are trained, from the head alone on, 0: off",
    "postprocess": "fixed thresholds, offsets or cuts, or `tuned`: fitted, cross-fitted, after each epoch",
    "head": "layers after the pooling, see below",
    "train_last": "layer groups that train beside the head, 0: all",
    "tta": "views of an image in validation and prediction",
    "crop": "part of an image that training sees, see below",
    "extra_weight": "factor of the loss of rows of `data.extra`, times their own weight",
    "mixup": "alpha of the Beta distribution that mixes pairs of images, 0: off",
}
"""Meaning of a trial's settings."""

HEAD = """# Configuration

Every key of a configuration's YAML, its default and its meaning; `foldtune validate` checks all of them, and an unknown
name is answered with the nearest and the valid ones. Written by `docs/configuration_page.py` from the code.

Rows come in [many forms](data.md); the plainest is a CSV with a header, a column of image names (`data.id`, by default
`image`) and one of labels (`data.target`):

```
image,label
a01.png,melanoma
a02.png,nevus
```
"""
SPACE = """## `space`

A constant, or what to sample: `{choice: [a, b]}`, `{uniform: [low, high]}`, `{loguniform: [low, high]}`,
`{int: [low, high]}`; beside a range may stand its `default`, a `step` (uniform and int) and a `grid` of values, which
`search.algorithm: grid` tries: `{loguniform: [1e-4, 1e-2], grid: [1e-4, 1e-3, 1e-2]}`. The branches of a `choice` may
bring parameters of their own, as `loss: {choice: {focal: {gamma: {uniform: [1, 3]}}, cross_entropy: null}}`.
`preset: NAME` starts from one of those at the end, and your own keys replace its; so does `preset: ours.yaml`, a file
with `space` and, where wanted, `description` and `tasks`. `foldtune init --from RUN --trial ID` writes a stored trial
as a YAML.
Networks start from [pretrained weights](pretrained.md) where these can be had; `search` prints which they are.

The number type and the memory layout of the forward pass (`amp`, `channels_last`) are timed where the space leaves them
`auto`, the default: half a second of training steps in each, once for a model and an image size, where the trials
will run. Another than the default (float32 on a CPU, bf16 or fp16 on a GPU, channels last) is taken where it is a tenth
faster; `search` prints which. All trials, folds and sessions of the run train in it (`measured.json`); the folder
`measured` of the machine's cache keeps the timings. To repeat seeded figures on another machine, fix both.

`search.max_params_m` and `search.max_latency_ms` leave larger and slower models out of `model_name`: parameters as the
task's network has them, latency as the fastest of five passes of one prepared image on the machine that validates, with
the threads of a trial, on a GPU where trials have one.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, "## The file", keys("", RunConfig)]
    for name, field in RunConfig.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            doc = inspect.getdoc(field.annotation) or ""
            parts += [f"## `{name}`", doc.split("\n\n")[0], keys(f"{name}.", field.annotation)]
    parts += [SPACE, table("setting", setting_rows())]
    for kind, registry in COMPONENTS.items():
        parts += [f"### `{kind}`", components(registry)]
    presets = sorted(list_presets().items())
    rows = ((name, "", f"{text} For {', '.join(tasks_of(name))}.") for name, text in presets)
    parts += ["### `preset`", table("preset", rows)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def keys(prefix: str, section: type[BaseModel]) -> str:
    """Return the table of a section's keys that are no sections themselves."""
    rows = []
    for name, field in section.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            continue
        default = "required" if field.default is PydanticUndefined else shown(field.default)
        rows.append((prefix + name, default, field.description or ""))
    return table("key", rows)


def setting_rows() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning with the range of each setting of a trial."""
    for field in dataclasses.fields(TrialSettings):
        default = field.default if field.default is not dataclasses.MISSING else {}
        text = default.name if isinstance(default, Component) else shown(default)
        text = (
            "auto" if field.name in ("pretrained", "channels_last") else text
        )  # of a space; a trial's stored configuration has it resolved
        yield field.name, text, SETTINGS[field.name] + valid(field)


def components(registry: Mapping[str, type]) -> str:
    """Return the table of a kind of component: names, parameters with their defaults, first paragraph."""
    rows = []
    for name, cls in registry.items():
        params = [f"{each.name}: {shown(each.default)}{valid(each)}" for each in dataclasses.fields(cls)]
        summary = " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())
        needs = f" For {LOSSES[name].needs}." if LOSSES.get(name) is cls else ""
        rows.append((name, "; ".join(params), summary.replace("``", "`") + needs))
    return table("name", rows, "parameters")


def valid(field: dataclasses.Field[Any]) -> str:
    """Return the valid values of a field in brackets, "" without bounds."""
    if choices := field.metadata.get("choices"):
        return f" ({', '.join(choices)})"
    described = describe_range(field.metadata).strip()
    return f" ({described})" if described else ""


def shown(value: object) -> str:
    """Return a default as YAML has it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return "{}" if value == {} else "[]" if value == () else f"{value:g}" if isinstance(value, float) else str(value)


def table(first: str, rows: Any, second: str = "default") -> str:
    """Return a Markdown table of rows (name, default, meaning)."""
    cells = [[f"`{name}`", default, text] for name, default, text in rows]
    lines = [[first, second, "meaning"], ["---"] * 3, *cells]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
