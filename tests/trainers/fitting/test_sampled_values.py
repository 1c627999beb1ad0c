"""What a space samples takes effect where it belongs: in the training, the model's views or a decision.

Tried for every task whose labels stand in a table. A training follows from its seed bit for bit, so of two that differ
in one value, whatever differs shows where that value arrived. Values of what lies in a registry are found there: what
is added is tried without a line here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.loading.augment import AUGMENTATIONS
from foldtune.trainers.loading.crops import RandomResizedCrop
from foldtune.trainers.loading.samplers import SAMPLERS
from foldtune.trainers.loading.tta import TTA
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.optim.optimizers import OPTIMIZERS
from foldtune.trainers.tasks import TASKS, Task
from foldtune.trainers.tasks.parsing import parse_settings

LABELS = {
    "binary": ["no", "no", "no", "yes"],
    "multiclass": ["a", "a", "a", "b", "b", "c"],
    "multilabel": ["a", "b|c", "a|b", "", "a", "a|c"],
    "ordinal": ["0", "0", "0", "1", "1", "2", "3"],
}
TRAIN, VALID = 24, 12  # of 24 rows an epoch has two steps
STANDING: dict[str, Any] = {"lr": 1e-12, "weight_decay": 0.0}  # the network stays as it was drawn
Pair = tuple[dict[str, Any], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Images:
    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __len__(self) -> int:
        return len(self.array)

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.array[rows]


def start(name: str, **changes: Any) -> Fit:
    frame = pd.DataFrame({"label": (LABELS[name] * TRAIN)[: TRAIN + VALID]})
    task = TASKS[name].from_frame(frame, "label")
    pixels = np.random.default_rng(0).integers(40, 215, (len(frame), 32, 32, 3), dtype=np.uint8)
    rows = np.arange(len(frame))
    data = FoldData(Images(pixels), task.encode(frame), rows.astype(str), rows[:TRAIN], rows[TRAIN:])
    # A network without batch norm: its statistics would carry what training sees into evaluation.
    given = {"model_name": "test_vit", "batch_size": 12, "augmentation": "none"} | changes
    return Fit(TrainSpec(parse_settings(given, task), task, data, task.default_metric, epochs=2, seed=0), device="cpu")


@dataclasses.dataclass(frozen=True)
class Seen:
    """What an epoch came to."""

    task: Task
    train_loss: float
    logits: np.ndarray
    metrics: dict[str, float]
    weights: dict[str, torch.Tensor]
    targets: np.ndarray


@cache
def _seen(name: str, changes: str) -> Seen:
    training = start(name, **json.loads(changes))
    metrics = training.step().metrics
    training.close()
    targets = training.data.targets[training.data.valid_rows]
    return Seen(
        training.task, metrics.pop("train_loss"), training.valid_logits, metrics, training.best_weights(), targets
    )


def seen(name: str, changes: dict[str, Any]) -> Seen:
    """The first epoch with these changes; of each only one is run."""
    return _seen(name, json.dumps(changes, sort_keys=True))


def other(field: dataclasses.Field[Any]) -> Any:
    """A value of a numeric parameter that is not its default."""
    return field.default / 2 if field.default else min(0.5, field.metadata["max"])


def of_registry(setting: str, name: str, component: type, only: str | None = None) -> Iterator[Pair]:
    """For each numeric parameter of a component: the component with its defaults, and with another value of it."""
    for field in dataclasses.fields(component):
        if "max" in field.metadata and only in (None, field.name):
            yield {setting: {"name": name}}, {setting: {"name": name, field.name: other(field)}}


OF_TRAINING: list[Pair] = [
    ({}, {"drop_rate": 0.5}),
    ({}, {"drop_path_rate": 0.5}),
    ({"head": {"name": "mlp", "dropout": 0.0}}, {"head": {"name": "mlp", "dropout": 0.6}}),
    ({}, {"mixup": 0.4}),
    *[({}, {"sampler": {"name": name, "strength": 1.0}}) for name in SAMPLERS if name != "none"],
    *[({}, {"augmentation": name}) for name in AUGMENTATIONS if name not in ("none", "custom")],
    *of_registry("augmentation", "light", AUGMENTATIONS["light"]),
    *of_registry("augmentation", "custom", AUGMENTATIONS["custom"]),
    ({"augmentation": "flip"}, {"augmentation": {"name": "flip", "flips": "both"}}),
    ({"crop": {"name": "center_crop", "size": 16}}, {"crop": {"name": "random_crop", "size": 16}}),
    *of_registry("crop", "random_resized_crop", RandomResizedCrop, only="scale_min"),
]
OF_VIEWS: list[Pair] = [({}, {"tta": name}) for name in TTA if name != "none"]
OF_BOTH: list[Pair] = [
    ({}, {"crop": {"name": "resize", "size": 16}}),
    ({}, {"crop": {"name": "center_crop", "size": 16}}),
    ({}, {"crop": {"name": "random_crop", "size": 16}}),
    ({}, {"head": {"name": "mlp"}}),
    ({"head": {"name": "mlp"}}, {"head": {"name": "mlp", "units": 8}}),
    ({"head": {"name": "mlp"}}, {"head": {"name": "mlp", "layers": 2}}),
    ({}, {"model_name": "test_resnet"}),
]
OF_WEIGHTS: list[Pair] = [
    ({}, {"lr": 1e-2}),
    ({}, {"weight_decay": 1.0}),
    *[({}, {"optimizer": name}) for name in OPTIMIZERS if name != "adamw"],
    ({"optimizer": "muon"}, {"optimizer": {"name": "muon", "momentum": 0.5}}),
    ({"optimizer": "lion"}, {"optimizer": {"name": "lion", "beta1": 0.5}}),
    ({"optimizer": "sgd"}, {"optimizer": {"name": "sgd", "lr": 0.1}}),
    ({}, {"optimizer": {"name": "adamw", "beta1": 0.5}}),
    ({}, {"optimizer": {"name": "adamw", "beta2": 0.9}}),
    ({"optimizer": "sgd"}, {"optimizer": {"name": "sgd", "momentum": 0.5}}),
    ({"optimizer": "sgd"}, {"optimizer": {"name": "sgd", "nesterov": False}}),
    ({}, {"lr_scheduler": "constant"}),
    ({}, {"lr_scheduler": {"name": "cosine", "warmup_epochs": 0.5}}),
    ({}, {"lr_scheduler": {"name": "cosine", "min_lr_ratio": 0.5}}),
    ({"optimizer": "sgd"}, {"optimizer": "sgd", "clip_grad": 0.01}),
    ({}, {"ema_decay": 0.9}),
    ({}, {"layer_decay": 0.5}),
    ({}, {"train_last": 1}),
    ({"train_last": 1}, {"train_last": 2}),
    ({}, {"batch_size": 8}),
]
OF_DECISIONS: dict[str, list[Pair]] = {
    "binary": [({"threshold": 0.01}, {"threshold": 0.99})],
    "multiclass": [({"offsets": {"b": 0.0}}, {"offsets": {"b": 9.0}}), ({"prior_power": 0.0}, {"prior_power": 5.0})],
    "multilabel": [
        ({"threshold": 0.01}, {"threshold": 0.99}),
        ({"thresholds": {"b": 0.01}}, {"thresholds": {"b": 0.99}}),
    ],
    "ordinal": [
        ({"cuts": [0.1, 0.2, 0.3]}, {"cuts": [2.7, 2.8, 2.9]}),
        ({"cuts": {"1": 0.1}}, {"cuts": {"1": 1.5}}),
        ({"cuts": "rounding"}, {"cuts": "argmax"}),
    ],
}
every_task = pytest.mark.parametrize(
    "name", ["multiclass", pytest.param("multilabel", marks=pytest.mark.slow)]
)  # what no kind of label has a part in


def label(pair: Pair) -> str:
    return " ".join(json.dumps(change).replace('"', "") for change in pair)


def tried(pairs: list[Pair]) -> Callable[..., Any]:
    return pytest.mark.parametrize("pair", pairs, ids=map(label, pairs))


@every_task
@tried(OF_TRAINING)
def test_what_belongs_to_training_changes_it_and_not_the_evaluation(name: str, pair: Pair) -> None:
    one, two = (seen(name, STANDING | changes) for changes in pair)
    assert one.train_loss != two.train_loss
    np.testing.assert_allclose(one.logits, two.logits, atol=1e-5)


@every_task
@tried(OF_VIEWS)
def test_views_change_the_evaluation_and_not_the_training(name: str, pair: Pair) -> None:
    one, two = (seen(name, changes) for changes in pair)
    assert one.train_loss == two.train_loss
    assert all(torch.equal(one.weights[key], two.weights[key]) for key in one.weights)
    assert np.abs(one.logits - two.logits).max() > 1e-6


@every_task
@tried(OF_BOTH)
def test_what_the_network_is_and_sees_changes_both(name: str, pair: Pair) -> None:
    one, two = (seen(name, STANDING | changes) for changes in pair)
    assert one.train_loss != two.train_loss
    assert np.abs(one.logits - two.logits).max() > 1e-5


@every_task
@tried(OF_WEIGHTS)
def test_how_weights_are_learnt_changes_them(name: str, pair: Pair) -> None:
    one, two = (seen(name, changes) for changes in pair)
    assert one.weights.keys() == two.weights.keys()
    assert any(not torch.equal(one.weights[key], two.weights[key]) for key in one.weights)


FIRST_TASKS = {loss: name for name in reversed(LABELS) for loss in TASKS[name].losses}
"""A task of each loss: the quick suite tries a loss in one task, the slow one in all."""


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        pytest.param(name, loss, marks=[] if FIRST_TASKS[loss] == name else pytest.mark.slow)
        for name in LABELS
        for loss in TASKS[name].losses
    ],
)
def test_each_parameter_of_a_loss_changes_the_training_and_not_the_evaluation(name: str, loss: str) -> None:
    for pair in of_registry("loss", loss, LOSSES[loss]):
        one, two = (seen(name, STANDING | changes) for changes in pair)
        assert one.train_loss != two.train_loss, pair
        np.testing.assert_allclose(one.logits, two.logits, atol=1e-5)


@every_task
def test_losses_differ_from_each_other(name: str) -> None:
    losses = [seen(name, STANDING | {"loss": loss}).train_loss for loss in TASKS[name].losses]
    assert len(set(losses)) == len(losses)


@pytest.mark.parametrize(("name", "pair"), [(name, pair) for name in OF_DECISIONS for pair in OF_DECISIONS[name]])
def test_sampled_postprocessing_decides_and_changes_nothing_else(name: str, pair: Pair) -> None:
    one, two = (seen(name, {"postprocess": postprocess}) for postprocess in pair)
    assert one.train_loss == two.train_loss
    assert np.array_equal(one.logits, two.logits)
    assert one.metrics != two.metrics
    for result, postprocess in zip((one, two), pair, strict=True):
        scores = result.task.scores(result.logits)
        predictions = result.task.predict(scores, postprocess)
        assert result.metrics == result.task.evaluate(scores, predictions, result.targets)


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), [(4.0, 0.0, 0.05), (2.0, 1.0, 0.0)])
@pytest.mark.parametrize("name", ["binary", "multilabel"])
def test_the_asymmetric_loss_is_its_formula_by_the_sampled_values(
    name: str, gamma_neg: float, gamma_pos: float, clip: float
) -> None:
    loss = {"name": "asymmetric", "gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip}
    training = start(name, batch_size=TRAIN, loss=loss, **STANDING)
    data, model = training.data, training._learner.model.eval()
    with torch.no_grad():
        pixels = training._learner.normalize(torch.from_numpy(data.images.read(data.train_rows)))
        p = model(pixels).sigmoid().double()
    y = torch.from_numpy(data.targets[data.train_rows]).reshape(p.shape)
    q = (p - clip).clamp_min(0)
    expected = -torch.where(y == 1, (1 - p) ** gamma_pos * p.log(), q**gamma_neg * (1 - q).log())
    assert training.step().metrics["train_loss"] == pytest.approx(float(expected.mean()), abs=1e-5)


@pytest.mark.parametrize(("loss", "width"), [("coral", 3), ("corn", 3), ("sord", 4), ("cross_entropy", 4)])
def test_an_ordinal_head_goes_with_its_loss_a_sampled_head_and_frozen_layers(loss: str, width: int) -> None:
    head = {"name": "mlp", "units": 8, "dropout": 0.5}
    training = start("ordinal", loss=loss, head=head, train_last=1, lr=1e-2)
    model = training._learner.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shapes = []
    hook = model.register_forward_hook(lambda module, _, output: shapes.append((module.training, *output.shape[1:])))
    training.step()
    hook.remove()
    assert set(shapes) == {(True, width), (False, 4)}
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    parts = {name.split(".")[0] for name in moved}
    assert parts == {"blocks", "norm", "head"} | ({"ordinal_head"} if loss == "coral" else set())
    assert {name.split(".")[1] for name in moved if name.startswith("blocks")} == {"5"}


@every_task
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_an_imbalanced_sampler_draws_by_its_strength(name: str, strength: float) -> None:
    training = start(name, sampler={"name": "imbalanced", "strength": strength})
    rows, classes = training.data.train_rows, training._trainer.classes
    drawn = training._trainer.sampler.order(rows, classes, 1, 0)
    numbers, sizes = np.unique(classes, return_counts=True)
    wanted = sizes ** (1 - strength) * np.exp(np.log(sizes).mean() * strength)
    counts = [int((classes[drawn] == number).sum()) for number in numbers]
    assert counts == np.maximum(np.rint(wanted), 1).astype(int).tolist()
